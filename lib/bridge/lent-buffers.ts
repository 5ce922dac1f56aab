/**
 * Buffers that native code receives large bodies into, so that these come without a copy: a record says where in which buffer a piece stands. What is
 * handed out is the program's own: a buffer is never written to again where a piece of it was, and is replaced after its last piece.
 */
import { markAsUntransferable } from 'node:worker_threads';
import type { NativeEngine } from './binding.js';
import {
  BODY_BYTES,
  BODY_LENGTH_OFFSET,
  BODY_LENT_FLAG,
  BODY_LENT_LAST_FLAG,
  BODY_LENT_SLOT_OFFSET,
  BODY_LENT_START_OFFSET,
  LENT_BUFFER_BYTES,
  LENT_BUFFER_COUNT,
} from './records.js';
import type { RingMemory } from './submission-writer.js';

/** A body of which so much comes in one piece is worth lending for, and data. */
const BULK_BYTES = LENT_BUFFER_BYTES / 4;
const DATA_BYTES = 1024;
/** What is lent while pieces come that fill half of a buffer: a message in one piece costs less than one in two. */
const LARGE_BUFFER_BYTES = 4 * LENT_BUFFER_BYTES;

// Of a BODY record. The compiler folds the constants of a module, and looks up those that are imported each time.
const HEAD_BYTES = BODY_BYTES;
const LENGTH_WORD = BODY_LENGTH_OFFSET >>> 2;
const SLOT_WORD = BODY_LENT_SLOT_OFFSET >>> 2;
const START_WORD = BODY_LENT_START_OFFSET >>> 2;
const LENT_FLAG = BODY_LENT_FLAG;
const LAST_FLAG = BODY_LENT_LAST_FLAG;

/** Who takes bytes where they stand, from `start` to `end` of `memory`: for good where `isOwn`, else until it returns. */
export interface PlaceReceiver {
  onBytes(memory: Buffer, start: number, end: number, isOwn: boolean): void;
}

/** The class whose prototype is Buffer's: its constructor costs less than half of `Buffer.from` or `subarray`, which check what is known here. */
const NodeBuffer = (
  Buffer as unknown as { [Symbol.species]: new (memory: ArrayBufferLike, start: number, length: number) => Buffer }
)[Symbol.species];

/** Of the memory that viewOf was asked for last: many views are of one, and to ask a Buffer for these costs as much as to make a view. */
let latest: Buffer = Buffer.alloc(0);
let latestBuffer = latest.buffer;
let latestOffset = 0;

/** The bytes from `start` to `end` of `memory`, where they stand. */
export function viewOf(memory: Buffer, start: number, end: number): Buffer {
  if (memory !== latest) {
    latest = memory;
    latestBuffer = memory.buffer;
    latestOffset = memory.byteOffset;
  }
  return new NodeBuffer(latestBuffer, latestOffset + start, end - start);
}

/** What PlaceReceiver was given, to keep. */
export function ownBytes(memory: Buffer, start: number, end: number, isOwn: boolean): Buffer {
  if (isOwn) return start === 0 && end === memory.length ? memory : viewOf(memory, start, end);
  const copy = Buffer.allocUnsafe(end - start);
  memory.copy(copy, 0, start, end);
  return copy;
}

/** Less than 32 MiB, above which glibc learns nothing. */
const FREED_BLOCK_BYTES = 24 * 1024 * 1024;

/**
 * Used buffers go back to malloc by the garbage collector, tens of megabytes at a time. glibc gives so much back to the system, and faults it in again page by
 * page, until a block of such a size has been freed: its thresholds follow (mallopt(3), M_MMAP_THRESHOLD), unless they were set by hand. This is one, which nobody
 * touches, so that it never is in memory. Another malloc takes no notice.
 */
function keepFreedMemory(): void {
  Buffer.allocUnsafeSlow(FREED_BLOCK_BYTES);
}

