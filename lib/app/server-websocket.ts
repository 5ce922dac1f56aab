/** `ws`: one WebSocket as the hooks of serve({ websocket }) see it. */

import { AbortedError, OptionError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { parseTraceparent } from '../scope/trace-context.js';
import { TracedScope } from '../scope/traced-scope.js';
import {
  isValidCloseCode,
  SEND_BINARY,
  SEND_COMPRESS,
  SEND_MORE,
  type WebSocketFailure,
  type WebSocketListener,
  type WebSocketSession,
} from '../ws/contract.js';
import { WebSocketError } from '../ws/error.js';
import { failureText } from './websocket-failures.js';
import { ChunkStream, MessageQueue } from './websocket-iteration.js';
import type { CheckedWebSocketOptions, WebSocketOptions } from './websocket-options.js';

export type WebSocketData = string | ArrayBuffer | ArrayBufferView;

export interface SendOptions {
  /** Where permessage-deflate was negotiated, and the message is large enough. Default true. */
  readonly compress?: boolean | undefined;
}

/** What the WebSockets of a server share. */
export interface WebSocketHost {
  readonly options: CheckedWebSocketOptions;
  /** A hook threw. */
  report(error: unknown, ws: ServerWebSocket): void;
}

const CONTROL_PAYLOAD_BYTES = 125;
const REASON_BYTES = 123;
const EMPTY = Buffer.alloc(0);

// biome-ignore lint/suspicious/noExplicitAny: `data` is the application's
export class ServerWebSocket<Data = any> implements WebSocketListener, AsyncIterable<string | Buffer | ArrayBuffer> {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  /** What the upgrade hook gave; the application's to change. */
  data: Data;
  /** The subprotocol that was agreed on, or ''. */
  readonly protocol: string;
  /** The target of its request: '/chat?room=1'. */
  readonly url: string;
  readonly remoteAddress: string | undefined;
  readonly #traceparent: string | null;
  readonly #host: WebSocketHost;
  #session: WebSocketSession | null = null;
  #scope: TracedScope | null = null;
  #queue: MessageQueue | null = null;
  #stream: ChunkStream | null = null;

  /** Made for each accepted handshake. */
  constructor(host: WebSocketHost, request: Exchange, protocol: string, data: Data) {
    this.#host = host;
    this.url = ownText(request.target);
    this.remoteAddress = request.remoteAddress;
    const traceparent = request.header('traceparent');
    this.#traceparent = parseTraceparent(traceparent) === null ? null : ownText(traceparent as string);
    this.protocol = protocol;
    this.data = data;
  }

  // Sending.

  /** False: more waits than is good; wait for `drain`. Strings go as text, everything else as binary. In a closing WebSocket it is dropped. */
  send(data: WebSocketData, options?: SendOptions): boolean {
    return this.#open.send(typeof data === 'string' ? data : bytesOf(data), flagsOf(data, options));
  }

  /**
   * One message out of many pieces, sent as they come, each as a fragment, and as fast as the peer reads. Text where the first piece is a string. Nothing
   * else may be sent with `send` before it has ended.
   */
  async sendStream(
    pieces: AsyncIterable<WebSocketData> | Iterable<WebSocketData>,
    options?: SendOptions,
  ): Promise<void> {
    const session = this.#open;
    let flags: number | null = null;
    for await (const piece of pieces) {
      flags ??= flagsOf(piece, options);
      if (session.state !== 'open') return;
      const mayGoOn = session.send(typeof piece === 'string' ? piece : bytesOf(piece), flags | SEND_MORE);
      if (!mayGoOn) await new Promise<void>((resolve) => session.whenFlushed(() => resolve()));
    }
    session.send(EMPTY, flags ?? SEND_BINARY);
  }

  /** At most 125 bytes. */
  ping(data: WebSocketData = EMPTY): void {
    this.#open.ping(controlPayload(data));
  }

  /** At most 125 bytes. Pings are answered without it. */
  pong(data: WebSocketData = EMPTY): void {
    this.#open.pong(controlPayload(data));
  }

  /** Begins the close handshake. `code`: 1000 (default), 1001 to 1014 as RFC 6455 has them, 3000 to 4999. `reason`: at most 123 bytes. */
  close(code = 1000, reason = ''): void {
    if (!isValidCloseCode(code)) throw new OptionError('code', 'a close code that may be sent (RFC 6455 7.4)', code);
    if (typeof reason !== 'string' || Buffer.byteLength(reason) > REASON_BYTES) {
      throw new OptionError('reason', `a string of at most ${REASON_BYTES} bytes`, reason);
    }
    this.#open.close(code, reason);
  }

  /** At once, without a handshake. */
  terminate(): void {
    this.#open.terminate();
  }

  get bufferedAmount(): number {
    return this.#session?.bufferedBytes ?? 0;
  }

  /** As a browser's: OPEN 1, CLOSING 2, CLOSED 3. */
  get readyState(): number {
    switch (this.#session?.state) {
      case 'open':
        return ServerWebSocket.OPEN;
      case 'closing':
        return ServerWebSocket.CLOSING;
      case 'closed':
        return ServerWebSocket.CLOSED;
      default:
        return ServerWebSocket.CONNECTING;
    }
  }

  // Topics.

  subscribe(topic: string): void {
    this.#open.subscribe(checkTopic(topic));
  }

  unsubscribe(topic: string): void {
    this.#open.unsubscribe(checkTopic(topic));
  }

  isSubscribed(topic: string): boolean {
    return this.#open.isSubscribed(checkTopic(topic));
  }

  get topics(): readonly string[] {
    return this.#open.topics;
  }

  /** To all others that have subscribed. server.publish is to all. */
  publish(topic: string, data: WebSocketData, options?: SendOptions): void {
    this.#open.publish(checkTopic(topic), typeof data === 'string' ? data : bytesOf(data), flagsOf(data, options));
  }

  // Receiving.

  /** Nothing more is read, until `resume`. */
  pause(): void {
    this.#open.pause();
  }

  resume(): void {
    this.#open.resume();
  }

  /**
   * The messages from here on, until the WebSocket closes, as fast as they are taken; `message` is not called for them. Leaving the loop early
   * closes it with 1000.
   */
  [Symbol.asyncIterator](): AsyncIterator<string | Buffer | ArrayBuffer> {
    this.#queue ??= new MessageQueue(this.#open, () => this.close());
    return this.#queue;
  }

  // Where it belongs.

  /** Cancelled when the WebSocket has closed: `ws.scope.run(async () => ...)`, once. */
  get scope(): TracedScope {
    if (this.#scope === null) {
      this.#scope = new TracedScope(this.#traceparent);
      if (this.readyState === ServerWebSocket.CLOSED) this.#scope.cancel(new AbortedError('client'));
    }
    return this.#scope;
  }

  // From the session.

  /** Right after the session was made. */
  begin(session: WebSocketSession): void {
    this.#session = session;
    this.#call('open');
  }

  onMessage(data: string | Buffer, isBinary: boolean): void {
    const value = typeof data === 'string' || !this.#host.options.arrayBuffers ? data : arrayBufferOf(data);
    if (this.#queue !== null) this.#queue.push(value);
    else this.#call('message', value, isBinary);
  }

  onPart(chunk: Buffer, isBinary: boolean, isLast: boolean): void {
    if (this.#stream === null) {
      this.#stream = new ChunkStream(this.#open);
      this.#call('stream', this.#stream, isBinary);
    }
    const stream = this.#stream;
    if (isLast) this.#stream = null;
    stream.push(chunk, isLast);
  }

  onPing(data: Buffer): void {
    this.#call('ping', data);
  }

  get ignoresPongs(): boolean {
    return this.#host.options.hooks.pong === undefined;
  }

  onPong(data: Buffer): void {
    this.#call('pong', data);
  }

  onDrain(): void {
    this.#call('drain');
  }

  onClosing(): void {}

  onFailure(failure: WebSocketFailure, closeCode: number): void {
    this.#call('error', new WebSocketError(failure, closeCode, failureText(failure)));
  }

  onClose(code: number, reason: Buffer): void {
    this.#stream?.fail(new AbortedError('client'));
    this.#stream = null;
    this.#queue?.end();
    this.#scope?.cancel(new AbortedError('client'));
    this.#call('close', code, reason.toString());
  }

  #call(hook: Exclude<keyof WebSocketOptions, 'upgrade'> & HookName, ...args: unknown[]): void {
    const { hooks } = this.#host.options;
    const call = hooks[hook] as ((ws: ServerWebSocket, ...args: unknown[]) => unknown) | undefined;
    if (call === undefined) return;
    try {
      const result = call.call(hooks, this, ...args);
      if (result instanceof Promise) result.catch((error: unknown) => this.#failHook(error));
    } catch (error) {
      this.#failHook(error);
    }
  }

  /** What a hook gives up for is the end of its WebSocket: no news. */
  #failHook(error: unknown): void {
    const isEcho = this.readyState === ServerWebSocket.CLOSED && isCancelled(error);
    if (!isEcho) this.#host.report(error, this);
    this.#session?.close(1011, '');
  }

  get #open(): WebSocketSession {
    return this.#session as WebSocketSession;
  }
}

