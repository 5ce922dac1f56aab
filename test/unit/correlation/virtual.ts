/** A clock that only the test moves, synchronously; and seeded randomness. */
import type { Clock } from '../../../lib/scope/clock.js';
import { Deadlines } from '../../../lib/scope/deadlines.js';
import { callIn, ScopeNode } from '../../../lib/scope/scope-tree.js';

export class HandClock implements Clock {
  onAlarm: () => void = () => {};
  readonly deadlines: Deadlines;
  readonly #root = new ScopeNode();
  #now = 0;
  #alarm = Number.POSITIVE_INFINITY;

  constructor() {
    this.deadlines = new Deadlines(this);
    this.#root.phase = 'entered';
    this.#root.timers = this.deadlines;
  }

  now(): number {
    return this.#now;
  }

  setAlarm(at: number): void {
    this.#alarm = at;
  }

  clearAlarm(): void {
    this.#alarm = Number.POSITIVE_INFINITY;
  }

  atEndOfTurn(callback: () => void): void {
    callback();
  }

  get alarmSet(): boolean {
    return this.#alarm !== Number.POSITIVE_INFINITY;
  }

  /** Everything in between expires, in its order. */
  advance(ms: number): void {
    const target = this.#now + ms;
    while (this.#alarm <= target) {
      this.#now = Math.max(this.#now, this.#alarm);
      this.#alarm = Number.POSITIVE_INFINITY;
      this.onAlarm();
    }
    this.#now = target;
  }

  /** The time passes, and the alarm is late. */
  stall(ms: number): void {
    this.#now += ms;
  }

  /** Calls `fn` under this clock. */
  run<T>(fn: () => T): T {
    return callIn(this.#root, fn);
  }
}

/** mulberry32: the same numbers for the same seed, everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 <= value < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, 0 <= value < bound. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
