import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as nodeSleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Cancelled, OptionError, ScopeError, TimeoutError } from '../../../lib/errors.js';
import {
  abandonOnCancel,
  CancelScope,
  checkpoint,
  currentDeadline,
  currentScope,
  currentTime,
  failAfter,
  failAt,
  moveOnAfter,
  moveOnAt,
  openNursery,
  shield,
  sleep,
  sleepUntil,
  throwIfCancelled,
} from '../../../lib/scope/index.js';
import { outcome, virtualTest } from './support.js';

describe('cancellation', () => {
  virtualTest('cancel wakes who waits, at any depth, and the scope absorbs it', async () => {
    const scope = new CancelScope();
    let reached = false;
    await openNursery(async (nursery) => {
      nursery.startSoon(async () => {
        const value = await scope.run(async () => {
          const deep = async (): Promise<void> => {
            await sleep(1000);
            reached = true;
          };
          await deep();
          return 'value';
        });
        expect(value).toBeUndefined();
      });
      await sleep(10);
      scope.cancel('reason');
    });
    expect(reached).toBe(false);
    expect(currentTime()).toBe(10);
    expect(scope.cancelled).toBe(true);
    expect(scope.cancelledCaught).toBe(true);
    expect(scope.reason).toBe('reason');
  });

  virtualTest('is level-triggered: each later checkpoint throws again', async () => {
    const scope = new CancelScope();
    let caught = 0;
    await scope.run(async () => {
      scope.cancel();
      for (const wait of [() => sleep(5), () => sleep(0), checkpoint, () => sleepUntil(0), () => sleep(Infinity)]) {
        await wait().catch((error) => {
          expect(error).toBeInstanceOf(Cancelled);
          caught++;
        });
      }
      expect(() => throwIfCancelled()).toThrow(Cancelled);
      expect(() => scope.throwIfCancelled()).toThrow(Cancelled);
    });
    expect(caught).toBe(5);
    expect(scope.cancelledCaught).toBe(false);
    expect(currentTime()).toBe(0);
  });

  virtualTest('cancel before entry: the first checkpoint throws', async () => {
    const scope = new CancelScope();
    scope.cancel();
    let began = false;
    await scope.run(async () => {
      began = true;
      await checkpoint();
      throw new Error('not reached');
    });
    expect(began).toBe(true);
    expect(scope.cancelledCaught).toBe(true);
  });

  virtualTest('a scope that ends before its cancellation keeps its value', async () => {
    const scope = new CancelScope();
    expect(await scope.run(async () => 'value')).toBe('value');
    scope.cancel();
    expect(scope.cancelledCaught).toBe(false);
  });

  virtualTest('cancelled, but without a checkpoint after it: the value comes out', async () => {
    const result = await moveOnAfter(5, async (scope) => {
      scope.cancel();
      return 7;
    });
    expect(result).toEqual({ cancelled: false, value: 7 });
  });

  virtualTest('errors during cancellation come out, not the Cancelled', async () => {
    const scope = new CancelScope();
    const failure = new Error('in clean-up');
    const ended = outcome(
      scope.run(async () => {
        try {
          await sleep(100);
        } finally {
          // biome-ignore lint/correctness/noUnsafeFinally: what is tested
          throw failure;
        }
      }),
    );
    await sleep(1);
    scope.cancel();
    expect(await ended).toEqual({ error: failure });
    expect(scope.cancelledCaught).toBe(false);
  });

  virtualTest('an outer Cancelled passes the inner scope', async () => {
    const outer = new CancelScope();
    const inner = new CancelScope();
    await outer.run(async () => {
      await inner.run(async () => {
        outer.cancel();
        await sleep(1);
      });
      throw new Error('not reached');
    });
    expect(outer.cancelledCaught).toBe(true);
    expect(inner.cancelledCaught).toBe(false);
    expect(inner.cancelled).toBe(false);
  });

  virtualTest('both cancelled: the outer one absorbs', async () => {
    const outer = new CancelScope();
    const inner = new CancelScope();
    await outer.run(async () => {
      await inner.run(async () => {
        inner.cancel();
        outer.cancel();
        await sleep(1);
      });
      throw new Error('not reached');
    });
    expect([outer.cancelledCaught, inner.cancelledCaught]).toEqual([true, false]);
  });

  virtualTest('the inner scope alone: the outer goes on', async () => {
    const inner = new CancelScope();
    const outer = await moveOnAfter(1000, async () => {
      await inner.run(async () => {
        inner.cancel();
        await sleep(1);
      });
      await sleep(3);
      return 'outer';
    });
    expect(outer).toEqual({ cancelled: false, value: 'outer' });
  });

  virtualTest('cancel twice: the first reason stays', async () => {
    const scope = new CancelScope();
    scope.cancel('first');
    scope.cancel('second');
    expect(scope.reason).toBe('first');
  });

  virtualTest('a scope runs once', async () => {
    const scope = new CancelScope();
    await scope.run(() => 1);
    await expect(scope.run(() => 2)).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_SCOPE_USED' });
    await expect(scope.run(() => 2)).rejects.toBeInstanceOf(ScopeError);
  });

  virtualTest('a Cancelled of work that belongs to another scope is an ordinary error here', async () => {
    const other = new CancelScope();
    let theirs: Promise<void> = Promise.resolve();
    const otherEnded = other.run(() => {
      theirs = sleep(1000);
      return theirs;
    });
    const mine = new CancelScope();
    const ended = outcome(mine.run(() => theirs));
    // In a nursery it fails the block, and is not taken for the nursery's own cancellation.
    const nurseryEnded = outcome(openNursery((nursery) => nursery.startSoon(() => theirs)));
    await sleep(1);
    other.cancel();
    expect(((await ended) as { error: unknown }).error).toBeInstanceOf(Cancelled);
    expect(((await nurseryEnded) as { error: unknown }).error).toBeInstanceOf(Cancelled);
    expect(mine.cancelledCaught).toBe(false);
    await otherEnded;
    expect(other.cancelledCaught).toBe(true);
  });
});

