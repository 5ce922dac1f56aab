/**
 * Workers of the lane 'native': threads without JavaScript, which call functions of shared libraries. A library is opened once by each
 * runner that uses it, and stays loaded as long as the process lives.
 *
 * A thread cannot be ended from outside: one that is to be terminated takes nothing more, and ends when its task returns.
 */
import type { Binding, NativeLaneThreads, NativeRunnerPool } from '../bridge/binding.js';
import { TaskError } from '../errors.js';
import type { FunctionDefinition } from './functions.js';
import { LANE_ENDED, type Lane, SLOT_WORDS } from './job-memory.js';
import type { JobTable } from './job-table.js';
import { INPUT_BYTES, type NativeValues } from './native-values.js';
import { type CheckedRunnerOptions, timerMs } from './options.js';
import { PoolWorker, WorkerPool } from './worker-pool.js';

class NativeThread extends PoolWorker {
  readonly #threads: NativeLaneThreads;
  readonly #pool: NativeRunnerPool;

  constructor(lane: Lane, consumer: number, threads: NativeLaneThreads, pool: NativeRunnerPool) {
    super(lane, consumer);
    this.#threads = threads;
    this.#pool = pool;
    this.phase = 'ready';
  }

  get identity() {
    return {};
  }

  /** What keeps the process alive is the doorbell: while there are tasks, and until the threads have ended that were told to. */
  setReferenced(referenced: boolean): void {
    if (referenced) this.#pool.setReferenced(true);
  }

  retire(): void {
    this.#threads.retire(this.consumer);
  }

  terminate(): void {
    this.retire();
  }

  release(): void {}
}

export class NativeThreads extends WorkerPool<NativeThread> {
  readonly #binding: Binding;
  #values!: NativeValues;
  #threads!: NativeLaneThreads;

  constructor(options: CheckedRunnerOptions, binding: Binding) {
    super(options);
    this.#binding = binding;
  }

  bind(table: JobTable, values: NativeValues): void {
    const { memory, pool } = table;
    this.attach(table);
    this.#values = values;
    this.#threads = new this.#binding.NativeLane(
      pool.id(),
      memory.words,
      SLOT_WORDS,
      memory.slots,
      values.inputs,
      INPUT_BYTES,
    );
    values.threads = this.#threads;
  }

  /** Finds the function. Throws TaskError. */
  override define({ id, name, library }: FunctionDefinition): void {
    const missing = this.#threads.define(id, library!, name);
    if (missing !== undefined) {
      throw notFound(missing, library!, name);
    }
  }

  protected open(consumer: number, lane: Lane): NativeThread {
    const { idleTimeout, workerSpinUs, batchSize, niceIncrement } = this.options;
    const idleMs = timerMs(idleTimeout) < Number.POSITIVE_INFINITY ? idleTimeout : -1;
    this.#threads.start(consumer, lane.words, lane.ring.length, idleMs, workerSpinUs, batchSize, niceIncrement);
    return new NativeThread(lane, consumer, this.#threads, this.table.pool);
  }

  /** Tasks have got further, or threads have ended. */
  override heard(): void {
    this.#values.eachProgress((slot, done) => {
      const task = this.table.taskAt(slot);
      // What it throws is an uncaught exception, and harms no other.
      if (task !== null && !task.settled) process.nextTick(task.options.onProgress!, done);
    });
    for (const thread of this.list()) {
      if (Atomics.load(thread.lane.words, LANE_ENDED) !== 0) {
        this.#threads.reap(thread.consumer);
        this.onEnd(thread, { text: 'its thread has ended' });
      }
    }
  }

  override close(): void {
    this.#threads.close();
  }
}

function notFound({ kind, text }: { kind: string; text: string }, path: string, symbol: string): TaskError {
  switch (kind) {
    case 'library':
      return new TaskError('ERR_GAMMALOOP_NATIVE_LIBRARY', symbol, `${path} cannot be opened as a library: ${text}`);
    case 'abi':
      return new TaskError(
        'ERR_GAMMALOOP_NATIVE_ABI',
        symbol,
        `${path} is no library of native tasks of version 1: ${text}; build it with this version's gammaloop_task.h`,
      );
    default:
      return new TaskError('ERR_GAMMALOOP_NATIVE_SYMBOL', symbol, `${path} exports no task ${symbol}`);
  }
}
