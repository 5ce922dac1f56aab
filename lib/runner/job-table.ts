/**
 * The caller's half of a queue: tasks and their slots. It encodes arguments, submits jobs a batch at a time, collects results from the
 * lanes, and settles the promises, all of a batch in one pass. It does not know who runs the jobs, but that they take from the native
 * queue and return on a lane: threads with JavaScript (worker-threads.ts), native threads (native-threads.ts), processes.
 *
 * Guaranteed: a promise is settled once. What cancels a task before its result was collected wins, whatever the worker has done
 * meanwhile. A queued task that is cancelled gives its place back at once; a running one when it has ended, or its worker has.
 */
import type { Binding, NativeRunnerPool } from '../bridge/binding.js';
import { Cancelled, PayloadError, TimeoutError } from '../errors.js';
import { cancelIfDue } from '../scope/cancel-scope.js';
import { DeadlineEntry, realDeadlines } from '../scope/deadlines.js';
import { activeDeadlines, activeScope } from '../scope/scope-tree.js';
import type { Waiter, WaiterOwner } from '../scope/waiter.js';
import { withoutFrames } from '../scope/without-frames.js';
import {
  JobMemory,
  LANE_HEAD,
  LANE_TAIL,
  type Lane,
  OUTPUT_ERROR,
  SLOT_DEADLINE,
  SLOT_FUNCTION,
  SLOT_KIND,
  SLOT_WORDS,
} from './job-memory.js';
import { monotonicOffset } from './monotonic.js';
import type { Task } from './task.js';

const FREE_BITS = ~15;
const DEFAULT_PRIORITY = 3;
const CANCEL_REMOVED = 0;
/** So many results may be awaited by spinning before the event loop has its turn. */
const MAX_POLLS = 16;
/** After so many for nothing in a row only each such one is made. */
const POLL_MISSES = 16;

/** Who runs the jobs. */
export interface JobRunners {
  /** `queued` jobs have been submitted for which nobody who slept was woken. */
  needed(queued: number): void;
  /** The caller's doorbell was rung, and the lanes are empty. */
  heard(): void;
  /** It has been withdrawn, and is still running a cancelled task whose time to end by itself is over. */
  terminate(consumer: number): void;
  /** It has been withdrawn, and has nothing more to do. */
  retire(consumer: number): void;
}

/** How what a task gets and gives goes into its slot and comes out of it. */
export interface JobValues {
  /** Of a task that is to be submitted. Throws what the task is to be rejected with. */
  write(slot: number, task: Task): void;
  /** Of a job that has ended. Throws where it cannot be read. */
  read(slot: number, task: Task): unknown;
  /** Nobody wants what is there for the slot, of either. `hasEnded`: what the job has given is among it. */
  discard(slot: number, task: Task, hasEnded: boolean): void;
}

export interface JobTableOptions {
  /** Tasks that may be queued or running at a time. */
  readonly slots: number;
  readonly agingMs: number;
  readonly spinUs: number;
  readonly graceMs: number;
}

class GraceEntry extends DeadlineEntry {
  readonly #table: JobTable;
  readonly #task: Task;

  constructor(table: JobTable, task: Task) {
    super();
    this.#table = table;
    this.#task = task;
  }

  override onDeadline(): void {
    this.#table.terminate(this.#task);
  }
}

export class JobTable implements WaiterOwner<unknown> {
  readonly memory: JobMemory;
  readonly pool: NativeRunnerPool;
  readonly lanes = new Set<Lane>();
  done = 0;
  failed = 0;
  cancelled = 0;
  timedOut = 0;
  refused = 0;
  /** Called when nothing is queued, running or waiting any more. */
  onEmpty: () => void = () => {};
  readonly #options: JobTableOptions;
  readonly #runners: JobRunners;
  readonly #values: JobValues;
  readonly #tasks: (Task | null)[];
  readonly #free: Uint32Array;
  #freeCount: number;
  /** Those that wait for a slot, the longest waiting first. */
  readonly #waiting = new Set<Task>();
  readonly #batchSlots: Uint32Array;
  readonly #batchPriorities: Uint8Array;
  #batched = 0;
  #flushing = false;
  #collecting = false;
  #referenced = false;
  #polls = 0;
  /** In a row. */
  #pollMisses = 0;

