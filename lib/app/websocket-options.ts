/** serve({ websocket }): its hooks and limits, checked one by one. */
import { OptionError } from '../errors.js';
import type { Request } from '../http/request.js';
import { DEFAULT_SESSION_OPTIONS, type SessionOptions } from '../ws/contract.js';
import type { PerMessageDeflateOptions } from '../ws/handshake.js';
import type { FetchContext, FetchResult } from './fetch-app.js';
import type { ServerWebSocket } from './server-websocket.js';

/** What an `upgrade` hook accepts with. */
export interface WebSocketAcceptance<Data = unknown> {
  /** Becomes `ws.data`. */
  readonly data?: Data;
  /** One of those that the client offered. Default: the first of `protocols` among them. */
  readonly protocol?: string;
  /** Fields of the answer. */
  readonly headers?: Record<string, string>;
}

/** True, or nothing: accepted. False: 403. A Response: the answer instead. */
export type UpgradeResult<Data = unknown> = WebSocketAcceptance<Data> | FetchResult | boolean | undefined;

/** Hooks may be async; the next message does not wait for them. What they throw goes to `onError`, and closes the WebSocket with 1011. */
// biome-ignore lint/suspicious/noExplicitAny: `data` is what the application's upgrade hook returns
export interface WebSocketOptions<Data = any> {
  /** Default: every valid handshake is accepted. */
  upgrade?(request: Request, ctx: FetchContext): UpgradeResult<Data> | Promise<UpgradeResult<Data>>;
  open?(ws: ServerWebSocket<Data>): unknown;
  /** Text as string, binary as Buffer or, by `binaryType`, ArrayBuffer. */
  message?(ws: ServerWebSocket<Data>, data: string | Buffer | ArrayBuffer, isBinary: boolean): unknown;
  /** A message larger than `streamAboveBytes`, as it comes; `message` is not called for it. It has to be read to its end. */
  stream?(ws: ServerWebSocket<Data>, chunks: AsyncIterable<Buffer>, isBinary: boolean): unknown;
  /** The pong has been sent. */
  ping?(ws: ServerWebSocket<Data>, data: Buffer): unknown;
  pong?(ws: ServerWebSocket<Data>, data: Buffer): unknown;
  /** After `send` returned false: go on. */
  drain?(ws: ServerWebSocket<Data>): unknown;
  /** The last one. 1005: the peer gave no code; 1006: it sent no close frame. */
  close?(ws: ServerWebSocket<Data>, code: number, reason: string): unknown;
  /** The connection is being failed: a WebSocketError with its code and closeCode. */
  error?(ws: ServerWebSocket<Data>, error: Error): unknown;

  /** In the server's order of preference. */
  protocols?: readonly string[] | undefined;
  binaryType?: 'buffer' | 'arraybuffer' | undefined;
  /** Default 1048576. 0: none, here and below. */
  maxPayloadBytes?: number | undefined;
  /** Default 1024. */
  maxFragments?: number | undefined;
  /** Default 1048576. */
  maxBufferedBytes?: number | undefined;
  /** Only with `stream`. Default 65536. */
  streamAboveBytes?: number | undefined;
  /** Milliseconds, as those below. Default 120000. */
  idleTimeout?: number | undefined;
  /** Default 30000. */
  pingInterval?: number | undefined;
  /** Default 30000. */
  closeTimeout?: number | undefined;
  /** Default false. */
  perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
}

const HOOKS = ['upgrade', 'open', 'message', 'stream', 'ping', 'pong', 'drain', 'close', 'error'] as const;

const NUMBERS = {
  maxPayloadBytes: DEFAULT_SESSION_OPTIONS.maxPayloadBytes,
  maxFragments: DEFAULT_SESSION_OPTIONS.maxFragments,
  maxBufferedBytes: DEFAULT_SESSION_OPTIONS.maxBufferedBytes,
  streamAboveBytes: 65_536,
  idleTimeout: DEFAULT_SESSION_OPTIONS.idleTimeoutMs,
  pingInterval: DEFAULT_SESSION_OPTIONS.pingIntervalMs,
  closeTimeout: DEFAULT_SESSION_OPTIONS.closeTimeoutMs,
} as const;

