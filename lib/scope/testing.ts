/**
 * gammaloop/testing: deterministic tests of waiting code, without a real sleep. A virtual clock rules every scope, sleep and deadline of
 * the function it is given to; other code keeps the real one.
 */
import type { Clock } from './clock.js';
import { Deadlines } from './deadlines.js';
import { callIn, ScopeNode } from './scope-tree.js';
import { waiterActivity } from './waiter.js';

export interface VirtualClockOptions {
  /** The time at the start, ms; 0 when left out. */
  start?: number;
  /** When all tasks wait, the time jumps to the next deadline (the default). False: only `advance` moves it. */
  autojump?: boolean;
}

/** So many turns of the event loop without a waiter parked or settled mean that all tasks wait. */
const STILL_TURNS = 2;

const { setImmediate } = globalThis;
let blockedWatches = 0;

export class VirtualClock implements Clock {
  onAlarm: () => void = nothing;
  readonly #autojump: boolean;
  readonly #deadlines: Deadlines;
  #now: number;
  #alarm = Number.POSITIVE_INFINITY;
  #watching = false;

  constructor(options: VirtualClockOptions = {}) {
    this.#now = options.start ?? 0;
    this.#autojump = options.autojump ?? true;
    this.#deadlines = new Deadlines(this);
  }

  /** Runs `fn` under this clock. */
  run<T>(fn: (clock: VirtualClock) => T | PromiseLike<T>): Promise<T> {
    const root = new ScopeNode();
    root.phase = 'entered';
    root.timers = this.#deadlines;
    return callIn(root, async () => await fn(this));
  }

  now(): number {
    return this.#now;
  }

  /** Deadlines that are set: of sleeps, scopes and waiters. */
  get pendingDeadlines(): number {
    return this.#deadlines.size;
  }

  /** Moves the time on by `ms`, stopping at each deadline on the way until all tasks wait again. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    await waitAllTasksBlocked();
    while (this.#alarm <= target) {
      this.#jump();
      await waitAllTasksBlocked();
    }
    this.#now = Math.max(this.#now, target);
  }

  setAlarm(at: number): void {
    this.#alarm = at;
    if (this.#autojump && !this.#watching) {
      this.#watching = true;
      this.#watch(waiterActivity(), 0);
    }
  }

  clearAlarm(): void {
    this.#alarm = Number.POSITIVE_INFINITY;
  }

  atEndOfTurn(callback: () => void): void {
    callback();
  }

  #jump(): void {
    this.#now = Math.max(this.#now, this.#alarm);
    this.#alarm = Number.POSITIVE_INFINITY;
    this.onAlarm();
  }

  /** Whoever waits for all tasks to be blocked comes first, so one turn more than they take. */
  #watch(activity: number, still: number): void {
    setImmediate(() => {
      if (this.#alarm === Number.POSITIVE_INFINITY) {
        this.#watching = false;
      } else if (waiterActivity() !== activity || blockedWatches > 0) {
        this.#watch(waiterActivity(), 0);
      } else if (still < STILL_TURNS) {
        this.#watch(activity, still + 1);
      } else {
        this.#jump();
        this.#watch(waiterActivity(), 0);
      }
    });
  }
}

/** Runs `fn` under a new virtual clock. */
export function withVirtualClock<T>(
  fn: (clock: VirtualClock) => T | PromiseLike<T>,
  options: VirtualClockOptions = {},
): Promise<T> {
  return new VirtualClock(options).run(fn);
}

/**
 * Waits until every other task waits: for a deadline, a lock, a channel, or any promise that needs more than this process's own steps.
 * What comes from outside (sockets, files, threads) is not foreseen.
 */
export async function waitAllTasksBlocked(): Promise<void> {
  blockedWatches++;
  try {
    let activity = waiterActivity();
    for (let still = 0; still < STILL_TURNS; ) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const present = waiterActivity();
      still = present === activity ? still + 1 : 0;
      activity = present;
    }
  } finally {
    blockedWatches--;
  }
}

function nothing(): void {}
