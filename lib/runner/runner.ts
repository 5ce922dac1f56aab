/** The runner: work that would hold up the event loop, in threads of its own. docs/runner.md. */
import { AsyncResource } from 'node:async_hooks';
import { ClosedError, OptionError, QueueFullError, TooManyWaitersError } from '../errors.js';
import { activeScope } from '../scope/scope-tree.js';
import type { FunctionTable } from './functions.js';
import { type DurationStats, summarize } from './histogram.js';
import type { JobTable } from './job-table.js';
import { checkMapOptions, type MapOptions, mapTasks } from './map.js';
import {
  type CheckedRunnerOptions,
  checkRunnerOptions,
  checkTaskOptions,
  libraryPath,
  type RunnerOptions,
  timerMs,
} from './options.js';
import { type LaneKind, RunnerLane } from './runner-lane.js';
import { type NativeTaskOptions, Task, type TaskOptions } from './task.js';

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
  readonly lane: LaneKind;
  /** Of a worker thread. */
  readonly threadId?: number;
  /** Of a child process. */
  readonly pid?: number;
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
const NO_BYTES = new Uint8Array(0);

export class Runner {
  readonly #options: CheckedRunnerOptions;
  /** Of `run`, `call` and `map`. */
  readonly #main: RunnerLane;
  /** Of native tasks, each from the first one on. */
  #native: RunnerLane | null = null;
  #nativeProcesses: RunnerLane | null = null;
  #closing: Promise<RunnerCloseReport> | null = null;
  /** Tasks that the deadlines of close() have cancelled. */
  #cut = 0;

  constructor(options: RunnerOptions = {}) {
    this.#options = checkRunnerOptions(options);
    this.#main = RunnerLane.of(this.#options.lane, this.#options);
  }

