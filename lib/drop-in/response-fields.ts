/**
 * Node gives each message some thirty own fields. A response made by a connection has those that most responses use; the others are here, on the
 * prototype: with their first value, or computed. An assignment makes an own field of each, so that a response that is node's own (whose
 * constructor assigns them all) is as on node.
 */
import {
  hasEndCallbacks,
  kCorked,
  kErrored,
  kHighWaterMark,
  kOutHeaders,
  kWritableFinished,
  NodeServerResponse,
  nodeFields,
} from './node-response.js';
import { toMap } from './outgoing-headers.js';
import { haveBytesLeft, noticeLate } from './response-end.js';
import { heldBytes } from './response-output.js';
import {
  kChunks,
  kClosed,
  kDestroyed,
  kFields,
  kNoticed,
  kQueue,
  kShadow,
  kSink,
  kTurnState,
  type NativeResponse,
  TURN_DETACHED,
  TURN_MINE,
  TURN_PASSED,
  TURN_WAITING,
} from './response-state.js';

type Getter = (response: NativeResponse) => unknown;

/** Own fields of node's that have to be computed here. */
const computed: readonly [string | symbol, Getter][] = [
  [kHighWaterMark, (response) => response[kSink]?.writableHighWaterMark],
  ['destroyed', (response) => settled(response, kDestroyed)],
  ['_closed', (response) => settled(response, kClosed)],
  ['_keepAliveTimeout', (response) => response[kSink]?.server.keepAliveTimeout],
  ['_maxRequestsPerSocket', (response) => response[kSink]?.server.maxRequestsPerSocket],
  ['outputData', (response) => response[kQueue] ?? []],
];

/** Accessors of node's that read fields which ours has not. */
const accessors: readonly [string, Getter][] = [
  ['closed', (response) => settled(response, kClosed)],
  ['connection', (response) => response.socket],
  ['errored', (response) => response[kErrored]],
  ['socket', socketOf],
  ['writableCorked', (response) => response[kCorked]],
  ['writableFinished', isFinished],
  ['writableHighWaterMark', (response) => response[kSink]?.writableHighWaterMark],
  ['writableLength', writableLengthOf],
];

export function installFields(prototype: object): void {
  for (const [key, value] of nodeFields) {
    if (key in prototype || (typeof key === 'symbol' && key.description === 'shapeMode')) continue;
    if (Array.isArray(value)) defineComputed(prototype, key, (response) => own(response, key, []));
    else defineDefault(prototype, key, value);
  }
  defineDefault(prototype, kChunks, null);
  defineDefault(prototype, kDestroyed, false);
  defineDefault(prototype, kShadow, null);
  defineDefault(prototype, kClosed, false);
  for (const [key, get] of computed) defineComputed(prototype, key, get);
  for (const [key, get] of accessors) defineAccessor(prototype, key, get);
  Object.defineProperty(prototype, kOutHeaders, {
    configurable: true,
    get(this: NativeResponse) {
      if (!this[kFields]) return null;
      const map = toMap(this[kFields]);
      this[kOutHeaders] = map;
      return map;
    },
    set(this: NativeResponse, map: unknown) {
      // From now on node's map is the truth.
      own(this, kOutHeaders, map);
      this[kFields] = undefined;
    },
  });
}

function own(object: object, key: string | symbol, value: unknown): unknown {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  return value;
}

function defineDefault(prototype: object, key: string | symbol, value: unknown): void {
  Object.defineProperty(prototype, key, { value, writable: true, configurable: true, enumerable: false });
}

function defineComputed(prototype: object, key: string | symbol, get: Getter): void {
  Object.defineProperty(prototype, key, {
    configurable: true,
    get(this: NativeResponse) {
      return this[kSink] === undefined ? undefined : get(this);
    },
    set(this: object, value: unknown) {
      own(this, key, value);
    },
  });
}

/** For a response that is node's own, node's accessor, or, where this version has none, an own field. */
function defineAccessor(prototype: object, key: string, get: Getter): void {
  let nodeProperty: PropertyDescriptor | undefined;
  for (let of: object | null = NodeServerResponse.prototype; of !== null && !nodeProperty; ) {
    nodeProperty = Object.getOwnPropertyDescriptor(of, key);
    of = Object.getPrototypeOf(of);
  }
  Object.defineProperty(prototype, key, {
    configurable: true,
    get(this: NativeResponse) {
      return this[kSink] === undefined ? nodeProperty?.get?.call(this) : get(this);
    },
    set(this: NativeResponse, value: unknown) {
      if (this[kSink] === undefined && nodeProperty) nodeProperty.set?.call(this, value);
      else own(this, key, value);
    },
  });
}

function settled(response: NativeResponse, flag: typeof kDestroyed | typeof kClosed): boolean {
  if (!response[flag] && response[kTurnState] === TURN_PASSED) haveBytesLeft(response);
  return response[flag];
}

/** Null where node's has been given none yet, or none any more. */
function socketOf(response: NativeResponse): unknown {
  const isAttached =
    response[kTurnState] === TURN_MINE || (response[kTurnState] === TURN_PASSED && !haveBytesLeft(response));
  return isAttached ? response[kSink]?.socket : null;
}

function isFinished(response: NativeResponse): boolean {
  if (!response.finished) return false;
  if (hasEndCallbacks) return response[kNoticed] ? response[kWritableFinished] : haveBytesLeft(response);
  // These versions count what the system takes at once, though 'finish' comes later.
  noticeLate(response);
  const state = response[kTurnState];
  if (state === TURN_WAITING) return false;
  response[kSink]?.flush();
  return state === TURN_DETACHED || response[kSink]?.writableLength === 0;
}

function writableLengthOf(response: NativeResponse): number {
  const kept = response.outputSize + heldBytes(response);
  const isAttached = response[kTurnState] === TURN_MINE || response[kTurnState] === TURN_PASSED;
  return isAttached ? kept + (response[kSink]?.writableLength ?? 0) : kept;
}

/** From here on it is node's own, without a socket. */
export function leaveConnection(response: NativeResponse): void {
  const fields = response as unknown as Record<string | symbol, unknown>;
  const values = new Map([...nodeFields.keys()].map((key) => [key, key === 'socket' ? null : fields[key]]));
  response[kSink] = undefined;
  response[kFields] = undefined;
  for (const [key, value] of values) own(response, key, value);
}
