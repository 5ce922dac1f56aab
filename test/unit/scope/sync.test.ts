import { describe, expect } from 'vitest';
import {
  CancelScope,
  CapacityLimiter,
  Condition,
  currentTime,
  Event,
  Lock,
  moveOnAfter,
  openNursery,
  sleep,
} from '../../../lib/scope/index.js';
import { waitAllTasksBlocked } from '../../../lib/scope/testing.js';
import { virtualTest } from './support.js';

describe('Event', () => {
  virtualTest('wakes all who wait, and who comes later passes', async () => {
    const event = new Event();
    const woken: number[] = [];
    await openNursery(async (nursery) => {
      for (let id = 0; id < 3; id++) {
        nursery.startSoon(async () => {
          await event.wait();
          woken.push(id);
        });
      }
      await waitAllTasksBlocked();
      expect(event.waiting).toBe(3);
      expect(event.isSet).toBe(false);
      event.set();
    });
    expect(woken).toEqual([0, 1, 2]);
    await event.wait();
    expect(event.isSet).toBe(true);
  });

  virtualTest('a cancelled waiter leaves; waiting in a cancelled scope throws even when set', async () => {
    const event = new Event();
    expect((await moveOnAfter(5, () => event.wait())).cancelled).toBe(true);
    expect(event.waiting).toBe(0);
    event.set();
    const scope = new CancelScope();
    scope.cancel();
    await scope.run(() => event.wait());
    expect(scope.cancelledCaught).toBe(true);
  });
});

describe('Lock', () => {
  virtualTest('one at a time, in order', async () => {
    const lock = new Lock();
    const order: string[] = [];
    await openNursery((nursery) => {
      for (const name of ['a', 'b', 'c']) {
        nursery.startSoon(() =>
          lock.run(async () => {
            order.push(`${name} in`);
            await sleep(10);
            order.push(`${name} out`);
          }),
        );
      }
    });
    expect(order).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    expect(lock.locked).toBe(false);
  });

  virtualTest('release hands it over: nobody overtakes', async () => {
    const lock = new Lock();
    await lock.acquire();
    const next = lock.acquire();
    lock.release();
    expect(lock.locked).toBe(true);
    expect(() => lock.acquireNowait()).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_WOULD_BLOCK' }));
    await next;
    lock.release();
    lock.acquireNowait();
    lock.release();
    expect(() => lock.release()).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_NOT_HELD' }));
  });

  virtualTest('a cancelled waiter leaves the queue', async () => {
    const lock = new Lock();
    await lock.acquire();
    expect((await moveOnAfter(5, () => lock.acquire())).cancelled).toBe(true);
    expect(lock.waiting).toBe(0);
    lock.release();
    expect(lock.locked).toBe(false);
  });

  virtualTest('handed over and cancelled in the same turn: it is held, and released by run', async () => {
    const lock = new Lock();
    await lock.acquire();
    const scope = new CancelScope();
    let entered = false;
    const ended = scope.run(() =>
      lock.run(async () => {
        entered = true;
        await sleep(1);
      }),
    );
    await waitAllTasksBlocked();
    lock.release();
    scope.cancel();
    await ended;
    expect(entered).toBe(true);
    expect(lock.locked).toBe(false);
  });
});

describe('Condition', () => {
  virtualTest('wait releases the lock, and has it again afterwards', async () => {
    const condition = new Condition();
    let items = 0;
    const taken: number[] = [];
    await openNursery(async (nursery) => {
      for (let id = 0; id < 2; id++) {
        nursery.startSoon(() =>
          condition.run(async () => {
            while (items === 0) {
              await condition.wait();
              expect(condition.locked).toBe(true);
            }
            items--;
            taken.push(id);
          }),
        );
      }
      await waitAllTasksBlocked();
      expect(condition.waiting).toBe(2);
      await condition.run(() => {
        items = 1;
        condition.notify();
      });
      await waitAllTasksBlocked();
      expect(taken).toEqual([0]);
      await condition.run(() => {
        items = 1;
        condition.notifyAll();
      });
    });
    expect(taken).toEqual([0, 1]);
    expect(condition.locked).toBe(false);
  });

  virtualTest('cancelled while waiting: takes the lock again before Cancelled is thrown', async () => {
    const condition = new Condition();
    const scope = new CancelScope();
    let heldAt = -1;
    const ended = scope.run(() =>
      condition.run(async () => {
        try {
          await condition.wait();
        } finally {
          heldAt = currentTime();
        }
      }),
    );
    await waitAllTasksBlocked();
    await condition.acquire();
    scope.cancel();
    await sleep(25);
    expect(heldAt).toBe(-1);
    condition.release();
    await ended;
    expect(heldAt).toBe(25);
    expect(scope.cancelledCaught).toBe(true);
    expect(condition.locked).toBe(false);
    expect(condition.waiting).toBe(0);
  });

  virtualTest('needs the lock', async () => {
    const condition = new Condition();
    await expect(condition.wait()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_NOT_HELD' });
    expect(() => condition.notify()).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_NOT_HELD' }));
  });
});

describe('CapacityLimiter', () => {
  virtualTest('so many at a time, in order', async () => {
    const limiter = new CapacityLimiter(2);
    const started: string[] = [];
    await openNursery(async (nursery) => {
      for (let id = 0; id < 5; id++) {
        nursery.startSoon(() =>
          limiter.run(async () => {
            started.push(`${id}@${currentTime()}`);
            await sleep(10);
          }),
        );
      }
      await waitAllTasksBlocked();
      expect([limiter.borrowedTokens, limiter.availableTokens, limiter.waiting]).toEqual([2, 0, 3]);
    });
    expect(started).toEqual(['0@0', '1@0', '2@10', '3@10', '4@20']);
    expect(limiter.borrowedTokens).toBe(0);
  });

  virtualTest('a cancelled waiter takes no token', async () => {
    const limiter = new CapacityLimiter(1);
    const permit = limiter.acquireNowait();
    expect((await moveOnAfter(5, () => limiter.acquire())).cancelled).toBe(true);
    expect(() => limiter.acquireNowait()).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_WOULD_BLOCK' }));
    permit.release();
    expect(limiter.availableTokens).toBe(1);
    expect(() => permit.release()).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_NOT_HELD' }));
  });

  virtualTest('the total may change: more wakes who waits, fewer is waited for', async () => {
    const limiter = new CapacityLimiter(0);
    const waiting = [limiter.acquire(), limiter.acquire()];
    limiter.totalTokens = 2;
    const [first, second] = await Promise.all(waiting);
    limiter.totalTokens = 1;
    const third = limiter.acquire();
    first!.release();
    expect(limiter.waiting).toBe(1);
    second!.release();
    (await third).release();
    expect(() => new CapacityLimiter(-1)).toThrow();
    expect(() => new CapacityLimiter(1.5)).toThrow();
  });
});
