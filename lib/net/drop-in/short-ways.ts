/**
 * The short ways of node's streams: what Readable.push and Writable.write come down to on a plain socket that flows, or that has nothing waiting to be
 * written. Their state is node's and stays as node leaves it; wherever anything is not plain, the way is node's own.
 */
import { kTimeout, NodeSocket, type SocketWithParts } from './node-parts.js';

/** What is looked at of `_readableState` and `_writableState`. */
interface ReadableParts {
  readonly flowing: boolean | null;
  readonly length: number;
  readonly reading: boolean;
  readonly sync: boolean;
  readonly ended: boolean;
  readonly errored: Error | null;
  readonly decoder: unknown;
  readonly awaitDrainWriters: unknown;
  dataEmitted: boolean;
}

interface WritableParts {
  readonly length: number;
  readonly highWaterMark: number;
  readonly corked: number;
  readonly writing: boolean;
  readonly ending: boolean;
  readonly destroyed: boolean;
  readonly errored: Error | null;
  readonly needDrain: boolean;
  readonly constructed: boolean;
  readonly defaultEncoding: string;
}

interface StreamParts {
  readonly _readableState: ReadableParts;
  readonly _writableState: WritableParts;
  readonly _events: { readonly data?: unknown };
  readonly _parent: unknown;
  readonly _read: unknown;
  readonly _write: unknown;
}

const node = NodeSocket.prototype as SocketWithParts & StreamParts;
const { push: nodePush, read: nodeRead, _read: nodeReadMore, _write: nodeWriteOne } = node;
const { write: nodeWrite, _unrefTimer: nodeUnrefTimer } = node;

/**
 * As `push`, for a socket that flows: 'data' at once. False: not for this one. Node would begin another read after it, in the next tick; here the one that is
 * under way goes on.
 */
export function emitData(socket: SocketWithParts, chunk: Buffer): boolean {
  const state = (socket as SocketWithParts & StreamParts)._readableState;
  if (
    !state.flowing ||
    state.length !== 0 ||
    !state.reading ||
    state.sync ||
    state.ended ||
    state.errored ||
    state.decoder ||
    state.awaitDrainWriters ||
    socket.push !== nodePush ||
    socket.read !== nodeRead ||
    (socket as SocketWithParts & StreamParts)._read !== nodeReadMore ||
    (socket as SocketWithParts & StreamParts)._events.data === undefined
  ) {
    return false;
  }
  state.dataEmitted = true;
  socket.emit('data', chunk);
  return true;
}

/** Whether `write` would hand `chunk` to `_writeGeneric` in this call, and have nothing else to do where that takes it at once. */
export function writesAtOnce(socket: SocketWithParts, chunk: unknown): chunk is string | Uint8Array {
  const state = (socket as SocketWithParts & StreamParts)._writableState;
  return (
    (typeof chunk === 'string' ? state.defaultEncoding === 'utf8' : chunk instanceof Uint8Array) &&
    (chunk as string | Uint8Array).length < state.highWaterMark &&
    state.length === 0 &&
    state.corked === 0 &&
    state.constructed &&
    !state.writing &&
    !state.ending &&
    !state.destroyed &&
    !state.errored &&
    !state.needDrain &&
    !socket.connecting &&
    node.write === nodeWrite &&
    (socket as SocketWithParts & StreamParts)._write === nodeWriteOne
  );
}

/** As `_unrefTimer`, which begins the timeouts anew, where there may be one. */
export function refreshTimeouts(socket: SocketWithParts): void {
  if (
    socket[kTimeout] !== null ||
    (socket as SocketWithParts & StreamParts)._parent !== null ||
    socket._unrefTimer !== nodeUnrefTimer
  ) {
    socket._unrefTimer();
  }
}
