/**
 * `req` of serve({ node }): a real http.IncomingMessage (and so a Readable) that reads an Exchange. Methods that read are own properties:
 * frameworks put another prototype under it (Express does), and they must stay.
 */
import { EventEmitter } from 'node:events';
import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { AbortedError } from '../errors.js';
import { onExchangeAbort } from '../http/abort.js';
import type { AbortReason, Exchange } from '../http/exchange.js';

/** What stands where node has the socket: addresses, and methods that do what they can for one request. */
export class ExchangeSocket extends EventEmitter {
  readonly encrypted: boolean;
  readonly readable = true;
  readonly writable = true;
  readonly readableHighWaterMark = 16384;
  readonly writableHighWaterMark = 16384;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly remoteFamily: 'IPv4' | 'IPv6' | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  destroyed = false;
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    super();
    const { remoteAddress, remotePort, localAddress, localPort } = exchange.peer();
    this.#exchange = exchange;
    this.encrypted = exchange.scheme === 'https';
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.remoteFamily = remoteAddress === undefined ? undefined : remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
    this.localAddress = localAddress;
    this.localPort = localPort;
  }

  address(): { address: string | undefined; port: number | undefined; family: string | undefined } {
    return { address: this.localAddress, port: this.localPort, family: this.remoteFamily };
  }

  /** Closes the connection at once. */
  destroy(): this {
    if (!this.destroyed) {
      this.destroyed = true;
      this.#exchange.destroy();
    }
    return this;
  }

  // The engine has its own timeouts and socket options, set when serving.
  setTimeout(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  pause(): this {
    return this;
  }

  resume(): this {
    return this;
  }

  cork(): void {}

  uncork(): void {}
}

export class NodeRequest extends IncomingMessage {
  override _read: (size: number) => void;
  override _destroy: (error: Error | null, callback: (error?: Error | null) => void) => void;

  constructor(exchange: Exchange) {
    super(new ExchangeSocket(exchange) as unknown as Socket);
    const [major, minor] = exchange.httpVersion.split('.');
    this.httpVersion = exchange.httpVersion;
    this.httpVersionMajor = Number(major);
    this.httpVersionMinor = Number(minor);
    this.method = exchange.method;
    this.url = exchange.target;
    const raw = exchange.rawHeaders();
    addHeaderLines(this, raw);
    this.headers = Object.assign(Object.create(null), this.headers);
    this._read = exchange.hasBody ? readerOf(this, exchange) : () => endOf(this, []);
    this._destroy = (error, callback) => destroyRequest(this, exchange, error, callback);
    onExchangeAbort(exchange, (reason) => abortRequest(this, reason));
  }
}

/** The client has gone: the error is for those who listen. */
function abortRequest(req: IncomingMessage, reason: AbortReason): void {
  if (!req.destroyed && !req.complete) {
    req.destroy(Object.assign(new Error('aborted', { cause: new AbortedError(reason) }), { code: 'ECONNRESET' }));
  }
}

/** As node's: 'aborted' where the request was not read to its end, and an error only where somebody listens. */
function destroyRequest(
  req: IncomingMessage,
  exchange: Exchange,
  error: Error | null,
  callback: (error: Error | null) => void,
): void {
  if (!req.readableEnded || !req.complete) {
    req.aborted = true;
    req.emit('aborted');
    if (exchange.abortReason === null) {
      exchange.destroy();
    }
  }
  process.nextTick(callback, req.listenerCount('error') > 0 ? error : null);
}

/** node's own rules for joining repeated fields apply, with the complete list. */
function addHeaderLines(req: IncomingMessage, fields: string[]): void {
  (req as unknown as { _addHeaderLines(fields: string[], count: number): void })._addHeaderLines(fields, fields.length);
}

function endOf(req: IncomingMessage, trailers: string[]): void {
  if (req.complete) {
    return;
  }
  req.complete = true;
  if (trailers.length > 0) {
    addHeaderLines(req, trailers);
  }
  req.push(null);
}

/** A `_read` that takes the body at the pace of the reader. */
function readerOf(req: IncomingMessage, exchange: Exchange): () => void {
  let isReading = false;
  let unread = 0;
  return () => {
    if (exchange.bodyComplete) {
      if (!isReading) {
        isReading = true;
        req.push(exchange.takeBody());
        endOf(req, []);
      }
      return;
    }
    if (unread > 0) {
      const taken = unread;
      unread = 0;
      exchange.consumed(taken);
    }
    if (isReading) {
      return;
    }
    isReading = true;
    exchange.readBody({
      onData(chunk) {
        if (req.destroyed || req.push(chunk)) {
          exchange.consumed(chunk.length);
        } else {
          unread += chunk.length;
        }
      },
      onEnd: (trailers) => endOf(req, trailers),
      onAbort: (reason) => abortRequest(req, reason),
    });
  };
}
