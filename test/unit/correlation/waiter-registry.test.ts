import { afterEach, describe, expect, test } from 'vitest';
import { type UnmatchedReply, unmatchedReplies, WaiterRegistry } from '../../../lib/correlation/waiter-registry.js';
import { ClosedError, OptionError, TimeoutError, TooManyWaitersError } from '../../../lib/errors.js';
import { CancelScope } from '../../../lib/scope/cancel-scope.js';
import { HandClock } from './virtual.js';

describe('open', () => {
  test('gives an id and a promise; resolve and reject settle it, once', async () => {
    const registry = new WaiterRegistry();
    const first = registry.open<string>();
    const second = registry.open();
    expect(registry.size).toBe(2);
    expect(registry.resolve(first.id, 'value')).toBe(true);
    expect(registry.resolve(first.id, 'again')).toBe(false);
    expect(registry.reject(second.id, new Error('nope'))).toBe(true);
    expect(await first.promise).toBe('value');
    await expect(second.promise).rejects.toThrow('nope');
    expect(registry.stats()).toMatchObject({ open: 0, opened: 2, resolved: 1, rejected: 1, duplicate: 1 });
  });

  test('never gives an id twice, and uses slots again', () => {
    const registry = new WaiterRegistry({ capacity: 3 });
    const ids = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const { id } = registry.open();
      ids.add(id);
      registry.resolve(id, null);
    }
    expect(ids.size).toBe(1000);
    expect(Math.max(...[...ids].map((id) => id % 2 ** 24))).toBeLessThan(3);
  });

  test('is refused beyond the capacity, and goes on afterwards', () => {
    const registry = new WaiterRegistry({ capacity: 2 });
    const { id } = registry.open();
    registry.open();
    expect(() => registry.open()).toThrow(TooManyWaitersError);
    expect(() => registry.open()).toThrow(/2 waiters are open/);
    registry.resolve(id, null);
    registry.open();
    expect(registry.stats()).toMatchObject({ open: 2, refused: 2 });
  });

  test.each([
    ['timeout', { timeout: -1 }],
    ['timeout', { timeout: Number.NaN }],
    ['timeout', { timeout: '5' as never }],
    ['signal', { signal: {} as never }],
    ['deadline', { deadline: Number.NaN }],
    ['deadline', { deadline: Number.NEGATIVE_INFINITY }],
  ])('refuses %s %j', (option, options) => {
    const registry = new WaiterRegistry();
    expect(() => registry.open(options)).toThrow(OptionError);
    expect(() => registry.open(options)).toThrow(`'${option}'`);
    expect(registry.size).toBe(0);
  });

  test.each([[{ capacity: 0 }], [{ capacity: 1.5 }], [{ capacity: 2 ** 25 }], [{ timeout: -1 }]])(
    'a registry refuses %j',
    (options) => {
      expect(() => new WaiterRegistry(options)).toThrow(OptionError);
    },
  );
});

describe('deadlines', () => {
  test('end waiters; the default counts, Infinity must be asked for, the earlier of two holds', async () => {
    const clock = new HandClock();
    await clock.run(async () => {
      const registry = new WaiterRegistry({ timeout: 100 });
      const ended: string[] = [];
      const open = (name: string, options: object) =>
        registry
          .open({ ...options, label: name })
          .promise.catch((error) => ended.push(`${name} ${clock.now()}`, error));
      void open('default', {});
      void open('endless', { timeout: Number.POSITIVE_INFINITY });
      void open('long', { timeout: 500 });
      void open('both', { timeout: 500, deadline: 300 });
      clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
      expect(ended.filter((each) => typeof each === 'string')).toEqual(['default 1000', 'both 1000', 'long 1000']);
      expect(ended[1]).toBeInstanceOf(TimeoutError);
      expect((ended[1] as unknown as Error).message).toContain('default');
      expect(registry.stats()).toMatchObject({ open: 1, timedOut: 3 });
      registry.close();
      expect(clock.deadlines.size).toBe(0);
      expect(clock.alarmSet).toBe(false);
    });
  });

  test('a million of them hold one timer, and none when empty', () => {
    const clock = new HandClock();
    clock.run(() => {
      const registry = new WaiterRegistry();
      const ids: number[] = [];
      for (let i = 0; i < 1_000_000; i++) ids.push(registry.open({ timeout: 1 + (i % 60_000) }).id);
      expect(() => registry.open()).toThrow(TooManyWaitersError);
      expect(clock.deadlines.size).toBe(1_000_000);
      for (const id of ids) registry.resolve(id, null);
      expect(clock.deadlines.size).toBe(0);
      expect(clock.alarmSet).toBe(false);
      expect(registry.stats()).toMatchObject({ open: 0, resolved: 1_000_000 });
    });
  });
});

