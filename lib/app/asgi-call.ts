/**
 * One run of an ASGI application for one request: `receive` and `send` over an Exchange, with the order of messages checked.
 *
 * - A misplaced or malformed message makes `send` throw an AsgiError at once: the application's bug, in the application.
 * - After a disconnect `send` rejects with an AbortedError (the specification's OSError); the promise may be left unawaited. A client that
 *   closed only its sending side may still read: messages that complete the response are passed on, and only streaming on is refused.
 * - After the response is complete `send` does nothing.
 */
import { describeValue } from '../errors/text.js';
import { AbortedError, AsgiError, HeaderError } from '../errors.js';
import { onExchangeAbort } from '../http/abort.js';
import type { AbortReason, Exchange } from '../http/exchange.js';
import { EMPTY_HEAD, encodeTrailers, HeadBlock } from '../http/header-block.js';
import type { AsgiBytes } from './asgi-scope.js';

export type HttpReceiveMessage =
  | { type: 'http.request'; body: Buffer; more_body: boolean }
  | { type: 'http.disconnect' };

export type AsgiHeaderPairs = Iterable<readonly [AsgiBytes, AsgiBytes] | Iterable<AsgiBytes>>;

export type HttpSendMessage =
  | { type: 'http.response.start'; status: number; headers?: AsgiHeaderPairs; trailers?: boolean }
  | { type: 'http.response.body'; body?: AsgiBytes; more_body?: boolean }
  | { type: 'http.response.trailers'; headers?: AsgiHeaderPairs; more_trailers?: boolean };

type Progress = 'nothing' | 'head-held' | 'streaming' | 'trailers' | 'complete';

const DONE: Promise<void> = Promise.resolve();
const NO_BYTES = Buffer.alloc(0);

