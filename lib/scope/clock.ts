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
  /** Set by the owner of the clock's alarm. May be called too early: the owner looks at now() and sets the alarm again. */
  onAlarm: () => void;
}

/** setTimeout takes no longer delay. */
const MAX_DELAY_MS = 2 ** 31 - 1;

// Taken when the module loads: a test's fake timers must not stop the real clock, for which there is a virtual one.
const { setTimeout, clearTimeout } = globalThis;
const { performance } = globalThis;

export class RealClock implements Clock {
  onAlarm: () => void = nothing;
  #timer: NodeJS.Timeout | null = null;

  now(): number {
    return performance.now();
  }

  /** The timer holds the process, as each setTimeout does: whoever waits for a deadline is woken by it. */
  setAlarm(at: number): void {
    this.clearAlarm();
    const delay = Math.min(Math.max(1, Math.ceil(at - performance.now())), MAX_DELAY_MS);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.onAlarm();
    }, delay);
  }

  clearAlarm(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }
}

function nothing(): void {}
