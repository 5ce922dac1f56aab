/**
 * The workers of a lane, whatever they are (threads with JavaScript, native threads, processes): started as they are needed, replaced when
 * they end, ended when idle. Whatever one dies of, what it had taken and not begun goes back to the queue, and only what it was
 * running is rejected.
 */

import { TaskError, type TaskErrorCode } from '../errors.js';
import type { ScopeNode } from '../scope/scope-tree.js';
import { queueOwner, Waiter } from '../scope/waiter.js';
import type { FunctionDefinition } from './functions.js';
import { HISTOGRAM_BUCKETS } from './histogram.js';
import { Lane } from './job-memory.js';
import type { JobRunners, JobTable } from './job-table.js';
import { type CheckedRunnerOptions, timerMs } from './options.js';
import type { Task } from './task.js';
import { fromPlainError, type PlainError } from './task-errors.js';

export type Phase = 'starting' | 'ready' | 'retiring' | 'dead';

/** How a worker ended, as the error of a task that it was running says it. */
export interface Cause {
  readonly code: TaskErrorCode;
  readonly text: string;
  readonly error?: unknown;
  readonly exitCode?: number;
  readonly signal?: string;
}

/** Its module, or the module's init, threw. */
export function startFailure(error: PlainError): Cause {
  return {
    code: 'ERR_GAMMALOOP_WORKER_START',
    text: 'the module of the runner, or its init, threw',
    error: fromPlainError(error),
  };
}

/** What nobody handled there ends the worker. */
export function fatalCause(origin: NodeJS.UncaughtExceptionOrigin, error: unknown): Cause {
  return origin === 'unhandledRejection'
    ? { code: 'ERR_GAMMALOOP_WORKER_REJECTION', text: 'nobody handled a rejection in its worker', error }
    : { code: 'ERR_GAMMALOOP_WORKER_EXCEPTION', text: 'nobody caught an exception in its worker', error };
}

export abstract class PoolWorker {
  readonly lane: Lane;
  readonly consumer: number;
  readonly startedAt = performance.now();
  phase: Phase = 'starting';
  cause: Cause | null = null;
  /** Until it is ready, and while it ends. */
  timer: NodeJS.Timeout | null = null;

  constructor(lane: Lane, consumer: number) {
    this.lane = lane;
    this.consumer = consumer;
  }

  /** What `stats()` calls it by. */
  abstract get identity(): { readonly threadId?: number; readonly pid?: number };
  /** Whether it keeps the process alive. */
  abstract setReferenced(referenced: boolean): void;
  define(_definition: FunctionDefinition): void {}
  /** It is to finish what it runs, and then to end. */
  abstract retire(): void;
  /** It is to end now. */
  abstract terminate(): void;
  /** It has ended: gives up what belongs to it. */
  abstract release(): void;
}

export abstract class WorkerPool<W extends PoolWorker> implements JobRunners {
  protected readonly options: CheckedRunnerOptions;
  protected table!: JobTable;
  readonly #workers: (W | null)[];
  #closing = false;
  readonly #onChange = new Set<Waiter<void>>();
  #startCause: Cause | null = null;
  started = 0;
  ended = 0;
  failedStarts = 0;
  /** Run times of the workers that have ended. */
  readonly endedRunTimes = new Int32Array(HISTOGRAM_BUCKETS);

  constructor(options: CheckedRunnerOptions) {
    this.options = options;
    // By consumer: twice as many, so that a worker that takes its time to end does not keep the next one waiting.
    this.#workers = new Array<W | null>(2 * options.threads).fill(null);
  }

  attach(table: JobTable): void {
    this.table = table;
  }

  /** Begins to start one. Throws where that is impossible. */
  protected abstract open(consumer: number, lane: Lane): W;

  heard(): void {}

  /** Every worker has ended. */
  close(): void {}

  /** Workers that take jobs, or will. */
  get active(): number {
    return this.#count('starting') + this.#count('ready');
  }

  get alive(): number {
    return this.#workers.filter((worker) => worker !== null).length;
  }

  get ready(): number {
    return this.#count('ready');
  }

  /** Why the latest worker could not start. */
  startError(): TaskError {
    const cause = this.#startCause!;
    return new TaskError(cause.code, 'start', `A worker of the runner could not start: ${cause.text}`, details(cause));
  }

  /** Whether the workers there are keep the process alive. */
  setReferenced(referenced: boolean): void {
    if (!this.#closing) {
      for (const worker of this.list()) worker.setReferenced(referenced);
    }
  }