  constructor(
    binding: Binding,
    options: JobTableOptions,
    runners: JobRunners,
    makeValues: (memory: JobMemory, pool: NativeRunnerPool) => JobValues,
  ) {
    const { slots } = options;
    this.#options = options;
    this.#runners = runners;
    this.memory = JobMemory.allocate(slots);
    this.#tasks = new Array<Task | null>(slots).fill(null);
    // The slot freed last is used next: its memory is warm.
    this.#free = Uint32Array.from({ length: slots }, (_, index) => slots - 1 - index);
    this.#freeCount = slots;
    this.#batchSlots = new Uint32Array(slots);
    this.#batchPriorities = new Uint8Array(slots);
    this.pool = new binding.RunnerPool(
      this.memory.words,
      SLOT_WORDS,
      slots,
      options.agingMs,
      this.#batchSlots,
      this.#batchPriorities,
      () => {
        this.#polls = 0;
        this.#onRing();
      },
    );
    this.#values = makeValues(this.memory, this.pool);
  }

  /** Queued or running, or cancelled and still running. */
  get inFlight(): number {
    return this.#tasks.length - this.#freeCount;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get full(): boolean {
    return this.#freeCount === 0;
  }

  taskAt(slot: number): Task | null {
    return this.#tasks[slot]!;
  }

  /** The promise of the task, which must be new. With no slot left it waits for one. */
  add(task: Task): Promise<unknown> {
    const { signal, timeout } = task.options;
    const scope = activeScope();
    const promise = task.park(scope);
    if (signal !== undefined) {
      task.watch(signal, promise);
    }
    if (task.settled) {
      return promise;
    }
    if (timeout !== undefined && timeout < Number.POSITIVE_INFINITY) {
      const timers = activeDeadlines();
      task.deadline = timers.now() + timeout;
      task.expireAt(task.deadline, timers);
    }
    if (scope !== null) {
      task.inherit(scope);
    }
    if (this.#freeCount === 0 || this.#waiting.size > 0) {
      this.#waiting.add(task);
    } else {
      this.#admit(task);
    }
    return promise;
  }

  /** Submits what was added since the last time. Done by itself at the end of the present microtask. */
  flush(): void {
    const count = this.#batched;
    if (count === 0) {
      return;
    }
    this.#batched = 0;
    if (!this.#referenced) {
      this.#referenced = true;
      this.pool.setReferenced(true);
    }
    const woken = this.pool.submit(count);
    if (woken < count) {
      this.#runners.needed(count - woken);
    }
  }

  /** Takes the results of every lane, and settles their promises. */
  collect(): void {
    this.#collecting = true;
    for (const lane of this.lanes) {
      this.#drain(lane);
    }
    this.#collecting = false;
    this.#afterRelease();
  }

  /** Its worker has died with it. */
  fail(slot: number, errorFor: (task: Task) => Error): void {
    const task = this.#tasks[slot];
    if (task == null) {
      return;
    }
    if (task.reject(errorFor(task))) this.failed++;
    this.#values.discard(slot, task, false);
    this.#release(slot, task);
    this.#afterRelease();
  }

  /** Nobody will run what is queued or waits. */
  failQueued(errorFor: (task: Task) => Error): void {
    this.flush();
    for (const task of this.#live()) {
      if (task.slot !== -1 && this.pool.cancel(task.slot) !== CANCEL_REMOVED) {
        continue;
      }
      this.#drop(task);
      if (task.reject(errorFor(task))) this.failed++;
    }
    this.#afterRelease();
  }

  /** Cancels everything. Returns how many tasks had not ended. */
  cancelAll(reason: unknown): number {
    let count = 0;
    for (const task of this.#live()) {
      if (task.abort(reason)) count++;
    }
    return count;
  }

  /** Of what still runs. */
  terminateAll(): void {
    for (const task of this.#tasks.filter((task) => task !== null)) {
      if (task.slot !== -1) this.terminate(task);
    }
  }

  /** @internal */
  terminate(task: Task): void {
    clearGrace(task);
    const consumer = this.pool.consumerOf(task.slot);
    // First it must be unable to begin another task, which would die with it. What it has ended by then has ended.
    this.pool.withdraw(consumer);
    this.collect();
    if (task.slot === -1) this.#runners.retire(consumer);
    else this.#runners.terminate(consumer);
  }

  onAbort(waiter: Waiter<unknown>, error: unknown): boolean {
    const task = waiter as Task;
    this.cancelled++;
    this.#stop(task);
    task.reject(
      error instanceof Cancelled ? error : withoutFrames(() => new Cancelled(`Task ${task.name} was cancelled`, error)),
    );
    return false;
  }

  onExpire(waiter: Waiter<unknown>): void {
    const task = waiter as Task;
    const { timeout } = task.options;
    this.timedOut++;
    this.#stop(task);
    task.reject(withoutFrames(() => new TimeoutError(`Task ${task.name} did not end within its ${timeout} ms`)));
  }

  *#live(): Generator<Task> {
    yield* [...this.#waiting, ...this.#tasks.filter((task) => task !== null)];
  }

