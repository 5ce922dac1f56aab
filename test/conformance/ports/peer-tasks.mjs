// The tasks of peer-runner.ts.
import { workerData } from 'node:worker_threads';

const library = (name) => import(new URL(name, workerData.compiled).href);
const { taskContext } = await library('runner/index.js');
const { currentScope, sleep } = await library('scope/index.js');

const STARTED = 0;
const ENDED = 1;
const SIGNALLED = 2;
const CANCELLED = 3;

/** An instant that all processes of the machine share, in ms. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

let known = {};

/** Waits in its scope until that is cancelled. */
export async function work(shared) {
  const words = new Int32Array(shared);
  const task = taskContext();
  known = { traceId: task.traceId, hasDeadline: task.deadline < Infinity, isCurrent: currentScope() === task.scope };
  task.signal.addEventListener('abort', () => {
    words[SIGNALLED]++;
    known.at = now();
    known.isCancelled = task.isCancelled() || task.deadline <= performance.now();
  });
  Atomics.store(words, STARTED, 1);
  Atomics.notify(words, STARTED);
  try {
    await sleep(3_600_000);
  } catch (error) {
    if (error.code === 'ERR_GAMMALOOP_CANCELLED') words[CANCELLED]++;
    throw error;
  } finally {
    Atomics.store(words, ENDED, 1);
  }
}

/** Runs after it, on the same worker. */
export function report(shared) {
  const words = new Int32Array(shared);
  return { ...known, ended: words[ENDED], signalled: words[SIGNALLED], cancelled: words[CANCELLED] };
}
