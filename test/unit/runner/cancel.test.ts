/** Cancellation and timeouts: of what waits, and of what runs. */
import { describe, expect, test } from 'vitest';
import { CancelScope, failAfter, moveOnAfter } from '../../../lib/scope/index.js';
import { errorOf, makeGate, makeRunner } from './support.js';

describe('a queued task', () => {
  test('is removed at once, and its place is free at once', async () => {
    const runner = makeRunner({ queue: { capacity: 1 } });
    const gate = makeGate();
    const blocker = runner.run('block', [gate.token]);
    await gate.reached();
    for (let i = 0; i < 20; i++) {
      const controller = new AbortController();
      const queued = errorOf(runner.run('echo', [i], { signal: controller.signal }));
      if (i % 2 === 0) await new Promise(setImmediate); // submitted, or not yet
      controller.abort(`reason ${i}`);
      expect(runner.stats()).toMatchObject({ queued: 0, cancelled: i + 1 });
      expect(await queued).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED', cause: `reason ${i}` });
    }
    const kept = runner.run('echo', ['kept']);
    gate.open();
    expect(await Promise.all([blocker, kept])).toEqual(['unblocked', 'kept']);
    expect(runner.stats()).toMatchObject({ done: 2, cancelled: 20 });
  });

  test('times out', async () => {
    const runner = makeRunner();
    const gate = makeGate();
    const blocker = runner.run('block', [gate.token]);
    await gate.reached();
    const late = await errorOf(runner.run('echo', [1], { timeout: 2 }));
    expect(late).toMatchObject({ name: 'TimeoutError', code: 'ERR_GAMMALOOP_TIMEOUT' });
    expect(runner.stats()).toMatchObject({ queued: 0, timedOut: 1 });
    gate.open();
    expect(await blocker).toBe('unblocked');
  });

  test('with a signal that is aborted already is not run', async () => {
    const runner = makeRunner();
    const error = await errorOf(runner.run('exit', [1], { signal: AbortSignal.abort('before') }));
    expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED', cause: 'before' });
    expect(runner.stats()).toMatchObject({ threads: { started: 0 }, cancelled: 1 });
  });
});

describe('a running task', () => {
  test('sees it at once where it asks, without returning to its loop, and its worker lives on', async () => {
    const runner = makeRunner();
    for (let i = 0; i < 5; i++) {
      const gate = makeGate();
      const controller = new AbortController();
      const running = errorOf(runner.run('poll', [gate.token], { signal: controller.signal }));
      await gate.reached();
      controller.abort();
      expect(await running).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
      expect(await gate.left()).toBe(2); // its signal was aborted too
    }
    expect(await runner.run('add', [1, 2])).toBe(3);
    expect(runner.stats()).toMatchObject({ cancelled: 5, done: 1, threads: { started: 1, ended: 0 } });
  });

  test('an async one hears it by its signal', async () => {
    const runner = makeRunner({ tasksPerThread: 2 });
    const gates = [makeGate(), makeGate()];
    const controllers = gates.map(() => new AbortController());
    const tasks = gates.map((gate, i) =>
      errorOf(runner.run('untilAborted', [gate.token], { signal: controllers[i]!.signal })),
    );
    await Promise.all(gates.map((gate) => gate.reached()));
    for (const i of [1, 0]) {
      controllers[i]!.abort();
      expect(await tasks[i]).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
      expect(await gates[i]!.left()).toBe(2);
    }
  });

  test('hears its timeout in the same way', async () => {
    const runner = makeRunner();
    await runner.start();
    const gate = makeGate();
    const task = errorOf(runner.run('poll', [gate.token], { timeout: 1000 }));
    expect(await gate.left()).toBe(2);
    expect(await task).toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT' });
  });

  test('has lost once it is cancelled, whatever it returns', async () => {
    const runner = makeRunner();
    for (let i = 0; i < 20; i++) {
      const gate = makeGate();
      const controller = new AbortController();
      const running = errorOf(runner.run('block', [gate.token], { signal: controller.signal }));
      await gate.reached();
      gate.open();
      const end = performance.now() + (i % 3);
      while (performance.now() < end); // the result may lie there, and nobody has collected it
      controller.abort();
      expect(await running).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    }
    expect(await runner.run('add', [1, 2])).toBe(3);
    expect(runner.stats()).toMatchObject({ cancelled: 20, done: 1, threads: { ended: 0 } });
  });

  test('that does not end within graceMs ends with its worker, which is replaced', async () => {
    const runner = makeRunner({ graceMs: 10 });
    for (let i = 0; i < 4; i++) {
      await runner.start();
      const gate = makeGate();
      const controller = new AbortController();
      const options = i % 2 === 0 ? { signal: controller.signal } : { timeout: 1000 };
      const running = errorOf(runner.run('spinForever', [gate.token], options));
      await gate.reached();
      const behind = [runner.run('add', [i, 1]), runner.run('add', [i, 2])];
      controller.abort();
      expect(await running).toMatchObject({
        code: i % 2 === 0 ? 'ERR_GAMMALOOP_CANCELLED' : 'ERR_GAMMALOOP_TIMEOUT',
      });
      expect(await Promise.all(behind)).toEqual([i + 1, i + 2]);
    }
    const { threads, failed } = runner.stats();
    expect({ started: threads.started, failed }).toEqual({ started: 5, failed: 0 });
  });

  test('takes nothing with it that its worker had taken and not begun', async () => {
    const gate = makeGate();
    const runner = makeRunner({ graceMs: 10, queue: { capacity: 5000 }, workerData: { gate: gate.token } });
    // The function is known to be fast: its tasks are taken many at a time.
    await Promise.all(Array.from({ length: 3000 }, () => runner.run('maybeHang', [false])));
    const controller = new AbortController();
    const hanging = errorOf(runner.run('maybeHang', [true], { signal: controller.signal }));
    const behind = Array.from({ length: 200 }, () => runner.run('maybeHang', [false]));
    await gate.reached();
    controller.abort();
    expect(await hanging).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    await Promise.all(behind);
    expect(runner.stats()).toMatchObject({ done: 3200, failed: 0, cancelled: 1 });
  });

  test('is never ended where graceMs is Infinity', async () => {
    const runner = makeRunner({ graceMs: Number.POSITIVE_INFINITY });
    const gate = makeGate();
    const controller = new AbortController();
    const running = errorOf(runner.run('block', [gate.token], { signal: controller.signal }));
    await gate.reached();
    controller.abort();
    expect(await running).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    expect(runner.stats()).toMatchObject({ running: 1 }); // its place is taken as long as it runs
    gate.open();
    expect(await runner.run('add', [1, 2])).toBe(3);
    expect(runner.stats()).toMatchObject({ running: 0, threads: { ended: 0 } });
  });
});

