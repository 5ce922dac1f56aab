/** Runners from the sources. */
import { afterEach, expect } from 'vitest';
import { Runner, type RunnerOptions } from '../../../lib/runner/index.js';
import { compiledUrl } from '../../support/compiled-library.js';

export { errorOf, Gate } from '../../support/gate.js';

/** For a task module to import what the package exports: workerData.library. */
export const library = compiledUrl('runner/index.js').href;

export const tasks = new URL('./tasks.mjs', import.meta.url);

const open = new Set<Runner>();

/** One thread and the module tasks.mjs, unless told otherwise; closed after the test. */
export function makeRunner(options: RunnerOptions = {}): Runner {
  const workerData = { library, ...(options.workerData as object) };
  const runner = new Runner({ module: tasks, threads: 1, ...options, workerData });
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
