/**
 * The threads that run JavaScript tasks: started as they are needed, replaced when they die, ended when idle. Whatever a thread dies of,
 * what it had taken and not begun goes back to the queue, and only what it was running is rejected.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { TaskError, type TaskErrorCode } from '../errors.js';
import type { FunctionTable } from './functions.js';
import { HISTOGRAM_BUCKETS } from './histogram.js';
import { Lane } from './job-memory.js';
import type { JobRunners, JobTable } from './job-table.js';
import type { FromWorker, ToWorker, WorkerSetup } from './messages.js';
import { type CheckedRunnerOptions, timerMs } from './options.js';
import type { Task } from './task.js';
import { fromPlainError, toPlainError } from './task-errors.js';
import { canSerialize } from './values.js';

type Phase = 'starting' | 'ready' | 'retiring' | 'dead';

/** How a thread ended, as the error of a task that it was running says it. */
interface Cause {
  readonly code: TaskErrorCode;
  readonly text: string;
  readonly error?: unknown;
  readonly exitCode?: number;
}

class WorkerThread {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly lane: Lane;
  readonly consumer: number;
  readonly startedAt = performance.now();
  /** Results that have come by message, until their completion is collected. */
  readonly results = new Map<number, unknown>();
  phase: Phase = 'starting';
  cause: Cause | null = null;
  startTimer: NodeJS.Timeout | null = null;

  constructor(worker: Worker, port: MessagePort, lane: Lane, consumer: number) {
    this.worker = worker;
    this.port = port;
    this.lane = lane;
    this.consumer = consumer;
  }
}

/** The entry of a thread. */
let entry = new URL('./js-worker.js', import.meta.url);

/** @internal For tests that run from the sources. */
export function setWorkerEntry(url: URL): void {
  entry = url;
}

export class WorkerThreads implements JobRunners {
  readonly #options: CheckedRunnerOptions;
  readonly #functions: FunctionTable;
  readonly #threads: (WorkerThread | null)[];
  #table!: JobTable;
  #closing = false;
  #onChange: (() => void)[] = [];
  #startCause: Cause | null = null;
  started = 0;
  ended = 0;
  failedStarts = 0;
  /** Run times of the threads that have ended. */
  readonly endedRunTimes = new Int32Array(HISTOGRAM_BUCKETS);

  constructor(options: CheckedRunnerOptions, functions: FunctionTable) {
    this.#options = options;
    this.#functions = functions;
    // By consumer: twice as many, so that a thread that disposes of its module does not keep the next one waiting.
    this.#threads = new Array<WorkerThread | null>(2 * options.threads).fill(null);
  }

  attach(table: JobTable): void {
    this.#table = table;
  }

  /** Threads that take jobs, or will. */
  get active(): number {
    return this.#count('starting') + this.#count('ready');
  }

  get alive(): number {
    return this.#threads.filter((thread) => thread !== null).length;
  }

  get ready(): number {
    return this.#count('ready');
  }

  /** Why the latest thread could not start. */
  startError(): TaskError {
    const cause = this.#startCause!;
    return new TaskError(cause.code, 'start', `A worker of the runner could not start: ${cause.text}`, details(cause));
  }

  /** Whether the threads there are keep the process alive. */
  setReferenced(referenced: boolean): void {
    if (!this.#closing) {
      for (const { worker } of this.list()) {
        if (referenced) worker.ref();
        else worker.unref();
      }
    }
  }

