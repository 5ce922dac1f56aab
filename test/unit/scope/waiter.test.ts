import { describe, expect, test } from 'vitest';
import { Cancelled } from '../../../lib/errors.js';
import { CancelScope } from '../../../lib/scope/cancel-scope.js';
import { activeDeadlines, currentTime } from '../../../lib/scope/scope-tree.js';
import { plainOwner, Waiter, type WaiterOwner } from '../../../lib/scope/waiter.js';
import { outcome, unhandledDuring, virtualTest } from './support.js';

describe('Waiter', () => {
  virtualTest('is settled once: the first wins, later calls say false', async () => {
    const waiter = new Waiter<number>(plainOwner);
    const promise = waiter.park();
    expect(waiter.settled).toBe(false);
    expect(waiter.resolve(1)).toBe(true);
    expect(waiter.settled).toBe(true);
    expect(waiter.resolve(2)).toBe(false);
    expect(waiter.reject(new Error('late'))).toBe(false);
    expect(waiter.abort(new Error('late'))).toBe(false);
    expect(await promise).toBe(1);
  });

  virtualTest('is not settled before it is parked', async () => {
    const waiter = new Waiter<number>(plainOwner);
    expect(waiter.resolve(1)).toBe(false);
    const promise = waiter.park();
    expect(waiter.resolve(2)).toBe(true);
    expect(await promise).toBe(2);
  });

  virtualTest('onAbort true: it is rejected at once', async () => {
    const scope = new CancelScope();
    const seen: unknown[] = [];
    const owner: WaiterOwner<void> = {
      onAbort: (waiter, error) => {
        seen.push(waiter, error);
        return true;
      },
    };
    await scope.run(async () => {
      const waiter = new Waiter<void>(owner);
      const promise = waiter.park();
      scope.cancel('enough');
      expect(waiter.settled).toBe(true);
      const { error } = (await outcome(promise)) as { error: Cancelled };
      expect(error).toBeInstanceOf(Cancelled);
      expect(error.reason).toBe('enough');
      expect(seen).toEqual([waiter, error]);
    });
  });

  virtualTest('onAbort false: it stays parked until the owner settles it, and is not asked again', async () => {
    const scope = new CancelScope();
    let asked = 0;
    const owner: WaiterOwner<string> = {
      onAbort: () => {
        asked++;
        return false;
      },
    };
    await scope.run(async () => {
      const waiter = new Waiter<string>(owner);
      const promise = waiter.park();
      scope.cancel();
      scope.cancel();
      expect(waiter.settled).toBe(false);
      expect(waiter.abort(new Error('again'))).toBe(false);
      expect(waiter.resolve('too late to take back')).toBe(true);
      expect(await promise).toBe('too late to take back');
    });
    expect(asked).toBe(1);
    expect(scope.cancelledCaught).toBe(false);
  });

  virtualTest('parked in a cancelled scope: the owner is asked at once', async () => {
    const scope = new CancelScope();
    scope.cancel();
    await scope.run(async () => {
      const refused = new Waiter<void>({ onAbort: () => false });
      const promise = refused.park();
      expect(refused.settled).toBe(false);
      refused.resolve();
      await promise;
      const given = new Waiter<void>(plainOwner);
      const rejected = given.park();
      expect(given.settled).toBe(true);
      await expect(rejected).rejects.toBeInstanceOf(Cancelled);
    });
  });

  virtualTest('parked in no scope: nothing cancels it', async () => {
    const scope = new CancelScope();
    scope.cancel();
    await scope.run(async () => {
      const waiter = new Waiter<number>(plainOwner);
      const promise = waiter.park(null);
      expect(waiter.settled).toBe(false);
      waiter.resolve(4);
      expect(await promise).toBe(4);
    });
  });

  virtualTest('expireAt calls the owner once at the instant, unless settled before', async () => {
    const expired: unknown[] = [];
    const owner: WaiterOwner<string> = {
      onAbort: () => true,
      onExpire: (waiter) => {
        expired.push(waiter);
        waiter.resolve('expired');
      },
    };
    const first = new Waiter<string>(owner);
    const second = new Waiter<string>(owner);
    const promises = [first.park(), second.park()];
    first.expireAt(100, activeDeadlines());
    second.expireAt(50, activeDeadlines());
    second.resolve('before');
    expect(activeDeadlines().size).toBe(1);
    expect(await Promise.all(promises)).toEqual(['expired', 'before']);
    expect(expired).toEqual([first]);
    expect(currentTime()).toBe(100);
    first.expireAt(200, activeDeadlines());
  });

  virtualTest('expireAt again moves the instant', async () => {
    const owner: WaiterOwner<void> = { onAbort: () => true, onExpire: (waiter) => void waiter.resolve() };
    const waiter = new Waiter<void>(owner);
    const promise = waiter.park();
    waiter.expireAt(10, activeDeadlines());
    waiter.expireAt(300, activeDeadlines());
    await promise;
    expect(currentTime()).toBe(300);
  });

  virtualTest('watch: a foreign signal rejects it with its own reason, and nothing is left on the signal', async () => {
    const controller = new AbortController();
    const waiter = new Waiter<void>(plainOwner);
    const promise = waiter.park();
    waiter.watch(controller.signal, promise);
    const reason = new Error('mine');
    controller.abort(reason);
    expect(await outcome(promise)).toEqual({ error: reason });

    const aborted = new Waiter<void>(plainOwner);
    const rejected = aborted.park();
    aborted.watch(controller.signal, rejected);
    expect(await outcome(rejected)).toEqual({ error: reason });

    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = ((...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, args);
    }) as typeof addEventListener;
    signal.removeEventListener = ((...args: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(signal, args);
    }) as typeof removeEventListener;
    const settled = new Waiter<void>(plainOwner);
    const done = settled.park();
    settled.watch(signal, done);
    expect(listeners).toBe(1);
    settled.resolve();
    await done;
    expect(listeners).toBe(0);
  });

  virtualTest('cancelled waiters that nobody looks at are no unhandled rejections', async () => {
    const scope = new CancelScope();
    await scope.run(() => {
      for (let count = 0; count < 1000; count++) {
        void new Waiter<void>(plainOwner).park();
      }
      scope.cancel();
      void new Waiter<void>(plainOwner).park();
    });
    const alone = new Waiter<void>(plainOwner);
    alone.watch(scope.signal, alone.park(null));
    const later = new CancelScope();
    const watching = new Waiter<void>(plainOwner);
    watching.watch(later.signal, watching.park(null));
    later.cancel();
    expect([alone.settled, watching.settled]).toEqual([true, true]);
  });

  test('other errors stay visible', async () => {
    const failure = new Error('nobody handles it');
    const unhandled = await unhandledDuring(async () => {
      const waiter = new Waiter<void>(plainOwner);
      void waiter.park();
      waiter.reject(failure);
    });
    expect(unhandled).toEqual([failure]);
  });
});
