/** Workers of the lane 'thread': threads with JavaScript. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { Messages } from './cloned-values.js';
import type { FunctionDefinition, FunctionTable } from './functions.js';
import { takesOnlyText } from './inherited-flags.js';
import type { Lane } from './job-memory.js';
import type { FromWorker, ToWorker, WorkerSetup } from './messages.js';
import { type CheckedRunnerOptions, timerMs } from './options.js';
import { fromPlainError, toPlainError } from './task-errors.js';
import { canSerialize } from './values.js';
import { fatalCause, PoolWorker, startFailure, WorkerPool } from './worker-pool.js';

class WorkerThread extends PoolWorker {
  readonly worker: Worker;
  readonly port: MessagePort;
  /** Results that have come by message, until their completion is collected. */
  readonly results = new Map<number, unknown>();

  constructor(lane: Lane, consumer: number, worker: Worker, port: MessagePort) {
    super(lane, consumer);
    this.worker = worker;
    this.port = port;
  }

  get identity() {
    return { threadId: this.worker.threadId };
  }

  setReferenced(referenced: boolean): void {
    if (referenced) this.worker.ref();
    else this.worker.unref();
  }

  override define(definition: FunctionDefinition): void {
    this.post({ kind: 'define', definition });
  }

  retire(): void {
    this.post({ kind: 'retire' });
  }

  terminate(): void {
    void this.worker.terminate();
  }

  release(): void {
    this.port.close();
  }

  post(message: ToWorker, transfer: readonly object[] = []): void {
    this.port.postMessage(message, transfer as never);
  }
}

/** The entry of a thread. */
let entry = new URL('./js-worker.js', import.meta.url);

/** @internal For tests that run from the sources. */
export function setWorkerEntry(url: URL): void {
  entry = url;
}

export class WorkerThreads extends WorkerPool<WorkerThread> implements Messages {
  readonly #functions: FunctionTable;

  constructor(options: CheckedRunnerOptions, functions: FunctionTable) {
    super(options);
    this.#functions = functions;
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

  protected open(consumer: number, lane: Lane): WorkerThread {
    const { module, workerData, tasksPerThread, batchSize, niceIncrement, idleTimeout, recycle } = this.options;
    const { port1, port2 } = new MessageChannel();
    const setup: WorkerSetup = {
      poolId: this.table.pool.id(),
      consumer,
      slots: this.table.memory.shared,
      lane: lane.shared,
      port: port2,
      definitions: this.#functions.definitions,
      module,
      workerData,
      tasksPerThread,
      batchSize,
      spinUs: this.options.workerSpinUs,
      niceIncrement,
      idleTimeout: timerMs(idleTimeout),
      recycle,
    };
    let worker: Worker;
    try {
      const options = { ...this.options.worker, workerData: setup, transferList: [port2] };
      worker = takesOnlyText(options.execArgv !== undefined, options.env as NodeJS.ProcessEnv | undefined)
        ? new Worker(`import(${JSON.stringify(entry.href)})`, { ...options, eval: true })
        : new Worker(entry, options);
    } catch (error) {
      port1.close();
      throw error;
    }
    const thread = new WorkerThread(lane, consumer, worker, port1);
    worker.on('error', (error) => this.#onError(thread, error));
    worker.on('exit', (exitCode) => {
      this.#receive(thread);
      this.onEnd(thread, { text: `its worker ended with exit code ${exitCode}`, exitCode });
    });
    port1.on('message', (message: FromWorker) => this.#onMessage(thread, message));
    port1.unref();
    return thread;
  }

  #onMessage(thread: WorkerThread, message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.onReady(thread);
        break;
      case 'failed':
        thread.cause = startFailure(message.error);
        break;
      case 'fatal':
        thread.cause = fatalCause(message.origin, fromPlainError(message.error));
        break;
      case 'fetch':
        this.#sendArguments(thread, message.slot);
        break;
      case 'result':
        thread.results.set(message.slot, message.value);
        break;
      case 'retired':
        this.onRetired(thread);
        break;
    }
  }

  /** Once for each job that asks. */
  #sendArguments(thread: WorkerThread, slot: number): void {
    const task = this.table.taskAt(slot)!;
    const { value, transfer } = task.snapshot!;
    task.snapshot = null;
    try {
      thread.post({ kind: 'arguments', slot, args: value as unknown[] }, transfer);
    } catch (error) {
      // What could be moved when the task was made cannot any more: a port that its peer has closed.
      thread.post({ kind: 'no-arguments', slot, error: toPlainError(error as Error, canSerialize) });
    }
  }

  #receive(thread: WorkerThread): void {
    for (let it = receiveMessageOnPort(thread.port); it !== undefined; it = receiveMessageOnPort(thread.port)) {
      this.#onMessage(thread, it.message as FromWorker);
    }
  }

  #onError(thread: WorkerThread, error: unknown): void {
    if ((error as { code?: unknown } | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      thread.cause = { code: 'ERR_GAMMALOOP_WORKER_MEMORY', text: 'its worker reached its heap limit', error };
    }
    this.#receive(thread);
    thread.cause ??= fatalCause('uncaughtException', error);
  }
}
