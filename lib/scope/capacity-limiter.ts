/** So many at a time and no more; the others wait in order. */
import { OptionError, ScopeError, WouldBlockError } from '../errors.js';
import { queueOwner, Waiter } from './waiter.js';

/** One token, held until released. */
export class Permit {
  #limiter: CapacityLimiter | null;

  /** @internal */
  constructor(limiter: CapacityLimiter) {
    this.#limiter = limiter;
  }

  /** Gives the token back, to who waits longest. Once. */
  release(): void {
    const limiter = this.#limiter;
    if (limiter === null) {
      throw new ScopeError('ERR_GAMMALOOP_NOT_HELD', 'The permit was released before; acquire a new one');
    }
    this.#limiter = null;
    limiter.giveBack();
  }

  [Symbol.dispose](): void {
    if (this.#limiter !== null) {
      this.release();
    }
  }
}

export class CapacityLimiter {
  #total: number;
  #borrowed = 0;
  readonly #queue = new Set<Waiter<Permit>>();
  readonly #owner = queueOwner(this.#queue);

  constructor(totalTokens: number) {
    this.#total = checkTokens(totalTokens);
  }

  /** May be changed at any time. With fewer than are borrowed nobody gets one until enough are back. */
  get totalTokens(): number {
    return this.#total;
  }

  set totalTokens(count: number) {
    this.#total = checkTokens(count);
    this.#serve();
  }

  get borrowedTokens(): number {
    return this.#borrowed;
  }

  get availableTokens(): number {
    return Math.max(0, this.#total - this.#borrowed);
  }

  /** Tasks that wait for a token. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Waits for a token, in order of asking. */
  acquire(): Promise<Permit> {
    const waiter = new Waiter<Permit>(this.#owner);
    const promise = waiter.park();
    if (!waiter.settled) {
      this.#queue.add(waiter);
      this.#serve();
    }
    return promise;
  }

  /** A token at once, or WouldBlockError. Doesn't overtake who waits. */
  acquireNowait(): Permit {
    if (this.#borrowed >= this.#total || this.#queue.size > 0) {
      throw new WouldBlockError('CapacityLimiter.acquire');
    }
    this.#borrowed++;
    return new Permit(this);
  }

  /** Runs `fn` with a token. */
  async run<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    const permit = await this.acquire();
    try {
      return await fn();
    } finally {
      permit.release();
    }
  }

  /** @internal */
  giveBack(): void {
    this.#borrowed--;
    this.#serve();
  }

  #serve(): void {
    for (const waiter of this.#queue) {
      if (this.#borrowed >= this.#total) {
        return;
      }
      this.#queue.delete(waiter);
      this.#borrowed++;
      waiter.resolve(new Permit(this));
    }
  }
}

function checkTokens(count: unknown): number {
  if (typeof count !== 'number' || !(count >= 0) || (!Number.isInteger(count) && count !== Number.POSITIVE_INFINITY)) {
    throw new OptionError('totalTokens', 'a whole number, 0 or more, or Infinity', count);
  }
  return count;
}
