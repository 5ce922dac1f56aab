/**
 * One run of an ASGI application for one WebSocket (ASGI's WebSocket message format 2.5): connect, accept, receive, send, disconnect, close, and the
 * denial response. The order of messages is checked as in asgi-call.ts: the application's bug throws in the application.
 */
import { describeValue } from '../errors/text.js';
import { AbortedError, AsgiError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { EMPTY_HEAD, HeadBlock } from '../http/header-block.js';
import {
  isValidCloseCode,
  SEND_BINARY,
  SEND_COMPRESS,
  type WebSocketListener,
  type WebSocketSession,
} from '../ws/contract.js';
import type { HandshakeOffer } from '../ws/handshake.js';
import { type AsgiHeaderPairs, forEachField } from './asgi-call.js';
import type { AsgiBytes } from './asgi-scope.js';
import { agreeOn } from './websocket-app.js';
import type { CheckedWebSocketOptions } from './websocket-options.js';

export type WebSocketReceiveMessage =
  | { type: 'websocket.connect' }
  | { type: 'websocket.receive'; bytes: Buffer | null; text: string | null }
  | { type: 'websocket.disconnect'; code: number; reason: string };

export type WebSocketSendMessage =
  | { type: 'websocket.accept'; subprotocol?: string | null; headers?: AsgiHeaderPairs }
  | { type: 'websocket.send'; bytes?: AsgiBytes | null; text?: string | null }
  | { type: 'websocket.close'; code?: number; reason?: string | null }
  | { type: 'websocket.http.response.start'; status: number; headers?: AsgiHeaderPairs }
  | { type: 'websocket.http.response.body'; body?: AsgiBytes; more_body?: boolean };

/** Messages that wait unread before reading pauses. */
const MESSAGES_AHEAD = 16;
const DONE: Promise<void> = Promise.resolve();
const NO_BYTES = Buffer.alloc(0);

export class AsgiWebSocket implements WebSocketListener {
  readonly ignoresPongs = true;
  readonly #exchange: Exchange;
  readonly #offer: HandshakeOffer;
  readonly #options: CheckedWebSocketOptions;
  #state: 'connecting' | 'denying' | 'open' | 'closed' = 'connecting';
  #session: WebSocketSession | null = null;
  #denial: { readonly status: number; readonly head: HeadBlock; hasStarted: boolean } | null = null;
  readonly #messages: WebSocketReceiveMessage[] = [{ type: 'websocket.connect' }];
  readonly #takers: ((message: WebSocketReceiveMessage) => void)[] = [];
  #writers: (() => void)[] = [];
  #disconnect: WebSocketReceiveMessage | null = null;
  #isPaused = false;

  constructor(exchange: Exchange, offer: HandshakeOffer, options: CheckedWebSocketOptions) {
    this.#exchange = exchange;
    this.#offer = offer;
    this.#options = options;
    exchange.onAbort = () => this.#end(1006, '');
  }

  /** What is left to do when the application has returned: nothing. */
  get isComplete(): boolean {
    return this.#state === 'closed';
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  receive(): Promise<WebSocketReceiveMessage> {
    const message = this.#messages.shift() ?? this.#disconnect;
    if (message !== null) {
      if (this.#messages.length === 0) this.#goOn();
      return Promise.resolve(message);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  send(message: WebSocketSendMessage): Promise<void> {
    if (typeof message !== 'object' || message === null) {
      throw new AsgiError(`send() takes a message object with a 'type', but got ${describeValue(message)}`);
    }
    if (this.#state === 'closed') return message.type === 'websocket.send' ? this.#gone() : DONE;
    switch (message.type) {
      case 'websocket.accept':
        this.#require(message.type, 'connecting');
        return this.#accept(message);
      case 'websocket.send':
        this.#require(message.type, 'open');
        return this.#send(message);
      case 'websocket.close':
        return this.#close(message);
      case 'websocket.http.response.start':
        this.#require(message.type, 'connecting');
        return this.#startDenial(message);
      case 'websocket.http.response.body':
        this.#require(message.type, 'denying');
        return this.#deny(message);
      default:
        throw new AsgiError(
          `send() got type ${describeValue((message as { type: unknown }).type)}, which is no message of a WebSocket`,
        );
    }
  }

  /** The application failed, or returned, and left the WebSocket open. */
  finish(code: number): void {
    if (this.#state === 'open') this.#session?.close(code, '');
    this.#state = 'closed';
  }

  #require(type: string, state: 'connecting' | 'denying' | 'open'): void {
    if (this.#state === state) return;
    throw new AsgiError(`'${type}' was sent while the WebSocket was ${this.#state}`);
  }

  #accept(message: WebSocketSendMessage & { type: 'websocket.accept' }): Promise<void> {
    const subprotocol = message.subprotocol ?? '';
    if (typeof subprotocol !== 'string') {
      throw new AsgiError(
        `'websocket.accept' needs a string as its subprotocol, but got ${describeValue(subprotocol)}`,
      );
    }
    const { deflate, session: limits } = this.#options;
    const agreed = agreeOn(this.#offer, subprotocol, deflate, limits);
    if (message.headers !== undefined && message.headers !== null) {
      forEachField(message.type, message.headers, (name, value) => agreed.head.add(name, value));
    }
    this.#session = this.#exchange.acceptWebSocket(agreed.head.block, agreed.session, this);
    if (this.#session === null) {
      this.#end(1006, '');
      return this.#gone();
    }
    this.#state = 'open';
    return DONE;
  }

  #send({ bytes, text }: WebSocketSendMessage & { type: 'websocket.send' }): Promise<void> {
    const session = this.#session as WebSocketSession;
    const data = bytes ?? text;
    if (data === undefined || data === null) {
      throw new AsgiError("'websocket.send' needs bytes or text, and neither is given");
    }
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new AsgiError(`'websocket.send' needs bytes or text, but got ${describeValue(data)}`);
    }
    const isBinary = bytes !== undefined && bytes !== null;
    const mayGoOn = session.send(data, (isBinary ? SEND_BINARY : 0) | SEND_COMPRESS);
    return mayGoOn ? DONE : new Promise((resolve) => this.#writers.push(resolve));
  }

  /** Before the handshake is answered: 403. */
  #close({ code = 1000, reason }: WebSocketSendMessage & { type: 'websocket.close' }): Promise<void> {
    if (!isValidCloseCode(code)) {
      throw new AsgiError(`'websocket.close' needs a close code that may be sent, but got ${describeValue(code)}`);
    }
    if (this.#state === 'connecting') {
      this.#end(1006, '');
      this.#exchange.respond(403, '', EMPTY_HEAD, '');
    } else if (this.#state === 'open') {
      this.#state = 'closed';
      this.#session?.close(code, reason ?? '');
    }
    return DONE;
  }

  #startDenial({
    type,
    status,
    headers,
  }: WebSocketSendMessage & { type: 'websocket.http.response.start' }): Promise<void> {
    if (!Number.isInteger(status) || status < 200 || status > 999) {
      throw new AsgiError(`'${type}' needs an integer status from 200 to 999, but got ${describeValue(status)}`);
    }
    const head = new HeadBlock();
    if (headers !== undefined && headers !== null) {
      forEachField(type, headers, (name, value) => head.add(name, value));
    }
    this.#denial = { status, head, hasStarted: false };
    this.#state = 'denying';
    return DONE;
  }

  #deny({
    body = NO_BYTES,
    more_body: more,
  }: WebSocketSendMessage & { type: 'websocket.http.response.body' }): Promise<void> {
    const denial = this.#denial;
    if (denial === null || this.#state === 'closed') return DONE;
    const exchange = this.#exchange;
    if (more !== true) this.#end(1006, '');
    if (!denial.hasStarted && more !== true) {
      exchange.respond(denial.status, '', denial.head, body);
      return DONE;
    }
    if (!denial.hasStarted) exchange.start(denial.status, '', denial.head, denial.head.contentLength);
    denial.hasStarted = true;
    const mayGoOn = body.length === 0 || exchange.write(body);
    if (more !== true) exchange.end('');
    return mayGoOn || more !== true ? DONE : new Promise((resolve) => exchange.onceWritable(resolve));
  }

  // From the session.

  onMessage(data: string | Buffer, isBinary: boolean): void {
    const message: WebSocketReceiveMessage = isBinary
      ? { type: 'websocket.receive', bytes: data as Buffer, text: null }
      : { type: 'websocket.receive', bytes: null, text: data as string };
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker(message);
      return;
    }
    this.#messages.push(message);
    if (this.#messages.length <= MESSAGES_AHEAD || this.#isPaused) return;
    this.#isPaused = true;
    this.#session?.pause();
  }

  onPart(): void {}
  onPing(): void {}
  onPong(): void {}
  onClosing(): void {}
  onFailure(): void {}

  onDrain(): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const resolve of writers) resolve();
  }

  onClose(code: number, reason: Buffer): void {
    this.#end(code, reason.toString());
  }

  #goOn(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#session?.resume();
  }

  #end(code: number, reason: string): void {
    if (this.#disconnect !== null) return;
    this.#state = 'closed';
    this.#disconnect = { type: 'websocket.disconnect', code, reason };
    for (const resolve of this.#takers.splice(0)) resolve(this.#disconnect);
    this.onDrain();
  }

  /** The specification's OSError. A loop that does not await its sends must not end the process. */
  #gone(): Promise<void> {
    const rejected = Promise.reject(new AbortedError('client'));
    rejected.catch(() => {});
    return rejected;
  }
}
