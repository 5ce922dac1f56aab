/** The state of a response made by a connection, and how it is told apart from one that is node's own. */
import type { ResponseSink } from './contract.js';
import type { HeaderField } from './outgoing-headers.js';
import type { HeadState } from './response-head.js';
import type { ServerResponse } from './server-response.js';

/** The connection; undefined where the response is node's own: made by user code, or given to another socket. */
export const kSink = Symbol('gammaloop.sink');
export const kTurnState = Symbol('gammaloop.turnState');
/** The first header field; null: none; undefined: node's own map is the truth. */
export const kFields = Symbol('gammaloop.fields');
/** `_header` is ASCII. */
export const kPlainHead = Symbol('gammaloop.plainHead');
/** What waits: for its turn, or for uncork(). */
export const kQueue = Symbol('gammaloop.queue');
/** Chunks written while corked: chunk, encoding, callback, ... */
export const kChunks = Symbol('gammaloop.chunks');
/** The connection will call back when the last bytes have left. */
export const kNoticed = Symbol('gammaloop.noticed');
/** When its last bytes were handed to the connection. */
export const kEndTick = Symbol('gammaloop.endTick');
/** Node's own response beside it (response-perf.ts). */
export const kShadow = Symbol('gammaloop.shadow');
export const kDestroyed = Symbol('gammaloop.destroyed');
export const kClosed = Symbol('gammaloop.closed');

/** The responses before it are not over. */
export const TURN_WAITING = 0;
export const TURN_MINE = 1;
/** Its last bytes have been handed to the connection. */
export const TURN_PASSED = 2;
/** They have left, or never will: it has no socket any more. */
export const TURN_DETACHED = 3;

export interface QueuedOutput {
  data: string | Uint8Array;
  encoding: string | null | undefined;
  callback: ((error?: Error | null) => void) | null | undefined;
}

/** A response as the drop-in's own code sees it. */
export interface NativeResponse extends ServerResponse, HeadState {
  [kSink]: ResponseSink | undefined;
  [kTurnState]: number;
  [kFields]: HeaderField | null | undefined;
  [kPlainHead]: boolean;
  [kQueue]: QueuedOutput[] | null;
  [kChunks]: unknown[] | null;
  [kNoticed]: boolean;
  [kEndTick]: number;
  [kShadow]: object | null;
  [kDestroyed]: boolean;
  [kClosed]: boolean;
  statusMessage: string;
  outputSize: number;
  finished: boolean;
  _events: Record<string | symbol, unknown> | undefined;
  _trailer: string;
  _implicitHeader(): void;
  _finish(): void;
  _onPendingData(delta: number): void;
  // Under node's private names (node-response.ts).
  // biome-ignore lint/suspicious/noExplicitAny: their types differ
  [key: symbol]: any;
}
