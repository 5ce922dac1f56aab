/** The runner: work that would hold up the event loop, in threads of its own. docs/runner.md. */
import { loadBinding } from '../bridge/binding.js';
import { ClosedError, OptionError, QueueFullError, TooManyWaitersError } from '../errors.js';
import { type FunctionDefinition, FunctionTable } from './functions.js';
import { type DurationStats, summarize } from './histogram.js';
import { JobTable } from './job-table.js';
import { checkMapOptions, type MapOptions, mapTasks } from './map.js';
import {
  type CheckedRunnerOptions,
  checkRunnerOptions,
  checkTaskOptions,
  type RunnerOptions,
  timerMs,
} from './options.js';
import { Task, type TaskOptions } from './task.js';
import { WorkerThreads } from './worker-threads.js';

export interface RunnerStats {
  /** Tasks that wait for room in the queue (`whenFull: 'wait'`), are queued, or run (cancelled ones too, while they still run). */
  readonly waiting: number;
  readonly queued: number;
  readonly running: number;
  /** Tasks that have ended: with a value, an error, by cancellation, by their timeout; and those that were refused. */
  readonly done: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly timedOut: number;
  readonly refused: number;
  /** From being queued to being taken, and from there to the end, in ms. */
  readonly waitTime: DurationStats;
  readonly runTime: DurationStats;
  readonly threads: {
    readonly starting: number;
    readonly ready: number;
    readonly started: number;
    readonly ended: number;
  };
  readonly workers: readonly WorkerStats[];
}

export interface WorkerStats {
  readonly threadId: number;
  readonly phase: string;
  readonly ageMs: number;
  readonly runTime: DurationStats;
}

export interface RunnerCloseReport {
  /** Tasks that had not ended at the deadline, and were cancelled. */
  readonly cancelled: number;
}

const MAX_WAITING = 1_000_000;
const MAX_CLOSE_GRACE_MS = 1000;

export class Runner {
  readonly #options: CheckedRunnerOptions;
  readonly #functions: FunctionTable;
  readonly #threads: WorkerThreads;
  readonly #table: JobTable;
  #closing: Promise<RunnerCloseReport> | null = null;
  /** Tasks that the deadlines of close() have cancelled. */
  #cut = 0;
  /** How long tasks have waited, once the native pool has gone. */
  #lastWaits: Uint32Array | null = null;