/** Node 22 marks memory for messages only: ArrayBuffer.prototype.transfer moves it all the same. */
const isMovedByTransfer = (() => {
  const trial = new ArrayBuffer(1);
  markAsUntransferable(trial);
  try {
    (trial as { transfer?(): ArrayBuffer }).transfer?.();
  } catch {} // refused, as it should be
  return trial.byteLength === 0;
})();

function refuseTransfer(): never {
  throw new TypeError(
    'ArrayBuffer is not detachable: what the engine receives stands in it. Copy the part that is to move',
  );
}

/** Native code goes on receiving into `memory` while a program has pieces: it may not move away with one of them. */
function keepInPlace(memory: ArrayBufferLike): void {
  markAsUntransferable(memory);
  if (!isMovedByTransfer) return;
  const refusing = { value: refuseTransfer };
  Object.defineProperties(memory, { transfer: refusing, transferToFixedLength: refusing });
}

export class LentBuffers {
  readonly #engine: NativeEngine;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #lent: Buffer[] = [];
  /** Slots to lend for, in the order in which they were used up. */
  readonly #wanted: number[] = [];
  /** Of the pieces that came since the latest lending, the largest's length. */
  #largest = 0;

  constructor(engine: NativeEngine, completions: RingMemory) {
    this.#engine = engine;
    this.#bytes = completions.bytes;
    this.#words = completions.words;
  }

  /** The bytes of a BODY record (or one of its layout) at byte `at`, word `word` of the ring. The ring's memory is reused after the batch. */
  read(flags: number, at: number, word: number): Buffer {
    const words = this.#words;
    const length = words[word + LENGTH_WORD] as number;
    if ((flags & LENT_FLAG) === 0) {
      if (length >= BULK_BYTES) this.#begin();
      return ownBytes(this.#bytes, at + HEAD_BYTES, at + HEAD_BYTES + length, false);
    }
    const start = words[word + START_WORD] as number;
    return viewOf(this.#bufferOf(flags, word, length), start, start + length);
  }

  /** The same without a copy: tells `receiver` where they stand. */
  pass(receiver: PlaceReceiver, flags: number, at: number, word: number): void {
    const length = this.#words[word + LENGTH_WORD] as number;
    if ((flags & LENT_FLAG) === 0) {
      if (length >= DATA_BYTES) this.#begin();
      receiver.onBytes(this.#bytes, at + HEAD_BYTES, at + HEAD_BYTES + length, false);
      return;
    }
    const start = this.#words[word + START_WORD] as number;
    receiver.onBytes(this.#bufferOf(flags, word, length), start, start + length, true);
  }

  /** Where a piece stands that was received in a buffer that was lent. */
  #bufferOf(flags: number, word: number, length: number): Buffer {
    if (length > this.#largest) this.#largest = length;
    const slot = this.#words[word + SLOT_WORD] as number;
    if ((flags & LAST_FLAG) !== 0) this.#wanted.push(slot);
    return this.#lent[slot] as Buffer;
  }

  /** After a batch. */
  replenish(): void {
    if (this.#wanted.length === 0) return;
    while (this.#wanted.length > 0) this.#lend(this.#wanted.shift() as number);
    this.#largest = 0;
  }

  /** With the first piece that is worth it: a server that gets none needs no buffers. */
  #begin(): void {
    if (this.#lent.length > 0) return;
    keepFreedMemory();
    for (let slot = 0; slot < LENT_BUFFER_COUNT; slot++) this.#lend(slot);
  }

  #lend(slot: number): void {
    const isLarge = this.#largest >= LENT_BUFFER_BYTES / 2;
    const buffer = Buffer.allocUnsafeSlow(isLarge ? LARGE_BUFFER_BYTES : LENT_BUFFER_BYTES);
    keepInPlace(buffer.buffer);
    this.#lent[slot] = buffer;
    this.#engine.lend(slot, buffer);
  }
}
