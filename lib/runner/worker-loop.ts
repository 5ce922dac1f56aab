/**
 * A worker's loop: takes jobs from the queue in batches, runs them, and returns them on its lane. It waits in the thread's own event
 * loop, where the doorbell wakes it, so that timers and promises of tasks go on; a long row of short tasks lets the loop have a turn
 * each millisecond.
 *
 * Several jobs are taken at once only where the functions have been fast: no job waits behind a slow one while another worker is idle.
 * The caller is rung after a batch, now and then within one, and before a job that is not known to be fast.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { NativeRunnerConsumer } from '../bridge/binding.js';
import { PayloadError, TaskError } from '../errors.js';
import { provideScopeOfThread } from '../scope/scope-tree.js';
import { compile, type FunctionDefinition } from './functions.js';
import { addDuration } from './histogram.js';
import {
  GENERATION_SHIFT,
  INPUT_BY_MESSAGE,
  INPUT_HAS_PARCEL,
  INPUT_HAS_TRACE,
  INPUT_IS_LENT,
  type JobMemory,
  LANE_TAIL,
  type Lane,
  OUTPUT_BY_MESSAGE,
  OUTPUT_ERROR,
  OUTPUT_HAS_PARCEL,
  OUTPUT_VALUE,
  PLACE_RUNNING,
  PLACE_TAKEN,
  SLOT_DEADLINE,
  SLOT_FLAGS,
  SLOT_FUNCTION,
  SLOT_KIND,
  SLOT_WORDS,
} from './job-memory.js';
import type { FromWorker, LoopSetup, ToWorker } from './messages.js';
import { monotonicOffset } from './monotonic.js';
import { MovedBuffers } from './moved-buffers.js';
import { provideTaskContext } from './task-context.js';
import { fromPlainError, type PlainError } from './task-errors.js';
import type { TaskFunction } from './task-module.js';
import { TaskRun } from './task-run.js';
import { asTransferred, bytesIn, checkAttached, checkDistinct } from './transfer.js';
import { NotPlain, ValueCodec } from './values.js';

/** The way to the caller beside the jobs. */
export interface Caller {
  /** Throws for what it cannot bring there. */
  post(message: FromWorker, transfer?: readonly object[]): void;
  /** What has come and was not told yet. */
  receive(): ToWorker | undefined;
  /** Whether what a result moves may go with the job, as a copy. `room`: bytes that have been lent for it. */
  canMove(list: readonly object[], room: number): list is readonly ArrayBuffer[];
}

/** Where the loop works. */
export interface LoopParts {
  readonly memory: JobMemory;
  readonly lane: Lane;
  readonly caller: Caller;
  makeConsumer(words: Int32Array, taken: Uint32Array, onRing: () => void): NativeRunnerConsumer;
  /** The function of a definition without source; throws where there is none. */
  find(definition: FunctionDefinition): TaskFunction;
  /** It has been retired, and nothing runs any more. */
  onEnd(): void;
}

/** A function whose calls take less may share a batch with others. */
const FAST_MS = 0.02;
/** Within a batch the caller is rung so often, so that it works while the batch goes on. */
const RING_MS = 0.02;
/** The event loop has a turn at least this often. */
const TURN_MS = 1;
const HEAP_CHECK_MS = 100;
const NO_BUFFERS: readonly ArrayBuffer[] = [];

export class WorkerLoop {
  readonly #setup: LoopSetup;
  readonly #parts: LoopParts;
  readonly #caller: Caller;
  readonly #memory: JobMemory;
  readonly #lane: Lane;
  readonly #codec: ValueCodec;
  readonly #consumer: NativeRunnerConsumer;
  readonly #moved: MovedBuffers;
  readonly #definitions: FunctionDefinition[];
  readonly #functions: TaskFunction[] = [];
  /** By function: a moving average of its run time. */
  readonly #averages: number[] = [];
  readonly #contexts: AsyncLocalStorage<TaskRun> | null;
  #current: TaskRun | undefined;
  /** Those that have not ended when their function has returned. */
  readonly #pending = new Map<number, TaskRun>();
  #tail = 0;
  #batchLimit = 1;
  /** The caller has not been rung for what is on the lane. */
  #unrung = false;
  #unrungSince = 0;
  #pumping = false;
  /** Jobs of the batch that have not begun: from, to. */
  #heldAt = 0;
  #heldEnd = 0;
  #heldWatched = false;
  /** When the event loop is to have its turn. */
  #turnEnd = 0;
  #now = 0;
  #tasks = 0;
  readonly #startedAt = performance.now();
  #heapCheckedAt = 0;
  #activeAt = 0;
  #idleTimer: NodeJS.Timeout | null = null;
  #retiring = false;
  #ended = false;

