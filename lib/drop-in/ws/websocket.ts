/** One WebSocket as the `ws` package has it: of a server (made by its WebSocketServer), or of a client (`new WebSocket(url)`). */
import { AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { NodeWebSocketSession } from '../../backend/node-websocket.js';
import {
  isValidCloseCode,
  SEND_BINARY,
  SEND_COMPRESS,
  SEND_MORE,
  type WebSocketFailure,
  type WebSocketListener,
} from '../../ws/contract.js';
import { CLOSE_REASON_BYTES, CONTROL_PAYLOAD_BYTES } from '../../ws/frame-writer.js';
import { type ClientOptions, connect } from './client.js';
import { type EngineSession, openOnEngine } from './engine-session.js';
import {
  addEventListener,
  defineAttributes,
  type EventHandler,
  type Event as EventObject,
  removeEventListener,
} from './events.js';
import { failureError } from './failures.js';
import { type Handshake, kHandshake } from './handshake.js';
import { messagesOf } from './messages.js';
import { type SocketOptions, sessionOptions } from './options.js';
import { isBlob, type Sendable, sizeOf, toBytes } from './payload.js';
import { SendQueue } from './send-queue.js';

export type BinaryType = 'nodebuffer' | 'arraybuffer' | 'fragments' | 'blob';
export type SendCallback = (error?: Error | null) => void;

export interface SendOptions {
  /** A binary frame. Default: whether `data` is not a string. */
  binary?: boolean | undefined;
  /** Default: true where permessage-deflate was negotiated. */
  compress?: boolean | undefined;
  /** The last fragment of its message. Default true. */
  fin?: boolean | undefined;
  /** Default: what this side has to do. */
  mask?: boolean | undefined;
}

/** The engine's, where the socket is; else in TypeScript. */
type Session = NodeWebSocketSession | EngineSession;

const stateNames = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'] as const;
const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
const sessionStates = { open: OPEN, closing: CLOSING, closed: CLOSED } as const;
type ReadyState = 0 | 1 | 2 | 3;

const binaryTypes: readonly string[] = ['nodebuffer', 'arraybuffer', 'fragments', 'blob'];
/** What 'close' has where there was no reason. */
export const EMPTY_BUFFER: Buffer = Buffer.alloc(0);

export class WebSocket extends EventEmitter {
  declare static readonly CONNECTING: 0;
  declare static readonly OPEN: 1;
  declare static readonly CLOSING: 2;
  declare static readonly CLOSED: 3;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;
  declare onopen: ((event: EventObject) => void) | null;
  declare onmessage: ((event: EventObject) => void) | null;
  declare onerror: ((event: EventObject) => void) | null;
  declare onclose: ((event: EventObject) => void) | null;
  declare addEventListener: (type: string, handler: EventHandler, options?: { once?: boolean }) => void;
  declare removeEventListener: (type: string, handler: EventHandler) => void;

  /** The stream below, from 'open' on: programs ask it for addresses. */
  _socket: Duplex | null = null;
  /** Both sides have sent a close frame. */
  _wasClean = false;
  /** A client's, while its handshake is under way. */
  _req: ClientRequest | null = null;
  _redirects = 0;
  readonly #isServer: boolean;
  #session: Session | null = null;
  #listener: Listener | null = null;
  /** While there is no session. */
  #state: ReadyState = CONNECTING;
  #binaryType: BinaryType = 'nodebuffer';
  #isPaused = false;
  /** What was not sent, since the connection was not open. */
  #unsentBytes = 0;
  #queue: SendQueue | null = null;
  readonly [kHandshake]: Handshake;

  /** `address` null: the server's side of a connection, whose stream comes by `setSocket`. */
  constructor(
    address: string | URL | null,
    protocols?: string | readonly string[] | ClientOptions | undefined,
    options?: ClientOptions,
  ) {
    super();
    this.#isServer = address === null;
    this[kHandshake] = {
      protocol: '',
      deflate: null,
      url: undefined,
      abort: null,
      fail: (error, isLater) => this.#failHandshake(error, isLater),
    };
    if (address === null) return;
    if (protocols === undefined || Array.isArray(protocols)) connect(this, address, protocols ?? [], options);
    else if (typeof protocols === 'object' && protocols !== null)
      connect(this, address, [], protocols as ClientOptions);
    else connect(this, address, [protocols], options);
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(type: BinaryType) {
    if (binaryTypes.includes(type)) this.#binaryType = type;
  }

  /** Bytes that wait to be sent, frames and all. */
  get bufferedAmount(): number {
    return this.#unsentBytes + (this.#queue?.bytes ?? 0) + (this.#session?.bufferedBytes ?? 0);
  }

  /** The name of the extension that was negotiated, or ''. */
  get extensions(): string {
    return this[kHandshake].deflate === null ? '' : 'permessage-deflate';
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get protocol(): string {
    return this[kHandshake].protocol;
  }

  get readyState(): ReadyState {
    return this.#session === null ? this.#state : sessionStates[this.#session.state];
  }

  /** A client's; undefined on a server. */
  get url(): string | undefined {
    return this[kHandshake].url;
  }

  /** Opens this WebSocket on `socket`, on which `head` was read behind the handshake. */
  setSocket(socket: Duplex, head: Buffer, options: SocketOptions): void {
    const { setTimeout, setNoDelay } = socket as Partial<Socket>;
    setTimeout?.call(socket, 0);
    setNoDelay?.call(socket);
    this._socket = socket;
    this[kHandshake].abort = null;
    const { deflate } = this[kHandshake];
    const listener = new Listener(this, options.allowSynchronousEvents !== false);
    const wanted = sessionOptions(options, this.#isServer, deflate);
    const session =
      openOnEngine(socket, head, wanted, listener) ?? new NodeWebSocketSession(socket, head, wanted, listener);
    listener.session = session;
    this.#listener = listener;
    this.#session = session;
    this.emit('open');
  }

  send(data: Sendable, options?: SendOptions | SendCallback, callback?: SendCallback): void {
    if (typeof options === 'function') {
      this.send(data, undefined, options);
      return;
    }
    if (this.readyState !== OPEN) {
      this.#refuse(data, callback);
      return;
    }
    let flags = SEND_COMPRESS;
    if (options?.compress === false) flags = 0;
    if (options?.binary ?? (typeof data !== 'string' && typeof data !== 'number')) flags |= SEND_BINARY;
    if (options?.fin === false) flags |= SEND_MORE;
    const masks = options?.mask;
    if (this.#queue !== null || isBlob(data)) {
      this.#enqueue(data, callback, (bytes) => this.#send(bytes, flags, masks, callback));
      return;
    }
    this.#send(bytesOf(data), flags, masks, callback);
  }

  ping(data?: Sendable | SendCallback, mask?: boolean | SendCallback, callback?: SendCallback): void {
    this.#sendControl('ping', data, mask, callback);
  }

  pong(data?: Sendable | SendCallback, mask?: boolean | SendCallback, callback?: SendCallback): void {
    this.#sendControl('pong', data, mask, callback);
  }

  /** Begins the closing handshake. Throws where `code` may not be sent, or `reason` has more than 123 bytes. */
  close(code?: number, reason?: string | Uint8Array): void {
    const state = this.readyState;
    if (state === CONNECTING) this.#abortHandshake();
    if (state !== OPEN) return;
    if (code !== undefined && (typeof code !== 'number' || !isValidCloseCode(code)))
      throw new TypeError('First argument must be a valid error code number');
    const text = code === undefined || reason === undefined || reason.length === 0 ? EMPTY_BUFFER : reason;
    if (typeof text !== 'string' && !(text instanceof Uint8Array))
      throw new TypeError('Second argument must be a string or a Uint8Array');
    if (Buffer.byteLength(text) > CLOSE_REASON_BYTES)
      throw new RangeError(`The message must not be greater than ${CLOSE_REASON_BYTES} bytes`);
    const close = () => this.#session?.close(code ?? 1005, text);
    if (this.#queue === null) close();
    else this.#enqueue(EMPTY_BUFFER, undefined, close);
  }

  /** Ends the connection at once. */
  terminate(): void {
    if (this.readyState === CONNECTING) this.#abortHandshake();
    else this.#session?.terminate();
  }

  /** No event until `resume`. */
  pause(): void {
    if (this.readyState === CONNECTING || this.readyState === CLOSED) return;
    this.#isPaused = true;
    this.#session?.pause();
  }

  resume(): void {
    if (this.readyState === CONNECTING || this.readyState === CLOSED) return;
    this.#isPaused = false;
    this.#session?.resume();
  }

  /**
   * Own addition: the messages from now on, text as string, binary as `binaryType` says. Ends when the connection does; throws what 'error'
   * brings. A few messages are read ahead of the loop, no more.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<unknown> {
    return messagesOf(this);
  }

  #send(
    bytes: string | Uint8Array,
    flags: number,
    masks: boolean | undefined,
    callback: SendCallback | undefined,
  ): void {
    const session = this.#session as Session;
    if (masks === undefined || !(session instanceof NodeWebSocketSession)) session.send(bytes, flags);
    else session.sendMasked(bytes, flags, masks);
    if (callback) session.whenFlushed(AsyncResource.bind(callback));
  }

  #sendControl(
    kind: 'ping' | 'pong',
    data: Sendable | SendCallback | undefined,
    mask: boolean | SendCallback | undefined,
    callback: SendCallback | undefined,
  ): void {
    if (typeof data === 'function') {
      this.#sendControl(kind, undefined, undefined, data as SendCallback);
      return;
    }
    if (typeof mask === 'function') {
      this.#sendControl(kind, data, undefined, mask);
      return;
    }
    if (this.readyState !== OPEN) {
      this.#refuse(data, callback);
      return;
    }
    if (sizeOf(data) > CONTROL_PAYLOAD_BYTES)
      throw new RangeError(`The data size must not be greater than ${CONTROL_PAYLOAD_BYTES} bytes`);
    const send = (bytes: string | Uint8Array): void => {
      const session = this.#session as Session;
      session[kind](typeof bytes === 'string' ? Buffer.from(bytes) : bytes, mask);
      if (callback) session.whenFlushed(AsyncResource.bind(callback));
    };
    if (this.#queue !== null || isBlob(data)) this.#enqueue(data as Sendable, callback, send);
    else send(bytesOf(data));
  }

  /** It is not open: `callback` gets an error. Throws while connecting. */
  #refuse(data: unknown, callback: SendCallback | undefined): void {
    const state = this.readyState;
    const error = new Error(`WebSocket is not open: readyState ${state} (${stateNames[state]})`);
    if (state === CONNECTING) throw error;
    this.#unsentBytes += sizeOf(data);
    if (callback) process.nextTick(callback, error);
  }

  #enqueue(data: Sendable, callback: SendCallback | undefined, use: (bytes: string | Uint8Array) => void): void {
    this.#queue ??= new SendQueue(
      () => this._socket?.destroyed !== false,
      (error) => this.#onBlobError(error),
    );
    const bytes = isBlob(data) ? data : bytesOf(data);
    const size = isBlob(bytes) ? bytes.size : sizeOf(bytes);
    this.#queue.push({ data: bytes, size, use, callback });
  }

  #onBlobError(error: Error): void {
    this.#session?.terminate();
    this.#listener?.emitError(error);
  }

  #abortHandshake(): void {
    this[kHandshake].abort?.(new Error('WebSocket was closed before the connection was established'));
  }

  #failHandshake(error: Error, isLater: boolean): void {
    this.#state = CLOSING;
    this[kHandshake].abort = null;
    const tell = (): void => {
      this.emit('error', error);
      this.#state = CLOSED;
      this.emit('close', 1006, EMPTY_BUFFER);
    };
    if (isLater) process.nextTick(tell);
    else tell();
  }
}

