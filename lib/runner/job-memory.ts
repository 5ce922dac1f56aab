/**
 * The memory that the caller and the workers share: a slot for each job, and for each worker a lane, on which it returns the slots of
 * the jobs that it has finished. native/runner/job_state.h and completion_ring.h are the mirror.
 *
 * A slot belongs to the caller until it submits the job, then to the queue, to the worker that starts the job, and, once that has
 * put it on its lane, to the caller again. Who has the slot may write it; only the state word is anybody's, by atomics.
 */

import { HISTOGRAM_BUCKETS } from './histogram.js';

/** A slot in 32-bit words: header, then encoded values. */
export const SLOT_WORDS = 64;
export const SLOT_STATE = 0;
/** Which function (functions.ts). */
export const SLOT_FUNCTION = 1;
/** Input: the number of arguments. Output: one of the OUTPUT_ words. */
export const SLOT_KIND = 2;
/** Input: INPUT_ bits. */
export const SLOT_FLAGS = 3;
/** Two words: a float64, the deadline in ms by the process's monotonic clock; Infinity for none. */
export const SLOT_DEADLINE = 4;
export const SLOT_VALUES = 6;

/** Parts of the values are in the job's parcel. */
export const INPUT_HAS_PARCEL = 1;
/** The values have to be asked for, by message: what only a message can carry. */
export const INPUT_BY_MESSAGE = 2;
/** The trace id stands before the arguments. */
export const INPUT_HAS_TRACE = 4;
/** Parts in the parcel are the caller's own memory, which takes results of their size. */
export const INPUT_IS_LENT = 8;

export const OUTPUT_VALUE = 0;
export const OUTPUT_ERROR = 1;
/** The value comes by message. */
export const OUTPUT_BY_MESSAGE = 2;
/** Bit: parts of the value are in the job's parcel. */
export const OUTPUT_HAS_PARCEL = 8;

export const PLACE_MASK = 7;
export const PLACE_TAKEN = 2;
export const PLACE_RUNNING = 3;
export const CANCEL_BIT = 8;
export const GENERATION_SHIFT = 4;

/** A lane in 32-bit words: head, tail, whether it has ended, what the worker was given by take(), run times, then the ring. */
export const LANE_HEAD = 0;
export const LANE_TAIL = 16;
/** Not 0: the native thread has ended. */
export const LANE_ENDED = 17;
const LANE_RUN_TIMES = 32;
const LANE_TAKEN = LANE_RUN_TIMES + HISTOGRAM_BUCKETS;
export const MAX_BATCH = 64;
const LANE_RING = LANE_TAKEN + 2 * MAX_BATCH;

export class JobMemory {
  readonly shared: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Buffer;

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.words = new Int32Array(shared);
    this.doubles = new Float64Array(shared);
    this.bytes = Buffer.from(shared);
  }

  static allocate(slots: number): JobMemory {
    return new JobMemory(new SharedArrayBuffer(slots * SLOT_WORDS * 4));
  }

  get slots(): number {
    return this.words.length / SLOT_WORDS;
  }
}

/** One producer, the worker; one consumer, the caller. The ring has room for every slot, so that it is never full. */
export class Lane {
  readonly shared: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly taken: Uint32Array;
  readonly runTimes: Int32Array;
  readonly ring: Int32Array;
  readonly mask: number;

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.words = new Int32Array(shared);
    this.taken = new Uint32Array(shared, LANE_TAKEN * 4, 2 * MAX_BATCH);
    this.runTimes = new Int32Array(shared, LANE_RUN_TIMES * 4, HISTOGRAM_BUCKETS);
    this.ring = new Int32Array(shared, LANE_RING * 4);
    this.mask = this.ring.length - 1;
  }

  static allocate(slots: number): Lane {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(2, slots)));
    return new Lane(new SharedArrayBuffer((LANE_RING + capacity) * 4));
  }
}
