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

/** A callback that callLater or callAt was given. Two words, and no private method: one would add a third to every handle. */
export class TimerHandle implements Postponed {
  /** Of the wheel; negative: of the other one; 0: cancelled. */
  #row: number;
  #tick: number;

  /** @internal */
  constructor(row: number, tick: number) {
    this.#row = row;
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
    const call = take(this.#row, this.#tick);
    if (call === undefined) return false;
    this.#row = 0;
    counters.cancelled++;
    if (typeof call !== 'function' && call instanceof CallInContext) call.emitDestroy();
    return true;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** Keeps the process alive until it has run (the default). */
  ref(): this {
    if (this.#row < 0) TimerHandle.#move(this, wheel, this.when);
    return this;
  }

  /** Does not. */
  unref(): this {
    if (this.#row > 0) TimerHandle.#move(this, unreferenced(), this.when);
    return this;
  }

  hasRef(): boolean {
    return this.#row > 0;
  }

  /** @internal Calls that, and not the function alone. */
  call(call: Call): void {
    wheel.replace(this.#row, call);
  }

  /** @internal */
  postpone(at: number): void {
    if (this.#row !== 0) TimerHandle.#move(this, this.#row > 0 ? wheel : unreferenced(), at);
  }

  static #move(timer: TimerHandle, to: Wheel, at: number): void {
    const call = take(timer.#row, timer.#tick);
    if (call === undefined) return;
    timer.#tick = to.tickAt(at);
    const row = to.add(call, timer.#tick);
    timer.#row = to === wheel ? row : -row;
  }
}

function take(row: number, tick: number): Call | undefined {
  return row > 0 ? wheel.take(row, tick) : unreferencedWheel?.take(-row, tick);
}

/** Calls after `delayMs` at the earliest, resolution 1 ms; of those of the same millisecond, in the order of the calls. Less than 0 is 0. */
export function callLater<A extends unknown[]>(
  delayMs: number,
  callback: (...args: A) => unknown,
  ...args: A
): TimerHandle {
  if (!Number.isFinite(delayMs)) throw new OptionError('delayMs', 'a finite number of milliseconds', delayMs);
  checkCallback(callback);
  counters.created++;
  const waitMs = delayMs > 0 ? delayMs : 0;
  const now = armingTime();
  const tick = wheel.tickAt(now + waitMs);
  let timer: TimerHandle;
  // `add` in two places, each called less often than hasContext: V8 inlines by frequency, and what hasContext makes is not allocated where it is inlined.
  if (sharesReading) {
    timer = new TimerHandle(wheel.add(callback as Callback, tick), tick);
    shareReading(timer, waitMs);
  } else {
    wheel.catchUp(now);
    timer = new TimerHandle(wheel.add(callback as Callback, tick), tick);
  }
  const inContext = hasContext();
  if (inContext || args.length > 0) timer.call(extendedCall(inContext, callback, ...args));
  return timer;
}

/** The same at an instant of `time()`. */
export function callAt<A extends unknown[]>(when: number, callback: (...args: A) => unknown, ...args: A): TimerHandle {
  if (!Number.isFinite(when)) throw new OptionError('when', 'an instant of loop.time() in milliseconds', when);
  checkCallback(callback);
  counters.created++;
  wheel.catchUp();
  const tick = wheel.tickAt(when);
  const timer = new TimerHandle(wheel.add(callback as Callback, tick), tick);
  const inContext = hasContext();
  if (inContext || args.length > 0) timer.call(extendedCall(inContext, callback, ...args));
  return timer;
}

/** Its arguments are spread and gathered again, so that calls without any make no array. */
function extendedCall(inContext: boolean, callback: unknown, ...args: unknown[]): Call {
  return inContext ? new CallInContext(callback as Callback, args) : new CallWithArguments(callback as Callback, args);
}

/** Milliseconds of the clock that callAt goes by: monotonic, with fractions. performance.now(). */
export function time(): number {
  return performance.now();
}