  /** When a thread next becomes ready, or ends. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve));
  }

  *list(): Generator<WorkerThread> {
    for (const thread of this.#threads) {
      if (thread !== null) yield thread;
    }
  }

  needed(queued: number): void {
    const { active } = this;
    // A thread whose tasks have all ended comes back to the queue by itself, also where it does not sleep yet.
    const unserved = Math.min(queued - this.#count('starting'), this.#table.inFlight - active);
    const wanted = Math.min(this.#options.threads - active, unserved);
    for (let i = 0; i < wanted; i++) {
      this.#start();
    }
  }

  startAll(): void {
    while (this.active < this.#options.threads && this.#start());
  }

  terminate(consumer: number): void {
    const thread = this.#threads[consumer];
    if (thread != null) {
      thread.phase = 'retiring';
      void thread.worker.terminate();
      this.needed(this.#table.pool.queued());
    }
  }

  retire(consumer: number): void {
    const thread = this.#threads[consumer];
    if (thread != null) {
      this.#retire(thread);
      this.needed(this.#table.pool.queued());
    }
  }

  takeMessage(slot: number): unknown {
    for (const thread of this.list()) {
      this.#receive(thread);
      if (thread.results.has(slot)) {
        const value = thread.results.get(slot);
        thread.results.delete(slot);
        return value;
      }
    }
    throw new Error('the message did not come');
  }

  define(message: ToWorker & { kind: 'define' }): void {
    for (const thread of this.list()) {
      thread.port.postMessage(message);
    }
  }

  /** Each thread finishes what it runs, then ends; one that does not within `startTimeout` is terminated. */
  retireAll(): void {
    this.#closing = true;
    for (const thread of this.list()) {
      thread.worker.ref(); // until it has ended, for who waits for close()
      if (thread.phase === 'starting') {
        thread.phase = 'retiring';
        void thread.worker.terminate();
        continue;
      }
      this.#retire(thread);
    }
  }

