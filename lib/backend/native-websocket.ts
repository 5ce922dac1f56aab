/**
 * A WebSocket of the engine on this side of the border (native/ws/ws_session.h): native code reads, checks, times out and sends; here its records
 * become messages, and calls become submissions.
 */
import { AsyncResource } from 'node:async_hooks';
import {
  MAX_SUBMISSION_BYTES,
  WS_ASCII_FLAG,
  WS_BEGIN,
  WS_BINARY_FLAG,
  WS_FIRST_FLAG,
  WS_LAST_FLAG,
  WS_SEND_MORE_FLAG,
  WS_SEND_PING,
  WS_SEND_PONG,
  WS_SEND_REST,
  WS_SERVER_FLAG,
  WS_SUBSCRIBE,
  WS_UNSUBSCRIBE,
} from '../bridge/records.js';
import type { RecordKey, SubmissionWriter } from '../bridge/submission-writer.js';
import { BrokenError } from '../errors.js';
import {
  CLOSE_CODE_OF_FAILURE,
  SEND_BINARY,
  SEND_COMPRESS,
  SEND_HIGH_WATER_BYTES,
  type SessionOptions,
  type WebSocketFailure,
  type WebSocketListener,
  type WebSocketSession,
} from '../ws/contract.js';
import type { NativeLoop } from './native-loop.js';

/** By the numbers of WsError (native/ws/frame_codec.h). */
export const WEBSOCKET_FAILURES: readonly (WebSocketFailure | null)[] = [
  null,
  'EXPECTED_FIN',
  'EXPECTED_MASK',
  'INVALID_OPCODE',
  'INVALID_CLOSE_CODE',
  'INVALID_CONTROL_PAYLOAD_LENGTH',
  'UNEXPECTED_RSV_1',
  'UNEXPECTED_RSV_2_3',
  'INVALID_PAYLOAD_LENGTH',
  'INVALID_UTF8',
  'INVALID_COMPRESSED_DATA',
  'UNSUPPORTED_MESSAGE_LENGTH',
  'TOO_MANY_BUFFERED_PARTS',
  'BUFFERED_BYTES_EXCEEDED',
  'IDLE_TIMEOUT',
];

/** Texts and bytes of one submission stay below these; larger messages are submitted in pieces. */
const INLINE_TEXT_LENGTH = MAX_SUBMISSION_BYTES / 4;
const PIECE_BYTES = MAX_SUBMISSION_BYTES / 2;
const NO_TAKEOVER_NEEDED = { requireManualDestroy: true };
const EMPTY = Buffer.alloc(0);
const NO_CLOSE_FRAME: { readonly code: number; readonly reason: Buffer } = { code: 1006, reason: EMPTY };
const MAX_UINT32 = 0xffffffff;

/** A message of which not all has come. */
interface Arriving {
  chunks: Buffer[];
  byteLength: number;
  /** It is handed on in parts. */
  inParts: boolean;
}

/** Callbacks that wait for what was sent before them to leave. */
interface Flushes {
  count: number;
  waiting: { readonly number: number; readonly callback: (error: Error | null) => void }[];
}

export class NativeWebSocket extends AsyncResource implements WebSocketSession, RecordKey {
  /** Of the connection. */
  readonly index: number;
  readonly generation: number;
  state: 'open' | 'closing' | 'closed' = 'open';
  readonly #loop: NativeLoop;
  readonly #options: SessionOptions;
  readonly #listener: WebSocketListener;
  #arriving: Arriving | null = null;
  /** Submitted since the engine was asked last: what waits is not more than that. */
  #outstanding = 0;
  #isBlocked = false;
  #flushes: Flushes | null = null;
  #hasFailed = false;
  #peerClose = NO_CLOSE_FRAME;
  #topics: Set<string> | null = null;

  constructor(
    loop: NativeLoop,
    index: number,
    generation: number,
    options: SessionOptions,
    listener: WebSocketListener,
  ) {
    super('GAMMALOOP_WEBSOCKET', NO_TAKEOVER_NEEDED);
    this.#loop = loop;
    this.index = index;
    this.generation = generation;
    this.#options = options;
    this.#listener = listener;
  }

  // What the program asks for.

