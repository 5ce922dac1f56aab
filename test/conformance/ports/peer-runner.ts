/**
 * The last stage behind a responder: a task in a worker thread of the peer's own thread or process. What it sees stands in shared memory, for it has
 * to be told also when nobody waits for its result any more.
 */

import { Runner } from '../../../lib/runner/index.js';
import { setWorkerEntry } from '../../../lib/runner/worker-threads.js';
import type { TaskReport } from './peer-tasks.mjs';

/** The environment variable with the address of the library's index.js, for workers; set by whoever tests with tasks. */
export const COMPILED = 'GAMMALOOP_TEST_COMPILED';

let runner: Runner | null = null;

function open(): Runner {
  const compiled = process.env[COMPILED] as string;
  setWorkerEntry(new URL('runner/js-worker.js', compiled));
  return new Runner({ module: new URL('./peer-tasks.mjs', import.meta.url), threads: 1, workerData: { compiled } });
}

/** Its worker is there when this resolves. */
export function prepareRunner(): Promise<void> {
  runner ??= open();
  return runner.start();
}

/** A task that waits until it is stopped. */
export function runWaitingTask(shared: SharedArrayBuffer): Promise<unknown> {
  runner ??= open();
  return runner.run('work', [shared]);
}

/** When it has ended. */
export async function reportOf(shared: SharedArrayBuffer): Promise<TaskReport & { runner: object }> {
  if (runner === null) throw new Error('no task was run');
  const report = await runner.run<TaskReport>('report', [shared]);
  const { cancelled, timedOut, failed, done } = runner.stats();
  return { ...report, runner: { cancelled, timedOut, failed, done: done - 1 } };
}

export async function closeRunner(): Promise<void> {
  await runner?.close({ deadline: 0 });
  runner = null;
}