  #retire(thread: WorkerThread): void {
    thread.phase = 'retiring';
    thread.port.postMessage({ kind: 'retire' } satisfies ToWorker);
    this.#limitEnd(thread, this.#options.startTimeout);
  }

  #start(): boolean {
    const consumer = this.#threads.indexOf(null);
    if (consumer === -1 || this.#closing) {
      return false;
    }
    const { module, workerData, tasksPerThread, spinUs, idleTimeout, recycle, startTimeout } = this.#options;
    const lane = Lane.allocate(this.#table.memory.slots);
    const { port1, port2 } = new MessageChannel();
    const setup: WorkerSetup = {
      poolId: this.#table.pool.id(),
      consumer,
      slots: this.#table.memory.shared,
      lane: lane.shared,
      port: port2,
      definitions: this.#functions.definitions,
      module,
      workerData,
      tasksPerThread,
      spinUs,
      idleTimeout: timerMs(idleTimeout),
      recycle,
    };
    let worker: Worker;
    try {
      worker = new Worker(entry, { ...this.#options.worker, workerData: setup, transferList: [port2] });
    } catch (error) {
      port1.close();
      // Not from within what is being submitted.
      process.nextTick(() => this.#onNoWorker(error));
      return false;
    }
    const thread = new WorkerThread(worker, port1, lane, consumer);
    this.#threads[consumer] = thread;
    this.#table.lanes.add(lane);
    this.started++;
    worker.on('error', (error) => this.#onError(thread, error));
    worker.on('exit', (code) => this.#onExit(thread, code));
    port1.on('message', (message: FromWorker) => this.#onMessage(thread, message));
    // What is in flight keeps the process alive, not the threads.
    worker.unref();
    port1.unref();
    if (startTimeout < Number.POSITIVE_INFINITY) {
      thread.startTimer = setTimeout(() => this.#onStartTimeout(thread), timerMs(startTimeout));
      thread.startTimer.unref();
    }
    return true;
  }

  #onMessage(thread: WorkerThread, message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        clearTimeout(thread.startTimer ?? undefined);
        if (thread.phase === 'starting') thread.phase = 'ready';
        this.#changed();
        break;
      case 'failed':
        thread.cause = {
          code: 'ERR_GAMMALOOP_WORKER_START',
          text: 'the module of the runner, or its init, threw',
          error: fromPlainError(message.error),
        };
        break;
      case 'fatal':
        thread.cause =
          message.origin === 'unhandledRejection'
            ? { code: 'ERR_GAMMALOOP_WORKER_REJECTION', text: 'nobody handled a rejection in its worker' }
            : { code: 'ERR_GAMMALOOP_WORKER_EXCEPTION', text: 'nobody caught an exception in its worker' };
        thread.cause = { ...thread.cause, error: fromPlainError(message.error) };
        break;
      case 'fetch':
        this.#sendArguments(thread, message.slot);
        break;
      case 'result':
        thread.results.set(message.slot, message.value);
        break;
      case 'retired':
        if (thread.phase === 'ready') {
          thread.phase = 'retiring';
          this.#limitEnd(thread, this.#options.startTimeout);
          this.needed(this.#table.pool.queued());
        }
        break;
    }
  }

  #sendArguments(thread: WorkerThread, slot: number): void {
    const { args, transfer } = this.#table.argumentsOf(slot);
    try {
      thread.port.postMessage(
        { kind: 'arguments', slot, args: args as unknown[] } satisfies ToWorker,
        transfer as never,
      );
    } catch (error) {
      // What could be moved when the task was made cannot any more: a port that its peer has closed.
      const plain = toPlainError(error as Error, canSerialize);
      thread.port.postMessage({ kind: 'no-arguments', slot, error: plain } satisfies ToWorker);
    }
  }

  #receive(thread: WorkerThread): void {
    for (let it = receiveMessageOnPort(thread.port); it !== undefined; it = receiveMessageOnPort(thread.port)) {
      this.#onMessage(thread, it.message as FromWorker);
    }
  }

  /** node refuses to make one, for the options that it was given. */
  #onNoWorker(error: unknown): void {
    this.#startCause = {
      code: 'ERR_GAMMALOOP_WORKER_START',
      text: 'a thread cannot be made with these options',
      error,
    };
    this.failedStarts++;
    if (this.active === 0 && !this.#closing) {
      this.#table.failQueued((task) => errorOf(task, this.#startCause!));
    }
    this.#changed();
  }

  #onStartTimeout(thread: WorkerThread): void {
    if (thread.phase === 'starting') {
      thread.cause = {
        code: 'ERR_GAMMALOOP_WORKER_HANG',
        text: `no worker was ready within startTimeout, ${this.#options.startTimeout} ms`,
      };
      void thread.worker.terminate();
    }
  }

  #onError(thread: WorkerThread, error: unknown): void {
    if ((error as { code?: unknown } | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      thread.cause = { code: 'ERR_GAMMALOOP_WORKER_MEMORY', text: 'its worker reached its heap limit', error };
    }
    this.#receive(thread);
    thread.cause ??= {
      code: 'ERR_GAMMALOOP_WORKER_EXCEPTION',
      text: 'nobody caught an exception in its worker',
      error,
    };
  }

  #onExit(thread: WorkerThread, exitCode: number): void {
    this.#receive(thread);
    const neverReady = thread.phase === 'starting';
    clearTimeout(thread.startTimer ?? undefined);
    this.ended++;
    // What it had finished counts, however it ended.
    this.#table.collect();
    const running = this.#table.pool.reclaim(thread.consumer);
    this.#table.lanes.delete(thread.lane);
    const wasLast = this.active === (neverReady ? 1 : 0);
    thread.phase = 'dead';
    this.#threads[thread.consumer] = null;
    thread.port.close();
    const cause: Cause = {
      code: neverReady ? 'ERR_GAMMALOOP_WORKER_START' : 'ERR_GAMMALOOP_WORKER_EXIT',
      text: `its worker ended with exit code ${exitCode}${neverReady ? ' before it was ready' : ''}`,
      ...thread.cause,
      exitCode,
    };
    for (const slot of running) {
      this.#table.fail(slot, (task) => errorOf(task, cause));
    }
    if (neverReady) {
      this.#startCause = { ...cause, code: startCode(cause) };
      this.failedStarts++;
    }
    thread.lane.runTimes.forEach((count, bucket) => {
      this.endedRunTimes[bucket]! += count;
    });
    if (!neverReady) {
      this.needed(this.#table.pool.queued());
    } else if (wasLast && !this.#closing) {
      // The next would fail as this one did: nobody is left to run what waits.
      this.#table.failQueued((task) => errorOf(task, this.#startCause!));
    }
    this.#changed();
  }

  /** For `dispose`, and for what a task has left behind. */
  #limitEnd(thread: WorkerThread, ms: number): void {
    if (timerMs(ms) < Number.POSITIVE_INFINITY) {
      const timer = setTimeout(() => void thread.worker.terminate(), timerMs(ms)).unref();
      thread.worker.once('exit', () => clearTimeout(timer));
    }
  }

  #changed(): void {
    for (const resolve of this.#onChange.splice(0)) {
      resolve();
    }
  }

  #count(phase: Phase): number {
    let count = 0;
    for (const thread of this.#threads) {
      if (thread?.phase === phase) count++;
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

function details({ error, exitCode }: Cause): ErrorOptions & { exitCode?: number } {
  return { ...(error !== undefined && { cause: error }), ...(exitCode !== undefined && { exitCode }) };
}
