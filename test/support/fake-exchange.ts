/** An Exchange without a connection: records what an app interface does with it, and plays the client's part when told to. */
import { type AbortReason, type BodySink, Exchange, type Peer, type ResponseHead } from '../../lib/http/exchange.js';

export interface FakeRequest {
  method?: string;
  target?: string;
  httpVersion?: '1.0' | '1.1';
  scheme?: 'http' | 'https';
  /** name, value, name, value ... */
  headers?: string[];
  /** A body that has arrived in whole. */
  body?: string | Buffer;
  /** A body that comes by `feed` and `feedEnd`. */
  streamed?: boolean;
  peer?: Peer;
}

export const LOCAL_PEER: Peer = {
  remoteAddress: '127.0.0.1',
  remotePort: 50000,
  localAddress: '127.0.0.1',
  localPort: 3000,
};
export const UNIX_PEER: Peer = {
  remoteAddress: undefined,
  remotePort: undefined,
  localAddress: undefined,
  localPort: undefined,
};

export class FakeExchange extends Exchange {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: '1.0' | '1.1';
  readonly scheme: 'http' | 'https';
  readonly hasBody: boolean;
  readonly bodyComplete: boolean;
  /** Names of the calls that acted, in order: 'respond', 'start', 'write', 'end', 'destroy', 'readBody'. */
  readonly calls: string[] = [];
  status = 0;
  reason = '';
  head: ResponseHead | null = null;
  contentLength: number | null = null;
  readonly chunks: Buffer[] = [];
  trailers = '';
  destroyed = false;
  consumedBytes = 0;
  headerReads = 0;
  rawHeaderReads = 0;
  /** What `write` returns. */
  writeResult = true;
  sink: BodySink | null = null;
  readonly #headers: string[];
  readonly #body: Buffer;
  readonly #peer: Peer;
  #bodyTaken = false;
  #writable: (() => void) | null = null;
  #flushed: (() => void) | null = null;
  #settled: (() => void)[] = [];

  constructor(request: FakeRequest = {}) {
    super();
    this.method = request.method ?? 'GET';
    this.target = request.target ?? '/';
    this.httpVersion = request.httpVersion ?? '1.1';
    this.scheme = request.scheme ?? 'http';
    this.#headers = request.headers ?? ['Host', 'example.test'];
    this.#body = Buffer.from(request.body ?? '');
    this.#peer = request.peer ?? LOCAL_PEER;
    this.hasBody = request.streamed === true || this.#body.length > 0;
    this.bodyComplete = request.streamed !== true;
  }

  rawHeaders(): string[] {
    this.rawHeaderReads++;
    return this.#headers.slice();
  }

  header(name: string): string | null {
    this.headerReads++;
    const found: string[] = [];
    for (let i = 0; i < this.#headers.length; i += 2) {
      if ((this.#headers[i] as string).toLowerCase() === name) {
        found.push(this.#headers[i + 1] as string);
      }
    }
    return found.length === 0 ? null : found.join(name === 'cookie' ? '; ' : ', ');
  }

  peer(): Peer {
    return this.#peer;
  }

  takeBody(): Buffer {
    if (this.#bodyTaken || !this.bodyComplete) {
      throw new Error('takeBody called out of contract');
    }
    this.#bodyTaken = true;
    return this.#body;
  }

  takeBodyText(): string {
    return this.takeBody().toString('utf8');
  }

  readBody(sink: BodySink): void {
    if (this.sink !== null || this.bodyComplete) {
      throw new Error('readBody called out of contract');
    }
    this.calls.push('readBody');
    this.sink = sink;
    if (this.abortReason !== null) {
      sink.onAbort(this.abortReason);
    }
    this.#notify();
  }

  consumed(byteCount: number): void {
    this.consumedBytes += byteCount;
    this.#notify();
  }

  respond(status: number, reason: string, head: ResponseHead, body: string | Uint8Array | null): void {
    if (this.#isOver() || this.responseStarted) {
      return;
    }
    this.calls.push('respond');
    this.#setHead(status, reason, head);
    if (body !== null) {
      this.chunks.push(Buffer.from(body as string));
    }
    this.responseEnded = true;
    this.#notify();
  }

  start(status: number, reason: string, head: ResponseHead, contentLength: number): void {
    if (this.#isOver() || this.responseStarted) {
      return;
    }
    this.calls.push('start');
    this.#setHead(status, reason, head);
    this.contentLength = contentLength;
    this.#notify();
  }

  write(chunk: string | Uint8Array): boolean {
    if (this.#isOver()) {
      return true;
    }
    this.calls.push('write');
    this.chunks.push(Buffer.from(chunk as string));
    this.#notify();
    return this.writeResult;
  }

  onceWritable(callback: () => void): void {
    this.#writable = callback;
  }

  end(trailers: string): void {
    if (this.#isOver()) {
      return;
    }
    this.calls.push('end');
    this.trailers = trailers;
    this.responseEnded = true;
    this.#notify();
  }

  onceFlushed(callback: () => void): void {
    this.#flushed = callback;
  }

  destroy(): void {
    if (this.destroyed || this.abortReason !== null) {
      return;
    }
    this.calls.push('destroy');
    this.destroyed = true;
    this.abort('local');
  }

  // The client's part.

  get block(): string {
    return this.head?.block ?? '';
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('utf8');
  }

  feed(chunk: string | Buffer): void {
    this.sink?.onData(Buffer.from(chunk as string));
  }

  feedEnd(trailers: string[] = []): void {
    this.sink?.onEnd(trailers);
  }

  abort(reason: AbortReason): void {
    if (this.abortReason !== null) {
      return;
    }
    this.abortReason = reason;
    this.sink?.onAbort(reason);
    this.onAbort?.(reason);
    this.#notify();
  }

  becomeWritable(): void {
    this.writeResult = true;
    const callback = this.#writable;
    this.#writable = null;
    callback?.();
  }

  flush(): void {
    const callback = this.#flushed;
    this.#flushed = null;
    callback?.();
  }

  /** Resolves when the condition holds; looked at after each call on the exchange. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => this.#settled.push(resolve));
    }
  }

  /** Resolves when the response is complete or the exchange is over. */
  over(): Promise<void> {
    return this.until(() => this.responseEnded || this.abortReason !== null);
  }

  #setHead(status: number, reason: string, head: ResponseHead): void {
    this.responseStarted = true;
    this.status = status;
    this.reason = reason;
    this.head = { block: head.block, flags: head.flags };
  }

  #isOver(): boolean {
    return this.responseEnded || (this.abortReason !== null && this.abortReason !== 'client');
  }

  #notify(): void {
    const settled = this.#settled;
    this.#settled = [];
    for (const resolve of settled) {
      resolve();
    }
  }
}

/** Lets everything that waits for promises, and one turn of the loop, run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
