/**
 * callSoon, callLater, callAt: the loop's callbacks, as asyncio has them. Each runs as one of node's own immediates: nextTick callbacks and promise jobs run
 * between two of them, and what one throws is an uncaughtException that stops no other. All timers are entries of one wheel, and so one timer of node's.
 */
import { AsyncResource } from 'node:async_hooks';
import { HANDLER } from '../diagnostics.js';
import { OptionError } from '../errors.js';
import { RealClock } from '../scope/clock.js';
import { type DeadlineEntry, Deadlines, realDeadlines } from '../scope/deadlines.js';

export type Callback = (...args: never[]) => unknown;

// As in clock.ts: a test's fake timers are not ours.
const { setImmediate, clearImmediate } = globalThis;

export interface CallbackStats {
  /** Handed to callSoon, callLater, callAt, or sent from another thread. */
  readonly created: number;
  readonly run: number;
  readonly cancelled: number;
  /** created - run - cancelled. */
  readonly waiting: number;
}

let created = 0;
let run = 0;
let cancelled = 0;

export function callbackStats(): CallbackStats {
  return { created, run, cancelled, waiting: created - run - cancelled };
}

/** Milliseconds of the clock that callAt goes by: monotonic, with fractions. performance.now(). */
export function time(): number {
  return realDeadlines.now();
}

const WAITING = 0;
const DUE = 1;
const RUN = 2;
const CANCELLED = 3;

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
    created++;
    this.#immediate = setImmediate(runSoon, this);
  }

  get cancelled(): boolean {
    return this.#state === CANCELLED;
  }

  /** False: it has run, or was cancelled before. */
  cancel(): boolean {
    if (this.#state !== WAITING) return false;
    this.#state = CANCELLED;
    cancelled++;
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
    run++;
    Reflect.apply(this.#callback, undefined, this.#args as never[]);
  }
}

function runSoon(handle: Handle | TimerHandle): void {
  handle.run();
}

/** Timers that do not keep the process alive. */
let unreferenced: Deadlines | null = null;

/** A callback that callLater or callAt was given. */
export class TimerHandle extends AsyncResource implements DeadlineEntry {
  /** @internal */ timerPrev: DeadlineEntry | null = null;
  /** @internal */ timerNext: DeadlineEntry | null = null;
  /** @internal */ timerTick = 0;
  /** The instant before which it does not run, in milliseconds of `time()`; whole ones. */
  readonly when: number;
  readonly #callback: Callback;
  readonly #args: unknown[] | null;
  #state = WAITING;
  #isReferenced = true;

  /** @internal */
  constructor(when: number, callback: Callback, args: unknown[], now?: number) {
    super('GammaloopTimer', MANUAL_DESTROY);
    this.when = when;
    this.#callback = callback;
    this.#args = args.length === 0 ? null : args;
    created++;
    realDeadlines.add(this, when, now);
  }

  get cancelled(): boolean {
    return this.#state === CANCELLED;
  }

  /** False: it has run, or was cancelled before. */
  cancel(): boolean {
    if (this.#state > DUE) return false;
    if (this.#state === WAITING) this.#wheel().remove(this);
    this.#state = CANCELLED;
    cancelled++;
    this.emitDestroy();
    return true;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** Keeps the process alive until it has run (the default). */
  ref(): this {
    this.#setReferenced(true);
    return this;
  }

  /** Does not. */
  unref(): this {
    this.#setReferenced(false);
    return this;
  }

  hasRef(): boolean {
    return this.#isReferenced;
  }

  get [HANDLER](): Callback {
    return this.#callback;
  }

  /** @internal */
  onDeadline(): void {
    this.#state = DUE;
    const immediate = setImmediate(runSoon, this);
    if (!this.#isReferenced) immediate.unref();
  }

  /** @internal */
  run(): void {
    if (this.#state !== DUE) return;
    this.#state = RUN;
    run++;
    try {
      this.runInAsyncScope(this.#callback as () => void, undefined, ...((this.#args ?? []) as []));
    } finally {
      this.emitDestroy();
    }
  }

  #wheel(): Deadlines {
    if (this.#isReferenced) return realDeadlines;
    unreferenced ??= new Deadlines(new RealClock(false));
    return unreferenced;
  }

  #setReferenced(on: boolean): void {
    if (this.#isReferenced === on) return;
    const waits = this.#state === WAITING;
    if (waits) this.#wheel().remove(this);
    this.#isReferenced = on;
    if (waits) this.#wheel().add(this, this.when);
  }
}

/** `emitDestroy` is called here, so that garbage collection need not be watched. */
const MANUAL_DESTROY = { requireManualDestroy: true };

/** Calls `callback` with `args` in the next turn of the loop, in the order of the calls, in the async context of this call. */
export function callSoon<A extends unknown[]>(callback: (...args: A) => unknown, ...args: A): Handle {
  return new Handle(checkCallback(callback), args);
}

/** Calls after `delayMs` at the earliest, resolution 1 ms; of those of the same millisecond, in the order of the calls. Less than 0 is 0. */
export function callLater<A extends unknown[]>(
  delayMs: number,
  callback: (...args: A) => unknown,
  ...args: A
): TimerHandle {
  if (!Number.isFinite(delayMs)) throw new OptionError('delayMs', 'a finite number of milliseconds', delayMs);
  checkCallback(callback);
  const now = realDeadlines.now();
  return new TimerHandle(Math.ceil(now + Math.max(0, delayMs)), callback as Callback, args, now);
}

/** The same at an instant of `time()`. */
export function callAt<A extends unknown[]>(when: number, callback: (...args: A) => unknown, ...args: A): TimerHandle {
  if (!Number.isFinite(when)) throw new OptionError('when', 'an instant of loop.time() in milliseconds', when);
  return new TimerHandle(Math.ceil(when), checkCallback(callback), args);
}

export function checkCallback(callback: unknown): Callback {
  if (typeof callback !== 'function') throw new OptionError('callback', 'a function', callback);
  return callback as Callback;
}
