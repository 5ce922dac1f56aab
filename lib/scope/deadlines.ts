/**
 * Every deadline of the process under one timer: the entries of a timer wheel. Resolution 1 ms, rounded up; never early, once, in the order of whole
 * milliseconds and among equals in the order of adding.
 */
import { type Clock, RealClock } from './clock.js';
import { TimerWheel } from './timer-wheel.js';

/** What has a deadline derives from this. */
export class DeadlineEntry {
  /** @internal Where the wheel holds the entry; 0: nowhere. */ timerRow = 0;

  /** @internal The deadline has passed; the entry has left the wheel. Must not throw. */
  onDeadline(): void {}
}

export class Deadlines {
  readonly #wheel: TimerWheel<DeadlineEntry>;

  constructor(clock: Clock) {
    const wheel = new TimerWheel<DeadlineEntry>(clock, (row) => {
      const entry = wheel.takeHeld(row);
      entry.timerRow = 0;
      entry.onDeadline();
    });
    this.#wheel = wheel;
  }

  /** Entries that wait. */
  get size(): number {
    return this.#wheel.size;
  }

  now(): number {
    return this.#wheel.clock.now();
  }

  /**
   * `at`: an instant of this clock, finite. One that has passed expires at the next alarm. The entry must not be in a wheel. `now`: what the caller has just
   * read from the clock, if it has.
   */
  add(entry: DeadlineEntry, at: number, now?: number): void {
    this.#wheel.catchUp(now);
    entry.timerRow = this.#wheel.add(entry, this.#wheel.tickAt(at));
  }

  /** Does nothing for an entry that is in no wheel. */
  remove(entry: DeadlineEntry): void {
    if (entry.timerRow === 0) return;
    this.#wheel.takeHeld(entry.timerRow);
    entry.timerRow = 0;
  }

  /** The instant of the next alarm; Infinity without entries. */
  get nextAlarm(): number {
    return this.#wheel.nextAlarm;
  }
}

/** The wheel of everything that runs under no other clock. */
export const realDeadlines = new Deadlines(new RealClock());