  /** Runs the function of the module that has this name. */
  run<T = unknown>(name: string, args: readonly unknown[] = [], options?: TaskOptions): Promise<T> {
    try {
      checkName(name);
      checkTask(args, options);
      return this.#run(this.#main, this.#main.functions.named(name), name, args, options) as Promise<T>;
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
      checkTask(args, options);
      const id = this.#main.functions.function(fn as never);
      return this.#run(this.#main, id, fn.name || 'anonymous', args, options) as Promise<Awaited<R>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Runs a task of a shared library (native/include/gammaloop_task.h), on a native thread or in a child process (`lane`). It gets `bytes`
   * (copied; used where they are in a SharedArrayBuffer, or moved by `transfer: [bytes.buffer]`), and the promise gives the bytes that it
   * has made. `library`: a file URL or an absolute path. Rejects with TaskError where it cannot be opened, is none of this version, or
   * has no such task, and where the task returns an error of its own.
   */
  native(
    library: string | URL,
    symbol: string,
    bytes: Uint8Array | ArrayBufferLike | ArrayBufferView = NO_BYTES,
    options?: NativeTaskOptions,
  ): Promise<Uint8Array> {
    try {
      if (options !== undefined) {
        checkTaskOptions(options);
      }
      this.#checkOpen();
      const lane = this.#nativeLane(options?.lane ?? this.#options.lane);
      const { functions } = lane;
      const id = functions.knownNative(library as string, symbol) ?? defineNative(functions, library, symbol);
      const input = bytes instanceof Uint8Array ? bytes : asBytes(bytes);
      const args = [lane.kind === 'process' ? unshared(input) : input];
      return this.#run(lane, id, symbol, args, withContext(options)) as Promise<Uint8Array>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * A task for each item, which is its argument. No more items are drawn than results are consumed, but for those in flight, and a task waits where
   * the queue is full. Throws OptionError.
   */
  map<T = unknown>(
    name: string,
    iterable: Iterable<unknown> | AsyncIterable<unknown>,
    options: MapOptions & TaskOptions = {},
  ): AsyncGenerator<T, void, void> {
    checkName(name);
    checkTaskOptions(options);
    const { concurrency, ordered, signal, ...rest } = options;
    const { threads, tasksPerThread, slots } = this.#options;
    const defaultConcurrency = Math.min(2 * threads * tasksPerThread, slots);
    const checked = checkMapOptions(concurrency ?? defaultConcurrency, ordered ?? true);
    const end = new AbortController();
    const taskOptions = { ...rest, signal: signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]) };
    return mapTasks(
      iterable,
      (item) => this.#run(this.#main, this.#main.functions.named(name), name, [item], taskOptions, true),
      checked,
      () => end.abort(),
    ) as AsyncGenerator<T>;
  }

  /** Starts every thread now, and waits until each is ready. Rejects where one cannot be started. */
  async start(): Promise<void> {
    this.#checkOpen();
    const { workers } = this.#main;
    workers.startAll();
    workers.setReferenced(true);
    try {
      const { failedStarts } = workers;
      while (workers.ready < this.#options.threads) {
        await workers.change(activeScope());
        if (workers.failedStarts > failedStarts) {
          throw workers.startError();
        }
        this.#checkOpen();
      }
    } finally {
      workers.setReferenced(false);
    }
  }

  stats(): RunnerStats {
    const lanes = this.#lanes;
    const sum = (count: (lane: RunnerLane) => number) => lanes.reduce((total, lane) => total + count(lane), 0);
    return {
      waiting: sum(({ table }) => table.waiting),
      queued: sum(({ queued }) => queued),
      running: sum(({ table, queued }) => Math.max(0, table.inFlight - queued)),
      done: sum(({ table }) => table.done),
      failed: sum(({ table }) => table.failed),
      cancelled: sum(({ table }) => table.cancelled),
      timedOut: sum(({ table }) => table.timedOut),
      refused: sum(({ table }) => table.refused),
      waitTime: summarize(lanes.map(({ waits }) => waits)),
      runTime: summarize(lanes.flatMap((lane) => lane.runTimes())),
      threads: {
        starting: sum(({ workers }) => workers.active - workers.ready),
        ready: sum(({ workers }) => workers.ready),
        started: sum(({ workers }) => workers.started),
        ended: sum(({ workers }) => workers.ended),
      },
      workers: lanes.flatMap((lane) => lane.workerStats()),
    };
  }

  /**
   * Takes no more tasks, waits for those there are, and ends the threads. At the deadline (ms from now; default: none) what has not ended is
   * cancelled, and threads that still run something after `graceMs`, or a second where that is more, are terminated. May be called
   * again: the promise is the first call's, and an earlier deadline counts.
   */
  close(options: { deadline?: number } = {}): Promise<RunnerCloseReport> {
    const { deadline = Number.POSITIVE_INFINITY } = options ?? {};
    if (typeof deadline !== 'number' || !(deadline >= 0)) {
      return Promise.reject(new OptionError('deadline', 'milliseconds, 0 or more, or Infinity', deadline));
    }
    this.#closing ??= this.#close();
    if (timerMs(deadline) < Number.POSITIVE_INFINITY) {
      let timer = setTimeout(() => {
        for (const { table } of this.#lanes) this.#cut += table.cancelAll(new ClosedError('The runner'));
        timer = setTimeout(
          () => {
            for (const { table } of this.#lanes) table.terminateAll();
          },
          Math.min(this.#options.graceMs, MAX_CLOSE_GRACE_MS),
        );
      }, deadline);
      void this.#closing.finally(() => clearTimeout(timer));
    }
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #lanes(): readonly RunnerLane[] {
    return [this.#main, this.#native, this.#nativeProcesses].filter((lane) => lane !== null);
  }

  #nativeLane(where: 'thread' | 'process'): RunnerLane {
    if (where === 'thread') {
      this.#native ??= RunnerLane.natives(this.#options);
      return this.#native;
    }
    if (this.#main.kind === 'process') {
      return this.#main;
    }
    this.#nativeProcesses ??= RunnerLane.processes({ ...this.#options, module: undefined, workerData: undefined });
    return this.#nativeProcesses;
  }

  #run(
    { table }: RunnerLane,
    functionId: number,
    name: string,
    args: readonly unknown[],
    options: NativeTaskOptions | undefined,
    waits = this.#options.waits,
  ): Promise<unknown> {
    this.#checkOpen();
    if (table.full) {
      this.#checkRoom(table, waits);
    }
    return table.add(new Task(table, functionId, name, args, options));
  }

  #checkRoom(table: JobTable, waits: boolean): void {
    // Results may be there that nobody has looked at.
    table.collect();
    if (!table.full) {
      return;
    }
    if (!waits) {
      table.refused++;
      throw new QueueFullError(this.#options.capacity);
    }
    if (table.waiting >= MAX_WAITING) {
      table.refused++;
      throw new TooManyWaitersError(MAX_WAITING);
    }
  }

  #checkOpen(): void {
    if (this.#closing !== null) {
      throw new ClosedError('The runner');
    }
  }

  async #close(): Promise<RunnerCloseReport> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
    return { cancelled: this.#cut };
  }
}

/** Throws OptionError. */
function checkName(name: unknown): void {
  if (typeof name !== 'string') {
    throw new OptionError('name', 'the name of a function of the module', name);
  }
}

/** Throws OptionError. */
function checkTask(args: unknown, options: TaskOptions | undefined): void {
  if (!Array.isArray(args)) {
    throw new OptionError('args', 'an array of arguments', args);
  }
  if (options !== undefined) {
    checkTaskOptions(options);
  }
}

/** Throws OptionError, TaskError. */
function defineNative(functions: FunctionTable, library: unknown, symbol: unknown): number {
  if (typeof symbol !== 'string' || symbol === '') {
    throw new OptionError('symbol', 'the name of a task of the library', symbol);
  }
  return functions.native(libraryPath(library), symbol);
}

function asBytes(bytes: unknown): Uint8Array {
  if (ArrayBuffer.isView(bytes)) {
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  if (bytes instanceof ArrayBuffer || bytes instanceof SharedArrayBuffer) {
    return new Uint8Array(bytes);
  }
  throw new OptionError('bytes', 'bytes: a typed array, an ArrayBuffer or a SharedArrayBuffer', bytes);
}

/** Processes share no memory. */
function unshared(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof SharedArrayBuffer ? Uint8Array.from(bytes) : bytes;
}

/** `onProgress` is called as its caller would call it. */
function withContext(options: NativeTaskOptions | undefined): NativeTaskOptions | undefined {
  return options?.onProgress === undefined
    ? options
    : { ...options, onProgress: AsyncResource.bind(options.onProgress) };
}
