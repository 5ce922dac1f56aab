/** The scope of the caller goes with the task: its cancellation, its time, its trace. */
import { describe, expect, test } from 'vitest';
import { Cancelled, CancelScope, failAfter, moveOnAfter, openNursery } from '../../../lib/scope/index.js';
import { TracedScope } from '../../../lib/scope/traced-scope.js';
import type { TaskGate } from './gates.js';
import { errorOf, makeGate, makeRunner } from './support.js';

const module = new URL('./scope-tasks.mjs', import.meta.url);
const traceId = '0af7651916cd43dd8448eb211c80319c';

interface Seen {
  isCurrent: boolean;
  left: number;
  deadline: number;
  cancelled: boolean;
  traceId?: string;
  traceparents: [string, string];
}

describe.each([1, 3])('with %i tasks in a thread', (tasksPerThread) => {
  const runner = () => makeRunner({ module, tasksPerThread });

  test.each(['seen', 'seenLater'])('%s: the earliest deadline around the call is that of the task', async (name) => {
    const tasks = runner();
    const alone = await tasks.run<Seen>(name);
    expect(alone).toMatchObject({ isCurrent: true, left: Number.POSITIVE_INFINITY, cancelled: false });
    for (const [scopeMs, timeout] of [
      [60_000, undefined],
      [60_000, 600_000],
      [600_000, 60_000],
    ] as const) {
      const { left, deadline } = await failAfter(scopeMs, () => tasks.run<Seen>(name, [], timeout ? { timeout } : {}));
      expect(left).toBeGreaterThan(30_000);
      expect(left).toBeLessThanOrEqual(60_000);
      expect(Math.abs(deadline - left)).toBeLessThan(100);
    }
  });

  test('the trace of the caller goes on in the task', async () => {
    const tasks = runner();
    const parent = `00-${traceId}-b7ad6b7169203331-01`;
    const inside = (await new TracedScope(parent).run(() => tasks.run<Seen>('seen'))) as Seen;
    expect(inside.traceId).toBe(traceId);
    expect(inside.traceparents[0]).toMatch(new RegExp(`^00-${traceId}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`));
    const given = await tasks.run<Seen>('seenLater', [], { traceId });
    expect(given.traceparents[0]).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
    const named = await tasks.run<Seen>('seen', [], { traceId: 'job 7' });
    expect(named.traceId).toBe('job 7');
    for (const { traceparents } of [inside, given, named]) {
      expect(traceparents[1]).toBe(traceparents[0]);
      expect(traceparents[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    }
  });

  test('what waits in the task is cancelled with the scope of the caller, at any depth', async () => {
    const tasks = runner();
    for (let i = 0; i < 5; i++) {
      const gate = makeGate();
      const scope = new CancelScope();
      const running = scope.run(() => tasks.run('wait', [gate.token]));
      await gate.reached();
      scope.cancel();
      await running;
      expect(scope.cancelledCaught).toBe(true);
      expect(await gate.left()).toBe(1);
      // The next one knows nothing of it.
      expect(await tasks.run('seenLater')).toMatchObject({ isCurrent: true, cancelled: false });
    }
    expect(tasks.stats()).toMatchObject({ cancelled: 5, failed: 0, done: 5, threads: { started: 1, ended: 0 } });
  });

  test('by a signal, and by a sibling that fails, in the same way', async () => {
    const tasks = runner();
    const gate = makeGate();
    const controller = new AbortController();
    const running = errorOf(tasks.run('wait', [gate.token], { signal: controller.signal }));
    await gate.reached();
    controller.abort('enough');
    expect(await running).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED', cause: 'enough' });
    expect(await gate.left()).toBe(1);

    const second = makeGate();
    const failing = openNursery((nursery) => {
      nursery.startSoon(() => tasks.run('wait', [second.token]));
      nursery.startSoon(async () => {
        await second.reached();
        throw new RangeError('sibling');
      });
    });
    expect(await errorOf(failing)).toBeInstanceOf(RangeError);
    expect(await second.left()).toBe(1);
  });

  test('a computation that never waits sees it by throwIfCancelled()', async () => {
    const tasks = runner();
    const gate = makeGate();
    const scope = new CancelScope();
    const running = scope.run(() => tasks.run('compute', [gate.token]));
    await gate.reached();
    scope.cancel();
    await running;
    expect(await gate.left()).toBe(1);
  });

  test('its own scopes end in it', async () => {
    expect(await runner().run('ownDeadline')).toEqual([true, false]);
  });
});

describe('out of time', () => {
  /** Holds this thread until the task has ended by its own clock, so that the result is there before the timer here has fired. */
  function block(gate: TaskGate): void {
    gate.awaitLeft();
    const end = performance.now() + 20;
    while (performance.now() < end);
  }

  test('whoever sees it first, here or there, it is told once, as the timeout', async () => {
    const gate = makeGate();
    const tasks = makeRunner({ module, workerData: { gate: gate.token } });
    await tasks.start();
    const error = errorOf(tasks.run('untilOutOfTime', [], { timeout: 1000 }));
    await gate.reached();
    block(gate);
    expect(await error).toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT' });
    expect(tasks.stats()).toMatchObject({ timedOut: 1, failed: 0, cancelled: 0 });
  });

  test('the same for the deadline of a scope, which absorbs it', async () => {
    const gate = makeGate();
    const tasks = makeRunner({ module, workerData: { gate: gate.token } });
    await tasks.start();
    const outcome = moveOnAfter(1000, () => tasks.run('untilOutOfTime'));
    await gate.reached();
    block(gate);
    expect(await outcome).toEqual({ cancelled: true, value: undefined });
    expect(tasks.stats()).toMatchObject({ timedOut: 0, failed: 0, cancelled: 1 });
  });

  test('in a scope that is cancelled already no task begins', async () => {
    const tasks = makeRunner({ module });
    const scope = new CancelScope();
    scope.cancel();
    const error = await scope.run(() => errorOf(tasks.run('seen')));
    expect(error).toBeInstanceOf(Cancelled);
    expect(tasks.stats()).toMatchObject({ cancelled: 1, threads: { started: 0 } });
  });
});