  constructor(options: RunnerOptions = {}) {
    const checked = checkRunnerOptions(options);
    this.#options = checked;
    this.#functions = new FunctionTable((definition: FunctionDefinition) =>
      this.#threads.define({ kind: 'define', definition }),
    );
    this.#threads = new WorkerThreads(checked, this.#functions);
    const { threads, tasksPerThread, capacity, agingMs, spinUs, graceMs } = checked;
    const slots = capacity + threads * tasksPerThread;
    this.#table = new JobTable(loadBinding(), { slots, agingMs, spinUs, graceMs }, this.#threads);
    this.#threads.attach(this.#table);
  }

  /** Runs the function of the module that has this name. */
  run<T = unknown>(name: string, args: readonly unknown[] = [], options?: TaskOptions): Promise<T> {
    try {
      if (typeof name !== 'string') {
        throw new OptionError('name', 'the name of a function of the module', name);
      }
      return this.#run(this.#functions.named(name), name, args, options) as Promise<T>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Runs a function that stands alone: what it uses are its arguments and globals. */
  call<A extends unknown[], R>(
    fn: (...args: A) => R,
    args: A = [] as never,
    options?: TaskOptions,
  ): Promise<Awaited<R>> {
    try {
      if (typeof fn !== 'function') {
        throw new OptionError('fn', 'a function', fn);
      }
      return this.#run(this.#functions.function(fn as never), fn.name || 'anonymous', args, options) as Promise<
        Awaited<R>
      >;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** A task for each item, which is its argument. No more items are drawn than results are consumed, but for those in flight. */
  map<T = unknown>(
    name: string,
    iterable: Iterable<unknown> | AsyncIterable<unknown>,
    options: MapOptions & TaskOptions = {},
  ): AsyncGenerator<T, void, void> {
    const { concurrency, ordered, signal, ...rest } = options;
    const defaultConcurrency = Math.min(2 * this.#options.threads * this.#options.tasksPerThread, this.#slots);
    const checked = checkMapOptions(concurrency ?? defaultConcurrency, ordered ?? true);
    const end = new AbortController();
    const taskOptions = { ...rest, signal: signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]) };
    return mapTasks(
      iterable,
      (item) => this.run(name, [item], taskOptions),
      checked,
      () => end.abort(),
    ) as AsyncGenerator<T>;
  }

  /** Starts every thread now, and waits until each is ready. Rejects where one cannot be started. */
  async start(): Promise<void> {
    this.#checkOpen();
    this.#threads.startAll();
    this.#threads.setReferenced(true);
    try {
      const { failedStarts } = this.#threads;
      while (this.#threads.ready < this.#options.threads) {
        await this.#threads.change();
        if (this.#threads.failedStarts > failedStarts) {
          throw this.#threads.startError();
        }
        this.#checkOpen();
      }
    } finally {
      this.#threads.setReferenced(false);
    }
  }

  stats(): RunnerStats {
    const { pool, inFlight, waiting, done, failed, cancelled, timedOut, refused } = this.#table;
    const threads = [...this.#threads.list()];
    const queued = this.#lastWaits === null ? pool.queued() : 0;
    const now = performance.now();
    return {
      waiting,
      queued,
      running: Math.max(0, inFlight - queued),
      done,
      failed,
      cancelled,
      timedOut,
      refused,
      waitTime: summarize([this.#lastWaits ?? pool.waits()]),
      runTime: summarize([this.#threads.endedRunTimes, ...threads.map(({ lane }) => lane.runTimes)]),
      threads: {
        starting: this.#threads.active - this.#threads.ready,
        ready: this.#threads.ready,
        started: this.#threads.started,
        ended: this.#threads.ended,
      },
      workers: threads.map(({ worker, phase, startedAt, lane }) => ({
        threadId: worker.threadId,
        phase,
        ageMs: now - startedAt,
        runTime: summarize([lane.runTimes]),
      })),
    };
  }

  /**
   * Takes no more tasks, waits for those there are, and ends the threads. At the deadline (ms from now; default: none) what has not ended is
   * cancelled, and threads that still run something after `graceMs`, or a second where that is more, are terminated. May be called
   * again: the promise is the first call's, and an earlier deadline counts.
   */
  close(options: { deadline?: number } = {}): Promise<RunnerCloseReport> {
    const { deadline = Number.POSITIVE_INFINITY } = options;
    if (typeof deadline !== 'number' || !(deadline >= 0)) {
      return Promise.reject(new OptionError('deadline', 'milliseconds, 0 or more, or Infinity', deadline));
    }
    this.#closing ??= this.#close();
    if (timerMs(deadline) < Number.POSITIVE_INFINITY) {
      let timer = setTimeout(() => {
        this.#cut += this.#table.cancelAll(new ClosedError('The runner'));
        timer = setTimeout(() => this.#table.terminateAll(), Math.min(this.#options.graceMs, MAX_CLOSE_GRACE_MS));
      }, deadline);
      void this.#closing.finally(() => clearTimeout(timer));
    }
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #slots(): number {
    return this.#options.capacity + this.#options.threads * this.#options.tasksPerThread;
  }

  #run(functionId: number, name: string, args: readonly unknown[], options: TaskOptions | undefined): Promise<unknown> {
    if (!Array.isArray(args)) {
      throw new OptionError('args', 'an array of arguments', args);
    }
    if (options !== undefined) {
      checkTaskOptions(options);
    }
    if (this.#closing !== null) {
      throw new ClosedError('The runner');
    }
    if (this.#table.full) {
      this.#checkRoom();
    }
    return this.#table.add(new Task(this.#table, functionId, name, args, options));
  }

  #checkRoom(): void {
    // Results may be there that nobody has looked at.
    this.#table.collect();
    if (!this.#table.full) {
      return;
    }
    if (!this.#options.waits) {
      this.#table.refused++;
      throw new QueueFullError(this.#options.capacity);
    }
    if (this.#table.waiting >= MAX_WAITING) {
      this.#table.refused++;
      throw new TooManyWaitersError(MAX_WAITING);
    }
  }

  #checkOpen(): void {
    if (this.#closing !== null) {
      throw new ClosedError('The runner');
    }
  }

  async #close(): Promise<RunnerCloseReport> {
    this.#table.flush();
    if (this.#table.inFlight > 0 || this.#table.waiting > 0) {
      await new Promise<void>((resolve) => {
        this.#table.onEmpty = resolve;
      });
    }
    this.#threads.retireAll();
    while (this.#threads.alive > 0) {
      await this.#threads.change();
    }
    this.#lastWaits = this.#table.pool.waits();
    this.#table.pool.close();
    return { cancelled: this.#cut };
  }
}