  constructor(setup: LoopSetup, parts: LoopParts) {
    this.#setup = setup;
    this.#parts = parts;
    this.#caller = parts.caller;
    this.#memory = parts.memory;
    this.#lane = parts.lane;
    this.#codec = new ValueCodec(this.#memory);
    this.#definitions = [...setup.definitions];
    this.#contexts = setup.tasksPerThread > 1 ? new AsyncLocalStorage() : null;
    const running = this.#contexts === null ? () => this.#current : () => this.#contexts?.getStore();
    provideTaskContext(running);
    provideScopeOfThread(() => running()?.scope ?? null);
    this.#consumer = parts.makeConsumer(this.#memory.words, this.#lane.taken, this.#onRing);
    this.#moved = new MovedBuffers(this.#consumer);
  }

  /** Begins to take jobs. */
  start(): void {
    this.#consumer.ringSelf();
  }

  onMessage(message: ToWorker): void {
    switch (message.kind) {
      case 'define':
        this.#definitions[message.definition.id] = message.definition;
        break;
      case 'arguments':
        this.#onArguments(message.slot, (task) => this.#call(task, message.args));
        break;
      case 'no-arguments':
        this.#onArguments(message.slot, (task) => this.#finish(task, argumentsError(task, message.error), true));
        break;
      case 'retire':
        this.retire();
        break;
    }
  }

  /** Takes no more; ends when what runs has ended. */
  retire(): void {
    if (!this.#retiring) {
      this.#retiring = true;
      this.#consumer.retire();
      this.#post({ kind: 'retired' });
    }
    this.#endIfDone();
  }

