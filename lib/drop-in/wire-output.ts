/**
 * What waits to be sent on one connection: responses and raw writes, in the order of the calls. Native memory takes a bounded part of it (copied);
 * the rest stays here, by reference, until that has left.
 */
import { AsyncResource } from 'node:async_hooks';
import type { WireConnection } from '../backend/wire.js';
import { WIRE_WRITE_CLOSE_FLAG, WIRE_WRITE_NOTIFY_FLAG } from '../bridge/records.js';
import type { SocketOutput, WriteCallback } from './contract.js';
import type { FedTransport } from './fed-transport.js';
import { writeAfterDestroyError } from './wire-errors.js';

/** In native memory and not yet with the system, at most (about). */
const WINDOW_BYTES = 256 * 1024;
const PIECE_BYTES = 64 * 1024;

interface Piece {
  readonly bytes: Uint8Array;
  offset: number;
  readonly flags: number;
  readonly done: PendingWrite | null;
}

/** A callback, in the async context of the call that wrote. */
class PendingWrite extends AsyncResource {
  readonly callback: WriteCallback;
  /** Of the last byte; known once native memory has it. */
  position = 0;

  constructor(callback: WriteCallback) {
    super('WRITEWRAP', { requireManualDestroy: true });
    this.callback = callback;
  }

  /** What it throws reaches the process as from any other callback, and stops none of the others. */
  call(error: Error | null): void {
    try {
      this.runInAsyncScope(this.callback, undefined, error);
    } catch (thrown) {
      process.nextTick(rethrow, thrown);
    }
  }
}

export class WireOutput implements SocketOutput {
  readonly #wire: WireConnection;
  readonly #fed: FedTransport | null;
  /** As far as is known; modulo 2^32 as `wire.position`. */
  #flushed = 0;
  #queue: Piece[] = [];
  #queuedBytes = 0;
  #pending: PendingWrite[] = [];
  #shutsDown = false;
  #whenShut: PendingWrite | null = null;
  #willSettle = false;
  #gone = false;
  /** Its end has been written. */
  #closes = false;
  #isCorked = false;

  constructor(wire: WireConnection, fed: FedTransport | null) {
    this.#wire = wire;
    this.#fed = fed;
  }

