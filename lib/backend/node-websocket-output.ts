/** What one WebSocket sends: the frames of a turn gathered, and written to its stream together. */
import { randomFillSync } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { ClosedError } from '../errors.js';
import { HEAD_BYTES, headBytes, writeHead } from '../ws/frame-writer.js';
import { applyMask } from '../ws/masking.js';

export type FlushCallback = (error: Error | null) => void;

const BATCH_BYTES = 4096;
const BATCH_BYTES_MAX = 16384;
/** Payloads from here on are written beside the batch instead of being copied into it. */
const APART_FROM_BYTES = 16384;
/** What is gathered in one turn; at more it is written before the turn ends. */
const WRITE_FROM_BYTES = 65536;
const MASK_POOL_BYTES = 8192;

const EMPTY = Buffer.alloc(0);

/** Outputs with frames of this turn. */
let dirty: FrameOutput[] = [];

function flushDirty(): void {
  const outputs = dirty;
  dirty = [];
  for (const output of outputs) output.flush();
}

const maskPool = Buffer.alloc(MASK_POOL_BYTES);
let maskAt = MASK_POOL_BYTES;

/** Keys that nobody can predict (RFC 6455 section 10.3). Good until the next call. */
function randomMask(): Uint8Array {
  if (maskAt === MASK_POOL_BYTES) {
    randomFillSync(maskPool);
    maskAt = 0;
  }
  maskAt += 4;
  return maskPool.subarray(maskAt - 4, maskAt);
}

export interface OutputOptions {
  /** Fills the key of each masked frame; null: with random bytes. */
  readonly generateMask: ((key: Buffer) => void) | null;
  /** Large payloads are written as they are, and must not change until they have left; else they are copied. */
  readonly sharesPayloads: boolean;
}

/** Owned by its session. */
export class FrameOutput {
  readonly #stream: Duplex;
  readonly #options: OutputOptions;
  /** What goes before `#batch`, in order. */
  #pieces: Uint8Array[] = [];
  #batch: Buffer = EMPTY;
  #batchLength = 0;
  #gatheredBytes = 0;
  #isDirty = false;
  #isOver = false;
  /** Called once what is gathered has left. */
  #callbacks: FlushCallback[] = [];
  /** The same of each write that has not ended. */
  readonly #underWay: FlushCallback[][] = [];

  constructor(stream: Duplex, options: OutputOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Gathered, or with the stream. */
  get bufferedBytes(): number {
    return this.#gatheredBytes + this.#stream.writableLength;
  }

  /** `masks`: as a client's frames are. Strings go as UTF-8. */
  frame(opcode: number, isLast: boolean, isCompressed: boolean, data: string | Uint8Array, masks: boolean): void {
    const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
    const mask = masks ? this.#nextMask() : null;
    if (mask === null && length >= APART_FROM_BYTES && typeof data !== 'string' && this.#options.sharesPayloads) {
      this.#room(HEAD_BYTES);
      this.#gathered(writeHead(this.#batch, this.#batchLength, opcode, isLast, isCompressed, length, null));
      this.encoded(data);
      return;
    }
    this.#room(headBytes(length) + (mask === null ? 0 : mask.length) + length);
    const batch = this.#batch;
    const start = writeHead(batch, this.#batchLength, opcode, isLast, isCompressed, length, mask);
    if (typeof data !== 'string') batch.set(data, start);
    else if (length === data.length) batch.latin1Write(data, start, length);
    else batch.utf8Write(data, start, length);
    if (mask !== null) applyMask(batch, start, start + length, mask, 0);
    this.#gathered(start + length);
  }

  /** Bytes of whole frames, which must not change until they have left. */
  encoded(bytes: Uint8Array): void {
    this.#closeBatch();
    this.#pieces.push(bytes);
    this.#gatheredBytes += bytes.length;
    this.#touch();
  }

  /** `callback` is called once all that was sent has left, or will not leave any more. */
  whenFlushed(callback: FlushCallback): void {
    if (this.#isOver) {
      process.nextTick(callback, new ClosedError('The WebSocket'));
      return;
    }
    if (this.#gatheredBytes === 0 && this.#stream.writableLength === 0 && this.#underWay.length === 0) {
      process.nextTick(callback, null);
      return;
    }
    this.#callbacks.push(callback);
    this.#touch();
  }

  flush(): void {
    if (!this.#isDirty) return;
    this.#isDirty = false;
    this.#closeBatch();
    const pieces = this.#pieces.length > 0 ? this.#pieces : [EMPTY];
    const callbacks = this.#callbacks;
    const stream = this.#stream;
    this.#pieces = [];
    this.#gatheredBytes = 0;
    if (this.#isOver || stream.destroyed || stream.writableEnded) {
      this.#callbacks = [];
      for (const callback of callbacks) process.nextTick(callback, new ClosedError('The WebSocket'));
      return;
    }
    let onWritten: ((error?: Error | null) => void) | undefined;
    if (callbacks.length > 0) {
      this.#callbacks = [];
      this.#underWay.push(callbacks);
      onWritten = this.#onWritten;
    }
    if (pieces.length === 1) {
      stream.write(pieces[0], onWritten);
      return;
    }
    stream.cork();
    const last = pieces.length - 1;
    for (let i = 0; i < last; i++) stream.write(pieces[i]);
    stream.write(pieces[last], onWritten);
    stream.uncork();
  }

  /** The stream has closed. Its own callbacks have been called by now, or will be. */
  close(): void {
    this.#isOver = true;
    this.#isDirty = true;
    this.flush();
  }

  readonly #onWritten = (error?: Error | null): void => {
    for (const callback of this.#underWay.shift() ?? []) guarded(callback, error ?? null);
  };

  #nextMask(): Uint8Array {
    const { generateMask } = this.#options;
    if (generateMask === null) return randomMask();
    const key = Buffer.alloc(4);
    generateMask(key);
    return key;
  }

  /** Makes room for `bytes` more: the first batch of a turn is as large as its frame, and grows while it is small. */
  #room(bytes: number): void {
    const wanted = this.#batchLength + bytes;
    if (this.#batch.length >= wanted) return;
    if (this.#batchLength === 0 || wanted > BATCH_BYTES_MAX) {
      this.#closeBatch();
      this.#batch = Buffer.allocUnsafe(bytes);
      return;
    }
    const grown = Buffer.allocUnsafe(Math.max(BATCH_BYTES, Math.min(2 * wanted, BATCH_BYTES_MAX)));
    this.#batch.copy(grown, 0, 0, this.#batchLength);
    this.#batch = grown;
  }

  #gathered(batchLength: number): void {
    this.#gatheredBytes += batchLength - this.#batchLength;
    this.#batchLength = batchLength;
    this.#touch();
  }

  #closeBatch(): void {
    if (this.#batchLength > 0) this.#pieces.push(this.#batch.subarray(0, this.#batchLength));
    this.#batch = EMPTY;
    this.#batchLength = 0;
  }

  #touch(): void {
    if (!this.#isDirty) {
      this.#isDirty = true;
      if (dirty.length === 0) process.nextTick(flushDirty);
      dirty.push(this);
    }
    if (this.#gatheredBytes >= WRITE_FROM_BYTES) this.flush();
  }
}

/** What a program's callback throws stops none of the others. */
function guarded(callback: FlushCallback, error: Error | null): void {
  try {
    callback(error);
  } catch (thrown) {
    process.nextTick(rethrow, thrown);
  }
}

function rethrow(thrown: unknown): never {
  throw thrown;
}
