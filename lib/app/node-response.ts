/**
 * `res` of serve({ node }): an http.ServerResponse by class, with node's own header methods, whose head and body go to an Exchange. What
 * writes is an own property: frameworks put another prototype under it (Express does), and it must stay.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import { ClosedError } from '../errors.js';
import { onExchangeAbort } from '../http/abort.js';
import type { AbortReason, Exchange } from '../http/exchange.js';
import { encodeFields, type HeadBlock } from '../http/header-block.js';

type Callback = (error?: Error | null) => void;
type Chunk = string | Uint8Array;

/** The members of OutgoingMessage that carry its state; node's own getters (headersSent, writableEnded ...) read them. */
interface Internals {
  _header: string | null;
  _hasBody: boolean;
  _trailer: string;
  _contentLength: number | null;
  _implicitHeader(): void;
}

export class NodeResponse extends ServerResponse {
  constructor(req: IncomingMessage, exchange: Exchange) {
    super(req);
    const sender = new ResponseSender(this, exchange);
    Object.assign(this, {
      write: (chunk: unknown, encoding: unknown, callback: unknown) => sender.write(chunk, encoding, callback),
      end: (chunk: unknown, encoding: unknown, callback: unknown) => {
        sender.end(chunk, encoding, callback);
        return this;
      },
      flushHeaders: () => sender.flushHeaders(),
      destroy: (error?: Error) => {
        sender.destroy(error);
        return this;
      },
      _storeHeader: (_statusLine: string, headers: unknown) => sender.storeHead(headers),
    });
    Object.defineProperties(this, {
      socket: { value: req.socket, writable: true, configurable: true, enumerable: true },
      connection: { value: req.socket, writable: true, configurable: true },
      writableFinished: { get: () => sender.isFlushed, configurable: true },
      writableNeedDrain: { get: () => sender.needsDrain, configurable: true },
    });
  }

  override writeContinue(callback?: () => void): void {
    // The exchange asks for the body when it is read.
    if (callback !== undefined) {
      process.nextTick(callback);
    }
  }
}

/** Owned by one response: its state towards the exchange. */
class ResponseSender {
  readonly #res: ServerResponse;
  readonly #state: Internals;
  readonly #exchange: Exchange;
  #head: HeadBlock | null = null;
  #started = false;
  #closed = false;
  #closeEmitted = false;
  #drainWanted = false;
  #waiting: Callback[] = [];
  isFlushed = false;

