/** A test under the virtual clock that also proves: nothing is left in the wheel, and no rejection goes unhandled. */
import { expect, test } from 'vitest';
import { type VirtualClock, withVirtualClock } from '../../../lib/scope/testing.js';

export function virtualTest(name: string, fn: (clock: VirtualClock) => Promise<void>, autojump = true): void {
  test(name, async () => {
    const unhandled = await unhandledDuring(() =>
      withVirtualClock(
        async (clock) => {
          await fn(clock);
          expect(clock.pendingDeadlines).toBe(0);
        },
        { autojump },
      ),
    );
    expect(unhandled).toEqual([]);
  });
}

/** The rejections that nobody handled while `fn` ran. */
export async function unhandledDuring(fn: () => Promise<unknown>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const listener = (error: unknown): void => {
    seen.push(error);
  };
  process.on('unhandledRejection', listener);
  try {
    await fn();
    // Reported after the microtasks of a turn.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off('unhandledRejection', listener);
  }
  return seen;
}

/** How a promise ended. */
export async function outcome(promise: PromiseLike<unknown>): Promise<{ value: unknown } | { error: unknown }> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}
