/** Who waits for something to change, without knowing what. */
import { activeDeadlines } from '../scope/scope-tree.js';
import { Waiter } from '../scope/waiter.js';

export class Changes {
  #waiting: Waiter<void>[] = [];

  /** Something has changed. */
  tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) waiter.resolve();
  }

  /** Resolves at the next change, or after `ms`. */
  next(ms: number): Promise<void> {
    const waiter = new Waiter<void>({ onAbort: () => true, onExpire: (expired) => expired.resolve() });
    const parked = waiter.park();
    const timers = activeDeadlines();
    if (!waiter.settled) waiter.expireAt(timers.now() + Math.max(0, ms), timers);
    this.#waiting.push(waiter);
    return parked;
  }
}
