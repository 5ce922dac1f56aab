/**
 * What a request of a connection of ours is made of, and how its stream's state comes to be when somebody first looks at it.
 */
import type { AsyncResource } from 'node:async_hooks';
import type http from 'node:http';
import { Readable } from 'node:stream';
import type { RequestHooks, RequestSource } from './contract.js';

export const kSource = Symbol('gammaloop.source');
export const kText = Symbol('gammaloop.text');
export const kHeaderCount = Symbol('gammaloop.headerCount');
export const kTargetLength = Symbol('gammaloop.targetLength');
export const kVersionMinor = Symbol('gammaloop.versionMinor');
export const kStage = Symbol('gammaloop.stage');
export const kBody = Symbol('gammaloop.body');
export const kHeldBytes = Symbol('gammaloop.heldBytes');
export const kHeaders = Symbol('gammaloop.headers');
export const kRare = Symbol('gammaloop.rare');

/** How far a request has come: bits of kStage. */
export const STREAMED = 1; // the body comes in pieces of its own
export const ARRIVED = 2; // all of it has come
export const BUILT = 4; // the stream's state exists
export const OVER = 8; // all has come and the response was sent before anybody looked: nothing will be told any more
export const CUT = 16; // the connection closed before anybody looked
export const DUMPED = 32; // node's _dumped
export const CONSUMING = 64; // node's _consuming
export const ABORTED = 128; // node's aborted
export const ENDING = 256; // all of it was pushed; its end is due after the ticks

/** What few requests need, in an object of its own. */
export interface RareParts {
  headersDistinct: Record<string, string[]> | null;
  trailers: Record<string, unknown> | null;
  trailersDistinct: Record<string, string[]> | null;
  abortController: AbortController | null;
  /** The response was sent: the signal stays as it is. */
  isDetached: boolean;
  /** Of instances of a program's own class: the scope that others are themselves. */
  scope: AsyncResource | null;
}

/** The own properties of a request, in this order. */
export interface NativeFields {
  [kSource]: RequestSource;
  [kText]: string;
  [kHeaderCount]: number;
  [kTargetLength]: number;
  [kVersionMinor]: number;
  [kStage]: number;
  /** Came with the head and was not pushed yet. */
  [kBody]: Buffer | null;
  /** Pushed, and not yet said to be consumed. */
  [kHeldBytes]: number;
  [kHeaders]: NodeJS.Dict<string | string[]> | undefined;
  [kRare]: RareParts | null;
}

/** The fields of node's stream state that are set here; the same names in every version. */
export interface ReadableState {
  readingMore: boolean;
  emittedReadable: boolean;
  resumeScheduled: boolean;
  ended: boolean;
  endEmitted: boolean;
  destroyed: boolean;
  closed: boolean;
  closeEmitted: boolean;
  errored: Error | null;
}

/** What node's class has and its types do not say. */
interface NodePrivate {
  readonly _readableState: ReadableState;
  _consuming: boolean;
  _dumped: boolean;
  _dump(): void;
  _addHeaderLine(name: string, value: string, map: object): void;
  _addHeaderLineDistinct(name: string, value: string, map: object): void;
  readonly _events: object | undefined;
}

export type Message = http.IncomingMessage &
  RequestHooks & {
    upgrade: boolean | null;
    /** Where the running node has it. */
    _dumpAndCloseReadable(): void;
  };

export type NativeRequest = Message & NativeFields & NodePrivate;

export function isNativeRequest(object: object): boolean {
  return (object as Partial<NativeFields>)[kSource] !== undefined;
}

export function rareParts(request: NativeRequest): RareParts {
  request[kRare] ??= {
    headersDistinct: null,
    trailers: null,
    trailersDistinct: null,
    abortController: null,
    isDetached: false,
    scope: null,
  };
  return request[kRare];
}

/** As an assignment where no setter stands in the way. */
export function defineOwn(object: object, key: string | symbol, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

/** Makes the stream's state as node's would be by now. */
export function buildState(request: NativeRequest): ReadableState {
  const stage = request[kStage];
  request[kStage] = stage | BUILT;
  const construct = Readable as unknown as (this: NativeRequest, options: object) => void;
  construct.call(request, { highWaterMark: request[kSource].writableHighWaterMark });
  const state = request._readableState;
  state.readingMore = true;
  if ((stage & (OVER | CUT)) !== 0) {
    closeState(state, (stage & OVER) !== 0);
  } else if ((stage & ARRIVED) !== 0) {
    // Node pushed it long ago, and its 'readable' found nobody.
    state.emittedReadable = true;
    const body = request[kBody];
    request[kBody] = null;
    if (body !== null) request.push(body);
    request.push(null);
    state.emittedReadable = false;
  } else if ((stage & DUMPED) !== 0) {
    request.resume();
  }
  return state;
}

function closeState(state: ReadableState, wasRead: boolean): void {
  state.ended = true;
  state.endEmitted = wasRead;
  state.destroyed = true;
  state.closed = true;
  state.closeEmitted = true;
  if (!wasRead) state.errored = connectionReset();
}

/** What node destroys the messages of a connection with that is gone. */
export function connectionReset(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}
