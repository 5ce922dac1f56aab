/**
 * callSoon: the loop's callbacks, as asyncio has them. Each runs as one of node's own immediates: nextTick callbacks and promise jobs run between two of them,
 * and what one throws is an uncaughtException that stops no other.
 */
import { HANDLER } from '../diagnostics.js';
import { OptionError } from '../errors.js';
import { counters } from './counters.js';

export type Callback = (...args: never[]) => unknown;

// As in clock.ts: a test's fake timers are not ours.
const { setImmediate, clearImmediate } = globalThis;

const WAITING = 0;
const RUN = 1;
const CANCELLED = 2;

/** A callback that callSoon was given. */
export class Handle {
  readonly #callback: Callback;
  readonly #args: unknown[];
  readonly #immediate: NodeJS.Immediate;
  #state = WAITING;

  /** @internal */
  constructor(callback: Callback, args: unknown[]) {
    this.#callback = callback;
    this.#args = args;
    counters.created++;
    this.#immediate = setImmediate(runSoon, this);
  }

  get cancelled(): boolean {
    return this.#state === CANCELLED;
  }

  /** False: it has run, or was cancelled before. */
  cancel(): boolean {
    if (this.#state !== WAITING) return false;
    this.#state = CANCELLED;
    counters.cancelled++;
    clearImmediate(this.#immediate);
    return true;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  get [HANDLER](): Callback {
    return this.#callback;
  }

  /** @internal */
  run(): void {
    this.#state = RUN;
    counters.run++;
    Reflect.apply(this.#callback, undefined, this.#args as never[]);
  }
}

function runSoon(handle: Handle): void {
  handle.run();
}

/** Calls `callback` with `args` in the next turn of the loop, in the order of the calls, in the async context of this call. */
export function callSoon<A extends unknown[]>(callback: (...args: A) => unknown, ...args: A): Handle {
  return new Handle(checkCallback(callback), args);
}

export function checkCallback(callback: unknown): Callback {
  if (typeof callback !== 'function') throw new OptionError('callback', 'a function', callback);
  return callback as Callback;
}
