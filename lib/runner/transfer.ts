/**
 * Moving instead of copying. A value with a transfer list goes one of two ways. Array buffers up to a size are copied to shared memory and
 * taken from the sender: that costs less than a message, and a job whose worker dies before it began has them still. Everything
 * else (large buffers, ports, SharedArrayBuffers, what only structured cloning knows) goes as a message.
 */
import * as workerThreads from 'node:worker_threads';
import { OptionError, PayloadError } from '../errors.js';

/** Above this a message costs less than the copies: twice as much processor time at 16 KiB, half at 64. */
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

/** The buffers of the list can be copied and taken away, which costs less than a message. */
export function canMoveByCopy(list: readonly object[]): boolean {
  let total = 0;
  for (const item of list) {
    if (!canBeTaken(item)) {
      return false;
    }
    total += item.byteLength;
  }
  return total <= COPY_BYTES;
}

/** Buffers of the size of node's pool may be it, which must never be taken: a message refuses it. */
export function canBeTaken(item: object): item is ArrayBuffer {
  return item instanceof ArrayBuffer && item.byteLength !== Buffer.poolSize && isMarked?.(item) !== true;
}

type WithTransfer = ArrayBuffer & { transfer?: (length: number) => ArrayBuffer };

/** The sender has them no more. Throws PayloadError. */
export function takeAway(list: readonly object[]): void {
  for (const item of list as readonly WithTransfer[]) {
    if (item.byteLength === 0) {
      continue;
    }
    try {
      if (item.transfer === undefined) structuredClone(item, { transfer: [item] });
      else item.transfer(0);
    } catch (error) {
      throw new PayloadError('A buffer of the transfer list cannot be moved', { cause: error });
    }
  }
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
