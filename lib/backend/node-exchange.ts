import { type IncomingMessage, METHODS, type ServerResponse, STATUS_CODES } from 'node:http';
import { HEAD_CLOSE_FLAG } from '../bridge/records.js';
import { type AbortReason, type App, type BodySink, Exchange, type Peer, type ResponseHead } from '../http/exchange.js';
import type { SessionOptions, WebSocketListener, WebSocketSession } from '../ws/contract.js';
import type { Acceptance } from './node-upgrade.js';
import type { StrictHead } from './strict-head.js';

/** A body that came together with its head, and is no longer than this, is handed over at once. */
const COMPLETE_BODY_BYTES = 65536;

/** What an exchange asks of its connection. */
export interface ExchangeOwner {
  readonly peer: Peer;
  readonly app: App;
  /** Whether the response that starts now must say `connection: close`; the connection reads no further request then. */
  closesAfter(exchange: NodeExchange, asked: boolean): boolean;
  onResponseStarted(exchange: NodeExchange): void;
  onResponseFinished(exchange: NodeExchange): void;
  destroyFor(exchange: NodeExchange): void;
  acceptWebSocket(exchange: NodeExchange, acceptance: Acceptance): WebSocketSession | null;
}

/** A request as the strict scanner read it, and node's (req, res) for its body and its response. Owned by its connection. */
export class NodeExchange extends Exchange {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: '1.0' | '1.1';
  readonly scheme = 'http';
  readonly hasBody: boolean;
  readonly bodyComplete: boolean;

  /** All of the request has arrived. */
  received: boolean;
  /** Body bytes that were refused before node reported the request: it is answered this status and never handed on. */
  refusedStatus = 0;
  handlerTimer: NodeJS.Timeout | undefined;
  inFlightAtClose = false;
  finished = false;

  readonly #owner: ExchangeOwner;
  readonly #head: StrictHead;
  readonly #body: Buffer | null;
  readonly #upgrades: boolean;
  #req: IncomingMessage | null = null;
  #res: ServerResponse | null = null;
  #sink: BodySink | null = null;
  #continued: boolean;
  #unconsumed = 0;
  #dropsBody = false;
  #remaining = -1;
  #flushed: (() => void) | null = null;

  /** `body`: all of it where it came together with the head, else null. */
  constructor(owner: ExchangeOwner, head: StrictHead, body: Buffer | null, upgrades: boolean) {
    super();
    this.#owner = owner;
    this.#head = head;
    this.#body = body;
    this.#upgrades = upgrades;
    this.method = head.method;
    this.target = head.target;
    this.httpVersion = head.versionMinor === 1 ? '1.1' : '1.0';
    this.hasBody = head.chunked || head.contentLength > 0;
    this.bodyComplete = !this.hasBody || body !== null;
    this.received = !this.hasBody;
    this.#continued = !head.expectContinue || this.bodyComplete;
  }

  override get app(): App {
    return this.#owner.app;
  }

  override get upgrades(): boolean {
    return this.#upgrades;
  }