  constructor(res: ServerResponse, exchange: Exchange) {
    this.#res = res;
    this.#state = res as unknown as Internals;
    this.#exchange = exchange;
    onExchangeAbort(exchange, (reason) => this.#onAbort(reason));
  }

  get needsDrain(): boolean {
    return this.#drainWanted;
  }

  /** Called by node's writeHead, which has checked status, names and values. */
  storeHead(given: unknown): void {
    const res = this.#res;
    const fields: string[] = [];
    if (res.getHeaderNames().length > 0) {
      for (const name of (res as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()) {
        addField(fields, name, res.getHeader(name));
      }
    } else if (Array.isArray(given)) {
      const pairs = Array.isArray(given[0]) ? (given as unknown[][]) : pairsOfFlat(given);
      for (const [name, value] of pairs) {
        addField(fields, String(name), value);
      }
    } else if (typeof given === 'object' && given !== null) {
      for (const [name, value] of Object.entries(given)) {
        addField(fields, name, value);
      }
    }
    this.#head = encodeFields(fields);
    this.#state._header = 'HTTP/1.1';
    this.#state._hasBody = this.#exchange.method !== 'HEAD' && res.statusCode !== 204 && res.statusCode !== 304;
  }

  write(chunk: unknown, encodingOrCallback: unknown, maybeCallback: unknown): boolean {
    const [encoding, callback] = tailOf(encodingOrCallback, maybeCallback);
    const bytes = checkedChunk(chunk, encoding);
    if (this.#refuses(callback)) {
      return false;
    }
    this.flushHeaders();
    if (!this.#state._hasBody || bytes.length === 0) {
      deferred(callback);
      return true;
    }
    if (this.#exchange.write(bytes)) {
      deferred(callback);
      return true;
    }
    if (callback !== null) {
      this.#waiting.push(callback);
    }
    if (!this.#drainWanted) {
      this.#drainWanted = true;
      this.#exchange.onceWritable(() => this.#onWritable());
    }
    return false;
  }

  end(first: unknown, second: unknown, third: unknown): void {
    let chunk: unknown = first;
    let [encoding, callback] = tailOf(second, third);
    if (typeof first === 'function') {
      chunk = null;
      encoding = null;
      callback = first as Callback;
    }
    const bytes = chunk === null || chunk === undefined ? null : checkedChunk(chunk, encoding);
    const res = this.#res;
    if (res.finished || this.#closed) {
      if (bytes !== null) {
        this.#refuses(callback);
      } else if (callback !== null) {
        const message = res.finished ? 'The response has ended already' : 'The response was destroyed';
        deferred(callback, coded(message, res.finished ? 'ERR_STREAM_ALREADY_FINISHED' : 'ERR_STREAM_DESTROYED'));
      }
      return;
    }
    if (callback !== null) {
      res.once('finish', callback);
    }
    this.#implyHead();
    res.finished = true;
    const exchange = this.#exchange;
    exchange.onceFlushed(() => this.#onFlushed());
    if (this.#started) {
      if (bytes !== null && bytes.length > 0 && this.#state._hasBody) {
        exchange.write(bytes);
      }
      exchange.end(this.#state._trailer);
      return;
    }
    this.#started = true;
    const head = this.#head as HeadBlock;
    if (this.#state._trailer !== '') {
      exchange.start(res.statusCode, res.statusMessage ?? '', head, head.contentLength);
      if (bytes !== null && bytes.length > 0) {
        exchange.write(bytes);
      }
      exchange.end(this.#state._trailer);
    } else if (!this.#state._hasBody && bytes === null && head.contentLength !== -1) {
      exchange.start(res.statusCode, res.statusMessage ?? '', head, head.contentLength);
      exchange.end('');
    } else {
      exchange.respond(res.statusCode, res.statusMessage ?? '', head, bytes);
    }
  }

  flushHeaders(): void {
    this.#implyHead();
    if (!this.#started && !this.#closed) {
      this.#started = true;
      const head = this.#head as HeadBlock;
      this.#exchange.start(this.#res.statusCode, this.#res.statusMessage ?? '', head, head.contentLength);
    }
  }

  destroy(error: Error | undefined): void {
    if (this.#res.destroyed) {
      return;
    }
    this.#res.destroyed = true;
    if (error !== undefined && error !== null) {
      process.nextTick(() => {
        if (this.#res.listenerCount('error') > 0) {
          this.#res.emit('error', error);
        }
      });
    }
    if (!this.isFlushed) {
      this.#exchange.destroy();
    }
    this.#close();
  }

  #implyHead(): void {
    if (this.#state._header === null) {
      this.#state._implicitHeader();
    }
  }

  /** Writing after the end or the close is an error event and never a throw, as node has it. */
  #refuses(callback: Callback | null): boolean {
    const res = this.#res;
    if (!res.finished && !this.#closed) {
      return false;
    }
    const error = res.finished
      ? coded('write after end', 'ERR_STREAM_WRITE_AFTER_END')
      : Object.assign(new ClosedError('The response'), { code: 'ERR_STREAM_DESTROYED' });
    deferred(callback, error);
    if (res.finished) {
      process.nextTick(() => {
        if (res.listenerCount('error') > 0) {
          res.emit('error', error);
        }
      });
    }
    return true;
  }

  #onWritable(): void {
    this.#drainWanted = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) {
      callback(null);
    }
    if (!this.#res.finished) {
      this.#res.emit('drain');
    }
  }

  #onFlushed(): void {
    if (this.isFlushed || this.#closed) {
      return;
    }
    this.isFlushed = true;
    this.#res.emit('finish');
    this.#close();
  }

  /** A client that ended its sending side may still read: it gets what is still written, if it is there. */
  #onAbort(reason: AbortReason): void {
    if (reason === 'client') {
      this.#emitClose();
    } else {
      this.#close();
    }
  }

  #close(): void {
    this.#closed = true;
    this.#res.destroyed = true;
    this.#emitClose();
  }

  #emitClose(): void {
    if (this.#closeEmitted) {
      return;
    }
    this.#closeEmitted = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) {
      deferred(callback, coded('The response was closed before this was sent', 'ERR_STREAM_DESTROYED'));
    }
    process.nextTick(() => this.#res.emit('close'));
  }
}

function tailOf(encoding: unknown, callback: unknown): [BufferEncoding | null, Callback | null] {
  if (typeof encoding === 'function') {
    return [null, encoding as Callback];
  }
  return [
    (encoding as BufferEncoding | undefined) ?? null,
    typeof callback === 'function' ? (callback as Callback) : null,
  ];
}

/** Text in UTF-8 goes on as it is. */
function checkedChunk(chunk: unknown, encoding: BufferEncoding | null): Chunk {
  if (typeof chunk === 'string') {
    return encoding === null || encoding === 'utf8' || encoding === 'utf-8' ? chunk : Buffer.from(chunk, encoding);
  }
  if (chunk instanceof Uint8Array) {
    return chunk;
  }
  if (chunk === null) {
    throw Object.assign(new TypeError('May not write null values to stream'), { code: 'ERR_STREAM_NULL_VALUES' });
  }
  throw Object.assign(new TypeError('The "chunk" argument must be a string, a Buffer or a Uint8Array'), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
}

function addField(fields: string[], name: string, value: unknown): void {
  if (value === undefined) {
    return;
  }
  if (Array.isArray(value)) {
    for (const item of value) {
      fields.push(name, String(item));
    }
  } else {
    fields.push(name, String(value));
  }
}

function pairsOfFlat(flat: unknown[]): unknown[][] {
  const pairs: unknown[][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    pairs.push([flat[i], flat[i + 1]]);
  }
  return pairs;
}

function coded(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

function deferred(callback: Callback | null, error: Error | null = null): void {
  if (callback !== null) {
    process.nextTick(callback, error);
  }
}
