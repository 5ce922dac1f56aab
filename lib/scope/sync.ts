/** Event, Lock and Condition between the tasks of one thread. Who waits is served in order, and leaves the queue when cancelled. */
import { ScopeError, WouldBlockError } from '../errors.js';
import { activeScope, type ScopeNode } from './scope-tree.js';
import { queueOwner, Waiter } from './waiter.js';

/** Happens once, and stays so. */
export class Event {
  #set = false;
  readonly #waiting = new Set<Waiter<void>>();
  readonly #owner = queueOwner(this.#waiting);

  get isSet(): boolean {
    return this.#set;
  }

  /** Tasks that wait for it. */
  get waiting(): number {
    return this.#waiting.size;
  }

  set(): void {
    this.#set = true;
    for (const waiter of this.#waiting) {
      waiter.resolve();
    }
    this.#waiting.clear();
  }

  /** Waits until it has happened. */
  wait(): Promise<void> {
    const waiter = new Waiter<void>(this.#owner);
    const promise = waiter.park();
    if (!waiter.settled) {
      if (this.#set) {
        waiter.resolve();
      } else {
        this.#waiting.add(waiter);
      }
    }
    return promise;
  }
}

/** One holder at a time. Tasks have no identity here, so who releases it is taken to be the holder; `run` gets it right. */
export class Lock {
  #locked = false;
  readonly #waiting = new Set<Waiter<void>>();
  readonly #owner = queueOwner(this.#waiting);

  get locked(): boolean {
    return this.#locked;
  }

  /** Tasks that wait for it. */
  get waiting(): number {
    return this.#waiting.size;
  }

  acquire(): Promise<void> {
    return this.acquireIn(activeScope());
  }

  /** At once, or WouldBlockError. */
  acquireNowait(): void {
    if (this.#locked) {
      throw new WouldBlockError('Lock.acquire');
    }
    this.#locked = true;
  }

  /** Hands the lock to who waits longest, so that nobody can overtake. */
  release(): void {
    if (!this.#locked) {
      throw new ScopeError('ERR_GAMMALOOP_NOT_HELD', 'The lock is released, but nobody holds it');
    }
    for (const waiter of this.#waiting) {
      this.#waiting.delete(waiter);
      waiter.resolve();
      return;
    }
    this.#locked = false;
  }

  /** Runs `fn` with the lock held. */
  async run<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    await this.acquire();
    try {
      return await fn();
    } finally {
      this.release();
    }
  }

  /** @internal With null nothing cancels the wait. */
  acquireIn(scope: ScopeNode | null): Promise<void> {
    const waiter = new Waiter<void>(this.#owner);
    const promise = waiter.park(scope);
    if (!waiter.settled) {
      if (this.#locked) {
        this.#waiting.add(waiter);
      } else {
        this.#locked = true;
        waiter.resolve();
      }
    }
    return promise;
  }
}

/** Waiting for a change of what a lock protects. */
export class Condition {
  readonly lock: Lock;
  readonly #waiting = new Set<Waiter<void>>();
  readonly #owner = queueOwner(this.#waiting);

  constructor(lock: Lock = new Lock()) {
    this.lock = lock;
  }

  get locked(): boolean {
    return this.lock.locked;
  }

  /** Tasks that wait to be notified. */
  get waiting(): number {
    return this.#waiting.size;
  }

  acquire(): Promise<void> {
    return this.lock.acquire();
  }

  release(): void {
    this.lock.release();
  }

  /** Runs `fn` with the lock held. */
  run<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    return this.lock.run(fn);
  }

  /** Releases the lock, waits for a notification, and takes the lock again; that also before Cancelled is thrown. */
  async wait(): Promise<void> {
    this.#checkHeld('wait');
    const waiter = new Waiter<void>(this.#owner);
    const promise = waiter.park();
    if (waiter.settled) {
      return promise;
    }
    this.#waiting.add(waiter);
    this.lock.release();
    try {
      await promise;
    } finally {
      await this.lock.acquireIn(null);
    }
  }

  /** Wakes the `count` that wait longest; they go on when they get the lock. */
  notify(count = 1): void {
    this.#checkHeld('notify');
    let left = count;
    for (const waiter of this.#waiting) {
      if (left-- <= 0) {
        return;
      }
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }

  notifyAll(): void {
    this.notify(this.#waiting.size);
  }

  #checkHeld(action: string): void {
    if (!this.lock.locked) {
      throw new ScopeError('ERR_GAMMALOOP_NOT_HELD', `Condition.${action} needs the lock; acquire it first`);
    }
  }
}