const KNOWN: readonly string[] = [...HOOKS, ...Object.keys(NUMBERS), 'protocols', 'binaryType', 'perMessageDeflate'];

const DEFLATE_RANGES: Record<string, readonly [number, number]> = {
  serverMaxWindowBits: [9, 15],
  clientMaxWindowBits: [9, 15],
  level: [-1, 9],
  memLevel: [1, 9],
  threshold: [0, 0x7fffffff],
};
const DEFLATE_FLAGS = ['serverNoContextTakeover', 'clientNoContextTakeover'];

export interface CheckedWebSocketOptions {
  readonly hooks: WebSocketOptions;
  /** Whether any hook but `upgrade` is there: else, beside ASGI, the application gets the WebSockets. */
  readonly hasHooks: boolean;
  readonly protocols: readonly string[];
  readonly arrayBuffers: boolean;
  readonly deflate: PerMessageDeflateOptions | null;
  readonly session: SessionOptions;
}

export function checkWebSocketOptions(given: unknown): CheckedWebSocketOptions {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new OptionError('websocket', 'an object', given);
  }
  const options = given as WebSocketOptions & Record<string, unknown>;
  for (const key of Object.keys(options)) {
    if (!KNOWN.includes(key)) {
      throw new OptionError(`websocket.${key}`, `no such option; known are ${KNOWN.join(', ')}`);
    }
  }
  for (const hook of HOOKS) {
    if (options[hook] !== undefined && typeof options[hook] !== 'function') {
      throw new OptionError(`websocket.${hook}`, 'a function', options[hook]);
    }
  }
  const { protocols = [], binaryType = 'buffer' } = options;
  if (!Array.isArray(protocols) || protocols.some((protocol) => typeof protocol !== 'string')) {
    throw new OptionError('websocket.protocols', 'an array of strings', protocols);
  }
  if (binaryType !== 'buffer' && binaryType !== 'arraybuffer') {
    throw new OptionError('websocket.binaryType', "'buffer' or 'arraybuffer'", binaryType);
  }
  const number = (key: keyof typeof NUMBERS): number =>
    integer(`websocket.${key}`, options[key] ?? NUMBERS[key], 0, 0x7fffffff);
  const streamAboveBytes = number('streamAboveBytes');
  return {
    hooks: options,
    hasHooks: HOOKS.some((hook) => hook !== 'upgrade' && options[hook] !== undefined),
    protocols,
    arrayBuffers: binaryType === 'arraybuffer',
    deflate: checkDeflate(options.perMessageDeflate),
    session: {
      ...DEFAULT_SESSION_OPTIONS,
      maxPayloadBytes: number('maxPayloadBytes'),
      maxFragments: number('maxFragments'),
      maxBufferedBytes: number('maxBufferedBytes'),
      idleTimeoutMs: number('idleTimeout'),
      pingIntervalMs: number('pingInterval'),
      closeTimeoutMs: number('closeTimeout'),
      partsAboveBytes: options.stream === undefined ? Number.POSITIVE_INFINITY : streamAboveBytes,
    },
  };
}

function checkDeflate(given: unknown): PerMessageDeflateOptions | null {
  if (given === undefined || given === false) return null;
  if (given === true) return {};
  const path = 'websocket.perMessageDeflate';
  if (typeof given !== 'object' || given === null) throw new OptionError(path, 'true, false or an object', given);
  for (const [key, value] of Object.entries(given)) {
    const range = DEFLATE_RANGES[key];
    if (range !== undefined) {
      if (value !== undefined) integer(`${path}.${key}`, value, range[0], range[1]);
    } else if (!DEFLATE_FLAGS.includes(key)) {
      const known = [...Object.keys(DEFLATE_RANGES), ...DEFLATE_FLAGS].join(', ');
      throw new OptionError(`${path}.${key}`, `no such option; known are ${known}`);
    } else if (value !== undefined && typeof value !== 'boolean') {
      throw new OptionError(`${path}.${key}`, 'true or false', value);
    }
  }
  return given;
}

function integer(option: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new OptionError(option, `an integer from ${min} to ${max}`, value);
  }
  return value;
}