describe('deadlines', () => {
  virtualTest('moveOnAfter stops the work and goes on', async () => {
    expect(await moveOnAfter(500, () => sleep(1000))).toEqual({ cancelled: true, value: undefined });
    expect(currentTime()).toBe(500);
    expect(await moveOnAfter(500, () => sleep(100).then(() => 'done'))).toEqual({ cancelled: false, value: 'done' });
    expect(currentTime()).toBe(600);
  });

  virtualTest('moveOnAt and failAt take an instant', async () => {
    expect((await moveOnAt(70, () => sleep(1000))).cancelled).toBe(true);
    expect(currentTime()).toBe(70);
    await expect(failAt(90, () => sleep(1000))).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT' });
    expect(currentTime()).toBe(90);
  });

  virtualTest('failAfter throws TimeoutError, or gives the value', async () => {
    await expect(failAfter(500, () => sleep(1000))).rejects.toBeInstanceOf(TimeoutError);
    expect(await failAfter(500, async () => 3)).toBe(3);
    await expect(
      failAfter(500, (scope) => {
        scope.cancel('why');
        return sleep(1);
      }),
    ).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT', cause: 'why' });
  });

  virtualTest('nested: the earliest wins, from outside', async () => {
    const inner: boolean[] = [];
    const outer = await moveOnAfter(100, async () => {
      inner.push((await moveOnAfter(50, () => sleep(1000))).cancelled);
      expect(currentTime()).toBe(50);
      inner.push((await moveOnAfter(500, () => sleep(1000))).cancelled);
    });
    expect(outer.cancelled).toBe(true);
    expect(inner).toEqual([true]);
    expect(currentTime()).toBe(100);
  });

  virtualTest('the same instant inside and outside: the outer one takes it', async () => {
    let innerEnded = false;
    const outer = await moveOnAfter(100, async () => {
      await moveOnAfter(100, () => sleep(1000));
      innerEnded = true;
    });
    expect(outer.cancelled).toBe(true);
    expect(innerEnded).toBe(false);
  });

  virtualTest('may change while the work waits: sooner, later, never', async () => {
    for (const [change, expected] of [
      [30, 30],
      [300, 300],
      [Infinity, 1000],
      [5, 10],
    ] as const) {
      const start = currentTime();
      const scope = new CancelScope({ deadline: start + 100 });
      const ended = scope.run(() => sleep(1000));
      await sleep(10);
      scope.deadline = start + change;
      await ended;
      expect(currentTime() - start).toBe(expected);
      expect(scope.cancelledCaught).toBe(expected < 1000);
    }
  });

  virtualTest('a deadline that has passed at entry: the first checkpoint throws', async () => {
    await sleep(10);
    let began = false;
    const result = await moveOnAt(5, async () => {
      began = true;
      await checkpoint();
    });
    expect([began, result.cancelled]).toEqual([true, true]);
    expect((await moveOnAfter(0, checkpoint)).cancelled).toBe(true);
  });

  virtualTest('after cancellation a later deadline changes nothing', async () => {
    const scope = new CancelScope({ timeout: 10 });
    await scope.run(async () => {
      await sleep(100).catch(() => {});
      scope.deadline = Infinity;
      expect(scope.cancelled).toBe(true);
      await expect(sleep(1)).rejects.toBeInstanceOf(Cancelled);
    });
  });

  virtualTest('a timeout counts from the entry', async () => {
    const scope = new CancelScope({ timeout: 50 });
    await sleep(100);
    await scope.run(() => sleep(1000));
    expect(currentTime()).toBe(150);
    expect(scope.reason).toBeInstanceOf(TimeoutError);
  });

  virtualTest('currentDeadline is the earliest around, as far as the next shield', async () => {
    expect(currentDeadline()).toBe(Infinity);
    await moveOnAfter(100, async () => {
      await moveOnAfter(200, async (scope) => {
        expect(currentDeadline()).toBe(100);
        await shield(async (inner) => {
          expect(currentDeadline()).toBe(Infinity);
          inner.deadline = 700;
          expect(currentDeadline()).toBe(700);
        });
        scope.cancel();
        expect(currentDeadline()).toBe(-Infinity);
      });
    });
  });

  test('work that never waits finds its deadline by throwIfCancelled', async () => {
    const start = performance.now();
    const result = await moveOnAfter(3, () => {
      while (performance.now() - start < 1000) {
        throwIfCancelled();
      }
    });
    expect(result.cancelled).toBe(true);
    expect(performance.now() - start).toBeLessThan(900);
  });

  virtualTest('wrong values are refused', async () => {
    expect(() => moveOnAfter(-1, () => {})).toThrow(OptionError);
    expect(() => sleep(Number.NaN)).toThrow(OptionError);
    expect(() => new CancelScope({ deadline: Number.NaN })).toThrow(OptionError);
    expect(() => new CancelScope({ deadline: 1, timeout: 1 })).toThrow(OptionError);
    expect(() => {
      new CancelScope().deadline = 'soon' as never;
    }).toThrow(OptionError);
  });
});

