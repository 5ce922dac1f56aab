/** Runners from the sources. */
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect } from 'vitest';
import { loadBinding } from '../../../lib/bridge/binding.js';
import { Runner, type RunnerOptions } from '../../../lib/runner/index.js';
import { compiledUrl } from '../../support/compiled-library.js';
import { FileGate, SharedGate, type TaskGate } from './gates.js';

export { errorOf, Gate } from '../../support/gate.js';

/** For a task module to import what the package exports: workerData.library. */
export const library = compiledUrl('runner/index.js').href;

/** Removed after the tests. */
export const scratch = fileURLToPath(compiledUrl('../scratch'));

/** The lane of the runners that are made here, and whether the workers are processes. */
let lane: 'thread' | 'process' = 'thread';
export const isProcess = () => lane === 'process';
/** For a file that runs the tests of another one in another lane, before it imports that. */
export function useLane(other: 'thread' | 'process'): void {
  lane = other;
}

export function makeGate(): TaskGate {
  return isProcess() ? new FileGate(scratch) : new SharedGate();
}

export const tasks = new URL('./tasks.mjs', import.meta.url);

/** Of native tasks, in this process: how many inputs and results were not given back, once garbage is collected. */
export async function liveBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Finalizers run in turns of the loop after a collection.
  for (let i = 0; i < 100 && loadBinding().NativeLane.liveBytes() > 0; i++) {
    collect();
    await new Promise(setImmediate);
  }
  return loadBinding().NativeLane.liveBytes();
}

const open = new Set<Runner>();

/** One thread and the module tasks.mjs, unless told otherwise; closed after the test. */
export function makeRunner(options: RunnerOptions = {}): Runner {
  const workerData = { library, ...(options.workerData as object) };
  const runner = new Runner({ module: tasks, threads: 1, lane, ...options, workerData });
  open.add(runner);
  return runner;
}

afterEach(async () => {
  for (const runner of open) {
    await runner.close({ deadline: 0 });
    const { queued, running, waiting, threads } = runner.stats();
    // Whatever a test did: nothing is left.
    expect({ queued, running, waiting, alive: threads.started - threads.ended }).toEqual({
      queued: 0,
      running: 0,
      waiting: 0,
      alive: 0,
    });
  }
  open.clear();
});
