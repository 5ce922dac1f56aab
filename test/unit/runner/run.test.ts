/** run, call, map, and what a task knows of itself. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, test } from 'vitest';
import { Runner, taskContext } from '../../../lib/runner/index.js';
import { CancelScope, failAfter, shield } from '../../../lib/scope/index.js';
import { errorOf, makeGate, makeRunner } from './support.js';

describe('run', () => {
  test('runs functions of the module, async ones too', async () => {
    const runner = makeRunner();
    expect(await runner.run('add', [1, 2])).toBe(3);
    expect(await runner.run('addLater', ['a', 'b'])).toBe('ab');
    expect(await runner.run('echo')).toBeUndefined();
  });

  test('thousands at a time come back each with its own result', async () => {
    const runner = makeRunner({ threads: 2, queue: { capacity: 20_000 } });
    const sums = await Promise.all(Array.from({ length: 20_000 }, (_, i) => runner.run('add', [i, 1])));
    expect(sums.every((sum, i) => sum === i + 1)).toBe(true);
    const stats = runner.stats();
    expect(stats).toMatchObject({ done: 20_000, failed: 0, queued: 0, running: 0 });
    expect(stats.runTime.count).toBe(20_000);
    expect(stats.waitTime.count).toBe(20_000);
    expect(stats.waitTime.p50).toBeGreaterThan(0);
    expect(stats.waitTime.p99).toBeGreaterThanOrEqual(stats.waitTime.p50);
    expect(stats.workers.length).toBe(2);
  });

  test('what is no task of the module is a coded error', async () => {
    const runner = makeRunner();
    for (const name of ['missing', 'notAFunction', 'init', 'dispose', 'toString', '__proto__']) {
      expect(await errorOf(runner.run(name))).toMatchObject({ code: 'ERR_GAMMALOOP_TASK_UNKNOWN', task: name });
    }
    const without = new Runner({ threads: 1 });
    expect(await errorOf(without.run('add'))).toMatchObject({ code: 'ERR_GAMMALOOP_TASK_UNKNOWN' });
    await without.close();
  });

  test('options are checked', async () => {
    const runner = makeRunner();
    for (const [option, value] of Object.entries({ timeout: -1, priority: 8, signal: {}, traceId: 1, transfer: 1 })) {
      expect(await errorOf(runner.run('add', [], { [option]: value }))).toMatchObject({ option });
    }
    expect(await errorOf(runner.run('add', 'x' as never))).toMatchObject({ option: 'args' });
    expect(await errorOf(runner.run(1 as never))).toMatchObject({ option: 'name' });
    expect(await errorOf(runner.run('add', [], null as never))).toMatchObject({ option: 'options' });
    expect(() => runner.map('echo', [], null as never)).toThrow(expect.objectContaining({ option: 'options' }));
    expect(() => runner.map('echo', [], { priority: 8 })).toThrow(expect.objectContaining({ option: 'priority' }));
    const wrong: [string, object][] = [
      ['threads', { threads: 0 }],
      ['graceMs', { tasksPerThread: 2, graceMs: 5 }],
      ['queue.whenFull', { queue: { whenFull: 'drop' } }],
      ['recycle.count', { recycle: { count: 1 } }],
      ['module', { module: './relative.mjs' }],
      ['nothing', { nothing: 1 }],
    ];
    for (const [option, options] of wrong) {
      expect(() => new Runner(options), option).toThrow(expect.objectContaining({ option }));
    }
  });

  test('waiting for work holds up neither timers nor promises of the worker', async () => {
    const runner = makeRunner();
    await runner.run('startTicking');
    const seen = await runner.run<number>('ticksSeen', [0]);
    expect(await runner.run<number>('ticksSeen', [seen])).toBeGreaterThan(seen);
  });

  test('spinning gives the same results', async () => {
    const runner = makeRunner({ spinUs: 50 });
    for (let i = 0; i < 200; i++) {
      expect(await runner.run(i % 3 === 0 ? 'addLater' : 'add', [i, 1])).toBe(i + 1);
    }
  });

  test('several async tasks share a worker where that is asked for, each with its own context', async () => {
    const runner = makeRunner({ tasksPerThread: 3 });
    const gates = [makeGate(), makeGate(), makeGate()];
    const results = gates.map((gate, i) => runner.run('contextLater', [gate.token], { traceId: `trace ${i}` }));
    await Promise.all(gates.map((gate) => gate.reached()));
    for (const gate of gates.toReversed()) gate.open();
    expect(await Promise.all(results)).toEqual(['trace 0', 'trace 1', 'trace 2']);
  });
});

describe('call', () => {
  test('runs a function that stands alone', async () => {
    const runner = makeRunner();
    expect(await runner.call((a: number, b: number) => a * b, [6, 7])).toBe(42);
    expect(await runner.call(async () => 'async')).toBe('async');
    expect(
      await runner.call(function named() {
        return named.name;
      }),
    ).toBe('named');
    for (let i = 0; i < 10; i++) expect(await runner.call((n: number) => n + 1, [i])).toBe(i + 1);
  });

  test('what cannot be sent is a coded error that names it', async () => {
    const runner = makeRunner();
    const holder = { method() {} };
    for (const fn of [Math.max, (() => {}).bind(null), holder.method, class Thing {}]) {
      expect(await errorOf(runner.call(fn as never))).toMatchObject({
        code: 'ERR_GAMMALOOP_TASK_FUNCTION',
        task: fn.name,
      });
    }
    const outer = runner;
    expect(await errorOf(runner.call(() => outer.stats()))).toBeInstanceOf(ReferenceError);
    expect(await errorOf(runner.call('text' as never))).toMatchObject({ option: 'fn' });
  });
});

async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const result of results) list.push(result);
  return list;
}

describe('map', () => {
  test('in order, or as they come', async () => {
    const runner = makeRunner({ tasksPerThread: 2 });
    const items = Array.from({ length: 500 }, (_, i) => i);
    expect(await collect(runner.map('echo', items))).toEqual(items);
    async function* source() {
      yield* items;
    }
    expect(await collect(runner.map('echo', source(), { concurrency: 7 }))).toEqual(items);
    const gate = makeGate();
    const mixed = runner.map<string>('pauseOrEcho', [gate.token, 'echoed'], { concurrency: 2, ordered: false });
    expect((await mixed.next()).value).toBe('echoed');
    gate.open();
    expect(await collect(mixed)).toEqual(['pauseOrEcho']);
  });

  test('draws no more items than are in flight', async () => {
    const runner = makeRunner();
    let drawn = 0;
    function* source() {
      for (;;) yield drawn++;
    }
    const results = runner.map('echo', source(), { concurrency: 4 });
    expect(drawn).toBe(0);
    for (let i = 0; i < 100; i++) {
      expect((await results.next()).value).toBe(i);
      expect(drawn).toBeLessThanOrEqual(i + 1 + 4);
    }
    await results.return();
  });

  test('waits where it has more at a time than the queue takes', async () => {
    const runner = makeRunner({ queue: { capacity: 1 } });
    const items = Array.from({ length: 50 }, (_, i) => i);
    expect(await collect(runner.map('echo', items, { concurrency: 20 }))).toEqual(items);
  });

  test('a slow source does not hold back what is done', async () => {
    const runner = makeRunner();
    let next = (_item: number) => {};
    async function* source() {
      for (;;) yield await new Promise<number>((resolve) => (next = resolve));
    }
    const results = runner.map('echo', source(), { concurrency: 3 });
    for (let i = 0; i < 3; i++) {
      const result = results.next();
      await new Promise(setImmediate);
      next(i);
      expect((await result).value).toBe(i);
    }
    await results.return(); // while the source is at work on its next item
  });

  test('the first error ends it, cancels the others, and closes the source', async () => {
    const runner = makeRunner({ tasksPerThread: 2 });
    const gate = makeGate();
    let closed = false;
    function* source() {
      try {
        yield gate.token;
        yield { fail: true };
        yield 'never';
      } finally {
        closed = true;
      }
    }
    const error = await errorOf(collect(runner.map('pauseOrEcho', source(), { concurrency: 2, ordered: false })));
    expect(error).toMatchObject({ message: 'asked to fail' });
    expect(closed).toBe(true);
    expect(runner.stats().cancelled).toBe(1);
    gate.open();
  });

  test('an error of the source, a signal, and the end of the loop end it too', async () => {
    const runner = makeRunner();
    function* broken() {
      yield 1;
      throw new RangeError('broken source');
    }
    expect(await errorOf(collect(runner.map('echo', broken())))).toMatchObject({ message: 'broken source' });
    const controller = new AbortController();
    const gate = makeGate();
    const stopped = errorOf(collect(runner.map('block', [gate.token], { signal: controller.signal })));
    await gate.reached();
    controller.abort();
    expect(await stopped).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    gate.open();
    for await (const result of runner.map('echo', [1, 2, 3])) {
      expect(result).toBe(1);
      break;
    }
    expect(() => runner.map('echo', [], { concurrency: 0 })).toThrow(
      expect.objectContaining({ option: 'concurrency' }),
    );
    expect(await errorOf(collect(runner.map('echo', 5 as never)))).toMatchObject({ option: 'iterable' });
  });
});

describe('context', () => {
  test('a task knows its name, trace id and deadline', async () => {
    const runner = makeRunner();
    const known = await runner.run<{ left: number }>('context', [], { traceId: 'Grüße 1', timeout: 60_000 });
    expect(known).toMatchObject({ name: 'context', traceId: 'Grüße 1' });
    expect(known.left).toBeGreaterThan(30_000);
    expect(known.left).toBeLessThanOrEqual(60_001);
    expect(await runner.run('context')).toEqual({
      name: 'context',
      traceId: undefined,
      left: Number.POSITIVE_INFINITY,
    });
    expect(() => taskContext()).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_NO_TASK' }));
  });

  test('the deadline of a scope around the call reaches the task, where it is the earlier one', async () => {
    const runner = makeRunner();
    const left = async (timeout?: number) =>
      (await runner.run<{ left: number }>('context', [], timeout === undefined ? {} : { timeout })).left;
    const inScope = (ms: number, timeout?: number) => failAfter(ms, () => left(timeout));
    const within = (ms: number, least: number, most: number) => {
      expect(ms).toBeGreaterThan(least);
      expect(ms).toBeLessThanOrEqual(most);
    };
    within(await inScope(60_000), 30_000, 60_001);
    within(await inScope(60_000, 600_000), 30_000, 60_001);
    within(await inScope(600_000, 60_000), 30_000, 60_001);
    within(await failAfter(60_000, () => inScope(600_000)), 30_000, 60_001);
    within(await failAfter(60_000, () => shield(() => inScope(600_000))), 60_001, 600_001);
    expect(await new CancelScope().run(() => left())).toBe(Number.POSITIVE_INFINITY);
  });

  test('the AsyncLocalStorage of who called is current when the promise goes on', async () => {
    const runner = makeRunner({ threads: 2 });
    const storage = new AsyncLocalStorage<number>();
    const seen = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        storage.run(i, async () => {
          await (i % 2 === 0 ? runner.run('add', [i, i]) : runner.run('thrower').catch(() => {}));
          return storage.getStore();
        }),
      ),
    );
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
});