  /** Takes a task back that is to be settled otherwise. */
  #stop(task: Task): void {
    if (task.slot === -1) {
      this.#waiting.delete(task);
      this.#afterRelease();
      return;
    }
    this.flush();
    if (this.pool.cancel(task.slot) === CANCEL_REMOVED) {
      this.#drop(task);
      this.#afterRelease();
      return;
    }
    this.pool.ringConsumerOf(task.slot);
    const { graceMs } = this.#options;
    if (graceMs < Number.POSITIVE_INFINITY) {
      task.grace = new GraceEntry(this, task);
      realDeadlines.add(task.grace, realDeadlines.now() + graceMs);
    }
  }

  #drop(task: Task): void {
    const { slot } = task;
    if (slot === -1) {
      this.#waiting.delete(task);
      return;
    }
    this.#values.discard(slot, task, false);
    this.#release(slot, task);
  }

  #admit(task: Task): void {
    const slot = this.#free[--this.#freeCount]!;
    try {
      const index = slot * SLOT_WORDS;
      this.memory.words[index + SLOT_FUNCTION] = task.functionId;
      this.memory.doubles[(index + SLOT_DEADLINE) >> 1] = task.deadline + monotonicOffset;
      this.#values.write(slot, task);
    } catch (error) {
      this.#values.discard(slot, task, false);
      this.#freeCount++;
      this.failed++;
      task.reject(error);
      return;
    }
    task.slot = slot;
    task.args = null;
    this.#tasks[slot] = task;
    this.#batchSlots[this.#batched] = slot;
    this.#batchPriorities[this.#batched] = task.options.priority ?? DEFAULT_PRIORITY;
    this.#batched++;
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(this.#onFlush);
    }
  }

  readonly #onFlush = (): void => {
    this.#flushing = false;
    this.flush();
    const { spinUs } = this.#options;
    if (spinUs > 0 && this.#shouldPoll()) {
      if (this.pool.poll(spinUs)) {
        this.#pollMisses = 0;
        this.#onRing();
      }
    }
  };

  #onRing(): void {
    this.collect();
    this.#runners.heard();
  }

  #shouldPoll(): boolean {
    if (this.#polls >= MAX_POLLS) {
      return false;
    }
    this.#polls++;
    // As long as there is no hit.
    const misses = this.#pollMisses++;
    return misses < POLL_MISSES || misses % POLL_MISSES === 0;
  }

  #drain(lane: Lane): void {
    const { words, ring, mask } = lane;
    let head = words[LANE_HEAD]!;
    for (let tail = Atomics.load(words, LANE_TAIL); head !== tail; tail = Atomics.load(words, LANE_TAIL)) {
      while (head !== tail) {
        this.#settle(ring[head & mask]!);
        head = (head + 1) | 0;
      }
    }
    words[LANE_HEAD] = head;
  }

  #settle(slot: number): void {
    const task = this.#tasks[slot]!;
    if (task.settled) {
      this.#values.discard(slot, task, true);
      this.#release(slot, task);
      return;
    }
    let isError = (this.memory.words[slot * SLOT_WORDS + SLOT_KIND]! & OUTPUT_ERROR) !== 0;
    let value: unknown;
    try {
      value = this.#values.read(slot, task);
    } catch (error) {
      value = new PayloadError(`The result of task ${task.name} cannot be read here`, { cause: error });
      isError = true;
    }
    this.#release(slot, task);
    if (isError && task.isOutOfTime()) {
      this.#outOfTime(task);
    } else if (isError) {
      this.failed++;
      task.reject(value);
    } else {
      this.done++;
      task.resolve(value);
    }
  }

  /** A task that fails after its time was over was stopped by that. The timer here may be a moment behind. */
  #outOfTime(task: Task): void {
    cancelIfDue(task.scope);
    if (!task.settled) this.onExpire(task);
  }

  #release(slot: number, task: Task): void {
    const { words } = this.memory;
    const index = slot * SLOT_WORDS;
    Atomics.store(words, index, words[index]! & FREE_BITS);
    this.#tasks[slot] = null;
    this.#free[this.#freeCount++] = slot;
    task.slot = -1;
    clearGrace(task);
  }

  /** There may be room, or nothing left to do. */
  #afterRelease(): void {
    if (this.#collecting) {
      return;
    }
    while (this.#waiting.size > 0 && this.#freeCount > 0) {
      const task = this.#waiting.values().next().value!;
      this.#waiting.delete(task);
      this.#admit(task);
    }
    if (this.#freeCount === this.#tasks.length) {
      if (this.#referenced) {
        this.#referenced = false;
        this.pool.setReferenced(false);
      }
      this.onEmpty();
    }
  }
}

function clearGrace(task: Task): void {
  if (task.grace !== null) {
    realDeadlines.remove(task.grace);
    task.grace = null;
  }
}
