import { AsyncResource } from 'node:async_hooks';
import { HANDLER, type HasHandler } from '../diagnostics.js';
import type { AbortReason } from '../errors.js';
import type { SessionOptions, WebSocketListener, WebSocketSession } from '../ws/contract.js';

export type { AbortReason };

/** One object for all exchanges. Nobody listens for their destruction, so the garbage collector need not tell of it. */
const RESOURCE_OPTIONS = { requireManualDestroy: true };

/** The two ends of the connection that a request came by. Unix sockets have no addresses and port 0. */
export interface Peer {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** Receives a streamed request body. After `onEnd` or `onAbort` nothing more is called; exactly one of the two comes. */
export interface BodySink {
  /** `chunk` is the receiver's own (never reused). Call `exchange.consumed(chunk.length)` when it has been taken. */
  onData(chunk: Buffer): void;
  /** `trailers`: name, value, name, value ... as received. */
  onEnd(trailers: string[]): void;
  onAbort(reason: AbortReason): void;
}

/** Flags beside a header block; the values of HEAD_*_FLAG in bridge/records.ts. */
export interface ResponseHead {
  /** `name: value\r\n` for each field, validated, latin1; without content-length, transfer-encoding. */
  readonly block: string;
  /** Bit set of HEAD_CLOSE_FLAG, HEAD_HAS_DATE_FLAG, HEAD_HAS_CONNECTION_FLAG. */
  readonly flags: number;
}

/**
 * One request and its response, as an app interface (fetch, ASGI, node) sees them; each backend has a subclass. An Exchange is an
 * AsyncResource of its own, so that AsyncLocalStorage contexts never leak from one request of a batch into the next.
 *
 * A client that ends its sending side (FIN) may have gone, or may still read: `onAbort('client')` is called, and a response that is
 * sent all the same goes out. Adapters therefore never ask `abortReason` before answering; the backend drops what has no taker.
 *
 * Request data (method, target, headers, a complete body) stays valid for as long as the exchange is referenced. Calls on an
 * exchange that is over (answered, aborted) are ignored: the other side has gone, which is no error of the caller's.
 */
export abstract class Exchange extends AsyncResource {
  /** Set when the exchange ended early; `onAbort` is called once, at that moment. */
  abortReason: AbortReason | null = null;
  onAbort: ((reason: AbortReason) => void) | null = null;
  /** The client has ended its sending side; `onAbort('client')` was called, and `abortReason` may still be null. */
  peerEnded = false;
  /** A response head has been submitted. */
  responseStarted = false;
  /** The whole response has been submitted. */
  responseEnded = false;

  constructor() {
    super('GAMMALOOP_REQUEST', RESOURCE_OPTIONS);
  }

  /** Who was handed the exchange. */
  get app(): App | null {
    return null;
  }

  get [HANDLER](): HasHandler[typeof HANDLER] {
    return this.app?.handler ?? null;
  }

  /** Why nobody may be waiting any more: what `request.signal` and `http.disconnect` go by. */
  get goneReason(): AbortReason | null {
    return this.abortReason ?? (this.peerEnded ? 'client' : null);
  }

  // The request.

  abstract readonly method: string;
  /** The request-target as received: '/path?query', 'http://host/path', '*', or 'host:port' for CONNECT. */
  abstract readonly target: string;
  abstract readonly httpVersion: '1.0' | '1.1';
  /** 'http' or 'https'. */
  abstract readonly scheme: 'http' | 'https';
  /** Name, value, name, value ... as received (latin1, original case, original order). */
  abstract rawHeaders(): string[];
  /** The value of a field; values of repeated fields are joined by ', ' (by '; ' for cookie). `name` in lower case. */
  abstract header(name: string): string | null;
  abstract peer(): Peer;
  /** For who keeps nothing else of the peer. */
  get remoteAddress(): string | undefined {
    return this.peer().remoteAddress;
  }
  /** The request asks for another protocol (RFC 9110 7.8). */
  get upgrades(): boolean {
    return this.header('upgrade') !== null;
  }

  // Its body.

  /** Whether the request has a body (content-length above 0, or chunked). */
  abstract readonly hasBody: boolean;
  /** The whole body has arrived already: `takeBody` or `takeBodyText` hands it over, at once. */
  abstract readonly bodyComplete: boolean;
  /** The complete body (only with `bodyComplete`); the receiver's own. Once. */
  abstract takeBody(): Buffer;
  /** The complete body decoded as UTF-8, BOM kept (only with `bodyComplete`). Once. */
  abstract takeBodyText(): string;
  /** Starts a streamed body (only without `bodyComplete`): asks the client for it (100 Continue) where it waits. Once. */
  abstract readBody(sink: BodySink): void;
  /** The receiver has taken this many bytes of the streamed body: as many more may be read from the socket. */
  abstract consumed(byteCount: number): void;

  // The response.

  /**
   * The whole response at once. Adds date, connection and content-length; leaves the body out for HEAD, 204 and 304.
   * `reason` '' means the standard one. A string body is sent as UTF-8.
   */
  abstract respond(status: number, reason: string, head: ResponseHead, body: string | Uint8Array | null): void;
  /**
   * The head of a streamed response. `contentLength` -1: unknown (chunked on 1.1, until close on 1.0). For HEAD, 204 and 304 the
   * given length is announced as is (not for 204) and body bytes are dropped.
   */
  abstract start(status: number, reason: string, head: ResponseHead, contentLength: number): void;
  /** Returns false when the caller should wait for `onceWritable`. The bytes are copied: the caller may reuse the chunk. */
  abstract write(chunk: string | Uint8Array): boolean;
  /** Calls back once, when what was written has left to below the low watermark; not at all after an abort. */
  abstract onceWritable(callback: () => void): void;
  /** Ends a streamed response. `trailers`: a header block, or '' (sent only where the response is chunked). */
  abstract end(trailers: string): void;
  /** Before `end`: calls back once all of the response has been handed to the operating system; not at all after an abort. */
  abstract onceFlushed(callback: () => void): void;
  /** Closes the connection at once; what was not sent is lost. */
  abstract destroy(): void;
  /**
   * Instead of a response: 101 (upgrade and connection are added to `headerBlock`), and the connection is a WebSocket from here on. Null: the
   * exchange is over, or its connection cannot become one. Nothing of the WebSocket is told before this has returned.
   */
  acceptWebSocket(
    _headerBlock: string,
    _options: SessionOptions,
    _listener: WebSocketListener,
  ): WebSocketSession | null {
    return null;
  }
}

/** What an app interface is to a backend. */
export interface App {
  /** Called for each request, inside the exchange's async context. Must not throw: adapters answer 500 themselves. */
  handle(exchange: Exchange): void;
  /** It may call acceptWebSocket: what comes behind a request that upgrades is not read as HTTP before that is answered. */
  readonly upgrades?: boolean;
  /** What `handle` calls in the end. */
  readonly handler?: HasHandler[typeof HANDLER];
}