describe('scopes', () => {
  test('a cancelled scope cancels the tasks that were made in it', async () => {
    const runner = makeRunner();
    const gate = makeGate();
    const scope = new CancelScope();
    const after = await scope.run(async () => {
      const running = runner.run('poll', [gate.token]);
      await gate.reached();
      scope.cancel('enough');
      await running;
      return 'not reached';
    });
    expect(after).toBeUndefined();
    expect(await gate.left()).toBe(2);
    expect(runner.stats()).toMatchObject({ cancelled: 1 });
  });

  test('so does the deadline of a scope', async () => {
    const runner = makeRunner();
    await runner.start();
    const gates = [makeGate(), makeGate()];
    const outcome = await moveOnAfter(1000, () => runner.run('poll', [gates[0]!.token]));
    expect(outcome.cancelled).toBe(true);
    const failure = await errorOf(failAfter(1000, () => runner.run('poll', [gates[1]!.token])));
    expect(failure).toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT' });
    expect(await Promise.all(gates.map((gate) => gate.left()))).toEqual([2, 2]);
  });
});

test('in a mix of everything each promise settles once, and what was cancelled first is cancelled', async () => {
  // Without spinning, in the turn that made a task no result is collected: then the cancellation is first.
  const runner = makeRunner({ threads: 2, spinUs: 0, queue: { capacity: 4000 } });
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const counts = { value: 0, cancelled: 0, wrong: 0 };
  const tasks: Promise<void>[] = [];
  for (let i = 0; i < 3000; i++) {
    const controller = new AbortController();
    const options = { signal: controller.signal, priority: i % 8 };
    const task = runner.run(i % 5 === 0 ? 'addLater' : 'add', [i, 1], options);
    const how = random(3);
    if (how === 0) queueMicrotask(() => controller.abort());
    if (how === 1) setImmediate(() => controller.abort());
    tasks.push(
      task.then(
        (value) => void counts[value === i + 1 && how !== 0 ? 'value' : 'wrong']++,
        (error) => void counts[error.code === 'ERR_GAMMALOOP_CANCELLED' && how !== 2 ? 'cancelled' : 'wrong']++,
      ),
    );
    if (random(50) === 0) await new Promise(setImmediate);
  }
  await Promise.all(tasks);
  expect(counts.wrong).toBe(0);
  expect(counts.value + counts.cancelled).toBe(3000);
  expect(runner.stats()).toMatchObject({ done: counts.value, cancelled: counts.cancelled, failed: 0 });
});