  /** What was asked for has come. */
  #onArguments(slot: number, proceed: (task: TaskRun) => void): void {
    const task = this.#pending.get(slot);
    if (task !== undefined) {
      this.#pending.delete(slot);
      this.#now = performance.now();
      proceed(task);
      this.#goOn();
    }
  }

  readonly #onRing = (): void => {
    this.#turnEnd = performance.now() + TURN_MS;
    for (const task of this.#pending.values()) {
      task.isCancelled();
    }
    this.#goOn();
  };

  /** After whatever may have made room for a job. */
  #goOn(): void {
    if (this.#pumping) {
      return;
    }
    this.#pumping = true;
    this.#now = performance.now();
    this.#pump();
    this.#pumping = false;
    if (this.#heldAt === this.#heldEnd) {
      this.#flush();
      this.#endIfDone();
    } else if (!this.#heldWatched) {
      this.#heldWatched = true;
      setImmediate(this.#releaseHeld);
    }
  }

  #pump(): void {
    const { taken } = this.#lane;
    while (this.#pending.size < this.#setup.tasksPerThread) {
      if (this.#heldAt === this.#heldEnd) {
        this.#flush();
        this.#recycleIfDue();
        if (this.#retiring) {
          return;
        }
      }
      if (this.#now > this.#turnEnd) {
        this.#consumer.ringSelf();
        return;
      }
      if (this.#heldAt === this.#heldEnd) {
        this.#heldAt = 0;
        this.#heldEnd = this.#take();
        if (this.#heldEnd === 0) {
          this.#watchIdleness();
          return;
        }
      }
      const index = 2 * this.#heldAt++;
      this.#run(taken[index]!, taken[index + 1]!);
    }
  }

  /** An async task takes longer than a moment: another worker may have the rest of the batch. */
  readonly #releaseHeld = (): void => {
    this.#heldWatched = false;
    this.#flush();
    if (this.#pending.size >= this.#setup.tasksPerThread && this.#heldAt < this.#heldEnd) {
      this.#consumer.giveBack(this.#heldAt, this.#heldEnd - this.#heldAt);
      this.#heldAt = 0;
      this.#heldEnd = 0;
    }
    this.#endIfDone();
  };

  #take(): number {
    const count = this.#consumer.take(this.#batchLimit, this.#pending.size === 0);
    this.#now = performance.now(); // waiting is no run time
    return count;
  }

  #run(slot: number, generation: number): void {
    const { words } = this.#memory;
    const index = slot * SLOT_WORDS;
    const taken = (generation << GENERATION_SHIFT) | PLACE_TAKEN;
    const running = (generation << GENERATION_SHIFT) | PLACE_RUNNING;
    if (Atomics.compareExchange(words, index, taken, running) !== taken) {
      return; // cancelled meanwhile
    }
    const id = words[index + SLOT_FUNCTION]!;
    if (this.#unrung && !(this.#averages[id]! < FAST_MS)) {
      this.#flush();
    }
    if (this.#definitions[id] === undefined) {
      this.#receive();
    }
    const task = new TaskRun(this.#memory, slot, running, id, this.#definitions[id]!.name, this.#now);
    const flags = words[index + SLOT_FLAGS]!;
    const deadline = this.#memory.doubles[(index + SLOT_DEADLINE) >> 1]!;
    if (deadline !== Number.POSITIVE_INFINITY) {
      task.deadline = deadline - monotonicOffset;
    }
    const byMessage = (flags & INPUT_BY_MESSAGE) !== 0;
    let args: unknown[] | null = null;
    try {
      const isLent = (flags & INPUT_IS_LENT) !== 0;
      const buffers = (flags & INPUT_HAS_PARCEL) === 0 ? NO_BUFFERS : this.#moved.take(task, isLent);
      if (isLent) {
        task.room = bytesIn(buffers);
      }
      this.#codec.beginReading(slot, buffers);
      if ((flags & INPUT_HAS_TRACE) !== 0) {
        task.trace = this.#codec.readTraceId();
      }
      if (!byMessage) {
        args = this.#codec.readArguments(words[index + SLOT_KIND]!);
      }
    } catch (error) {
      this.#finish(task, error, true);
      return;
    }
    if (args === null) {
      this.#pending.set(slot, task);
      this.#post({ kind: 'fetch', slot });
    } else {
      this.#call(task, args);
    }
  }

  #call(task: TaskRun, args: unknown[]): void {
    let value: unknown;
    try {
      const fn = this.#functions[task.functionId] ?? this.#resolve(task.functionId);
      if (this.#contexts === null) {
        this.#current = task;
        value = fn.apply(undefined, args);
      } else {
        value = this.#contexts.run(task, applyFunction, fn, args);
      }
      if (typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function') {
        this.#await(task, value as PromiseLike<unknown>);
        return;
      }
    } catch (error) {
      this.#finish(task, error, true);
      return;
    }
    this.#finish(task, value, false);
  }

  #await(task: TaskRun, promise: PromiseLike<unknown>): void {
    this.#pending.set(task.slot, task);
    const settle = (value: unknown, failed: boolean) => {
      this.#pending.delete(task.slot);
      this.#finish(task, value, failed);
      this.#goOn();
    };
    Promise.resolve(promise).then(
      (value) => settle(value, false),
      (error) => settle(error, true),
    );
  }

  #resolve(id: number): TaskFunction {
    const definition = this.#definitions[id]!;
    const { source } = definition;
    const fn = source === undefined ? this.#parts.find(definition) : (compile(source) as TaskFunction);
    this.#functions[id] = fn;
    return fn;
  }

  /** Writes the result, and returns the slot. */
  #finish(task: TaskRun, value: unknown, failed: boolean): void {
    const { slot } = task;
    const { words } = this.#lane;
    task.end();
    this.#current = undefined;
    this.#memory.words[slot * SLOT_WORDS + SLOT_KIND] = this.#writeResult(task, value, failed);
    const now = performance.now();
    this.#now = now;
    this.#measure(task, now - task.startedAt);
    this.#lane.ring[this.#tail & this.#lane.mask] = slot;
    this.#tail = (this.#tail + 1) | 0;
    Atomics.store(words, LANE_TAIL, this.#tail);
    if (!this.#unrung) {
      this.#unrung = true;
      this.#unrungSince = now;
    } else if (now - this.#unrungSince > RING_MS) {
      this.#flush();
    }
    this.#tasks++;
  }

  #writeResult(task: TaskRun, value: unknown, failed: boolean): number {
    const transferred = failed ? null : asTransferred(value);
    this.#moved.onResult(task, transferred?.list ?? null);
    try {
      if (transferred === null) {
        return this.#write(task, value) | (failed ? OUTPUT_ERROR : OUTPUT_VALUE);
      }
      checkAttached(transferred.list);
      checkDistinct(transferred.list);
      if (this.#caller.canMove(transferred.list, task.room)) {
        const kind = this.#write(task, transferred.value, transferred.list);
        this.#moved.takeAway(task, transferred.list);
        return kind;
      }
    } catch (error) {
      if (!(error instanceof NotPlain)) {
        return this.#writeFailure(task, error);
      }
    }
    try {
      const posted = transferred === null ? value : transferred.value;
      this.#caller.post({ kind: 'result', slot: task.slot, value: posted }, transferred?.list);
      if (transferred !== null) this.#moved.afterMessage(task, transferred.list);
      return OUTPUT_BY_MESSAGE | (failed ? OUTPUT_ERROR : OUTPUT_VALUE);
    } catch (error) {
      return this.#writeFailure(task, error);
    }
  }

  #write(task: TaskRun, value: unknown, moved?: readonly ArrayBuffer[]): number {
    const parts = this.#codec.writeResult(task.slot, value, moved);
    if (parts.length === 0) {
      return 0;
    }
    this.#consumer.setOutput(task.slot, parts);
    return OUTPUT_HAS_PARCEL;
  }

  #writeFailure(task: TaskRun, cause: unknown): number {
    const message = `The result of task ${task.name} cannot be cloned; return plain data, or transfer() what can be moved`;
    const error = new TaskError('ERR_GAMMALOOP_TASK_RESULT', task.name, message, { cause });
    return this.#write(task, error) | OUTPUT_ERROR;
  }

  #measure(task: TaskRun, ms: number): void {
    addDuration(this.#lane.runTimes, 0, ms);
    const before = this.#averages[task.functionId];
    const average = before === undefined ? ms : before + (ms - before) / 8;
    this.#averages[task.functionId] = average;
    this.#batchLimit = average < FAST_MS ? this.#setup.batchSize : 1;
  }

  #flush(): void {
    if (this.#unrung) {
      this.#unrung = false;
      this.#consumer.ringCaller();
    }
  }

  #recycleIfDue(): void {
    const { tasks, ageMs, heapBytes } = this.#setup.recycle;
    if (this.#tasks === 0) {
      return; // each is good for one, or none would ever run
    }
    if (this.#tasks >= tasks || this.#now - this.#startedAt >= ageMs) {
      this.retire();
    } else if (heapBytes < Number.POSITIVE_INFINITY && this.#now - this.#heapCheckedAt >= HEAP_CHECK_MS) {
      this.#heapCheckedAt = this.#now;
      if (process.memoryUsage().heapUsed >= heapBytes) this.retire();
    }
  }

  /** One timer, looked at when it fires: setting one for each time that nothing is to do would cost more than the tasks. */
  #watchIdleness(): void {
    const { idleTimeout } = this.#setup;
    this.#activeAt = this.#now;
    if (idleTimeout < Number.POSITIVE_INFINITY && this.#idleTimer === null) {
      this.#idleTimer = setTimeout(this.#onIdleTimer, idleTimeout).unref();
    }
  }

  readonly #onIdleTimer = (): void => {
    this.#idleTimer = null;
    const left = this.#activeAt + this.#setup.idleTimeout - performance.now();
    if (this.#pending.size > 0) {
      return; // watched again when it has ended
    }
    if (left <= 0) this.retire();
    else this.#idleTimer = setTimeout(this.#onIdleTimer, left).unref();
  };

  #endIfDone(): void {
    const isIdle = this.#pending.size === 0 && this.#heldAt === this.#heldEnd;
    if (this.#retiring && !this.#ended && !this.#pumping && isIdle) {
      this.#ended = true;
      this.#flush();
      this.#consumer.close();
      this.#parts.onEnd();
    }
  }

  #post(message: FromWorker): void {
    this.#caller.post(message);
  }

  /** What the caller has posted before it submitted the job is there. */
  #receive(): void {
    for (let message = this.#caller.receive(); message !== undefined; message = this.#caller.receive()) {
      this.onMessage(message);
    }
  }
}

function argumentsError(task: TaskRun, error: PlainError): PayloadError {
  return new PayloadError(`An argument of task ${task.name} cannot be moved any more`, {
    cause: fromPlainError(error),
  });
}

function applyFunction(fn: TaskFunction, args: unknown[]): unknown {
  return fn.apply(undefined, args);
}
