/**
 * What waits to be sent on one connection of the drop-in. Native memory takes a bounded part of it (copied); the rest stays here, by reference. A write is
 * over once native memory has all of it: that leaves in this turn, together with what else is written in it, or as soon as the system takes it.
 */
import type { WireConnection } from '../../backend/wire.js';
import type { Done } from './node-parts.js';

/** In native memory and not yet with the system, at most (about). */
const WINDOW_BYTES = 256 * 1024;
const PIECE_BYTES = 64 * 1024;

interface Piece {
  readonly bytes: Uint8Array;
  offset: number;
  readonly done: Done | null;
}

export class Outgoing {
  readonly #wire: WireConnection;
  /** Bytes that have left, as far as is known; modulo 2^32 as `wire.position`. */
  #sent = 0;
  #queue: Piece[] = [];
  #queuedBytes = 0;
  #isPumping = false;
  #isNotified = false;
  #whenSent: (() => void) | null = null;

  constructor(wire: WireConnection) {
    this.#wire = wire;
  }

  /** Bytes that have not left, as far as is known. */
  get length(): number {
    return ((this.#wire.position - this.#sent) >>> 0) + this.#queuedBytes;
  }

  /** Something waits here: the system does not take it. */
  get isStuck(): boolean {
    return this.#queue.length > 0 || this.#whenSent !== null;
  }

  /** `latin1`, then `body` (text as UTF-8), to native memory. Returns the number of bytes; -1: it has no room for them now. */
  write(latin1: string, body: string | Uint8Array): number {
    const wire = this.#wire;
    if (this.#queue.length > 0 || latin1.length + body.length > PIECE_BYTES || !this.#hasRoom()) return -1;
    const before = wire.position;
    if (typeof body === 'string' || latin1 !== '') wire.write(latin1, body, 0);
    else this.#hand(body);
    return (wire.position - before) >>> 0;
  }

  /** What did not fit. `done` is called once; perhaps before this returns. */
  enqueue(bytes: Uint8Array, done: Done | null): void {
    this.#queue.push({ bytes, offset: 0, done });
    this.#queuedBytes += bytes.length;
    this.#pump();
  }

  /** Hands the system what it takes now. True: that was all, or nothing will leave any more. */
  flush(): boolean {
    this.#learn(this.#wire.flush());
    return this.length === 0;
  }

  /** Once all has left. */
  whenSent(callback: () => void): void {
    this.#whenSent = callback;
    this.#notify();
  }

  onFlushed(position: number): void {
    this.#isNotified = false;
    this.#learn(position);
    this.#pump();
    if (this.#whenSent === null) return;
    if (this.length > 0) {
      this.#notify();
      return;
    }
    const callback = this.#whenSent;
    this.#whenSent = null;
    callback();
  }

  /** What is not in native memory will not leave. Returns what tells those who wait for it. */
  abandon(error: Error): () => void {
    const failed = this.#queue;
    const whenSent = this.#whenSent;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#whenSent = null;
    return () => {
      for (const { done } of failed) done?.(error);
      whenSent?.();
    };
  }

  #hand(bytes: Uint8Array): void {
    if (this.#wire.send(bytes) === bytes.length) this.#sent = this.#wire.position;
  }

  #hasRoom(): boolean {
    if ((this.#wire.position - this.#sent) >>> 0 < WINDOW_BYTES) return true;
    this.#learn(this.#wire.sentBytes());
    return (this.#wire.position - this.#sent) >>> 0 < WINDOW_BYTES;
  }

  /** -1: the connection is gone, as will be told. */
  #learn(sent: number): void {
    this.#sent = sent < 0 ? this.#wire.position : sent;
  }

  #notify(): void {
    if (this.#isNotified) return;
    this.#isNotified = true;
    this.#wire.notify();
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#queue.length > 0) {
      if (!this.#hasRoom()) {
        this.#learn(this.#wire.flush());
        if (!this.#hasRoom()) {
          this.#notify();
          break;
        }
      }
      const piece = this.#queue[0] as Piece;
      const end = Math.min(piece.offset + PIECE_BYTES, piece.bytes.length);
      this.#hand(piece.bytes.subarray(piece.offset, end));
      this.#queuedBytes -= end - piece.offset;
      piece.offset = end;
      if (end < piece.bytes.length) continue;
      this.#queue.shift();
      piece.done?.();
    }
    this.#isPumping = false;
  }
}