describe('shielding', () => {
  virtualTest('keeps cancellation out until its end; then it comes', async () => {
    const steps: string[] = [];
    const outer = await moveOnAfter(10, async () => {
      await shield(async () => {
        await sleep(50);
        steps.push('shielded work ended');
      });
      await checkpoint();
      steps.push('not reached');
    });
    expect(outer.cancelled).toBe(true);
    expect(steps).toEqual(['shielded work ended']);
    expect(currentTime()).toBe(50);
  });

  virtualTest('clean-up in a cancelled scope can wait under a shield with its own deadline', async () => {
    const scope = new CancelScope();
    let cleaned = false;
    const ended = scope.run(async () => {
      try {
        await sleep(1000);
      } finally {
        const cleanUp = await moveOnAfter(30, () => sleep(20).then(() => 'clean'), { shield: true });
        cleaned = cleanUp.value === 'clean';
        expect((await moveOnAfter(30, () => sleep(50), { shield: true })).cancelled).toBe(true);
      }
    });
    await sleep(5);
    scope.cancel();
    await ended;
    expect(cleaned).toBe(true);
    expect(currentTime()).toBe(55);
  });

  virtualTest('raised while cancelled: the work can wait again; lowered: it is cancelled', async () => {
    const outer = new CancelScope();
    const inner = new CancelScope();
    const steps: string[] = [];
    await outer.run(async () => {
      outer.cancel();
      await inner.run(async () => {
        await sleep(1).catch(() => steps.push('cancelled'));
        inner.shield = true;
        await sleep(10);
        steps.push('slept');
        inner.shield = false;
        await sleep(10);
      });
    });
    expect(steps).toEqual(['cancelled', 'slept']);
    expect(currentTime()).toBe(10);
    expect([outer.cancelledCaught, inner.cancelledCaught]).toEqual([true, false]);
  });

  virtualTest('lowered while the work waits: cancelled at once', async () => {
    const outer = new CancelScope();
    const inner = new CancelScope({ shield: true });
    const ended = outer.run(() => inner.run(() => sleep(1000)));
    await sleep(10);
    outer.cancel();
    await sleep(10);
    inner.shield = false;
    await ended;
    expect(currentTime()).toBe(20);
    expect(outer.cancelledCaught).toBe(true);
  });

  virtualTest('a shield keeps nothing of its own scope out', async () => {
    const scope = new CancelScope({ shield: true, timeout: 20 });
    await scope.run(() => sleep(100));
    expect(scope.cancelledCaught).toBe(true);
  });
});

