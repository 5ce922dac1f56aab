/** Many tasks with random cancellations: nothing is lost, given twice, or left behind. Seeded, on the virtual clock. */
import { expect, test } from 'vitest';
import {
  Cancelled,
  CancelScope,
  CapacityLimiter,
  EndOfChannel,
  Lock,
  moveOnAfter,
  openChannel,
  openNursery,
  sleep,
} from '../../../lib/scope/index.js';
import { withVirtualClock } from '../../../lib/scope/testing.js';
import { plainOwner, Waiter } from '../../../lib/scope/waiter.js';
import { unhandledDuring, virtualTest } from './support.js';

function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const SEEDS = Array.from({ length: 60 }, (_, index) => index + 1);

test('channels: each value is received once, or its send was cancelled', async () => {
  const unhandled = await unhandledDuring(async () => {
    for (const seed of SEEDS) {
      const below = random(seed);
      await withVirtualClock(async (clock) => {
        const [sender, receiver] = openChannel<number>(below(4));
        const sent = new Set<number>();
        const received: number[] = [];
        await openNursery((nursery) => {
          for (let task = 0; task < 4; task++) {
            const mine = sender.clone();
            nursery.startSoon(async () => {
              for (let index = 0; index < 20; index++) {
                const value = task * 1000 + index;
                const { cancelled } = await moveOnAfter(below(6), () => mine.send(value));
                if (!cancelled) {
                  sent.add(value);
                }
                await sleep(below(3));
              }
              mine.close();
            });
          }
          sender.close();
          for (let task = 0; task < 3; task++) {
            const mine = receiver.clone();
            nursery.startSoon(async () => {
              for (let open = true; open; ) {
                await moveOnAfter(below(5), async () => {
                  received.push(await mine.receive());
                }).catch((error) => {
                  expect(error).toBeInstanceOf(EndOfChannel);
                  open = false;
                });
                await sleep(below(4));
              }
            });
          }
        });
        expect(received).toHaveLength(new Set(received).size);
        expect(new Set(received)).toEqual(sent);
        const { buffered, waitingSenders, waitingReceivers } = receiver.statistics();
        expect([buffered, waitingSenders, waitingReceivers]).toEqual([0, 0, 0]);
        expect(clock.pendingDeadlines).toBe(0);
      });
    }
  });
  expect(unhandled).toEqual([]);
});

test('limiters and locks: never more than allowed, and all come back', async () => {
  const unhandled = await unhandledDuring(async () => {
    for (const seed of SEEDS) {
      const below = random(seed);
      await withVirtualClock(async (clock) => {
        const total = 1 + below(3);
        const limiter = new CapacityLimiter(total);
        const lock = new Lock();
        let inside = 0;
        let holders = 0;
        await openNursery((nursery) => {
          for (let task = 0; task < 12; task++) {
            nursery.startSoon(async () => {
              for (let round = 0; round < 6; round++) {
                await moveOnAfter(below(9), () =>
                  limiter.run(async () => {
                    expect(++inside).toBeLessThanOrEqual(total);
                    try {
                      await sleep(below(3));
                      await lock.run(async () => {
                        expect(++holders).toBe(1);
                        try {
                          await sleep(below(3));
                        } finally {
                          holders--;
                        }
                      });
                    } finally {
                      inside--;
                    }
                  }),
                );
              }
            });
          }
        });
        expect([limiter.borrowedTokens, limiter.waiting, lock.locked, lock.waiting]).toEqual([0, 0, false, 0]);
        expect(clock.pendingDeadlines).toBe(0);
      });
    }
  });
  expect(unhandled).toEqual([]);
});

virtualTest('one of a million is cancelled: it alone', async () => {
  const scope = new CancelScope();
  const one = new CancelScope();
  let asked = 0;
  const owner = {
    onAbort: () => {
      asked++;
      return true;
    },
  };
  await scope.run(async () => {
    const waiters = Array.from({ length: 1_000_000 }, () => {
      const waiter = new Waiter<void>(owner);
      void waiter.park();
      return waiter;
    });
    const ended = one.run(() => new Waiter<void>(plainOwner).park());
    one.cancel();
    await ended;
    expect(one.cancelledCaught).toBe(true);
    expect(asked).toBe(0);
    expect(waiters.every((waiter) => !waiter.settled)).toBe(true);
    for (const waiter of waiters) {
      waiter.resolve();
    }
  });
  scope.cancel();
  expect(asked).toBe(0);
});

virtualTest('a thousand nested scopes: the outermost cancels the innermost, and no stack overflows', async () => {
  const outer = new CancelScope();
  let reached: unknown = null;
  const nest = (depth: number): Promise<unknown> =>
    depth === 0
      ? sleep(1000).catch((error) => {
          reached = error;
          throw error;
        })
      : moveOnAfter(10_000, () => nest(depth - 1));
  const ended = outer.run(() => nest(1000));
  await sleep(1);
  outer.cancel('deep');
  await ended;
  expect(reached).toBeInstanceOf(Cancelled);
  expect(outer.cancelledCaught).toBe(true);
});