type HookName = 'open' | 'message' | 'stream' | 'ping' | 'pong' | 'drain' | 'close' | 'error';

function isCancelled(error: unknown): boolean {
  return error instanceof AbortedError || (error instanceof Error && error.cause instanceof AbortedError);
}

export function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new OptionError('data', 'a string, an ArrayBuffer or a view of one', data);
}

export function flagsOf(data: WebSocketData, options: SendOptions | undefined): number {
  return (typeof data === 'string' ? 0 : SEND_BINARY) | (options?.compress === false ? 0 : SEND_COMPRESS);
}

export function checkTopic(topic: string): string {
  if (typeof topic !== 'string') throw new OptionError('topic', 'a string', topic);
  return topic;
}

function controlPayload(data: WebSocketData): Uint8Array {
  const bytes = typeof data === 'string' ? Buffer.from(data) : bytesOf(data);
  if (bytes.byteLength > CONTROL_PAYLOAD_BYTES) {
    throw new OptionError('data', `at most ${CONTROL_PAYLOAD_BYTES} bytes`, bytes.byteLength);
  }
  return bytes;
}

/** A part of a request's head keeps all of the head in memory, for as long as the WebSocket lives; this does not. Latin1. */
function ownText(text: string): string {
  return Buffer.from(text, 'latin1').latin1Slice();
}

/** Of its own: a Buffer may stand in memory that it shares. */
function arrayBufferOf(data: Buffer): ArrayBuffer {
  return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer;
}