  /** What was submitted is carried out first: nobody knows its size before that. */
  get bufferedBytes(): number {
    if (!this.#loop.submissions.isEmpty) this.#loop.engine.flush();
    return this.#loop.engine.queuedBytes(this.index, this.generation);
  }

  send(data: string | Uint8Array, flags: number): boolean {
    if (this.state !== 'open') return true;
    const { submissions } = this.#loop;
    if (typeof data === 'string' && data.length <= INLINE_TEXT_LENGTH) {
      this.#outstanding += submissions.wsText(this, data, flags);
    } else {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data;
      if (bytes.byteLength <= PIECE_BYTES) submissions.wsBytes(this, bytes, bytes.byteLength, flags);
      else this.#sendInPieces(submissions, bytes, flags);
      this.#outstanding += bytes.byteLength;
    }
    return this.#outstanding <= SEND_HIGH_WATER_BYTES ? !this.#isBlocked : this.#hasRoom();
  }

  #sendInPieces(submissions: SubmissionWriter, bytes: Uint8Array, flags: number): void {
    submissions.wsBytes(this, bytes.subarray(0, PIECE_BYTES), bytes.byteLength, flags);
    for (let at = PIECE_BYTES; at < bytes.byteLength; at += PIECE_BYTES) {
      submissions.wsData(WS_SEND_REST, this, bytes.subarray(at, at + PIECE_BYTES));
    }
  }

