/** The queue: its bounds, its order, and what it tells of itself. */
import { describe, expect, test } from 'vitest';
import type { Runner, TaskOptions } from '../../../lib/runner/index.js';
import { CapacityLimiter } from '../../../lib/scope/index.js';
import type { TaskGate } from './gates.js';
import { errorOf, makeGate, makeRunner } from './support.js';

/** The only thread is busy until the gate opens. */
async function occupy(runner: Runner): Promise<{ gate: TaskGate; done: Promise<unknown> }> {
  const gate = makeGate();
  const done = runner.run('block', [gate.token]);
  await gate.reached();
  return { gate, done };
}

/** Results in the order in which they come, which with one thread is that of running. */
function inOrder(runner: Runner, tasks: [mark: unknown, options?: TaskOptions][]) {
  const order: unknown[] = [];
  const all = Promise.all(
    tasks.map(([mark, options]) => runner.run('echo', [mark], options).then((it) => order.push(it))),
  );
  return { order, all };
}

describe('order', () => {
  test('the more urgent first, and among equals the older', async () => {
    const runner = makeRunner({ queue: { agingMs: 3_600_000 } });
    const { gate } = await occupy(runner);
    const { order, all } = inOrder(runner, [
      ['default', {}],
      ...Array.from({ length: 8 }, (_, priority) => [`a${priority}`, { priority }] as [string, TaskOptions]),
      ...Array.from({ length: 8 }, (_, priority) => [`b${priority}`, { priority }] as [string, TaskOptions]),
    ]);
    gate.open();
    await all;
    const pairs = [7, 6, 5, 4].flatMap((priority) => [`a${priority}`, `b${priority}`]);
    expect(order).toEqual([...pairs, 'default', 'a3', 'b3', 'a2', 'b2', 'a1', 'b1', 'a0', 'b0']);
  });

  test('waiting makes urgent: none waits forever', async () => {
    const runner = makeRunner({ queue: { agingMs: 1 } });
    const { gate } = await occupy(runner);
    const old = inOrder(runner, [['old', { priority: 0 }]]);
    await new Promise(setImmediate); // it is queued by now
    const end = performance.now() + 10;
    while (performance.now() < end);
    const { order } = old;
    const young = runner.run('echo', ['young'], { priority: 7 }).then((it) => order.push(it));
    gate.open();
    await Promise.all([old.all, young]);
    expect(order).toEqual(['old', 'young']);
  });
});

test('with batchSize 1 nothing waits behind a task that is slow for once while a worker has nothing to do', async () => {
  const gate = makeGate();
  const options = { batchSize: 1, queue: { capacity: 5000 }, workerData: { gate: gate.token } };
  const runner = makeRunner({ threads: 2, graceMs: 10, ...options });
  await runner.start();
  // Both know that the function is quick: they would take many tasks at a time.
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 3000 }, () => runner.run('maybeHang', [false])));
  }
  const controller = new AbortController();
  const hanging = errorOf(runner.run('maybeHang', [true], { signal: controller.signal }));
  await Promise.all(Array.from({ length: 500 }, () => runner.run('maybeHang', [false])));
  controller.abort();
  expect(await hanging).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
});

describe('when it is full', () => {
  test("'reject' refuses with a coded error, and takes the next when there is room", async () => {
    const runner = makeRunner({ queue: { capacity: 2 } });
    for (let round = 0; round < 5; round++) {
      const { gate, done } = await occupy(runner);
      const queued = [runner.run('echo', [1]), runner.run('echo', [2])];
      expect(await errorOf(runner.run('echo', [3]))).toMatchObject({ code: 'ERR_GAMMALOOP_QUEUE_FULL', capacity: 2 });
      expect(runner.stats()).toMatchObject({ queued: 2, running: 1, refused: round + 1 });
      gate.open();
      expect(await Promise.all([done, ...queued])).toEqual(['unblocked', 1, 2]);
    }
    expect(await runner.run('echo', [4])).toBe(4);
  });

  test("'wait' lets tasks wait for room, in their order", async () => {
    const runner = makeRunner({ queue: { capacity: 2, whenFull: 'wait' } });
    const { gate } = await occupy(runner);
    const { order, all } = inOrder(
      runner,
      Array.from({ length: 50 }, (_, i) => [i]),
    );
    expect(runner.stats()).toMatchObject({ queued: 0, waiting: 48 });
    await new Promise(setImmediate);
    expect(runner.stats()).toMatchObject({ queued: 2, waiting: 48 });
    gate.open();
    await all;
    expect(order).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(runner.stats()).toMatchObject({ waiting: 0, queued: 0, done: 51 });
  });

  test('who waits for room can be cancelled, and times out', async () => {
    const runner = makeRunner({ queue: { capacity: 0, whenFull: 'wait' } });
    const { gate } = await occupy(runner);
    const controller = new AbortController();
    const cancelled = runner.run('echo', [1], { signal: controller.signal });
    const late = runner.run('echo', [2], { timeout: 1 });
    const kept = runner.run('echo', [3]);
    controller.abort();
    expect(await errorOf(cancelled)).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    expect(await errorOf(late)).toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT' });
    expect(runner.stats()).toMatchObject({ waiting: 1, cancelled: 1, timedOut: 1 });
    gate.open();
    expect(await kept).toBe(3);
  });

  test('a task that waits for room and cannot be sent harms no other', async () => {
    const runner = makeRunner({ queue: { capacity: 0, whenFull: 'wait' } });
    const { gate } = await occupy(runner);
    const bad = errorOf(runner.run('echo', [() => {}]));
    const good = runner.run('echo', ['good']);
    gate.open();
    expect(await bad).toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD' });
    expect(await good).toBe('good');
  });
});

test('two threads share what there is: one that is busy delays only its own task', async () => {
  const runner = makeRunner({ threads: 2 });
  await runner.start();
  const { gate, done } = await occupy(runner);
  for (let i = 0; i < 100; i++) expect(await runner.run('echo', [i])).toBe(i);
  gate.open();
  expect(await done).toBe('unblocked');
});

test('tasks behind a CapacityLimiter run as many at a time as it lets, in the order of their callers, whoever calls more', async () => {
  const runner = makeRunner({ threads: 2 });
  const limiter = new CapacityLimiter(1);
  const { gate, done } = await occupy(runner);
  const order: string[] = [];
  const call = (caller: string) =>
    limiter.run(async () => {
      expect(limiter.borrowedTokens).toBe(1);
      order.push(await runner.run<string>('echo', [caller]));
    });
  // One asks for much at once, and others for one thing each, before and after it has had its first turns.
  const greedy = Array.from({ length: 20 }, (_, i) => call(`greedy ${i}`));
  const second = call('second');
  await greedy[4];
  const third = call('third');
  await Promise.all([...greedy, second, third]);
  expect(order).toEqual([...Array.from({ length: 20 }, (_, i) => `greedy ${i}`), 'second', 'third']);
  gate.open();
  expect(await done).toBe('unblocked');
});
