/** The options of serve(), checked one by one: what is unknown, of the wrong type or out of range is an OptionError that names it. */
import type { BackendChoice } from '../backend/choose.js';
import type { Limits, Timeouts } from '../backend/contract.js';
import { OptionError } from '../errors.js';
import type { AsgiApplication } from './asgi-app.js';
import type { FetchHandler } from './fetch-app.js';
import type { ErrorHook } from './handler-errors.js';
import type { NodeHandler } from './node-app.js';
import type { SyncOptions } from './sync-app.js';
import { type CheckedWebSocketOptions, checkWebSocketOptions, type WebSocketOptions } from './websocket-options.js';

/** Exactly one of `fetch`, `app`, `node` and `sync`; at most one of `port`, `unix` and `fd`. */
export interface ServeOptions {
  /** `(request, ctx) => Response`. */
  fetch?: FetchHandler | undefined;
  /** An ASGI 3 application. */
  app?: AsgiApplication | undefined;
  /** `(req, res) => {}`. */
  node?: NodeHandler | undefined;
  /** A module whose default export, `(request) => response`, runs in worker threads; or that module with the options of a Runner. */
  sync?: string | URL | SyncOptions | undefined;
  /** Beside any of them: hooks and limits of WebSockets (docs/websocket.md). Beside `app` without hooks, the application gets them. */
  websocket?: WebSocketOptions | undefined;

  /** 0 to 65535; 0 is any free port. Default 3000. */
  port?: number | undefined;
  /** A literal address or a name. Default '': all addresses, IPv6 and IPv4. */
  hostname?: string | undefined;
  /** The path of a unix socket. */
  unix?: string | undefined;
  /** A descriptor that is bound already (socket activation). */
  fd?: number | undefined;
  /** Connections that wait to be accepted. Default 511. */
  backlog?: number | undefined;
  /** Default false. */
  ipv6Only?: boolean | undefined;
  /** Several processes may listen on the port. Default false. */
  reusePort?: boolean | undefined;

  /** See docs/limits.md. */
  limits?: Partial<Limits> | undefined;
  /** In milliseconds; see docs/limits.md. */
  timeouts?: Partial<Timeouts> | undefined;

  /** Default: GAMMALOOP_BACKEND, else 'auto'. */
  backend?: BackendChoice | undefined;
  /** Gets what a handler threw. Default: written to stderr. */
  onError?: ErrorHook | undefined;
  /** Closes the server when it aborts. */
  signal?: AbortSignal | undefined;
}

export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze({
  headerBytes: 16384,
  headerCount: 100,
  bodyBytes: 1048576,
  chunkOverheadBytes: 16384,
  connections: 0,
  requestsPerConnection: 0,
  pipelinedRequests: 64,
  writeBufferBytes: 1048576,
});

/**
 * Where 0 would not mean none: a head is kept in memory and handed over in one piece, a body's framing is read to its end, and a request must be
 * handled for the next one to be read.
 */
const LIMIT_RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  headerBytes: [1, 262144],
  headerCount: [1, 10000],
  bodyBytes: [0, Number.MAX_SAFE_INTEGER],
  chunkOverheadBytes: [1, 262144],
  pipelinedRequests: [1, 65536],
};

export const DEFAULT_TIMEOUTS: Readonly<Timeouts> = Object.freeze({
  headers: 60000,
  request: 300000,
  keepAlive: 65000,
  handler: 0,
  bodyRateWindow: 10000,
  minBodyBytesPerSecond: 1024,
  linger: 2000,
});

/** Options with every default filled in. */
export interface CheckedOptions {
  readonly port: number | undefined;
  readonly hostname: string;
  readonly unix: string | undefined;
  readonly fd: number | undefined;
  readonly backlog: number;
  readonly ipv6Only: boolean;
  readonly reusePort: boolean;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly backend: BackendChoice | undefined;
  readonly onError: ErrorHook | undefined;
  readonly signal: AbortSignal | undefined;
  readonly websocket: CheckedWebSocketOptions | undefined;
}

const KNOWN: ReadonlySet<string> = new Set([
  'fetch',
  'app',
  'node',
  'sync',
  'websocket',
  'port',
  'hostname',
  'unix',
  'fd',
  'backlog',
  'ipv6Only',
  'reusePort',
  'limits',
  'timeouts',
  'backend',
  'onError',
  'signal',
]);

const MAX_INT32 = 0x7fffffff;