  /** So much was submitted that the truth is asked for: what can leave leaves first. */
  #hasRoom(): boolean {
    if (this.#isBlocked) return false;
    this.#loop.engine.flush();
    this.#outstanding = this.#loop.engine.queuedBytes(this.index, this.generation);
    if (this.#outstanding <= SEND_HIGH_WATER_BYTES) return true;
    this.#isBlocked = true;
    this.#loop.submissions.wsNotify(this, 0);
    return false;
  }

  ping(data: Uint8Array): void {
    if (this.state === 'open') this.#loop.submissions.wsData(WS_SEND_PING, this, data);
  }

  pong(data: Uint8Array): void {
    if (this.state === 'open') this.#loop.submissions.wsData(WS_SEND_PONG, this, data);
  }

  close(code: number, reason: string | Uint8Array): void {
    if (this.state !== 'open') return;
    this.state = 'closing';
    this.#loop.submissions.wsClose(this, code, typeof reason === 'string' ? Buffer.from(reason) : reason);
  }

  terminate(): void {
    if (this.state === 'closed') return;
    this.state = 'closing';
    this.#loop.submissions.wsTerminate(this);
  }

  pause(): void {
    if (this.state !== 'closed') this.#loop.submissions.wsReading(this, false);
  }

  resume(): void {
    if (this.state !== 'closed') this.#loop.submissions.wsReading(this, true);
  }

  whenFlushed(callback: (error: Error | null) => void): void {
    if (this.state === 'closed') {
      process.nextTick(callback, goneError());
      return;
    }
    this.#flushes ??= { count: 0, waiting: [] };
    const number = (this.#flushes.count % MAX_UINT32) + 1;
    this.#flushes.count = number;
    this.#flushes.waiting.push({ number, callback });
    this.#loop.submissions.wsNotify(this, number);
  }

  subscribe(topic: string): void {
    if (this.state === 'closed') return;
    this.#topics ??= new Set();
    if (this.#topics.has(topic)) return;
    this.#topics.add(topic);
    this.#loop.submissions.wsData(WS_SUBSCRIBE, this, Buffer.from(topic));
  }

  unsubscribe(topic: string): void {
    if (this.#topics?.delete(topic)) this.#loop.submissions.wsData(WS_UNSUBSCRIBE, this, Buffer.from(topic));
  }

  isSubscribed(topic: string): boolean {
    return this.#topics?.has(topic) ?? false;
  }

  get topics(): readonly string[] {
    return this.#topics === null ? [] : [...this.#topics];
  }

  publish(topic: string, data: string | Uint8Array, flags: number): void {
    if (this.state !== 'closed') publishBy(this.#loop.submissions, this, topic, data, flags);
  }

  get ignoresPongs(): boolean {
    return this.#listener.ignoresPongs === true;
  }

  /** After WS_ATTACHED: reading goes on, beginning with `input`, which was read behind the handshake. */
  protected begin(input: Uint8Array): void {
    const { submissions } = this.#loop;
    let at = 0;
    for (; at + PIECE_BYTES < input.byteLength; at += PIECE_BYTES) {
      submissions.wsData(WS_BEGIN, this, input.subarray(at, at + PIECE_BYTES), WS_SEND_MORE_FLAG);
    }
    submissions.wsData(WS_BEGIN, this, at === 0 ? input : input.subarray(at));
  }

  // From the reader, inside this session's async context.

  receiveAttached(): void {}

  receiveMessage(flags: number, start: number, length: number): void {
    const isBinary = (flags & WS_BINARY_FLAG) !== 0;
    const { textAsBuffer, partsAboveBytes } = this.#options;
    const isWhole = (flags & (WS_FIRST_FLAG | WS_LAST_FLAG)) === (WS_FIRST_FLAG | WS_LAST_FLAG);
    if (!isWhole || length > partsAboveBytes) {
      this.#receivePiece(this.#loop.webSockets.copy(start, length), isBinary, flags);
    } else if (isBinary || textAsBuffer) {
      this.#listener.onMessage(this.#loop.webSockets.copy(start, length), isBinary);
    } else {
      const bytes = this.#loop.completionBytes;
      const isAscii = (flags & WS_ASCII_FLAG) !== 0;
      const end = start + length;
      this.#listener.onMessage(isAscii ? bytes.latin1Slice(start, end) : bytes.utf8Slice(start, end), false);
    }
  }

  #receivePiece(chunk: Buffer, isBinary: boolean, flags: number): void {
    const isLast = (flags & WS_LAST_FLAG) !== 0;
    this.#arriving ??= { chunks: [], byteLength: 0, inParts: false };
    const arriving = this.#arriving;
    arriving.byteLength += chunk.length;
    if (isLast) this.#arriving = null;
    if (!arriving.inParts) {
      arriving.chunks.push(chunk);
      if (arriving.byteLength > this.#options.partsAboveBytes) {
        arriving.inParts = true;
        const chunks = arriving.chunks;
        arriving.chunks = [];
        for (let i = 0; i < chunks.length; i++) {
          this.#listener.onPart(chunks[i] as Buffer, isBinary, isLast && i === chunks.length - 1);
        }
      }
      if (!isLast) return;
      const whole = Buffer.concat(arriving.chunks, arriving.byteLength);
      this.#listener.onMessage(isBinary || this.#options.textAsBuffer ? whole : whole.utf8Slice(), isBinary);
      return;
    }
    this.#listener.onPart(chunk, isBinary, isLast);
  }

  receivePing(payload: Buffer): void {
    this.#listener.onPing(payload);
  }

  receivePong(payload: Buffer): void {
    this.#listener.onPong(payload);
  }

  receivePeerClose(code: number, reason: Buffer): void {
    this.#peerClose = { code, reason };
    this.state = 'closing';
    this.#arriving = null;
    this.#listener.onClosing(code, reason);
  }

  receiveFailure(number: number, detail: number): void {
    const failure = WEBSOCKET_FAILURES[number] as WebSocketFailure;
    this.state = 'closing';
    this.#hasFailed = true;
    this.#arriving = null;
    this.#listener.onFailure(failure, CLOSE_CODE_OF_FAILURE[failure], detail);
  }

  receiveDrained(): void {
    this.#outstanding = 0;
    this.#isBlocked = false;
    if (this.state === 'open') this.#listener.onDrain();
  }

  receiveFlushed(number: number): void {
    const flushes = this.#flushes as Flushes;
    const last = flushes.waiting.findIndex((flush) => flush.number === number);
    for (const { callback } of flushes.waiting.splice(0, last + 1)) callback(null);
  }

  receiveClosed(errno: number): void {
    this.state = 'closed';
    this.#arriving = null;
    this.#topics = null;
    const waiting = this.#flushes?.waiting ?? [];
    this.#flushes = null;
    for (const { callback } of waiting) callback(goneError());
    const { code, reason } = this.#peerClose;
    this.#listener.onClose(code, reason, code !== NO_CLOSE_FRAME.code && !this.#hasFailed, errno);
  }
}

function goneError(): Error {
  return new BrokenError('The WebSocket has gone before all that was sent had left');
}

/** To a topic of the server that `from` is, with WS_SERVER_FLAG, or belongs to. */
export function publishBy(
  submissions: SubmissionWriter,
  from: RecordKey,
  topic: string,
  data: string | Uint8Array,
  flags: number,
): void {
  const name = Buffer.from(topic);
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const kept = flags & (SEND_BINARY | SEND_COMPRESS | WS_SERVER_FLAG);
  let at = 0;
  for (; at + PIECE_BYTES < bytes.byteLength; at += PIECE_BYTES) {
    submissions.wsPublish(from, name, bytes.subarray(at, at + PIECE_BYTES), kept | WS_SEND_MORE_FLAG);
  }
  submissions.wsPublish(from, name, at === 0 ? bytes : bytes.subarray(at), kept);
}