export class AsgiCall {
  readonly #exchange: Exchange;
  #progress: Progress = 'nothing';
  #status = 0;
  #head: HeadBlock = EMPTY_HEAD;
  #expectsTrailers = false;
  #trailers: string[] | null = null;
  #sentBytes = 0;
  #requestTaken = false;
  #body: StreamedBody | null = null;
  #watched = false;
  /** Calls of `receive` that wait for the disconnect. */
  #disconnectWaiters: ((message: HttpReceiveMessage) => void)[] | null = null;
  #writableWaiters: (() => void)[] | null = null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  get isComplete(): boolean {
    return this.#progress === 'complete';
  }

  receive(): Promise<HttpReceiveMessage> {
    const exchange = this.#exchange;
    if (!this.#requestTaken) {
      if (!exchange.hasBody || exchange.bodyComplete) {
        this.#requestTaken = true;
        const body = exchange.hasBody ? exchange.takeBody() : NO_BYTES;
        return Promise.resolve({ type: 'http.request', body, more_body: false });
      }
      if (this.#progress !== 'complete') {
        this.#body ??= new StreamedBody(exchange);
        const next = this.#body.next();
        if (next !== null) {
          return next;
        }
        this.#requestTaken = true;
      }
    }
    if (this.#progress === 'complete' || exchange.goneReason !== null) {
      return Promise.resolve({ type: 'http.disconnect' });
    }
    this.#watch();
    return new Promise((resolve) => {
      this.#disconnectWaiters ??= [];
      this.#disconnectWaiters.push(resolve);
    });
  }

  send(message: HttpSendMessage): Promise<void> {
    if (typeof message !== 'object' || message === null) {
      throw new AsgiError(`send() takes a message object with a 'type', but got ${describeValue(message)}`);
    }
    if (this.#progress === 'complete') {
      return DONE;
    }
    const { goneReason } = this.#exchange;
    if (goneReason !== null && (goneReason !== 'client' || (message as { more_body?: unknown }).more_body === true)) {
      return this.#disconnected(goneReason);
    }
    switch (message.type) {
      case 'http.response.start':
        return this.#onStart(message);
      case 'http.response.body':
        return this.#onBody(message);
      case 'http.response.trailers':
        return this.#onTrailers(message);
      default:
        throw new AsgiError(
          `send() got type ${describeValue((message as { type: unknown }).type)}, which is no message of an http response`,
        );
    }
  }

  #onStart(message: HttpSendMessage & { type: 'http.response.start' }): Promise<void> {
    if (this.#progress !== 'nothing') {
      throw new AsgiError("'http.response.start' was sent twice; send one for each request");
    }
    const { status, headers, trailers } = message;
    if (!Number.isInteger(status) || status < 200 || status > 999) {
      throw new AsgiError(
        `'http.response.start' needs an integer status from 200 to 999, but got ${describeValue(status)}`,
      );
    }
    if (headers !== undefined && headers !== null) {
      const head = new HeadBlock();
      forEachField(message.type, headers, (name, value) => head.add(name, value));
      this.#head = head;
    }
    this.#status = status;
    this.#expectsTrailers = trailers === true;
    this.#progress = 'head-held';
    return DONE;
  }

  #onBody(message: HttpSendMessage & { type: 'http.response.body' }): Promise<void> {
    if (this.#progress === 'nothing') {
      throw new AsgiError("'http.response.body' was sent before 'http.response.start'");
    }
    if (this.#progress === 'trailers') {
      throw new AsgiError("'http.response.body' was sent after the last one; 'http.response.trailers' is expected now");
    }
    const body = message.body ?? NO_BYTES;
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new AsgiError(
        `'http.response.body' needs a Uint8Array or string as its body, but got ${describeValue(body)}`,
      );
    }
    const more = message.more_body === true;
    if (this.#progress === 'head-held') {
      if (!more && !this.#expectsTrailers) {
        return this.#respond(body);
      }
      this.#exchange.start(this.#status, '', this.#head, this.#head.contentLength);
      this.#progress = 'streaming';
    }
    this.#count(body);
    const mayGoOn = body.length === 0 || this.#exchange.write(body);
    if (!more) {
      this.#requireLength();
      if (this.#expectsTrailers) {
        this.#progress = 'trailers';
      } else {
        this.#finish('');
      }
      return DONE;
    }
    return mayGoOn ? DONE : this.#writable();
  }

  /** Head and body in one. An announced length without a body is meant for HEAD and 304. */
  #respond(body: AsgiBytes): Promise<void> {
    const { contentLength } = this.#head;
    const exchange = this.#exchange;
    if (contentLength !== -1) {
      if (this.#mayLackBody() && body.length === 0) {
        exchange.start(this.#status, '', this.#head, contentLength);
        this.#finish('');
        return DONE;
      }
      this.#count(body);
      this.#requireLength();
    }
    this.#complete();
    exchange.respond(this.#status, '', this.#head, body);
    return DONE;
  }

  #onTrailers(message: HttpSendMessage & { type: 'http.response.trailers' }): Promise<void> {
    if (!this.#expectsTrailers) {
      throw new AsgiError("'http.response.trailers' was sent, but 'http.response.start' did not announce trailers");
    }
    if (this.#progress !== 'trailers') {
      throw new AsgiError("'http.response.trailers' was sent before the last 'http.response.body'");
    }
    const trailers = this.#trailers ?? [];
    if (message.headers !== undefined && message.headers !== null) {
      forEachField(message.type, message.headers, (name, value) => trailers.push(name, value));
    }
    this.#trailers = trailers;
    if (message.more_trailers !== true) {
      this.#finish(encodeTrailers(trailers));
    }
    return DONE;
  }

  #count(body: AsgiBytes): void {
    if (this.#head.contentLength === -1) {
      return;
    }
    this.#sentBytes += typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    if (this.#sentBytes > this.#head.contentLength) {
      throw new AsgiError(`The body is longer than its content-length of ${this.#head.contentLength} bytes`);
    }
  }

  #requireLength(): void {
    const { contentLength } = this.#head;
    if (contentLength !== -1 && this.#sentBytes !== contentLength && !(this.#sentBytes === 0 && this.#mayLackBody())) {
      throw new AsgiError(`The body ended after ${this.#sentBytes} bytes, but content-length said ${contentLength}`);
    }
  }

  #mayLackBody(): boolean {
    return this.#exchange.method === 'HEAD' || this.#status === 304 || this.#status === 204;
  }

  #finish(trailers: string): void {
    this.#complete();
    this.#exchange.end(trailers);
  }

  #complete(): void {
    this.#progress = 'complete';
    if (this.#disconnectWaiters !== null) {
      this.#disconnect();
    }
  }

  #disconnected(reason: AbortReason): Promise<void> {
    const rejected = Promise.reject(new AbortedError(reason));
    // A loop that does not await its sends must not end the process: one that does gets the error.
    rejected.catch(() => {});
    return rejected;
  }

  #writable(): Promise<void> {
    this.#watch();
    return new Promise((resolve) => {
      if (this.#writableWaiters === null) {
        this.#writableWaiters = [];
        this.#exchange.onceWritable(() => this.#resume());
      }
      this.#writableWaiters.push(resolve);
    });
  }

  #resume(): void {
    const waiters = this.#writableWaiters;
    this.#writableWaiters = null;
    for (const resolve of waiters ?? []) {
      resolve();
    }
  }

  #watch(): void {
    if (!this.#watched) {
      this.#watched = true;
      onExchangeAbort(this.#exchange, () => {
        this.#resume();
        this.#disconnect();
      });
    }
  }

  #disconnect(): void {
    const waiters = this.#disconnectWaiters;
    this.#disconnectWaiters = null;
    for (const resolve of waiters ?? []) {
      resolve({ type: 'http.disconnect' });
    }
  }
}