  /** When a worker next becomes ready, or ends. */
  change(scope: ScopeNode | null): Promise<void> {
    const waiter = new Waiter<void>(queueOwner(this.#onChange));
    const parked = waiter.park(scope);
    if (!waiter.settled) this.#onChange.add(waiter);
    return parked;
  }

  *list(): Generator<W> {
    for (const worker of this.#workers) {
      if (worker !== null) yield worker;
    }
  }

  needed(queued: number): void {
    const { active } = this;
    // A worker whose tasks have all ended comes back to the queue by itself, also where it does not sleep yet.
    const unserved = Math.min(queued - this.#count('starting'), this.table.inFlight - active);
    const wanted = Math.min(this.options.threads - active, unserved);
    for (let i = 0; i < wanted; i++) {
      this.#start();
    }
  }

  startAll(): void {
    while (this.active < this.options.threads && this.#start());
  }

  terminate(consumer: number): void {
    const worker = this.#workers[consumer];
    if (worker != null) {
      worker.phase = 'retiring';
      worker.terminate();
      this.needed(this.table.pool.queued());
    }
  }

  retire(consumer: number): void {
    const worker = this.#workers[consumer];
    if (worker != null) {
      this.#retire(worker);
      this.needed(this.table.pool.queued());
    }
  }

  define(definition: FunctionDefinition): void {
    for (const worker of this.list()) worker.define(definition);
  }

  /** Each worker finishes what it runs, then ends; one that does not within `startTimeout` is terminated. */
  retireAll(): void {
    this.#closing = true;
    for (const worker of this.list()) {
      worker.setReferenced(true); // until it has ended, for who waits for close()
      if (worker.phase === 'starting') {
        worker.phase = 'retiring';
        worker.terminate();
      } else {
        this.#retire(worker);
      }
    }
  }

  protected onReady(worker: W): void {
    if (worker.phase === 'starting') {
      clearTimeout(worker.timer ?? undefined);
      worker.phase = 'ready';
    }
    this.#changed();
  }

  /** It takes nothing more by its own choice. */
  protected onRetired(worker: W): void {
    if (worker.phase === 'ready') {
      worker.phase = 'retiring';
      this.#limitEnd(worker);
      this.needed(this.table.pool.queued());
    }
  }

  /** It has gone. `how`, unless its own cause says it better. */
  protected onEnd(worker: W, how: Omit<Cause, 'code'>): void {
    const neverReady = worker.phase === 'starting';
    clearTimeout(worker.timer ?? undefined);
    this.ended++;
    // What it had finished counts, however it ended.
    this.table.collect();
    const running = this.table.pool.reclaim(worker.consumer);
    this.table.lanes.delete(worker.lane);
    const wasLast = this.active === (neverReady ? 1 : 0);
    worker.phase = 'dead';
    this.#workers[worker.consumer] = null;
    worker.release();
    const cause: Cause = {
      ...how,
      code: neverReady ? 'ERR_GAMMALOOP_WORKER_START' : 'ERR_GAMMALOOP_WORKER_EXIT',
      text: `${how.text}${neverReady ? ' before it was ready' : ''}`,
      ...worker.cause,
    };
    for (const slot of running) {
      this.table.fail(slot, (task) => errorOf(task, cause));
    }
    if (neverReady) {
      this.#startCause = { ...cause, code: startCode(cause) };
      this.failedStarts++;
    }
    worker.lane.runTimes.forEach((count, bucket) => {
      this.endedRunTimes[bucket]! += count;
    });
    if (!neverReady) {
      this.needed(this.table.pool.queued());
    } else if (wasLast && !this.#closing) {
      // The next would fail as this one did: nobody is left to run what waits.
      this.table.failQueued((task) => errorOf(task, this.#startCause!));
    }
    this.#changed();
  }

  #retire(worker: W): void {
    worker.phase = 'retiring';
    worker.retire();
    this.#limitEnd(worker);
  }

  #start(): boolean {
    const consumer = this.#workers.indexOf(null);
    if (consumer === -1 || this.#closing) {
      return false;
    }
    const lane = Lane.allocate(this.table.memory.slots);
    let worker: W;
    try {
      worker = this.open(consumer, lane);
    } catch (error) {
      // Not from within what is being submitted.
      process.nextTick(() => this.#onNoWorker(error));
      return false;
    }
    this.#workers[consumer] = worker;
    this.table.lanes.add(lane);
    this.started++;
    // What is in flight keeps the process alive, not the workers.
    worker.setReferenced(false);
    const { startTimeout } = this.options;
    if (worker.phase === 'starting' && timerMs(startTimeout) < Number.POSITIVE_INFINITY) {
      worker.timer = setTimeout(() => this.#onStartTimeout(worker), startTimeout);
      worker.timer.unref();
    }
    return true;
  }

  /** One cannot even be made, with the options that it was given. */
  #onNoWorker(error: unknown): void {
    this.#startCause = {
      code: 'ERR_GAMMALOOP_WORKER_START',
      text: 'one cannot be made with these options',
      error,
    };
    this.failedStarts++;
    if (this.active === 0 && !this.#closing) {
      this.table.failQueued((task) => errorOf(task, this.#startCause!));
    }
    this.#changed();
  }

  #onStartTimeout(worker: W): void {
    if (worker.phase === 'starting') {
      worker.cause = {
        code: 'ERR_GAMMALOOP_WORKER_HANG',
        text: `no worker was ready within startTimeout, ${this.options.startTimeout} ms`,
      };
      worker.terminate();
    }
  }

  /** For `dispose`, and for what a task has left behind. */
  #limitEnd(worker: W): void {
    const ms = timerMs(this.options.startTimeout);
    if (ms < Number.POSITIVE_INFINITY) {
      clearTimeout(worker.timer ?? undefined);
      worker.timer = setTimeout(() => worker.terminate(), ms).unref();
    }
  }

  #changed(): void {
    const waiters = [...this.#onChange];
    this.#onChange.clear();
    for (const waiter of waiters) waiter.resolve();
  }

  #count(phase: Phase): number {
    let count = 0;
    for (const worker of this.#workers) {
      if (worker?.phase === phase) count++;
    }
    return count;
  }
}

function startCode(cause: Cause): TaskErrorCode {
  return cause.code === 'ERR_GAMMALOOP_WORKER_HANG' ? cause.code : 'ERR_GAMMALOOP_WORKER_START';
}

function errorOf(task: Task, cause: Cause): TaskError {
  const message = `Task ${task.name} was not run to its end: ${cause.text}`;
  return new TaskError(cause.code, task.name, message, details(cause));
}

function details({ error, exitCode, signal }: Cause): ErrorOptions & { exitCode?: number; signal?: string } {
  return {
    ...(error !== undefined && { cause: error }),
    ...(exitCode !== undefined && { exitCode }),
    ...(signal !== undefined && { signal }),
  };
}