  /** node has reported the request. */
  attach(req: IncomingMessage, res: ServerResponse): void {
    this.#req = req;
    this.#res = res;
    req.on('error', () => {});
    res.on('error', () => {});
    if (this.#body !== null) req.resume();
    // Before node's own listener, which may end the lane at once: by then this exchange must be known to be over.
    res.prependListener('finish', () => {
      this.finished = true;
    });
    res.on('finish', () => this.#onFinish());
  }

  get attached(): boolean {
    return this.#res !== null;
  }

  /** The client sends its body without being asked, or has been asked. */
  get bodyAskedFor(): boolean {
    return this.#continued;
  }

  /** The application has stopped taking the body in the middle. */
  get bodyStalled(): boolean {
    return this.#sink !== null && this.#unconsumed > 0;
  }

  noteBodyBytes(): void {
    this.#continued = true;
  }

  rawHeaders(): string[] {
    return this.#head.fields.slice();
  }

  header(name: string): string | null {
    const fields = this.#head.fields;
    let value: string | null = null;
    for (let i = 0; i < fields.length; i += 2) {
      if ((fields[i] as string).toLowerCase() !== name) continue;
      const next = fields[i + 1] as string;
      value = value === null ? next : value + (name === 'cookie' ? '; ' : ', ') + next;
    }
    return value;
  }

  peer(): Peer {
    return this.#owner.peer;
  }

  takeBody(): Buffer {
    return this.#body ?? Buffer.alloc(0);
  }

  takeBodyText(): string {
    return this.takeBody().toString('utf8');
  }

  readBody(sink: BodySink): void {
    if (this.abortReason !== null) {
      sink.onAbort(this.abortReason);
      return;
    }
    const req = this.#req as IncomingMessage;
    this.#sink = sink;
    if (!this.#continued && !this.responseStarted) {
      this.#continued = true;
      this.#res?.writeContinue();
    }
    req.on('data', (chunk: Buffer) => {
      if (this.#sink === null) return;
      this.#unconsumed += chunk.length;
      if (this.#unconsumed >= req.readableHighWaterMark) req.pause();
      this.runInAsyncScope(sink.onData, sink, chunk);
    });
    req.on('end', () => {
      if (this.#sink === null) return;
      this.#sink = null;
      this.runInAsyncScope(sink.onEnd, sink, req.rawTrailers.slice());
    });
  }

  consumed(byteCount: number): void {
    this.#unconsumed = Math.max(0, this.#unconsumed - byteCount);
    const req = this.#req;
    if (this.#sink !== null && req?.isPaused() && this.#unconsumed < req.readableHighWaterMark) req.resume();
  }

  respond(status: number, reason: string, head: ResponseHead, body: string | Uint8Array | null): void {
    if (!this.#mayStart()) return;
    const res = this.#res as ServerResponse;
    const bytes = body === null ? null : typeof body === 'string' ? Buffer.from(body, 'utf8') : Buffer.from(body);
    const length = bytes === null ? 0 : bytes.length;
    // 304 without a body announces no length: it would be that of the selected representation, which is not known here.
    const announced = status === 204 || (status === 304 && length === 0) ? -1 : length;
    this.responseEnded = true;
    this.#writeHead(status, reason, head, announced);
    if (bytes === null || this.#dropsBody) res.end();
    else res.end(bytes);
  }

  start(status: number, reason: string, head: ResponseHead, contentLength: number): void {
    if (!this.#mayStart()) return;
    this.#writeHead(status, reason, head, status === 204 ? -1 : contentLength);
    if (!this.#dropsBody) this.#remaining = contentLength;
    this.#res?.flushHeaders();
  }

  write(chunk: string | Uint8Array): boolean {
    if (!this.responseStarted || this.responseEnded || this.abortReason !== null || this.#dropsBody) return true;
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : Buffer.from(chunk);
    if (this.#remaining >= 0) {
      if (bytes.length > this.#remaining) {
        this.destroy();
        return true;
      }
      this.#remaining -= bytes.length;
    }
    return bytes.length === 0 || (this.#res as ServerResponse).write(bytes);
  }

  onceWritable(callback: () => void): void {
    if (this.abortReason !== null) return;
    const call = (): void => {
      if (this.abortReason === null) this.runInAsyncScope(callback);
    };
    const res = this.#res as ServerResponse;
    if (res.writableNeedDrain) res.once('drain', call);
    else setImmediate(call);
  }

  end(trailers: string): void {
    if (!this.responseStarted || this.responseEnded || this.abortReason !== null) return;
    if (this.#remaining > 0) {
      this.destroy();
      return;
    }
    this.responseEnded = true;
    const res = this.#res as ServerResponse;
    if (trailers !== '' && res.chunkedEncoding) res.addTrailers(pairsOf(trailers));
    res.end();
  }

  onceFlushed(callback: () => void): void {
    if (this.abortReason !== null) return;
    if (this.finished) setImmediate(() => this.runInAsyncScope(callback));
    else this.#flushed = callback;
  }

  destroy(): void {
    if (this.abortReason === null && !this.finished) this.#owner.destroyFor(this);
  }

  override acceptWebSocket(
    headerBlock: string,
    options: SessionOptions,
    listener: WebSocketListener,
  ): WebSocketSession | null {
    if (!this.#mayStart()) return null;
    const session = this.#owner.acceptWebSocket(this, { headerBlock, options, listener });
    if (session === null) return null;
    this.responseStarted = true;
    this.responseEnded = true;
    this.finished = true;
    clearTimeout(this.handlerTimer);
    this.emitDestroy();
    return session;
  }

  /** Ends the exchange early: tells the application once, and sends nothing. */
  abort(reason: AbortReason): void {
    if (this.abortReason !== null || this.finished) return;
    this.abortReason = reason;
    clearTimeout(this.handlerTimer);
    const sink = this.#sink;
    this.#sink = null;
    this.#flushed = null;
    this.#req?.resume();
    if (sink !== null) this.runInAsyncScope(sink.onAbort, sink, reason);
    if (!this.peerEnded && this.onAbort !== null) this.runInAsyncScope(this.onAbort, this, reason);
  }

  /** The client has ended its side: the application is told, and a response that it sends all the same goes out. */
  notePeerEnd(): void {
    if (this.peerEnded || this.abortReason !== null || this.finished) return;
    this.peerEnded = true;
    if (this.onAbort !== null) this.runInAsyncScope(this.onAbort, this, 'client');
  }

  /** Answers in the application's place (408, 413, 503 ...); only where no response has begun. */
  answerError(status: number, close: boolean): void {
    const res = this.#res as ServerResponse;
    this.responseStarted = true;
    this.responseEnded = true;
    if (close) res.shouldKeepAlive = false;
    res.writeHead(status, STATUS_CODES[status] ?? '', ['content-length', '0']);
    res.end();
  }

  #mayStart(): boolean {
    return this.#res !== null && !this.responseStarted && this.abortReason === null;
  }

  #writeHead(status: number, reason: string, head: ResponseHead, contentLength: number): void {
    const res = this.#res as ServerResponse;
    this.responseStarted = true;
    clearTimeout(this.handlerTimer);
    this.#dropsBody = this.method === 'HEAD' || status === 204 || status === 304;
    const unasked = this.#head.expectContinue && !this.#continued;
    if (this.#owner.closesAfter(this, (head.flags & HEAD_CLOSE_FLAG) !== 0 || unasked)) res.shouldKeepAlive = false;
    const chunked = contentLength < 0 && !this.#dropsBody && this.httpVersion === '1.1';
    const fields: string[] = [];
    for (const [name, value] of pairsOf(head.block)) {
      // node refuses to announce trailers that it cannot send.
      if (!chunked && name.toLowerCase() === 'trailer') continue;
      fields.push(name, value);
    }
    if (contentLength >= 0) fields.push('content-length', String(contentLength));
    res.writeHead(status, reason === '' ? (STATUS_CODES[status] ?? '') : reason, fields);
    this.#owner.onResponseStarted(this);
  }

  #onFinish(): void {
    this.#owner.onResponseFinished(this);
    const flushed = this.#flushed;
    this.#flushed = null;
    if (flushed !== null && this.abortReason === null) this.runInAsyncScope(flushed);
    this.emitDestroy();
  }
}

function pairsOf(block: string): Array<[string, string]> {
  const pairs: Array<[string, string]> = [];
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) pairs.push([line.slice(0, colon), line.slice(colon + 1).trim()]);
  }
  return pairs;
}

/** The whole body, where it stands at the beginning of `input`; else null. */
export function bodyAtHand(input: Buffer, contentLength: number): Buffer | null {
  return contentLength > 0 && contentLength <= COMPLETE_BODY_BYTES && input.length >= contentLength
    ? Buffer.from(input.subarray(0, contentLength))
    : null;
}

/** The whole answer to a request that never became an exchange. */
export function refusalBytes(status: number): string {
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ndate: ${new Date().toUTCString()}\r\n` +
    'connection: close\r\ncontent-length: 0\r\n\r\n'
  );
}

const PARSED_METHODS: ReadonlySet<string> = new Set(METHODS);

/**
 * The head as node's parser gets it. A method that the running node does not know (QUERY on node 20), and CONNECT, which node takes out
 * of the request flow, travel as POST: the exchange has the true one, and neither changes how the message is framed.
 */
export function headForNode(bytes: Buffer, head: StrictHead): Buffer {
  const raw = bytes.subarray(head.methodOffset, head.length);
  if (head.method !== 'CONNECT' && PARSED_METHODS.has(head.method)) return raw;
  const target = head.method === 'CONNECT' ? '/' : head.target;
  const rest = raw.subarray(head.method.length + 1 + head.target.length + 1);
  return Buffer.concat([Buffer.from(`POST ${target} `, 'latin1'), rest]);
}
