/**
 * Buffers that native code receives large bodies into, so that these come without a copy: a record says where in which buffer a piece stands. What is
 * handed out is the program's own: a buffer is never written to again where a piece of it was, and is replaced after its last piece.
 */
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

/** Who takes bytes where they stand, from `start` to `end` of `memory`: for good where `isOwn`, else until it returns. */
export interface PlaceReceiver {
  onBytes(memory: Buffer, start: number, end: number, isOwn: boolean): void;
}

/** The class whose prototype is Buffer's: its constructor costs less than half of `Buffer.from` or `subarray`, which check what is known here. */
const NodeBuffer = (
  Buffer as unknown as { [Symbol.species]: new (memory: ArrayBufferLike, start: number, length: number) => Buffer }
)[Symbol.species];

/** The bytes from `start` to `end` of `memory`, where they stand. */
export function viewOf(memory: Buffer, start: number, end: number): Buffer {
  return new NodeBuffer(memory.buffer, memory.byteOffset + start, end - start);
}

/** What PlaceReceiver was given, to keep. */
export function ownBytes(memory: Buffer, start: number, end: number, isOwn: boolean): Buffer {
  if (isOwn) return start === 0 && end === memory.length ? memory : viewOf(memory, start, end);
  const copy = Buffer.allocUnsafe(end - start);
  memory.copy(copy, 0, start, end);
  return copy;
}

export class LentBuffers {
  readonly #engine: NativeEngine;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #lent: Buffer[] = [];
  /** Slots to lend for, in the order in which they were used up. */
  readonly #wanted: number[] = [];

  constructor(engine: NativeEngine, completions: RingMemory) {
    this.#engine = engine;
    this.#bytes = completions.bytes;
    this.#words = completions.words;
  }

  /** The bytes of a BODY record (or one of its layout) at byte `at`, word `word` of the ring. The ring's memory is reused after the batch. */
  read(flags: number, at: number, word: number): Buffer {
    const words = this.#words;
    const length = words[word + (BODY_LENGTH_OFFSET >>> 2)] as number;
    if ((flags & BODY_LENT_FLAG) === 0) {
      if (length >= BULK_BYTES) this.#begin();
      return ownBytes(this.#bytes, at + BODY_BYTES, at + BODY_BYTES + length, false);
    }
    const start = words[word + (BODY_LENT_START_OFFSET >>> 2)] as number;
    return viewOf(this.#bufferOf(flags, word), start, start + length);
  }

  /** The same without a copy: tells `receiver` where they stand. */
  pass(receiver: PlaceReceiver, flags: number, at: number, word: number): void {
    const length = this.#words[word + (BODY_LENGTH_OFFSET >>> 2)] as number;
    if ((flags & BODY_LENT_FLAG) === 0) {
      if (length >= DATA_BYTES) this.#begin();
      receiver.onBytes(this.#bytes, at + BODY_BYTES, at + BODY_BYTES + length, false);
      return;
    }
    const start = this.#words[word + (BODY_LENT_START_OFFSET >>> 2)] as number;
    receiver.onBytes(this.#bufferOf(flags, word), start, start + length, true);
  }

  /** Where a piece stands that was received in a buffer that was lent. */
  #bufferOf(flags: number, word: number): Buffer {
    const slot = this.#words[word + (BODY_LENT_SLOT_OFFSET >>> 2)] as number;
    if ((flags & BODY_LENT_LAST_FLAG) !== 0) this.#wanted.push(slot);
    return this.#lent[slot] as Buffer;
  }

  /** After a batch. */
  replenish(): void {
    while (this.#wanted.length > 0) this.#lend(this.#wanted.shift() as number);
  }

  /** With the first piece that is worth it: a server that gets none needs no buffers. */
  #begin(): void {
    if (this.#lent.length > 0) return;
    for (let slot = 0; slot < LENT_BUFFER_COUNT; slot++) this.#lend(slot);
  }

  #lend(slot: number): void {
    const buffer = Buffer.allocUnsafeSlow(LENT_BUFFER_BYTES);
    this.#lent[slot] = buffer;
    this.#engine.lend(slot, buffer);
  }
}
