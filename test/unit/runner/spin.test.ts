/** Looking for work and for results before sleeping: what it must never cost, and that it begins again. */

import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { Runner } from '../../../lib/runner/index.js';
import { checkRunnerOptions } from '../../../lib/runner/options.js';
import { makeRunner } from './support.js';

const PATIENCE_MS = 30_000;

const burn = (ms: number) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};

/** Whether the result came before the event loop had another turn: its caller was still looking. */
async function isFoundByLooking(runner: Runner): Promise<boolean> {
  let hasTurned = false;
  const turn = setImmediate(() => {
    hasTurned = true;
  });
  await runner.run('add', [1, 2]);
  clearImmediate(turn);
  return !hasTurned;
}

describe('spinUs', () => {
  test('a caller who has looked in vain very often finds results again once they come quickly', async () => {
    const runner = makeRunner({ spinUs: 2000 });
    for (let i = 0; i < 40; i++) await runner.call(burn, [4]);
    let found = false;
    // Where other work has both processors, a worker seldom answers while its caller looks.
    for (const end = performance.now() + PATIENCE_MS; !found && performance.now() < end; ) {
      found = await isFoundByLooking(runner);
    }
    expect(found).toBe(true);
  });

  test('by default the caller of threads looks where there is a processor to spare, that of processes never', () => {
    const byDefault = availableParallelism() > 1 ? 30 : 0;
    expect(checkRunnerOptions({})).toMatchObject({ spinUs: byDefault, nativeSpinUs: byDefault, workerSpinUs: 50 });
    expect(checkRunnerOptions({ lane: 'process' })).toMatchObject({ spinUs: 0, nativeSpinUs: byDefault });
    expect(checkRunnerOptions({ spinUs: 0 })).toMatchObject({ spinUs: 0, nativeSpinUs: 0, workerSpinUs: 0 });
  });

  test('with 0 the caller never looks: the event loop has its turn', async () => {
    const runner = makeRunner({ spinUs: 0 });
    await runner.run('add', [1, 2]);
    for (let i = 0; i < 100; i++) expect(await isFoundByLooking(runner)).toBe(false);
  });

  test('however often a caller finds results by looking, the event loop has its turn at least each sixteenth time', async () => {
    const runner = makeRunner({ spinUs: 10_000 });
    await runner.run('add', [1, 2]);
    let inARow = 0;
    let most = 0;
    const end = performance.now() + PATIENCE_MS;
    for (let i = 0; i < 400 || (most <= 1 && performance.now() < end); i++) {
      inARow = (await isFoundByLooking(runner)) ? inARow + 1 : 0;
      most = Math.max(most, inARow);
    }
    expect(most).toBeLessThanOrEqual(16);
    expect(most).toBeGreaterThan(1);
  });

  test('a worker that looks for work is not started a second time, and ends at once when it is closed', async () => {
    const runner = makeRunner({ threads: 4, spinUs: 10_000 });
    for (let i = 0; i < 50; i++) expect(await runner.run('add', [i, 1])).toBe(i + 1);
    expect(runner.stats().threads.started).toBe(1);
    await runner.close();
  });
});