/** The body of a request that had not arrived in whole, as messages. What was received last is acknowledged at the next call. */
class StreamedBody {
  readonly #exchange: Exchange;
  readonly #chunks: Buffer[] = [];
  readonly #waiters: ((message: HttpReceiveMessage) => void)[] = [];
  #state: 'open' | 'ended' | 'aborted' | 'drained' = 'open';
  #unacknowledged = 0;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    exchange.readBody({
      onData: (chunk) => {
        this.#chunks.push(chunk);
        this.#settle();
      },
      onEnd: () => {
        this.#state = 'ended';
        this.#settle();
      },
      onAbort: () => {
        this.#state = 'aborted';
        this.#settle();
      },
    });
  }

  /** Null once the last part has been handed out. */
  next(): Promise<HttpReceiveMessage> | null {
    if (this.#state === 'drained') {
      return null;
    }
    if (this.#unacknowledged > 0) {
      const taken = this.#unacknowledged;
      this.#unacknowledged = 0;
      this.#exchange.consumed(taken);
    }
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#settle();
    });
  }

  #settle(): void {
    while (this.#waiters.length > 0) {
      const message = this.#message();
      if (message === null) {
        return;
      }
      this.#waiters.shift()?.(message);
    }
  }

  #message(): HttpReceiveMessage | null {
    const body = this.#chunks.shift();
    if (body !== undefined) {
      this.#unacknowledged += body.length;
      const isLast = this.#state === 'ended' && this.#chunks.length === 0;
      if (isLast) {
        this.#state = 'drained';
      }
      return { type: 'http.request', body, more_body: !isLast };
    }
    switch (this.#state) {
      case 'open':
        return null;
      case 'ended':
        this.#state = 'drained';
        return { type: 'http.request', body: NO_BYTES, more_body: false };
      default:
        return { type: 'http.disconnect' };
    }
  }
}

export function forEachField(type: string, headers: AsgiHeaderPairs, add: (name: string, value: string) => void): void {
  if (typeof headers !== 'object' || typeof headers[Symbol.iterator] !== 'function') {
    throw new AsgiError(
      `'${type}' needs an iterable of [name, value] pairs as its headers, but got ${describeValue(headers)}`,
    );
  }
  try {
    for (const pair of headers) {
      if (Array.isArray(pair) && pair.length === 2) {
        add(fieldText(type, pair[0]), fieldText(type, pair[1]));
        continue;
      }
      const items =
        typeof pair === 'object' && pair !== null && Symbol.iterator in pair ? [...(pair as Iterable<AsgiBytes>)] : [];
      if (items.length !== 2) {
        throw new AsgiError(`'${type}' has a header that is no [name, value] pair: ${describeValue(pair)}`);
      }
      add(fieldText(type, items[0]), fieldText(type, items[1]));
    }
  } catch (error) {
    throw error instanceof HeaderError ? new AsgiError(`'${type}': ${error.message}`, { cause: error }) : error;
  }
}

function fieldText(type: string, part: unknown): string {
  if (typeof part === 'string') {
    return part;
  }
  if (part instanceof Uint8Array) {
    const bytes = Buffer.isBuffer(part) ? part : Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    return bytes.toString('latin1');
  }
  throw new AsgiError(`'${type}' has a header name or value that is neither bytes nor text: ${describeValue(part)}`);
}
