/**
 * Moved buffers that a task has as its caller's memory itself: on node 20, in a function that moves back what it gets. Whatever the task does with
 * them, it is as if they were its own, and none is the caller's again before it is the task's no more.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as workerThreads from 'node:worker_threads';
import { expect, test } from 'vitest';
import { loadBinding } from '../../../lib/bridge/binding.js';
import type { Runner } from '../../../lib/runner/index.js';
import { errorOf, makeRunner } from './support.js';

setFlagsFromString('--expose-gc'); // in the workers, too
const collectGarbage = runInNewContext('gc') as () => void;
const SIZE = 65_536;
const lends = !('isMarkedAsUntransferable' in workerThreads);
const live = () => loadBinding().RunnerPool.liveLoans();

/** Of tasks that have ended otherwise than by moving their bytes, all are kept for them. */
function use(runner: Runner, what: string, fill: number, options = {}): Promise<unknown> {
  const bytes = new Uint8Array(SIZE).fill(fill);
  return runner.run('useMoved', [bytes, what], { ...options, transfer: [bytes.buffer] });
}

async function untilNoneIsLive(runner: Runner): Promise<void> {
  for (let i = 0; i < 100 && live() > 0; i++) {
    await runner.run('forgetMoved');
    await new Promise(setImmediate);
  }
  expect(live()).toBe(0);
}

async function lendingRunner(): Promise<Runner> {
  const runner = makeRunner();
  for (const fill of [1, 2, 3]) expect(brief(await use(runner, 'moves', fill))).toBe(`${SIZE} bytes, all ${fill}`);
  await untilNoneIsLive(runner);
  return runner;
}

const filled = new Uint8Array(SIZE).fill(7);
const empty = new Uint8Array(SIZE);

/** A difference in many bytes takes long to print. */
function brief(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(brief);
  if (!(value instanceof Uint8Array)) return value;
  return `${value.length} bytes, ${value.every((byte) => byte === value[0]) ? `all ${value[0]}` : 'not all alike'}`;
}
const gone = 'gone';

test.each<[what: string, result: unknown, keeps: boolean]>([
  ['moves', filled, false],
  ['moves it and no more', 1, false],
  ['moves it twice', { code: 'ERR_GAMMALOOP_TASK_RESULT' }, true],
  ['moves it with another', [filled, filled], false],
  ['moves it by message', [filled, new SharedArrayBuffer(1)], false],
  ['moves another', empty, true],
  ['moves another of its size', empty, true],
  ['copies', filled, true],
  ['fails', { name: 'RangeError' }, true],
])('a task that %s', async (what, result, keeps) => {
  const runner = await lendingRunner();
  const outcome = await use(runner, what, 7).catch((error) => error);
  if (outcome instanceof Error) expect(outcome).toMatchObject(result as object);
  else expect(brief(outcome)).toEqual(brief(result));
  if (keeps) expect(live()).toBe(lends ? 1 : 0);
  // Other memory of that size comes and goes.
  for (let round = 0; round < 40; round++)
    await use(runner, 'moves another', 9).then(() => runner.run('sizeOf', [empty]));
  await use(runner, 'moves', 8);
  await use(runner, what, 7).catch(() => {});
  for (let round = 0; round < 40; round++) await runner.run('move', [new Uint8Array(SIZE).fill(round)]);
  expect(brief(await runner.run('movedBefore'))).toBe(keeps ? brief(filled) : gone);
  await untilNoneIsLive(runner);
});

test('a task that moves its bytes elsewhere: they arrive there, on node 20 as a copy', async () => {
  const runner = await lendingRunner();
  expect(brief(await use(runner, 'clones', 7))).toBe(brief(filled));
  expect(brief(await runner.run('movedBefore'))).toBe(lends ? brief(filled) : gone);
  await untilNoneIsLive(runner);
});

test('a worker that ends, is terminated, or closed, with bytes on loan', async () => {
  const runner = await lendingRunner();
  expect((await errorOf(use(runner, 'ends its worker', 7))).code).toBe('ERR_GAMMALOOP_WORKER_EXIT');
  expect(live()).toBe(0);
  for (const fill of [1, 2, 3]) await use(runner, 'moves', fill);
  await use(runner, 'copies', 7);
  expect(live()).toBeGreaterThanOrEqual(lends ? 1 : 0);
  await runner.close();
  expect(live()).toBe(0);
});

test('bytes that are kept are their caller’s until they are garbage there, and no longer', async () => {
  const runner = await lendingRunner();
  const before = process.memoryUsage().arrayBuffers;
  for (let round = 0; round < 200; round++) await use(runner, round % 2 ? 'moves' : 'copies', round);
  await untilNoneIsLive(runner);
  // Buffers are freed beside this thread, some time after the collection that finds them.
  const used = () => process.memoryUsage().arrayBuffers - before;
  for (let i = 0; i < 100 && used() > 4 << 20; i++) {
    collectGarbage();
    await new Promise(setImmediate);
  }
  expect(used()).toBeLessThanOrEqual(4 << 20);
});
