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

/** A body of which so much comes in one piece is worth lending for; nothing smaller is received in a buffer that was lent. */
export const BULK_BYTES = LENT_BUFFER_BYTES / 4;

export class LentBuffers {
  readonly #engine: NativeEngine;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #lent: ArrayBufferLike[] = [];
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
      if (length >= BULK_BYTES && this.#lent.length === 0) this.#begin();
      const chunk = Buffer.allocUnsafe(length);
      this.#bytes.copy(chunk, 0, at + BODY_BYTES, at + BODY_BYTES + length);
      return chunk;
    }
    const slot = words[word + (BODY_LENT_SLOT_OFFSET >>> 2)] as number;
    if ((flags & BODY_LENT_LAST_FLAG) !== 0) this.#wanted.push(slot);
    return Buffer.from(
      this.#lent[slot] as ArrayBufferLike,
      words[word + (BODY_LENT_START_OFFSET >>> 2)] as number,
      length,
    );
  }

  /** After a batch. */
  replenish(): void {
    for (const slot of this.#wanted) this.#lend(slot);
    this.#wanted.length = 0;
  }

  /** With the first large body: a server that gets none needs no buffers. */
  #begin(): void {
    for (let slot = 0; slot < LENT_BUFFER_COUNT; slot++) this.#lend(slot);
  }

  #lend(slot: number): void {
    const buffer = Buffer.allocUnsafeSlow(LENT_BUFFER_BYTES);
    this.#lent[slot] = buffer.buffer;
    this.#engine.lend(slot, buffer);
  }
}
