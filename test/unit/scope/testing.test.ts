import { describe, expect, test } from 'vitest';
import { currentTime, moveOnAfter, openNursery, sleep } from '../../../lib/scope/index.js';
import { VirtualClock, waitAllTasksBlocked, withVirtualClock } from '../../../lib/scope/testing.js';
import { virtualTest } from './support.js';

describe('the virtual clock', () => {
  test('an hour passes at once, and only under it', async () => {
    const before = performance.now();
    const clock = new VirtualClock({ start: 500 });
    await clock.run(async () => {
      expect(currentTime()).toBe(500);
      await sleep(3_600_000);
      expect(currentTime()).toBe(3_600_500);
    });
    expect(performance.now() - before).toBeLessThan(2000);
    expect(currentTime()).toBeLessThan(3_600_000);
  });

  test('two clocks side by side are independent', async () => {
    const times = await Promise.all(
      [10, 1000].map((ms) =>
        withVirtualClock(async () => {
          await sleep(ms);
          return currentTime();
        }),
      ),
    );
    expect(times).toEqual([10, 1000]);
  });

  virtualTest(
    'without autojump only advance moves it, stopping at each deadline',
    async (clock) => {
      const log: number[] = [];
      const work = openNursery((nursery) => {
        nursery.startSoon(async () => {
          for (let round = 0; round < 3; round++) {
            await sleep(10);
            log.push(currentTime());
          }
        });
      });
      await waitAllTasksBlocked();
      expect(log).toEqual([]);
      expect(clock.pendingDeadlines).toBe(1);
      await clock.advance(9);
      expect(log).toEqual([]);
      await clock.advance(16);
      expect(log).toEqual([10, 20]);
      expect(clock.now()).toBe(25);
      await clock.advance(100);
      expect(log).toEqual([10, 20, 30]);
      await work;
    },
    false,
  );

  virtualTest('it jumps to the deadline of a scope whose work waits for something else', async () => {
    const result = await moveOnAfter(50, ({ signal }) => {
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    expect(result.cancelled).toBe(true);
    expect(currentTime()).toBe(50);
  });
});

describe('waitAllTasksBlocked', () => {
  virtualTest('comes before the clock jumps, and after all steps that need no time', async () => {
    const steps: number[] = [];
    await openNursery(async (nursery) => {
      nursery.startSoon(async () => {
        for (let step = 0; step < 10; step++) {
          await sleep(0);
          steps.push(step);
        }
        await sleep(1000);
        steps.push(1000);
      });
      await waitAllTasksBlocked();
      expect(steps).toHaveLength(10);
      expect(currentTime()).toBe(0);
    });
    expect(currentTime()).toBe(1000);
  });
});
