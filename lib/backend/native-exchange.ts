import { headerOf, rawHeadersOf, targetOf } from '../bridge/head-text.js';
import {
  ABORT_BODY_INVALID,
  ABORT_BODY_TIMEOUT,
  ABORT_BODY_TOO_LARGE,
  ABORT_CLIENT,
  ABORT_HANDLER_TIMEOUT,
  ABORT_LOCAL,
  ABORT_SERVER_CLOSING,
  BODY_WINDOW_BYTES,
  MAX_SUBMISSION_BYTES,
  METHODS,
  REQUEST_BODY_COMPLETE_FLAG,
  REQUEST_EXPECT_CONTINUE_FLAG,
  REQUEST_HAS_BODY_FLAG,
  REQUEST_UPGRADE_FLAG,
} from '../bridge/records.js';
import { type AbortReason, type App, type BodySink, Exchange, type Peer, type ResponseHead } from '../http/exchange.js';
import type { SessionOptions, WebSocketListener, WebSocketSession } from '../ws/contract.js';
import type { NativeLoop } from './native-loop.js';

const ABORT_REASONS: Record<number, AbortReason> = {
  [ABORT_CLIENT]: 'client',
  [ABORT_HANDLER_TIMEOUT]: 'handler-timeout',
  [ABORT_BODY_TIMEOUT]: 'body-timeout',
  [ABORT_BODY_INVALID]: 'body-invalid',
  [ABORT_BODY_TOO_LARGE]: 'body-too-large',
  [ABORT_SERVER_CLOSING]: 'server-closing',
  [ABORT_LOCAL]: 'local',
};

/** Submissions of a head and its text stay below this; what is larger is sent in pieces of it. */
const PIECE_BYTES = 65_536;
const INLINE_TEXT_LENGTH = MAX_SUBMISSION_BYTES / 4;
const INLINE_BODY_BYTES = MAX_SUBMISSION_BYTES / 2;
const CONSUME_STEP_BYTES = BODY_WINDOW_BYTES / 4;

/** What only a streamed request body needs. */
interface StreamedBody {
  readonly waiting: Buffer[];
  trailers: string[] | null;
  sink: BodySink | null;
  unreported: number;
}

/** What only a streamed response needs. */
interface StreamedResponse {
  /** Written since the last word that the queue is low. */
  outstanding: number;
  blocked: boolean;
  onWritable: (() => void) | null;
  onFlushed: (() => void) | null;
}

/** An exchange of the native engine: request data out of its completion record, answers into submission records. */
export class NativeExchange extends Exchange {
  readonly index: number;
  readonly generation: number;
  readonly #loop: NativeLoop;
  readonly #method: number;
  readonly #versionMinor: number;
  readonly #flags: number;
  readonly #headerCount: number;
  readonly #targetLength: number;
  readonly #text: string;
  readonly #connectionIndex: number;
  readonly #connectionGeneration: number;
  readonly #server: { readonly app: App; readonly writeBufferBytes: number };
  /** A complete body: where it stands in the completion ring until the end of the batch, then a copy. */
  #bodyAt: number;
  readonly #bodyLength: number;
  #body: Buffer | null = null;
  #streamed: StreamedBody | null = null;
  #response: StreamedResponse | null = null;

  constructor(
    loop: NativeLoop,
    index: number,
    generation: number,
    method: number,
    versionMinor: number,
    flags: number,
    headerCount: number,
    targetLength: number,
    text: string,
    bodyAt: number,
    bodyLength: number,
    connectionIndex: number,
    connectionGeneration: number,
    server: { readonly app: App; readonly writeBufferBytes: number },
  ) {
    super();
    this.#loop = loop;
    this.index = index;
    this.generation = generation;
    this.#method = method;
    this.#versionMinor = versionMinor;
    this.#flags = flags;
    this.#headerCount = headerCount;
    this.#targetLength = targetLength;
    this.#text = text;
    this.#bodyAt = bodyAt;
    this.#bodyLength = bodyLength;
    this.#connectionIndex = connectionIndex;
    this.#connectionGeneration = connectionGeneration;
    this.#server = server;
  }

  override get app(): App {
    return this.#server.app;
  }

  // The request.

