import type { AddressInfo } from 'node:net';
import type { App } from '../http/exchange.js';
import type { RunnerStats } from '../runner/runner.js';

/** Limits of one server; see docs/limits.md for the answer that each gets, and for which of them 0 means none. */
export interface Limits {
  /** Bytes of a request head (and of a trailer section). Default 16384. Over it: 431 and close. */
  headerBytes: number;
  /** Fields of a request head. Default 100. Over it: 431 and close. */
  headerCount: number;
  /** Bytes of a request body. Default 1048576. Over it: 413 and close. */
  bodyBytes: number;
  /** Chunk sizes, extensions and trailers of one body, in bytes. Default 16384. Over it: 413 and close. */
  chunkOverheadBytes: number;
  /** Open connections. Default 0 (none). One more is accepted and closed at once, and counted as dropped. */
  connections: number;
  /** Requests on one connection; the last one is answered with `connection: close`. Default 0 (none). */
  requestsPerConnection: number;
  /** Requests of one connection that are being handled at a time (pipelining). Default 64. Further ones wait unread. */
  pipelinedRequests: number;
  /** Bytes waiting to be sent on one connection before `write` asks to wait. Default 1048576. */
  writeBufferBytes: number;
}

/** Durations in milliseconds; 0 means none. */
export interface Timeouts {
  /** From the first byte of a request to the end of its head. Default 60000. Over it: 408 and close. */
  headers: number;
  /** From the first byte of a request to the end of its body. Default 300000. Over it: 408 and close. */
  request: number;
  /** A connection without a request. Default 65000. Over it: closed. */
  keepAlive: number;
  /** From the end of the head to the beginning of the response. Default 0 (none). Over it: 503, and the exchange is aborted. */
  handler: number;
  /** Window over which a body must come at `minBodyBytesPerSecond` or faster. Default 10000. Under it: 408 and close. */
  bodyRateWindow: number;
  /** Bytes a second; the default is 1024. 0: no minimum. */
  minBodyBytesPerSecond: number;
  /** How long a closing connection is read from after the last response, so that the client gets it. Default 2000. */
  linger: number;
}

/** Exactly one of `port`, `path` and `fd` is set. `hostname` is a literal address, or '' for the dual-stack wildcard. */
export interface ListenTarget {
  readonly port?: number;
  readonly hostname?: string;
  readonly path?: string;
  readonly fd?: number;
  readonly backlog: number;
  readonly ipv6Only: boolean;
  readonly reusePort: boolean;
}

/** Counters of one server since it began to listen. Open handles are present values; the others only grow. */
export interface ServerStats {
  backend: 'native' | 'node';
  /** Pollers are named epoll, kqueue, uv; '' on the node backend. */
  poller: string;
  connections: { open: number; accepted: number; closed: number; dropped: number; shed: number };
  requests: { active: number; received: number; completed: number; aborted: number };
  /** Calls into JavaScript, the requests that they brought, and the largest of them. Native backend only (else 0). */
  batches: { count: number; requests: number; largest: number };
  bytes: { received: number; sent: number };
  /** Refused requests and failures by kind: the names of HttpError ('INVALID_CHUNK_SIZE') and timeouts ('HEADERS_TIMEOUT'). */
  errors: Record<string, number>;
  /** Handler exceptions that were answered 500. */
  handlerErrors: number;
  /** Of serve({ sync }): the runner that the app runs in. */
  runner?: RunnerStats;
}

/** What `close` had to do. */
export interface CloseReport {
  /** Requests that were in flight when `close` began and were answered in full. */
  drained: number;
  /** Requests that were cut at the deadline. */
  cut: number;
  /** Connections closed at the deadline with requests in flight. */
  connectionsCut: number;
}

export interface BackendServer {
  /** As node's server.address(): an object, or the path of a unix socket. */
  address(): AddressInfo | string;
  ref(): void;
  unref(): void;
  stats(): ServerStats;
  /**
   * Stops accepting, lets requests in flight finish (their responses say `connection: close`), closes idle connections, and after
   * `deadlineMs` (undefined: never) cuts the rest. Idempotent: later calls return the first one's promise, but may bring the deadline forward.
   */
  close(deadlineMs: number | undefined): Promise<CloseReport>;
  /** A message to all WebSockets of this server that have subscribed to the topic. Flags: SEND_BINARY, SEND_COMPRESS (lib/ws/contract.ts). */
  publish(topic: string, data: string | Uint8Array, flags: number): void;
  subscriberCount(topic: string): number;
}

export interface Backend {
  readonly name: 'native' | 'node';
  /** It has a zlib for permessage-deflate. */
  readonly deflates: boolean;
  /** Rejects with ListenError (code as node gives it: EADDRINUSE, EACCES, ENOTFOUND ...). */
  listen(target: ListenTarget, limits: Limits, timeouts: Timeouts, app: App): Promise<BackendServer>;
}
