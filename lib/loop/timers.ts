/**
 * callLater, callAt. A timer is a row of a wheel (lib/scope/timer-wheel.ts) and a handle that knows which: nothing else is allocated for one that has no
 * arguments and is armed in no async context. Each runs as one of node's own immediates, as what callSoon was given does.
 */
import { AsyncResource } from 'node:async_hooks';
import { HANDLER } from '../diagnostics.js';
import { OptionError } from '../errors.js';
import { RealClock } from '../scope/clock.js';
import { TimerWheel } from '../scope/timer-wheel.js';
import { armingTime, type Postponed, shareReading, sharesReading } from './arming-clock.js';
import { callWithoutContext, hasContext, MANUAL_DESTROY } from './async-context.js';
import { type Callback, checkCallback } from './callbacks.js';
import { counters } from './counters.js';

// As in clock.ts: a test's fake timers are not ours.
const { setImmediate } = globalThis;
const { performance } = globalThis;

/** What a timer calls: a function, or what has more to it. */
type Call = Callback | CallWithArguments | CallInContext;

class CallWithArguments {
  readonly callback: Callback;
  readonly args: unknown[];

  constructor(callback: Callback, args: unknown[]) {
    this.callback = callback;
    this.args = args;
  }

  run(): void {
    Reflect.apply(this.callback, undefined, this.args as never[]);
  }
}

class CallInContext extends AsyncResource {
  readonly callback: Callback;
  readonly args: unknown[];

  constructor(callback: Callback, args: unknown[]) {
    super('GammaloopTimer', MANUAL_DESTROY);
    this.callback = callback;
    this.args = args;
  }

  run(): void {
    try {
      this.runInAsyncScope(this.callback as () => void, undefined, ...(this.args as []));
    } finally {
      this.emitDestroy();
    }
  }

  get [HANDLER](): Callback {
    return this.callback;
  }
}

type Wheel = TimerWheel<Call>;

const wheel: Wheel = new TimerWheel(new RealClock(), (row, tick) => onExpired(wheel, row, tick));
/** Of timers that do not keep the process alive. */
let unreferencedWheel: Wheel | null = null;

function unreferenced(): Wheel {
  if (unreferencedWheel === null) {
    const made: Wheel = new TimerWheel(new RealClock(false), (row, tick) => onExpired(made, row, tick));
    unreferencedWheel = made;
  }
  return unreferencedWheel;
}

/** A timer whose time has come: until it runs, the one before it can cancel it. */
class DueTimer {
  readonly #wheel: Wheel;
  readonly #row: number;
  readonly #tick: number;
  #callback: Callback | null = null;

  constructor(wheel: Wheel, row: number, tick: number) {
    this.#wheel = wheel;
    this.#row = row;
    this.#tick = tick;
  }

  run(): void {
    const call = this.#wheel.take(this.#row, this.#tick);
    if (call === undefined) return;
    counters.run++;
    if (typeof call === 'function') {
      this.#callback = call;
      (call as () => unknown)();
    } else {
      call.run();
    }
  }

  get [HANDLER](): Callback | null {
    return this.#callback;
  }
}

function onExpired(wheel: Wheel, row: number, tick: number): void {
  const due = new DueTimer(wheel, row, tick);
  if (wheel.peek(row) instanceof CallInContext) schedule(due, wheel);
  else callWithoutContext(schedule, due, wheel);
}

function schedule(due: DueTimer, of: Wheel): void {
  const immediate = setImmediate(runDue, due);
  if (of !== wheel) immediate.unref();
}

function runDue(due: DueTimer): void {
  due.run();
}

/** A callback that callLater or callAt was given. */
export class TimerHandle implements Postponed {
  /** Of the wheel; negative: of the other one; 0: cancelled. */
  #row: number;
  #tick: number;

  /** @internal */
  constructor(at: number, call: Call, now: number | undefined) {
    const tick = wheel.tickAt(at, now);
    this.#row = wheel.add(call, tick);
    this.#tick = tick;
  }

  /** The instant before which it does not run, in milliseconds of `time()`; whole ones. */
  get when(): number {
    return this.#tick;
  }

  get cancelled(): boolean {
    return this.#row === 0;
  }

  /** False: it has run, or was cancelled before. */
  cancel(): boolean {
    const call = this.#take();
    if (call === undefined) return false;
    this.#row = 0;
    counters.cancelled++;
    if (call instanceof CallInContext) call.emitDestroy();
    return true;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** Keeps the process alive until it has run (the default). */
  ref(): this {
    if (this.#row < 0) this.#move(wheel, this.when);
    return this;
  }

  /** Does not. */
  unref(): this {
    if (this.#row > 0) this.#move(unreferenced(), this.when);
    return this;
  }

  hasRef(): boolean {
    return this.#row > 0;
  }

  /** @internal */
  postpone(at: number): void {
    if (this.#row !== 0) this.#move(wheelOf(this.#row), at);
  }

  #take(): Call | undefined {
    const row = this.#row;
    return row > 0 ? wheel.take(row, this.#tick) : unreferencedWheel?.take(-row, this.#tick);
  }

  #move(to: Wheel, at: number): void {
    const call = this.#take();
    if (call === undefined) return;
    this.#tick = to.tickAt(at);
    const row = to.add(call, this.#tick);
    this.#row = to === wheel ? row : -row;
  }
}

function wheelOf(row: number): Wheel {
  return row < 0 ? unreferenced() : wheel;
}

/** Calls after `delayMs` at the earliest, resolution 1 ms; of those of the same millisecond, in the order of the calls. Less than 0 is 0. */
export function callLater<A extends unknown[]>(
  delayMs: number,
  callback: (...args: A) => unknown,
  ...args: A
): TimerHandle {
  if (!Number.isFinite(delayMs)) throw new OptionError('delayMs', 'a finite number of milliseconds', delayMs);
  checkCallback(callback);
  return armLater(delayMs, args.length > 0 || hasContext() ? extendedCall(callback, ...args) : callback);
}

/** The same at an instant of `time()`. */
export function callAt<A extends unknown[]>(when: number, callback: (...args: A) => unknown, ...args: A): TimerHandle {
  if (!Number.isFinite(when)) throw new OptionError('when', 'an instant of loop.time() in milliseconds', when);
  checkCallback(callback);
  counters.created++;
  const call = args.length > 0 || hasContext() ? extendedCall(callback, ...args) : callback;
  return new TimerHandle(when, call as Call, undefined);
}

function armLater(delayMs: number, call: unknown): TimerHandle {
  const now = armingTime();
  counters.created++;
  const waitMs = Math.max(0, delayMs);
  const timer = new TimerHandle(now + waitMs, call as Call, now);
  if (sharesReading) shareReading(timer, waitMs);
  return timer;
}

/** Its arguments are spread and gathered again, so that calls without any make no array. */
function extendedCall(callback: unknown, ...args: unknown[]): Call {
  return hasContext()
    ? new CallInContext(callback as Callback, args)
    : new CallWithArguments(callback as Callback, args);
}

/** Milliseconds of the clock that callAt goes by: monotonic, with fractions. performance.now(). */
export function time(): number {
  return performance.now();
}
