/**
 * What native tasks get and give: bytes. Small inputs go through shared memory; larger ones are copied beside it, or, where nobody else can
 * take the memory away (a SharedArrayBuffer, or a buffer that was moved to the runner), used where they are.
 * native/runner/native_pool.h is the mirror.
 */
import type { NativeLaneThreads } from '../bridge/binding.js';
import { PayloadError, TaskError } from '../errors.js';
import { traceIdOf } from '../scope/trace-context.js';
import { type JobMemory, OUTPUT_ERROR, SLOT_FLAGS, SLOT_KIND, SLOT_VALUES, SLOT_WORDS } from './job-memory.js';
import type { JobValues } from './job-table.js';
import type { Task } from './task.js';
import { canBeTaken } from './transfer.js';

/** Beside the slots, for each slot. */
export const INPUT_BYTES = 2048;
const SLOT_TRACE_BYTES = SLOT_FLAGS;
const SLOT_SIZE = SLOT_VALUES;
const SLOT_CODE = SLOT_VALUES + 1;
const SLOT_BYTES = SLOT_VALUES + 2;
const SLOT_PROGRESS = SLOT_WORDS - 1;
const INPUT_BESIDE = 1;
const OUTPUT_BESIDE = 8;
const FULL_PROGRESS = 2 ** 32 - 1;
/** So few are cheaper to copy one by one than by a call. */
const SHORT = 16;

const encoder = new TextEncoder();

export class NativeValues implements JobValues {
  /** By slot: trace id, then the input. */
  readonly inputs: Uint8Array;
  /** Set before the first task. */
  threads!: NativeLaneThreads;
  readonly #memory: JobMemory;
  /** Whose progress somebody wants to hear of, and what was told last. */
  readonly #watched = new Map<number, number>();
  /** By slot: what is used where it is. */
  readonly #held = new Map<number, Uint8Array>();

  constructor(memory: JobMemory) {
    this.#memory = memory;
    this.inputs = new Uint8Array(new SharedArrayBuffer(memory.slots * INPUT_BYTES));
  }

  /** Throws PayloadError. */
  write(slot: number, task: Task): void {
    const bytes = task.args![0] as Uint8Array;
    const { transfer, onProgress } = task.options;
    const traceId = traceIdOf(task.trace) ?? task.trace;
    const index = slot * SLOT_WORDS;
    const { words } = this.#memory;
    const at = slot * INPUT_BYTES;
    let offset = 0;
    if (traceId === undefined) {
      words[index + SLOT_TRACE_BYTES] = 0;
    } else {
      const { written } = encoder.encodeInto(traceId, this.inputs.subarray(at, at + INPUT_BYTES - 1));
      this.inputs[at + written] = 0;
      words[index + SLOT_TRACE_BYTES] = written + 1;
      offset = (written + 8) & ~7;
    }
    const { byteLength } = bytes;
    if (offset + byteLength <= INPUT_BYTES) {
      this.inputs.set(bytes, at + offset);
      words[index + SLOT_KIND] = 0;
      words[index + SLOT_SIZE] = byteLength;
      if (transfer !== undefined) move(task, bytes);
    } else {
      words[index + SLOT_KIND] = INPUT_BESIDE;
      this.#writeBeside(slot, task, bytes);
    }
    words[index + SLOT_PROGRESS] = 0;
    if (onProgress !== undefined) {
      this.#watched.set(slot, 0);
    }
  }

  read(slot: number, task: Task): unknown {
    this.#forget(slot);
    const index = slot * SLOT_WORDS;
    const { words } = this.#memory;
    const kind = words[index + SLOT_KIND]!;
    const bytes = (kind & OUTPUT_BESIDE) === 0 ? this.#bytesIn(slot) : new Uint8Array(this.#takeOutput(slot));
    return (kind & OUTPUT_ERROR) === 0 ? bytes : ownError(task, words[index + SLOT_CODE]!, bytes);
  }

  discard(slot: number): void {
    this.#forget(slot);
    this.threads.discard(slot);
  }

  /** Calls `tell` for each task that has got further. */
  eachProgress(tell: (slot: number, done: number) => void): void {
    for (const [slot, last] of this.#watched) {
      const parts = Atomics.load(this.#memory.words, slot * SLOT_WORDS + SLOT_PROGRESS);
      if (parts !== last) {
        this.#watched.set(slot, parts);
        tell(slot, (parts >>> 0) / FULL_PROGRESS);
      }
    }
  }

  #writeBeside(slot: number, task: Task, bytes: Uint8Array): void {
    if (bytes.buffer instanceof SharedArrayBuffer || task.options.transfer !== undefined) {
      const held = task.options.transfer === undefined ? bytes : move(task, bytes);
      this.#held.set(slot, held);
      this.threads.holdInput(slot, held);
    } else if (!this.threads.copyInput(slot, bytes)) {
      throw new PayloadError(`There is no memory for the ${bytes.byteLength} bytes of native task ${task.name}`);
    }
  }

  #bytesIn(slot: number): Uint8Array {
    const size = this.#memory.words[slot * SLOT_WORDS + SLOT_SIZE]!;
    const first = (slot * SLOT_WORDS + SLOT_BYTES) * 4;
    const source = this.#memory.bytes;
    const bytes = new Uint8Array(size);
    if (size > SHORT) {
      bytes.set(source.subarray(first, first + size));
    } else {
      for (let index = 0; index < size; index++) bytes[index] = source[first + index]!;
    }
    return bytes;
  }

  #takeOutput(slot: number): ArrayBuffer {
    const buffer = this.threads.takeOutput(slot);
    if (buffer === undefined) {
      throw new RangeError('no memory for the bytes');
    }
    return buffer;
  }

  #forget(slot: number): void {
    if (this.#watched.size > 0) this.#watched.delete(slot);
    if (this.#held.size > 0) this.#held.delete(slot);
  }
}

/** The bytes belong to who called no more. Where they were all of a buffer, not one is copied. */
function move(task: Task, bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = bytes;
  const [listed] = task.options.transfer!;
  if (task.options.transfer!.length !== 1 || listed !== buffer || !canBeTaken(listed)) {
    throw new PayloadError(
      `What is moved to native task ${task.name} is the buffer of its bytes: transfer: [bytes.buffer], and not node's own pool`,
    );
  }
  try {
    return new Uint8Array(structuredClone(listed, { transfer: [listed] }), byteOffset, byteLength);
  } catch (error) {
    throw new PayloadError('A buffer of the transfer list cannot be moved', { cause: error });
  }
}

function ownError(task: Task, taskCode: number, text: Uint8Array): TaskError {
  const reason = text.byteLength === 0 ? '' : `: ${Buffer.from(text.buffer, text.byteOffset, text.byteLength)}`;
  const message = `Native task ${task.name} returned error ${taskCode}${reason}`;
  return new TaskError('ERR_GAMMALOOP_NATIVE_TASK', task.name, message, { taskCode });
}