describe('signals', () => {
  virtualTest('scope.signal aborts with the scope, and is the same each time', async () => {
    const scope = new CancelScope();
    await scope.run(async ({ signal }) => {
      expect(signal).toBeInstanceOf(AbortSignal);
      expect(scope.signal).toBe(signal);
      expect(signal.aborted).toBe(false);
      scope.cancel('why');
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toBeInstanceOf(Cancelled);
      expect(signal.reason.cause).toBe('why');
    });
  });

  virtualTest('it aborts for an outer cancellation too, but not through a shield', async () => {
    const outer = new CancelScope();
    await outer.run(async () => {
      await moveOnAfter(100, async (inner) => {
        await shield(async (shielded) => {
          const signals = [inner.signal, shielded.signal];
          outer.cancel();
          expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
        });
      });
    });
  });

  virtualTest('asked for after the cancellation it is aborted already', async () => {
    const scope = new CancelScope();
    await scope.run(() => {
      scope.cancel();
      expect(scope.signal.aborted).toBe(true);
    });
  });

  virtualTest(
    'what rejects with the signal’s reason, or with an AbortError caused by it, ends in the scope',
    async () => {
      const result = await moveOnAfter(10, ({ signal }) => {
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      });
      expect(result.cancelled).toBe(true);
      const scope = new CancelScope();
      const ended = scope.run(({ signal }) => nodeSleep(60_000, undefined, { signal }));
      await sleep(1);
      scope.cancel();
      await ended;
      expect(scope.cancelledCaught).toBe(true);
    },
  );

  virtualTest('a foreign AbortSignal cancels a scope, also one that was aborted before', async () => {
    const controller = new AbortController();
    const scope = new CancelScope({ signal: controller.signal });
    const ended = scope.run(() => sleep(1000));
    await sleep(10);
    const reason = new Error('foreign');
    controller.abort(reason);
    await ended;
    expect(scope.cancelledCaught).toBe(true);
    expect(scope.reason).toBe(reason);
    expect(currentTime()).toBe(10);
    const late = new CancelScope({ signal: controller.signal });
    await late.run(() => sleep(1000));
    expect(late.cancelledCaught).toBe(true);
  });

  virtualTest('a listener that throws or cancels more does no harm', async () => {
    const other = new CancelScope();
    const scope = new CancelScope();
    const ended = other.run(() => sleep(1000));
    await scope.run(async ({ signal }) => {
      signal.addEventListener('abort', () => other.cancel());
      scope.cancel();
      await expect(sleep(1)).rejects.toBeInstanceOf(Cancelled);
    });
    await ended;
    expect(other.cancelledCaught).toBe(true);
  });
});

