/**
 * Time as deadlines see it: a monotonic instant in milliseconds, and one alarm. The real clock stands on performance.now() and one
 * setTimeout; testing.ts has a virtual one.
 */

export interface Clock {
  /** Monotonic milliseconds, with fractions. Never goes back. */
  now(): number;
  /** Calls `onAlarm` once at the instant `at` or later, never from within this call. Replaces the alarm that was set. */
  setAlarm(at: number): void;
  clearAlarm(): void;
  /** Calls back when this turn of the event loop ends; where time does not pass by itself, at once. */
  atEndOfTurn(callback: () => void): void;
  /** Set by the owner of the clock's alarm. May be called too early: the owner looks at now() and sets the alarm again. */
  onAlarm: () => void;
}

/** setTimeout takes no longer delay. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

// Taken when the module loads: a test's fake timers must not stop the real clock, for which there is a virtual one.
const { setTimeout, clearTimeout } = globalThis;
const { nextTick } = process;
const { performance } = globalThis;

export class RealClock implements Clock {
  onAlarm: () => void = nothing;
  readonly #holdsProcess: boolean;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = 0;
  #isCleared = false;

  /** `holdsProcess`: the alarm does so, as each setTimeout does: whoever waits for a deadline is woken by it. */
  constructor(holdsProcess = true) {
    this.#holdsProcess = holdsProcess;
  }

  now(): number {
    return performance.now();
  }

  setAlarm(at: number): void {
    this.#isCleared = false;
    // One that comes too early costs less than another timer.
    if (this.#timer !== null && this.#timerAt <= at) {
      if (this.#holdsProcess) this.#timer.ref();
      return;
    }
    this.#clear();
    this.#timerAt = at;
    const delay = Math.min(Math.max(1, Math.ceil(at - performance.now())), MAX_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (!this.#isCleared) this.onAlarm();
    }, delay);
    if (!this.#holdsProcess) this.#timer.unref();
  }

  /** The timer stays, but holds the process no longer: it may do for the next alarm. */
  clearAlarm(): void {
    this.#isCleared = true;
    this.#timer?.unref();
  }

  atEndOfTurn(callback: () => void): void {
    nextTick(callback);
  }

  #clear(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }
}

function nothing(): void {}