/** Makes events of what the session tells. */
class Listener implements WebSocketListener {
  session: Session | null = null;
  readonly #socket: WebSocket;
  readonly #isSynchronous: boolean;
  #hasEmittedError = false;
  /** Without `allowSynchronousEvents`: events that wait for a turn of the loop of their own. */
  #waiting: (() => void)[] = [];
  #isHolding = false;

  constructor(socket: WebSocket, isSynchronous: boolean) {
    this.#socket = socket;
    this.#isSynchronous = isSynchronous;
  }

  onMessage(data: string | Buffer, isBinary: boolean): void {
    if (this.#isSynchronous) this.#emitMessage(data, isBinary);
    else this.#emitAlone(() => this.#emitMessage(data, isBinary));
  }

  #emitMessage(data: string | Buffer, isBinary: boolean): void {
    const bytes = data.length === 0 ? EMPTY_BUFFER : (data as Buffer);
    const message = isBinary ? asType(bytes, this.#socket.binaryType) : bytes;
    this.#socket.emit('message', message, isBinary);
  }

  /** Not asked for. */
  onPart(): void {}

  onPing(data: Buffer): void {
    if (this.#isSynchronous) this.#socket.emit('ping', data);
    else this.#emitAlone(() => this.#socket.emit('ping', data));
  }

  onPong(data: Buffer): void {
    if (this.#isSynchronous) this.#socket.emit('pong', data);
    else this.#emitAlone(() => this.#socket.emit('pong', data));
  }

  onDrain(): void {}

  onClosing(): void {}

  onFailure(failure: WebSocketFailure, closeCode: number, detail = 0): void {
    const emit = (): void => this.emitError(failureError(failure, closeCode, detail));
    if (this.#isHolding) this.#waiting.push(emit);
    else emit();
  }

  onClose(code: number, reason: Buffer, wasClean: boolean): void {
    const emit = (): void => {
      this.#socket._wasClean = wasClean;
      this.#socket.emit('close', code, reason.length === 0 ? EMPTY_BUFFER : reason);
    };
    if (this.#isHolding) this.#waiting.push(emit);
    else emit();
  }

  emitError(error: Error): void {
    if (this.#hasEmittedError) return;
    this.#hasEmittedError = true;
    this.#socket.emit('error', error);
  }

  #emitAlone(emit: () => void): void {
    if (this.#isHolding) {
      this.#waiting.push(emit);
      return;
    }
    this.#isHolding = true;
    this.session?.pause();
    setImmediate(() => this.#goOn());
    emit();
  }

  #goOn(): void {
    const emit = this.#waiting.shift();
    if (emit !== undefined) {
      setImmediate(() => this.#goOn());
      emit();
      return;
    }
    this.#isHolding = false;
    if (!this.#socket.isPaused) this.session?.resume();
  }
}

function bytesOf(data: unknown): string | Uint8Array {
  if (typeof data === 'string') return data;
  if (typeof data === 'number') return String(data);
  return data ? toBytes(data as never) : EMPTY_BUFFER;
}

function asType(data: Buffer, type: BinaryType): unknown {
  switch (type) {
    case 'nodebuffer':
      return data;
    case 'arraybuffer':
      return data.byteLength === data.buffer.byteLength
        ? data.buffer
        : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
    case 'fragments':
      return [data];
    case 'blob':
      return new Blob([data as Uint8Array<ArrayBuffer>]);
  }
}

stateNames.forEach((name, value) => {
  for (const target of [WebSocket, WebSocket.prototype])
    Object.defineProperty(target, name, { enumerable: true, value });
});
for (const name of ['binaryType', 'bufferedAmount', 'extensions', 'isPaused', 'protocol', 'readyState', 'url'])
  Object.defineProperty(WebSocket.prototype, name, { enumerable: true });
defineAttributes(WebSocket.prototype);
Object.assign(WebSocket.prototype, { addEventListener, removeEventListener });
