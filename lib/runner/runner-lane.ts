/** A lane: a queue of its own, and the workers that take from it. A runner has one for each kind of work that it was given. */

import { loadBinding, type NativeRunnerPool } from '../bridge/binding.js';
import { plainOwner, Waiter } from '../scope/waiter.js';
import { ClonedValues } from './cloned-values.js';
import { type FunctionDefinition, FunctionTable } from './functions.js';
import { summarize } from './histogram.js';
import type { JobMemory } from './job-memory.js';
import { JobTable, type JobValues } from './job-table.js';
import { NativeThreads } from './native-threads.js';
import { NativeValues } from './native-values.js';
import type { CheckedRunnerOptions } from './options.js';
import type { PoolWorker, WorkerPool } from './worker-pool.js';
import { WorkerProcesses } from './worker-processes.js';
import { WorkerThreads } from './worker-threads.js';

type Workers = WorkerPool<PoolWorker>;

const NEEDS_ADDON =
  "build it with 'npm run build' (needs Python 3, make and g++): the runner, and serve({ sync }), need it on every backend";

export type LaneKind = 'thread' | 'process' | 'native';

export class RunnerLane {
  readonly kind: LaneKind;
  readonly functions: FunctionTable;
  readonly workers: Workers;
  readonly table: JobTable;
  #closing: Promise<void> | null = null;
  /** How long tasks have waited, once the native pool has gone. */
  #lastWaits: Uint32Array | null = null;

  private constructor(
    kind: LaneKind,
    options: CheckedRunnerOptions,
    makeWorkers: (functions: FunctionTable) => Workers,
    makeValues: (workers: Workers, memory: JobMemory, pool: NativeRunnerPool) => JobValues,
  ) {
    this.kind = kind;
    this.functions = new FunctionTable((definition: FunctionDefinition) => this.workers.define(definition));
    this.workers = makeWorkers(this.functions);
    const { slots, agingMs, spinUs, graceMs } = options;
    this.table = new JobTable(
      loadBinding(NEEDS_ADDON),
      { slots, agingMs, spinUs, graceMs },
      this.workers,
      (memory, pool) => makeValues(this.workers, memory, pool),
    );
    this.workers.attach(this.table);
  }

  /** For functions of JavaScript. */
  static of(kind: 'thread' | 'process', options: CheckedRunnerOptions): RunnerLane {
    return kind === 'thread' ? RunnerLane.threads(options) : RunnerLane.processes(options);
  }

  static threads(options: CheckedRunnerOptions): RunnerLane {
    return new RunnerLane(
      'thread',
      options,
      (functions) => new WorkerThreads(options, functions),
      (workers, memory, pool) => new ClonedValues(memory, pool, workers as WorkerThreads),
    );
  }

  static processes(options: CheckedRunnerOptions): RunnerLane {
    return new RunnerLane(
      'process',
      options,
      (functions) => new WorkerProcesses(options, functions),
      (_workers, memory, pool) => new ClonedValues(memory, pool, null),
    );
  }

  /** A thread runs one native task at a time, whatever it may run of others. */
  static natives(options: CheckedRunnerOptions): RunnerLane {
    const { capacity, threads, nativeSpinUs } = options;
    const own = { ...options, tasksPerThread: 1, slots: capacity + threads, spinUs: nativeSpinUs };
    let values!: NativeValues;
    const lane = new RunnerLane(
      'native',
      own,
      () => new NativeThreads(own, loadBinding()),
      (_workers, memory) => {
        values = new NativeValues(memory);
        return values;
      },
    );
    (lane.workers as NativeThreads).bind(lane.table, values);
    return lane;
  }

  get queued(): number {
    return this.#lastWaits === null ? this.table.pool.queued() : 0;
  }

  get waits(): Uint32Array {
    return this.#lastWaits ?? this.table.pool.waits();
  }

  workerStats() {
    const now = performance.now();
    return [...this.workers.list()].map(({ identity, phase, startedAt, lane }) => ({
      lane: this.kind,
      ...identity,
      phase,
      ageMs: now - startedAt,
      runTime: summarize([lane.runTimes]),
    }));
  }

  runTimes(): Int32Array[] {
    return [this.workers.endedRunTimes, ...[...this.workers.list()].map(({ lane }) => lane.runTimes)];
  }

  /** What there is ends, then the workers do. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.table.flush();
    if (this.table.inFlight > 0 || this.table.waiting > 0) {
      const empty = new Waiter<void>(plainOwner);
      this.table.onEmpty = () => void empty.resolve();
      await empty.park(null);
    }
    this.workers.retireAll();
    while (this.workers.alive > 0) {
      await this.workers.change(null);
    }
    this.workers.close();
    this.#lastWaits = this.table.pool.waits();
    this.table.pool.close();
  }
}
