/** Waiting for nothing but time, and checkpoints: where cancelled work stops. */
import { checkDuration, checkInstant } from './cancel-scope.js';
import { activeDeadlines } from './scope-tree.js';
import { plainOwner, Waiter, type WaiterOwner } from './waiter.js';

const sleepOwner: WaiterOwner<void> = {
  onAbort: () => true,
  onExpire: (waiter) => void waiter.resolve(),
};

/** Waits `ms`, or until the scope is cancelled (then throws Cancelled). 0 is a checkpoint, Infinity waits for cancellation. */
export function sleep(ms: number): Promise<void> {
  checkDuration('ms', ms);
  return ms === 0 ? checkpoint() : sleepUntil(activeDeadlines().now() + ms);
}

/** Waits until the instant `at` by `currentTime`. One that has passed is a checkpoint. */
export function sleepUntil(at: number): Promise<void> {
  checkInstant('at', at);
  const timers = activeDeadlines();
  if (at <= timers.now()) {
    return checkpoint();
  }
  const waiter = new Waiter<void>(sleepOwner);
  const promise = waiter.park();
  waiter.expireAt(at, timers);
  return promise;
}

const { setImmediate } = globalThis;

/** Who stands at a checkpoint; all of them go on in the same turn of the event loop. */
let yielded: Waiter<void>[] = [];

/**
 * Throws Cancelled where the scope is cancelled, and else lets everything else have a turn: other tasks, timers, sockets. A long
 * computation that awaits it now and then can be cancelled.
 */
export function checkpoint(): Promise<void> {
  const waiter = new Waiter<void>(plainOwner);
  const promise = waiter.park();
  if (!waiter.settled && yielded.push(waiter) === 1) {
    setImmediate(resumeYielded);
  }
  return promise;
}

function resumeYielded(): void {
  const batch = yielded;
  yielded = [];
  for (const waiter of batch) {
    waiter.resolve();
  }
}