describe('the current scope', () => {
  virtualTest('travels with the code, and ends with the scope', async () => {
    expect(currentScope()).toBeNull();
    const outer = new CancelScope();
    await outer.run(async () => {
      expect(currentScope()).toBe(outer);
      await sleep(1);
      expect(currentScope()).toBe(outer);
      await moveOnAfter(10, async (inner) => {
        await Promise.resolve();
        expect(currentScope()).toBe(inner);
      });
      expect(currentScope()).toBe(outer);
    });
    expect(currentScope()).toBeNull();
  });

  virtualTest('tasks side by side have each their own, and other AsyncLocalStorages are left alone', async () => {
    const storage = new AsyncLocalStorage<number>();
    const seen: unknown[] = [];
    await openNursery(async (nursery) => {
      for (let id = 0; id < 5; id++) {
        storage.run(id, () => {
          nursery.startSoon(async () => {
            await moveOnAfter(100 + id, async (scope) => {
              await sleep(10 - id);
              expect(currentScope()).toBe(scope);
              expect(scope.deadline).toBe(100 + id);
              seen.push(storage.getStore());
            });
            expect(currentScope()).toBe(nursery.cancelScope);
          });
        });
      }
      expect(storage.getStore()).toBeUndefined();
    });
    expect(seen).toEqual([4, 3, 2, 1, 0]);
  });

  virtualTest('work that nobody awaited counts to the next scope above once its own has ended', async () => {
    const outer = new CancelScope();
    let floating: Promise<unknown> = Promise.resolve();
    await outer.run(async () => {
      await moveOnAfter(1000, async () => {
        floating = outcome(sleep(100).then(() => sleep(100)));
      });
      await sleep(10);
      outer.cancel();
      expect(((await floating) as { error: unknown }).error).toBeInstanceOf(Cancelled);
      expect(currentTime()).toBe(10);
    });
  });

  virtualTest('work that outlives a cancelled scope stays cancelled', async () => {
    let go: () => void = () => {};
    let floating: Promise<unknown> = Promise.resolve();
    await moveOnAfter(10, async () => {
      floating = outcome(new Promise<void>((resolve) => (go = resolve)).then(() => sleep(5)));
      await sleep(100);
    });
    go();
    expect(((await floating) as { error: unknown }).error).toBeInstanceOf(Cancelled);
  });
});

describe('abandonOnCancel', () => {
  virtualTest('waits for a foreign promise, and lets go of it when cancelled', async () => {
    expect(await abandonOnCancel(Promise.resolve(3))).toBe(3);
    expect(await abandonOnCancel(3 as unknown as Promise<number>)).toBe(3);
    await expect(abandonOnCancel(Promise.reject(new Error('its own')))).rejects.toThrow('its own');
    let fail: (error: Error) => void = () => {};
    const foreign = new Promise((_, reject) => (fail = reject));
    expect((await moveOnAfter(20, () => abandonOnCancel(foreign))).cancelled).toBe(true);
    fail(new Error('nobody is interested'));
  });
});

describe('checkpoint', () => {
  virtualTest('lets the other tasks, timers and immediates have a turn', async () => {
    const order: string[] = [];
    setImmediate(() => order.push('immediate'));
    await openNursery(async (nursery) => {
      for (const name of ['a', 'b']) {
        nursery.startSoon(async () => {
          for (let round = 0; round < 2; round++) {
            order.push(name + round);
            await checkpoint();
          }
        });
      }
    });
    expect(order).toEqual(['a0', 'b0', 'immediate', 'a1', 'b1']);
  });

  virtualTest('is left by cancellation at once', async () => {
    const scope = new CancelScope();
    await scope.run(async () => {
      const waiting = outcome(checkpoint());
      scope.cancel();
      expect(((await waiting) as { error: unknown }).error).toBeInstanceOf(Cancelled);
    });
  });
});

test('on the real clock: a pending sleep is one timer, and none is left', async () => {
  const { realDeadlines } = await import('../../../lib/scope/deadlines.js');
  const before = performance.now();
  await Promise.all([sleep(5), sleep(3), sleep(4)]);
  expect(performance.now() - before).toBeGreaterThanOrEqual(5);
  expect(realDeadlines.size).toBe(0);
  expect(realDeadlines.nextAlarm).toBe(Infinity);
});