export function checkOptions(options: ServeOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new OptionError('options', 'an object', options);
  }
  for (const key of Object.keys(options)) {
    if (!KNOWN.has(key)) {
      throw new OptionError(key, `no such option; known are ${[...KNOWN].join(', ')}`);
    }
  }
  checkHandler(options);
  const places = (['port', 'unix', 'fd'] as const).filter((key) => options[key] !== undefined);
  if (places.length > 1) {
    throw new OptionError(places[1] as string, `at most one of port, unix and fd, and ${places[0]} is given too`);
  }
  const onPort = options.unix === undefined && options.fd === undefined;
  for (const key of ['hostname', 'ipv6Only', 'reusePort'] as const) {
    if (!onPort && options[key] !== undefined) {
      throw new OptionError(key, `only together with port, not with ${places[0]}`);
    }
  }
  if (
    options.backend !== undefined &&
    options.backend !== 'native' &&
    options.backend !== 'node' &&
    options.backend !== 'auto'
  ) {
    throw new OptionError('backend', "'native', 'node' or 'auto'", options.backend);
  }
  if (options.onError !== undefined && typeof options.onError !== 'function') {
    throw new OptionError('onError', 'a function', options.onError);
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw new OptionError('signal', 'an AbortSignal', options.signal);
  }
  return {
    port: onPort ? integer('port', options.port, 3000, 0, 65535) : undefined,
    hostname: text('hostname', options.hostname, '', true),
    unix: options.unix === undefined ? undefined : text('unix', options.unix, '', false),
    fd: options.fd === undefined ? undefined : integer('fd', options.fd, 0, 0, MAX_INT32),
    backlog: integer('backlog', options.backlog, 511, 1, MAX_INT32),
    ipv6Only: flag('ipv6Only', options.ipv6Only),
    reusePort: flag('reusePort', options.reusePort),
    limits: group('limits', options.limits, DEFAULT_LIMITS, LIMIT_RANGES),
    timeouts: group('timeouts', options.timeouts, DEFAULT_TIMEOUTS, {}),
    backend: options.backend,
    onError: options.onError,
    signal: options.signal,
    websocket: options.websocket === undefined ? undefined : checkWebSocketOptions(options.websocket),
  };
}

/** The deadline of `close({ deadline })`. */
export function checkCloseOptions(options: { deadline?: number | undefined } | undefined): number | undefined {
  if (options === undefined) {
    return undefined;
  }
  if (typeof options !== 'object' || options === null) {
    throw new OptionError('options', 'an object', options);
  }
  for (const key of Object.keys(options)) {
    if (key !== 'deadline') {
      throw new OptionError(key, 'no such option of close(); known is deadline');
    }
  }
  const { deadline } = options;
  if (deadline === undefined || deadline === Number.POSITIVE_INFINITY) {
    return undefined;
  }
  if (typeof deadline !== 'number' || !(deadline >= 0)) {
    throw new OptionError('deadline', 'milliseconds, 0 or more', deadline);
  }
  return Math.min(Math.ceil(deadline), MAX_INT32);
}

function checkHandler(options: ServeOptions): void {
  const given = (['fetch', 'app', 'node', 'sync'] as const).filter((key) => options[key] !== undefined);
  const [kind, second] = given;
  if (kind === undefined) {
    throw new OptionError('fetch', 'exactly one of fetch, app, node and sync, and none is given');
  }
  if (second !== undefined) {
    throw new OptionError(second, `exactly one of fetch, app, node and sync, and ${kind} is given too`);
  }
  const handler: unknown = options[kind];
  if (kind !== 'sync' && typeof handler !== 'function') {
    throw new OptionError(kind, 'a function', handler);
  }
  if (kind === 'sync' && typeof handler !== 'string' && (typeof handler !== 'object' || handler === null)) {
    throw new OptionError(kind, 'the URL or path of a module, or { module, threads, ... }', handler);
  }
}

function integer(option: string, value: unknown, fallback: number, min: number, max: number): number {
  if (value === undefined) {
    return fallback;
  }
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new OptionError(option, `an integer from ${min} to ${max}`, value);
  }
  return value;
}

function flag(option: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new OptionError(option, 'true or false', value);
  }
  return value ?? false;
}

function text(option: string, value: unknown, fallback: string, mayBeEmpty: boolean): string {
  if (value === undefined) {
    return fallback;
  }
  if (typeof value !== 'string' || value.includes('\0') || (!mayBeEmpty && value === '')) {
    throw new OptionError(option, mayBeEmpty ? 'a string' : 'a string that is not empty', value);
  }
  return value;
}

function group<T extends Limits | Timeouts>(
  name: string,
  given: unknown,
  defaults: Readonly<T>,
  ranges: Readonly<Record<string, readonly [min: number, max: number]>>,
): T {
  if (given === undefined) {
    return { ...defaults };
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new OptionError(name, 'an object', given);
  }
  const result: Record<string, number> = { ...(defaults as unknown as Record<string, number>) };
  for (const [key, value] of Object.entries(given)) {
    const fallback = Object.hasOwn(defaults, key) ? result[key] : undefined;
    if (fallback === undefined) {
      throw new OptionError(`${name}.${key}`, `no such option; known are ${Object.keys(defaults).join(', ')}`);
    }
    const [min, max] = ranges[key] ?? [0, MAX_INT32];
    result[key] = integer(`${name}.${key}`, value, fallback, min, max);
  }
  return result as unknown as T;
}
