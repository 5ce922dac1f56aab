/** Workers of the lane 'process': child processes with JavaScript. What one dies of, a signal included, rejects what it was running. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ResourceLimits } from 'node:worker_threads';
import { loadBinding } from '../bridge/binding.js';
import { FrameReader, toFrame } from './frames.js';
import type { FunctionTable } from './functions.js';
import { inheritedEnv, inheritedFlags } from './inherited-flags.js';
import type { Lane } from './job-memory.js';
import type { CheckedRunnerOptions } from './options.js';
import type { FromProcess, ToProcess } from './process-messages.js';
import { fromPlainError } from './task-errors.js';
import { fatalCause, startFailure, WorkerPool } from './worker-pool.js';
import { WorkerProcess } from './worker-process.js';

/** The entry of a child. */
let entry = new URL('./js-process.js', import.meta.url);

/** @internal For tests that run from the sources. */
export function setProcessEntry(url: URL): void {
  entry = url;
}

export class WorkerProcesses extends WorkerPool<WorkerProcess> {
  readonly #functions: FunctionTable;

  constructor(options: CheckedRunnerOptions, functions: FunctionTable) {
    super(options);
    this.#functions = functions;
  }

  protected open(consumer: number, lane: Lane): WorkerProcess {
    const { module, workerData, tasksPerThread, niceIncrement, recycle, worker } = this.options;
    // First, for it throws where workerData cannot be cloned.
    const setup = toFrame({
      kind: 'setup',
      setup: {
        definitions: this.#functions.definitions,
        module,
        workerData,
        tasksPerThread,
        niceIncrement,
        tellsHeap: recycle.heapBytes < Number.POSITIVE_INFINITY,
      },
    } satisfies ToProcess);
    const { execArgv = inheritedFlags(), argv = [], env = process.env, resourceLimits } = worker;
    const child = spawn(
      process.execPath,
      [...execArgv, ...limitFlags(resourceLimits ?? {}), fileURLToPath(entry), ...argv.map(String)],
      { env: inheritedEnv(env), stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'] },
    );
    const opened = new WorkerProcess(lane, consumer, child, this.options, this.table.memory, (it) =>
      this.onRetired(it),
    );
    this.#listen(opened);
    opened.channel.write(setup);
    return opened;
  }

  #listen(worker: WorkerProcess): void {
    const frames = new FrameReader();
    worker.channel.on('data', (chunk: Buffer) => {
      for (const message of frames.push(chunk)) this.#onMessage(worker, message as FromProcess);
      // All that came with the chunk in one pass.
      this.table.collect();
      if (worker.phase === 'ready' || worker.phase === 'retiring') worker.goOn();
    });
    worker.child.on('error', (error) => {
      worker.cause ??= { code: 'ERR_GAMMALOOP_WORKER_START', text: 'its process cannot be started', error };
    });
    // After its exit, and the end of all that it had written.
    worker.child.on('close', (exitCode, signal) => {
      if (signal !== null) this.onEnd(worker, { text: `its process was ended by ${signal}`, signal });
      else this.onEnd(worker, { text: `its process ended with exit code ${exitCode}`, exitCode: exitCode ?? 0 });
    });
  }

  #onMessage(worker: WorkerProcess, message: FromProcess): void {
    switch (message.kind) {
      case 'ready':
        this.onReady(worker);
        if (worker.phase === 'ready') this.#begin(worker);
        break;
      case 'failed':
        worker.cause = startFailure(message.error);
        break;
      case 'fatal':
        worker.cause = fatalCause(message.origin, fromPlainError(message.error));
        break;
      case 'result':
        worker.onResult(message);
        break;
      case 'progress': {
        const slot = worker.slotAt(message.place);
        const task = slot === -1 ? null : this.table.taskAt(slot);
        const onProgress = task?.options.onProgress;
        if (onProgress !== undefined && !task!.settled) process.nextTick(onProgress, message.done);
        break;
      }
    }
  }

  #begin(worker: WorkerProcess): void {
    const { pool, memory } = this.table;
    worker.begin(
      (onRing) =>
        new (loadBinding().RunnerConsumer)(pool.id(), worker.consumer, memory.words, worker.lane.taken, onRing, 0),
    );
  }
}

/** As a Worker of node:worker_threads is limited. */
function limitFlags({ maxOldGenerationSizeMb, maxYoungGenerationSizeMb, stackSizeMb }: ResourceLimits): string[] {
  const flags: string[] = [];
  if (maxOldGenerationSizeMb !== undefined) flags.push(`--max-old-space-size=${Math.ceil(maxOldGenerationSizeMb)}`);
  // The young generation has three parts of this size.
  if (maxYoungGenerationSizeMb !== undefined) {
    flags.push(`--max-semi-space-size=${Math.ceil(maxYoungGenerationSizeMb / 3)}`);
  }
  if (stackSizeMb !== undefined) flags.push(`--stack-size=${Math.floor(stackSizeMb * 1024)}`);
  return flags;
}