  /** Written and, as far as is known, not yet handed to the system. */
  get length(): number {
    return ((this.#wire.position - this.#flushed) >>> 0) + this.#queuedBytes;
  }

  get bytesWritten(): number {
    return this.#wire.position;
  }

  get isSubmitted(): boolean {
    return this.#queue.length === 0;
  }

  /** `length`, having asked. */
  measure(): number {
    if (this.#wire.position !== this.#flushed) this.#learn(this.#sentBytes());
    return this.length;
  }

  /** Hands the system what it takes now. */
  flush(): void {
    this.#wire.flush();
    this.#learn(this.#sentBytes());
    if (this.#queue.length > 0) this.#pump();
  }

  /** For the rest of the tick, where nothing waits yet: a connection that is destroyed within it sends nothing of what was written. */
  cork(): void {
    if (this.#isCorked || this.measure() > 0) return;
    this.#isCorked = true;
    process.nextTick(uncork, this);
  }

  get isCorked(): boolean {
    return this.#isCorked;
  }

  uncork(): void {
    this.#isCorked = false;
  }

  /** `head` as latin1, `body` as UTF-8 where it is text; flags: WIRE_WRITE_*. */
  write(head: string, body: string | Uint8Array, flags: number, callback: WriteCallback | null): void {
    const wire = this.#wire;
    if ((flags & WIRE_WRITE_CLOSE_FLAG) !== 0) this.#closes = true;
    if (this.#gone) {
      if (callback !== null) process.nextTick(callback, writeAfterDestroyError());
      return;
    }
    const done = callback === null ? null : new PendingWrite(callback);
    if (this.#queue.length === 0 && head.length + body.length <= PIECE_BYTES && this.#hasRoom()) {
      wire.write(head, body, flags);
      if (done !== null) this.#await(done);
      return;
    }
    if (head !== '') this.#enqueue(Buffer.from(head, 'latin1'), 0, null);
    this.#enqueue(typeof body === 'string' ? Buffer.from(body) : body, flags, done);
    this.#pump();
  }

  /** FIN after all of it. `callback`: when it has left, and as from libuv not in this turn: what is written after end() in it is an error that comes before 'finish'. */
  shutdown(callback: WriteCallback | null): void {
    this.#closes = true;
    if (this.#queue.length === 0) this.#wire.shutdown();
    else this.#shutsDown = true;
    if (callback === null) return;
    this.#whenShut = new PendingWrite(callback);
    this.#wire.notify();
  }

  /** Calls back once all of it has left; never before this returns. */
  whenFlushed(callback: WriteCallback): void {
    if (this.measure() === 0) process.nextTick(callback, null);
    else this.write('', '', 0, callback);
  }

  /** A notification of the engine, or of the transport. */
  onFlushed(position: number): void {
    this.#learn(position);
    if (this.#queue.length > 0) this.#pump();
    this.#callBack();
    const whenShut = this.#whenShut;
    if (whenShut === null) return;
    if (this.length > 0) {
      this.#wire.notify();
      return;
    }
    this.#whenShut = null;
    whenShut.call(null);
  }

  /** In the tick after a write with a callback: what the system takes at once, as it nearly always does, is told at once, as node tells it. */
  settle(): void {
    this.#willSettle = false;
    if (this.#pending.length === 0) return;
    this.flush();
    // Here and not in flush(), which programs' own calls reach: this runs handlers.
    if (this.#fed !== null) this.#wire.loop.engine.settle();
    this.#callBack();
    if (this.#pending.length > 0 && this.#fed === null) this.#wire.notify();
  }

  #callBack(): void {
    while (this.#pending.length > 0 && this.#hasLeft((this.#pending[0] as PendingWrite).position)) {
      (this.#pending.shift() as PendingWrite).call(null);
    }
  }

  /** Nothing more will leave. `inOrder`: the connection was not cut, so where its end was written, all of it has. */
  abandon(inOrder: boolean): void {
    if (inOrder) this.#learn(this.#sentBytes());
    this.#callBack();
    this.#gone = true;
    const failed = this.#pending;
    for (const { done } of this.#queue) if (done !== null) failed.push(done);
    const whenShut = this.#whenShut;
    this.#whenShut = null;
    this.#pending = [];
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#flushed = this.#wire.position;
    for (const write of failed) write.call(writeAfterDestroyError());
    // As node, which asks not how shutdown ended: the end of the connection is told by itself.
    whenShut?.call(null);
  }

  /** On a fed connection the transport's word counts: to the engine, what it has handed over has left. */
  #sentBytes(): number {
    return this.#fed === null ? this.#wire.sentBytes() : this.#fed.sentBytes;
  }

  #hasRoom(): boolean {
    if ((this.#wire.position - this.#flushed) >>> 0 < WINDOW_BYTES) return true;
    this.#learn(this.#sentBytes());
    return (this.#wire.position - this.#flushed) >>> 0 < WINDOW_BYTES;
  }

  /** -1: the connection is gone, as onClosed will tell; after its end was written, because all of it has left. */
  #learn(position: number): void {
    if (position >= 0) this.#flushed = position;
    else if (this.#closes && this.#queue.length === 0) this.#flushed = this.#wire.position;
  }

  #hasLeft(position: number): boolean {
    return (this.#flushed - position) >>> 0 < 0x8000_0000;
  }

  #await(done: PendingWrite): void {
    done.position = this.#wire.position;
    this.#pending.push(done);
    if (this.#willSettle) return;
    this.#willSettle = true;
    process.nextTick(settle, this);
  }

  #enqueue(bytes: Uint8Array, flags: number, done: PendingWrite | null): void {
    this.#queue.push({ bytes, offset: 0, flags, done });
    this.#queuedBytes += bytes.byteLength;
  }

  #pump(): void {
    while (this.#queue.length > 0) {
      if (!this.#hasRoom()) {
        if (this.#isCorked) return;
        const before = this.#flushed;
        this.#wire.flush();
        this.#learn(this.#sentBytes());
        // The pieces asked for notice: it goes on there.
        if (this.#flushed === before) return;
        continue;
      }
      const piece = this.#queue[0] as Piece;
      const end = Math.min(piece.offset + PIECE_BYTES, piece.bytes.byteLength);
      const isLast = end === piece.bytes.byteLength;
      const flags = isLast ? piece.flags | WIRE_WRITE_NOTIFY_FLAG : WIRE_WRITE_NOTIFY_FLAG;
      this.#wire.write('', piece.bytes.subarray(piece.offset, end), flags);
      this.#queuedBytes -= end - piece.offset;
      piece.offset = end;
      if (!isLast) continue;
      this.#queue.shift();
      if (piece.done !== null) this.#await(piece.done);
    }
    if (this.#shutsDown) this.#wire.shutdown();
    this.#shutsDown = false;
  }
}

function settle(output: WireOutput): void {
  output.settle();
}

function uncork(output: WireOutput): void {
  output.uncork();
}

function rethrow(error: unknown): never {
  throw error;
}