describe('close', () => {
  test('rejects all, refuses later ones, and replies are late', async () => {
    const registry = new WaiterRegistry();
    const { id, promise } = registry.open();
    const error = new Error('over');
    registry.close(error);
    registry.close(new Error('twice'));
    await expect(promise).rejects.toBe(error);
    expect(() => registry.open()).toThrow(error);
    expect(registry.resolve(id, 1)).toBe(false);
    expect(registry.stats()).toMatchObject({ closed: 1, late: 1 });
  });

  test('without an error says that it was closed', async () => {
    const registry = new WaiterRegistry();
    const { promise } = registry.open();
    registry.close();
    await expect(promise).rejects.toBeInstanceOf(ClosedError);
  });
});

describe('replies without a waiter', () => {
  const seen: UnmatchedReply[] = [];
  const listener = (message: unknown) => seen.push(message as UnmatchedReply);
  afterEach(() => {
    unmatchedReplies.unsubscribe(listener);
    seen.length = 0;
  });

  test('are told apart, counted and published', async () => {
    unmatchedReplies.subscribe(listener);
    const registry = new WaiterRegistry({ name: 'orders' });
    const answered = registry.open();
    const given = registry.open();
    given.promise.catch(() => {});
    registry.resolve(answered.id, 1);
    registry.cancel(given.id, new Error('no'));
    registry.resolve(answered.id, 1);
    registry.reject(given.id, new Error('late'));
    registry.resolve(given.id + 2 ** 24, 1);
    registry.resolve('elsewhere', 1);
    expect(seen).toEqual([
      { kind: 'duplicate', id: answered.id, registry: 'orders' },
      { kind: 'late', id: given.id, registry: 'orders' },
      { kind: 'unknown', id: given.id + 2 ** 24, registry: 'orders' },
      { kind: 'unknown', id: 'elsewhere', registry: 'orders' },
    ]);
    expect(registry.stats()).toMatchObject({ duplicate: 1, late: 1, unknown: 2 });
  });

  test('after the slot was used again count as late', () => {
    const registry = new WaiterRegistry({ capacity: 1 });
    const { id } = registry.open();
    registry.resolve(id, 1);
    registry.open();
    registry.resolve(id, 1);
    expect(registry.stats()).toMatchObject({ late: 1, duplicate: 0 });
  });
});

test('with stacks, errors show where the waiter was opened', async () => {
  const registry = new WaiterRegistry({ stacks: true });
  function openedHere() {
    return registry.open();
  }
  const { id, promise } = openedHere();
  registry.reject(id, new Error('nope'));
  await expect(promise).rejects.toHaveProperty('stack', expect.stringContaining('openedHere'));
});

test.each(['close', 'reject', 'cancel'])('with stacks, an error that many share does not grow: %s', async (end) => {
  const registry = new WaiterRegistry({ stacks: true });
  const shared = new Error('shared');
  const scope = new CancelScope();
  await scope.run(async () => {
    const waiters = Array.from({ length: 50 }, () => registry.open());
    const outcomes = Promise.allSettled(waiters.map(({ promise }) => promise));
    if (end === 'close') registry.close(shared);
    else if (end === 'cancel') scope.cancel(shared);
    else for (const { id } of waiters) registry.reject(id, shared);
    for (const outcome of await outcomes) {
      const { stack = '' } = (outcome as PromiseRejectedResult).reason as Error;
      expect(stack.split('\n').length).toBeLessThan(40);
    }
  });
});

test('whoever holds the waiter itself settles it by way of the registry', async () => {
  const registry = new WaiterRegistry();
  const waiter = registry.open() as unknown as { promise: Promise<unknown>; resolve(value: unknown): boolean };
  expect(waiter.resolve('x')).toBe(true);
  expect(await waiter.promise).toBe('x');
  expect(registry.size).toBe(0);
});