  get method(): string {
    return METHODS[this.#method] as string;
  }

  get target(): string {
    return targetOf(this.#text, this.#headerCount, this.#targetLength);
  }

  get httpVersion(): '1.0' | '1.1' {
    return this.#versionMinor === 0 ? '1.0' : '1.1';
  }

  get scheme(): 'http' {
    return 'http';
  }

  rawHeaders(): string[] {
    return rawHeadersOf(this.#text, this.#headerCount, this.#targetLength);
  }

  header(name: string): string | null {
    return headerOf(this.#text, this.#headerCount, this.#targetLength, name);
  }

  /** Unknown when first asked for after the connection has gone. */
  peer(): Peer {
    return this.#loop.peer(this.#connectionIndex, this.#connectionGeneration);
  }

  override get remoteAddress(): string | undefined {
    return this.#loop.remoteAddress(this.#connectionIndex, this.#connectionGeneration);
  }

  override get upgrades(): boolean {
    return (this.#flags & REQUEST_UPGRADE_FLAG) !== 0;
  }

  // Its body.

  get hasBody(): boolean {
    return (this.#flags & REQUEST_HAS_BODY_FLAG) !== 0;
  }

  get bodyComplete(): boolean {
    return (this.#flags & REQUEST_BODY_COMPLETE_FLAG) !== 0;
  }

  takeBody(): Buffer {
    if (this.#body === null) this.keepBody();
    const body = this.#body as unknown as Buffer;
    this.#body = EMPTY;
    return body;
  }

  takeBodyText(): string {
    if (this.#bodyAt < 0) return this.takeBody().utf8Slice();
    const text = this.#loop.completionBytes.utf8Slice(this.#bodyAt, this.#bodyAt + this.#bodyLength);
    this.#bodyAt = -1;
    this.#body = EMPTY;
    return text;
  }

  /** The ring's memory is about to be reused: copies the complete body, unless it was taken. */
  keepBody(): void {
    if (this.#bodyAt < 0) return;
    const body = Buffer.allocUnsafe(this.#bodyLength);
    this.#loop.completionBytes.copy(body, 0, this.#bodyAt, this.#bodyAt + this.#bodyLength);
    this.#bodyAt = -1;
    this.#body = body;
  }

  readBody(sink: BodySink): void {
    const streamed = this.#streamedBody();
    streamed.sink = sink;
    if (this.responseEnded) {
      queueMicrotask(() => this.#abortBody('local'));
      return;
    }
    if ((this.#flags & REQUEST_EXPECT_CONTINUE_FLAG) !== 0) this.#loop.submissions.sendContinue(this);
    if (streamed.waiting.length === 0 && streamed.trailers === null && this.abortReason === null) return;
    // What came before is delivered once the caller is ready for it.
    queueMicrotask(() => {
      for (const chunk of streamed.waiting.splice(0)) sink.onData(chunk);
      if (streamed.trailers !== null) sink.onEnd(streamed.trailers);
      else if (this.abortReason !== null) this.#abortBody(this.abortReason);
    });
  }

  consumed(byteCount: number): void {
    const streamed = this.#streamedBody();
    streamed.unreported += byteCount;
    if (streamed.unreported < CONSUME_STEP_BYTES || streamed.trailers !== null) return;
    this.#loop.submissions.consume(this, streamed.unreported);
    streamed.unreported = 0;
  }

  #streamedBody(): StreamedBody {
    this.#streamed ??= { waiting: [], trailers: null, sink: null, unreported: 0 };
    return this.#streamed;
  }

  // The response.

  respond(status: number, reason: string, head: ResponseHead, body: string | Uint8Array | null): void {
    if (this.responseStarted) return;
    const isText = typeof body === 'string';
    if (isText ? body.length > INLINE_TEXT_LENGTH : body !== null && body.byteLength > INLINE_BODY_BYTES) {
      this.#respondInPieces(status, reason, head, isText ? Buffer.from(body) : (body as Uint8Array));
      return;
    }
    this.responseStarted = true;
    this.responseEnded = true;
    this.#loop.submissions.respond(this, status, reason, head.block, head.flags, body);
    this.#retire();
  }

  start(status: number, reason: string, head: ResponseHead, contentLength: number): void {
    if (this.responseStarted) return;
    this.responseStarted = true;
    this.#loop.submissions.start(this, status, reason, head.block, head.flags, contentLength);
  }

  write(chunk: string | Uint8Array): boolean {
    if (!this.responseStarted || this.responseEnded || this.abortReason !== null) return true;
    const bytes = typeof chunk === 'string' && chunk.length > INLINE_TEXT_LENGTH ? Buffer.from(chunk) : chunk;
    const length = typeof bytes === 'string' ? bytes.length * 3 : bytes.byteLength;
    const response = this.#streamedResponse();
    response.outstanding += length;
    const notify = !response.blocked && response.outstanding >= this.#server.writeBufferBytes;
    if (notify) response.blocked = true;
    if (typeof bytes === 'string') {
      this.#loop.submissions.writeText(this, bytes, notify);
    } else if (length <= PIECE_BYTES) {
      this.#loop.submissions.writeBytes(this, bytes, notify);
    } else {
      for (let at = 0; at < length; at += PIECE_BYTES) {
        this.#loop.submissions.writeBytes(
          this,
          bytes.subarray(at, at + PIECE_BYTES),
          notify && at + PIECE_BYTES >= length,
        );
      }
    }
    return !response.blocked;
  }

  onceWritable(callback: () => void): void {
    const response = this.#streamedResponse();
    if (response.blocked) {
      response.onWritable = callback;
    } else {
      process.nextTick(callback);
    }
  }

  end(trailers: string): void {
    if (!this.responseStarted || this.responseEnded) return;
    this.responseEnded = true;
    const notify = this.#response?.onFlushed != null;
    this.#loop.submissions.end(this, trailers, notify);
    if (!notify) this.#retire();
  }

  onceFlushed(callback: () => void): void {
    if (this.responseEnded) {
      // Its bytes leave before the loop blocks; setImmediate comes after that.
      setImmediate(callback);
    } else {
      this.#streamedResponse().onFlushed = callback;
    }
  }

  destroy(): void {
    if (this.abortReason !== null) return;
    this.#loop.submissions.destroy(this);
    this.#loop.retire(this);
    this.#abortNow('local');
  }

  override acceptWebSocket(
    headerBlock: string,
    options: SessionOptions,
    listener: WebSocketListener,
  ): WebSocketSession | null {
    if (this.responseStarted || this.abortReason !== null) return null;
    this.responseStarted = true;
    this.responseEnded = true;
    const connection = { index: this.#connectionIndex, generation: this.#connectionGeneration };
    this.#retire();
    return this.#loop.webSockets.accept(this, connection, headerBlock, options, listener);
  }

  #streamedResponse(): StreamedResponse {
    this.#response ??= { outstanding: 0, blocked: false, onWritable: null, onFlushed: null };
    return this.#response;
  }

  /** A body too large for the ring: as a stream, paced by the socket; `body` is read until it has been sent. */
  #respondInPieces(status: number, reason: string, head: ResponseHead, body: Uint8Array): void {
    this.start(status, reason, head, body.byteLength);
    let at = 0;
    const pump = (): void => {
      while (at < body.byteLength) {
        const piece = body.subarray(at, at + PIECE_BYTES);
        at += piece.byteLength;
        if (!this.write(piece) && at < body.byteLength) {
          this.onceWritable(pump);
          return;
        }
      }
      this.end('');
    };
    pump();
  }

  // From the loop, inside this exchange's async context.

  receiveBody(chunk: Buffer): void {
    const streamed = this.#streamedBody();
    if (streamed.sink !== null && streamed.waiting.length === 0) {
      streamed.sink.onData(chunk);
    } else {
      streamed.waiting.push(chunk);
    }
  }

  receiveBodyEnd(text: string, headerCount: number): void {
    const streamed = this.#streamedBody();
    streamed.trailers = rawHeadersOf(text, headerCount, 0);
    if (streamed.sink !== null && streamed.waiting.length === 0) streamed.sink.onEnd(streamed.trailers);
  }

  receiveWritable(): void {
    const response = this.#streamedResponse();
    if (this.responseEnded) {
      const flushed = response.onFlushed;
      response.onFlushed = null;
      this.#retire();
      flushed?.();
      return;
    }
    response.outstanding = 0;
    response.blocked = false;
    const writable = response.onWritable;
    response.onWritable = null;
    writable?.();
  }

  receiveAbort(reasonNumber: number, soft: boolean): void {
    const reason = ABORT_REASONS[reasonNumber] ?? 'local';
    if (soft) {
      this.peerEnded = true;
      this.#notifyAbort(reason);
      return;
    }
    this.#loop.retire(this);
    this.#abortNow(reason);
  }

  /** The response is over, and with it what is left of the request: native code drops it. */
  #retire(): void {
    this.#loop.retire(this);
    if (this.#streamed?.sink != null) queueMicrotask(() => this.#abortBody('local'));
  }

  #abortNow(reason: AbortReason): void {
    this.abortReason = reason;
    if (this.#streamed?.sink != null && this.#streamed.waiting.length === 0) this.#abortBody(reason);
    this.#notifyAbort(reason);
  }

  #notifyAbort(reason: AbortReason): void {
    const { onAbort } = this;
    this.onAbort = null;
    onAbort?.(reason);
  }

  #abortBody(reason: AbortReason): void {
    const streamed = this.#streamed as StreamedBody;
    if (streamed.trailers === null) streamed.sink?.onAbort(reason);
    streamed.sink = null;
  }
}

const EMPTY = Buffer.alloc(0);
