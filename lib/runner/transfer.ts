/**
 * Moving instead of copying. A value with a transfer list goes one of two ways. Array buffers up to a size are taken from the sender and
 * their bytes put into a buffer of the receiver's: that costs less than messages and their wake-ups, and a job whose worker dies
 * before it began has them still. Everything else (large buffers, ports, what only structured cloning knows) goes as a message.
 */
import * as workerThreads from 'node:worker_threads';
import { OptionError, PayloadError } from '../errors.js';

/** Arguments above this, in all, cost less by message: each worker copies them once. */
const LEND_BYTES = 256 * 1024;
/** Results above this, in all, that do not fit into the buffers that came: they are copied twice, into new memory. */
const COPY_BYTES = 32 * 1024;

const TRANSFERRED = Symbol.for('gammaloop.runner.transferred');

interface Transferred {
  readonly [TRANSFERRED]: true;
  readonly value: unknown;
  readonly list: readonly object[];
}

/** For a task to return: `value`, of which the objects in `list` are moved to the caller, not copied. */
export function transfer<T>(value: T, list: readonly object[]): T {
  checkTransferList(list);
  return { [TRANSFERRED]: true, value, list } as unknown as T;
}

export function asTransferred(value: unknown): Transferred | null {
  return typeof value === 'object' && value !== null && TRANSFERRED in value ? (value as Transferred) : null;
}

export function checkTransferList(list: unknown): asserts list is readonly object[] {
  if (!Array.isArray(list) || list.some((item) => typeof item !== 'object' || item === null)) {
    throw new OptionError('transfer', 'an array of transferable objects', list);
  }
}

const isMarked = (workerThreads as { isMarkedAsUntransferable?: (item: object) => boolean }).isMarkedAsUntransferable;

/**
 * Whether a task may have the caller's memory itself, instead of a copy. A buffer over it can be given back, but not moved elsewhere: where
 * a transfer list is refused for that, rather than ignored, tasks would fail by it. There moving costs little, too (takeOne).
 */
export const CAN_SHOW_LENT = isMarked === undefined;

/** The buffers of a task's transfer list are lent to the worker, which costs less than messages. */
export function canBeLent(list: readonly object[]): list is readonly ArrayBuffer[] {
  return list.every(canBeTaken) && bytesIn(list) <= LEND_BYTES;
}

/** Those of a result are copied, which costs less than a message. `room`: bytes that have been lent for the task. */
export function canBeReturned(list: readonly object[], room: number): list is readonly ArrayBuffer[] {
  return list.every(canBeTaken) && bytesIn(list) <= Math.max(COPY_BYTES, room);
}

/**
 * Node's own pool must never be taken, nor what its user has marked: a message refuses it, as it does length-tracking views. Before
 * 21 node does not say what is marked, and any buffer of the pool's size may be it.
 */
export function canBeTaken(item: object): item is ArrayBuffer {
  return item instanceof ArrayBuffer && !(item as { resizable?: boolean }).resizable && !isKept(item);
}

function isKept(buffer: ArrayBuffer): boolean {
  return isMarked === undefined ? buffer.byteLength === Buffer.poolSize : isMarked(buffer);
}

/** Throws PayloadError for what has been moved before, as node does from 21 on. */
export function checkAttached(list: readonly object[]): void {
  for (const item of list) {
    if (item instanceof ArrayBuffer && item.byteLength === 0) {
      try {
        new Uint8Array(item);
      } catch (error) {
        throw new PayloadError('A buffer of the transfer list has been moved already', { cause: error });
      }
    }
  }
}

/** Throws PayloadError, as a message does. */
export function checkDistinct(list: readonly object[]): void {
  if (list.length > 1 && new Set(list).size < list.length) {
    throw new PayloadError('A buffer of the transfer list is there twice');
  }
}

export function bytesIn(buffers: readonly ArrayBuffer[]): number {
  let total = 0;
  for (const { byteLength } of buffers) {
    total += byteLength;
  }
  return total;
}

/** The sender has them no more: they are detached, all or none, and their memory is that of those returned. Throws PayloadError. */
export function takeAway(list: readonly ArrayBuffer[]): ArrayBuffer[] {
  try {
    return list.length === 1
      ? [takeOne(list[0] as MovableBuffer)]
      : structuredClone(list as ArrayBuffer[], { transfer: list as ArrayBuffer[] });
  } catch (error) {
    throw new PayloadError('A buffer of the transfer list cannot be moved', { cause: error });
  }
}

/** Node has `transfer` from 22 on. It costs a tenth of structured cloning. */
type MovableBuffer = ArrayBuffer & { transfer?(): ArrayBuffer };

function takeOne(buffer: MovableBuffer): ArrayBuffer {
  return buffer.transfer === undefined ? structuredClone(buffer, { transfer: [buffer] }) : buffer.transfer();
}

/** A value, with the moved objects in it, as the other side of a message would get it. */
export interface Snapshot {
  readonly value: unknown;
  readonly transfer: readonly object[];
}

/** Taken at once, to be posted later. Throws node's DataCloneError. */
export function takeSnapshot(value: unknown, list: readonly object[]): Snapshot {
  return structuredClone({ value, transfer: list }, { transfer: list as never });
}
