import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../lib/scope/clock.js';
import { DeadlineEntry, Deadlines } from '../../../lib/scope/deadlines.js';

class ManualClock implements Clock {
  onAlarm: () => void = () => {};
  time = 0;
  alarm = Number.POSITIVE_INFINITY;
  alarmsSet = 0;

  now(): number {
    return this.time;
  }
  setAlarm(at: number): void {
    this.alarm = at;
    this.alarmsSet++;
  }
  clearAlarm(): void {
    this.alarm = Number.POSITIVE_INFINITY;
  }

  atEndOfTurn(callback: () => void): void {
    callback();
  }
  /** Jumps from alarm to alarm until `at`. */
  runTo(at: number): void {
    while (this.alarm <= at) {
      this.time = Math.max(this.time, this.alarm);
      this.alarm = Number.POSITIVE_INFINITY;
      this.onAlarm();
    }
    this.time = at;
  }
}

class Probe extends DeadlineEntry {
  readonly at: number;
  readonly #log: Probe[];
  expiredAt: number | null = null;
  readonly #clock: ManualClock;

  constructor(at: number, log: Probe[], clock: ManualClock) {
    super();
    this.at = at;
    this.#log = log;
    this.#clock = clock;
  }
  override onDeadline(): void {
    expect(this.expiredAt).toBeNull();
    this.expiredAt = this.#clock.time;
    this.#log.push(this);
  }
}

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('Deadlines', () => {
  test('expire in order, never early, at the next whole millisecond', () => {
    const clock = new ManualClock();
    const wheel = new Deadlines(clock);
    const log: Probe[] = [];
    for (const at of [5, 0.5, 1500, 1024, 1023, 3_000_000, 70_000.25, 5]) {
      wheel.add(new Probe(at, log, clock), at);
    }
    clock.runTo(4_000_000);
    expect(log.map((probe) => probe.at)).toEqual([0.5, 5, 5, 1023, 1024, 1500, 70_000.25, 3_000_000]);
    for (const probe of log) {
      expect(probe.expiredAt).toBe(Math.ceil(probe.at));
    }
    expect(wheel.size).toBe(0);
    expect(clock.alarm).toBe(Number.POSITIVE_INFINITY);
  });

  test('one alarm for all of them, none when all are removed', () => {
    const clock = new ManualClock();
    const wheel = new Deadlines(clock);
    const probes = Array.from({ length: 1000 }, (_, index) => new Probe(1000 - index, [], clock));
    for (const probe of probes) {
      wheel.add(probe, probe.at);
    }
    expect(clock.alarm).toBe(1);
    const later = new Probe(5000, [], clock);
    const { alarmsSet } = clock;
    wheel.add(later, 5000);
    expect(clock.alarmsSet).toBe(alarmsSet);
    for (const probe of [...probes, later]) {
      wheel.remove(probe);
    }
    expect(wheel.size).toBe(0);
    expect(clock.alarm).toBe(Number.POSITIVE_INFINITY);
  });

  test('an instant that has passed expires at the next alarm', () => {
    const clock = new ManualClock();
    clock.time = 100.5;
    const wheel = new Deadlines(clock);
    const probe = new Probe(50, [], clock);
    wheel.add(probe, 50);
    clock.runTo(102);
    expect(probe.expiredAt).toBeLessThanOrEqual(102);
  });

  test('an entry that throws stops no other one', () => {
    const clock = new ManualClock();
    const wheel = new Deadlines(clock);
    const log: Probe[] = [];
    class Bad extends DeadlineEntry {
      override onDeadline(): void {
        throw new Error('broken promise');
      }
    }
    wheel.add(new Bad(), 5);
    wheel.add(new Probe(5, log, clock), 5);
    wheel.add(new Probe(9, log, clock), 9);
    expect(() => clock.runTo(6)).toThrow('broken promise');
    clock.runTo(20);
    expect(log.map((probe) => probe.at)).toEqual([5, 9]);
    expect(wheel.size).toBe(0);
  });

  test('beyond the reach of the wheel: a deadline in 100 days comes in 100 days, also after 40 days of running', () => {
    const day = 86_400_000;
    const clock = new ManualClock();
    const wheel = new Deadlines(clock);
    const log: Probe[] = [];
    const far = new Probe(100 * day, log, clock);
    wheel.add(far, far.at);
    clock.runTo(40 * day);
    const near = new Probe(40 * day + 7, log, clock);
    wheel.add(near, near.at);
    clock.runTo(99 * day);
    expect(log).toEqual([near]);
    clock.runTo(101 * day);
    expect(far.expiredAt).toBe(100 * day);
    expect(wheel.size).toBe(0);
  });

  test.each([1, 2, 3, 4, 5, 6])('random adds, removes and jumps against a sorted list (seed %i)', (seed) => {
    const next = random(seed);
    const clock = new ManualClock();
    // Some wheels begin late, where ticks pass 32 bits.
    clock.time = seed % 2 === 0 ? 0 : 2 ** 31 - 5000.5;
    const wheel = new Deadlines(clock);
    const log: Probe[] = [];
    const live = new Set<Probe>();
    for (let step = 0; step < 3000; step++) {
      const kind = next();
      if (kind < 0.6) {
        const span = [3, 900, 1500, 200_000, 3_000_000][Math.floor(next() * 5)]!;
        const probe = new Probe(clock.time + next() * span, log, clock);
        wheel.add(probe, probe.at);
        live.add(probe);
      } else if (kind < 0.8) {
        const [first] = live;
        if (first !== undefined) {
          wheel.remove(first);
          live.delete(first);
        }
      } else {
        const target = clock.time + next() * [2, 50, 1200, 100_000][Math.floor(next() * 4)]!;
        log.length = 0;
        clock.runTo(target);
        for (const probe of log) {
          expect(live.delete(probe)).toBe(true);
          expect(probe.expiredAt! - probe.at).toBeGreaterThanOrEqual(0);
        }
        for (const probe of live) {
          expect(probe.at).toBeGreaterThan(Math.floor(target) - 1);
        }
        const ticks = log.map((probe) => Math.ceil(probe.at));
        expect(ticks).toEqual([...ticks].sort((a, b) => a - b));
      }
      expect(wheel.size).toBe(live.size);
    }
  });
});
