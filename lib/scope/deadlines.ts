/**
 * Every deadline of the process under one timer: a hierarchical wheel of three levels of 1024 slots (1 ms, 1 s, 17 min; 12 days in
 * all, later ones go round again). Adding and removing are O(1) and allocate nothing: the entries are the links. Without entries there
 * is no timer.
 *
 * Guaranteed: an entry never expires before its instant, expires once, in the order of whole milliseconds and among equals in the
 * order of adding. Resolution 1 ms, rounded up.
 */
import { type Clock, RealClock } from './clock.js';

const SLOT_BITS = 10;
const SLOTS = 1 << SLOT_BITS;
const SLOT_MASK = SLOTS - 1;
const BLOCK_BITS = 2 * SLOT_BITS;
const LEVELS = 3;
const WORDS = SLOTS / 32;
/** One slot less than the wheel holds, so that the slot of the present never means a round later. */
const MAX_AHEAD_TICKS = 2 ** 30 - 2 ** BLOCK_BITS - 1;

/** What has a deadline derives from this, or is this. */
export class DeadlineEntry {
  /** @internal */ timerPrev: DeadlineEntry | null = null;
  /** @internal Not null exactly while a wheel holds the entry. */ timerNext: DeadlineEntry | null = null;
  /** @internal The low 32 bits of the tick, or of the latest that the wheel can hold. */ timerTick = 0;

  /** @internal The deadline has passed; the entry has left the wheel. Must not throw. */
  onDeadline(): void {}
}

export class Deadlines {
  readonly clock: Clock;
  readonly #base: number;
  /** Every tick up to here has been expired. A whole number, beyond 32 bits after 24 days. */
  #elapsed = 0;
  #size = 0;
  #alarm = Number.POSITIVE_INFINITY;
  #expiring = false;
  /** Lists with a sentinel each, made when first used. */
  readonly #slots: (DeadlineEntry | undefined)[] = new Array(LEVELS * SLOTS).fill(undefined);
  /** A set bit: the slot may have entries. Cleared when found empty. */
  readonly #occupied = new Int32Array(LEVELS * WORDS);
  /** Instants beyond the wheel's reach; rare. */
  readonly #far = new Map<DeadlineEntry, number>();

  constructor(clock: Clock) {
    this.clock = clock;
    this.#base = Math.floor(clock.now());
    clock.onAlarm = () => this.#onAlarm();
  }

  /** Entries that wait. */
  get size(): number {
    return this.#size;
  }

  now(): number {
    return this.clock.now();
  }

  /**
   * `at`: an instant of this clock, finite. One that has passed expires at the next alarm. The entry must not be in a wheel. `now`: what the caller has just
   * read from the clock, if it has.
   */
  add(entry: DeadlineEntry, at: number, now?: number): void {
    if (this.#size++ === 0) {
      this.#elapsed = Math.max(this.#elapsed, Math.floor((now ?? this.clock.now()) - this.#base));
    }
    let tick = Math.max(Math.ceil(at - this.#base), this.#elapsed + 1);
    if (tick - this.#elapsed > MAX_AHEAD_TICKS) {
      this.#far.set(entry, at);
      tick = this.#elapsed + MAX_AHEAD_TICKS;
    }
    this.#place(entry, tick);
    if (this.#base + tick < this.#alarm && !this.#expiring) {
      this.#alarm = this.#base + tick;
      this.clock.setAlarm(this.#alarm);
    }
  }

  /** Does nothing for an entry that is in no wheel. */
  remove(entry: DeadlineEntry): void {
    if (entry.timerNext === null) {
      return;
    }
    unlink(entry);
    if (this.#far.size > 0) {
      this.#far.delete(entry);
    }
    if (--this.#size === 0 && !this.#expiring) {
      this.#alarm = Number.POSITIVE_INFINITY;
      this.clock.clearAlarm();
    }
  }

  /** The instant of the next alarm: the earliest deadline, or a time at which the wheel sorts; Infinity without entries. */
  get nextAlarm(): number {
    return this.#alarm;
  }

  #place(entry: DeadlineEntry, tick: number): void {
    // All within 32 bits, which go round: the wheel reaches less far than they do.
    const low = tick | 0;
    const differs = low ^ (this.#elapsed | 0);
    entry.timerTick = low;
    let slot: number;
    if (differs >>> SLOT_BITS === 0) {
      slot = low & SLOT_MASK;
    } else if (differs >>> BLOCK_BITS === 0) {
      slot = SLOTS + ((low >>> SLOT_BITS) & SLOT_MASK);
    } else {
      slot = 2 * SLOTS + ((low >>> BLOCK_BITS) & SLOT_MASK);
    }
    let sentinel = this.#slots[slot];
    if (sentinel === undefined) {
      sentinel = new DeadlineEntry();
      sentinel.timerPrev = sentinel;
      sentinel.timerNext = sentinel;
      this.#slots[slot] = sentinel;
    }
    const last = sentinel.timerPrev!;
    entry.timerPrev = last;
    entry.timerNext = sentinel;
    last.timerNext = entry;
    sentinel.timerPrev = entry;
    this.#occupied[slot >>> 5]! |= 1 << (slot & 31);
  }

  #onAlarm(): void {
    this.#alarm = Number.POSITIVE_INFINITY;
    this.#expiring = true;
    const target = Math.floor(this.clock.now() - this.#base);
    try {
      for (let next = this.#nextTick(); next <= target; next = this.#nextTick()) {
        this.#elapsed = next;
        this.#expireTick(next);
      }
      this.#elapsed = Math.max(this.#elapsed, target);
    } finally {
      // Also where an entry breaks its promise and throws: one bug must not stop every other deadline.
      this.#expiring = false;
      if (this.#size > 0) {
        this.#alarm = this.#base + this.#nextTick();
        this.clock.setAlarm(this.#alarm);
      }
    }
  }

  /** The next tick at which something expires, or moves to a lower level; Infinity without entries. */
  #nextTick(): number {
    if (this.#size === 0) {
      return Number.POSITIVE_INFINITY;
    }
    const low = this.#elapsed | 0;
    const slot0 = this.#findSlot(0, low & SLOT_MASK, SLOTS);
    if (slot0 !== -1) {
      return this.#elapsed - (low & SLOT_MASK) + slot0;
    }
    const slot1 = this.#findSlot(1, ((low >>> SLOT_BITS) & SLOT_MASK) + 1, SLOTS);
    const blockStart = this.#elapsed - (low & (2 ** BLOCK_BITS - 1));
    if (slot1 !== -1) {
      return blockStart + slot1 * SLOTS;
    }
    const present = (low >>> BLOCK_BITS) & SLOT_MASK;
    let slot2 = this.#findSlot(2, present + 1, SLOTS);
    if (slot2 === -1) {
      slot2 = this.#findSlot(2, 0, present) + SLOTS;
    }
    return blockStart + (slot2 - present) * 2 ** BLOCK_BITS;
  }

  /** The first slot of the level in [from, to) that has entries, or -1. */
  #findSlot(level: number, from: number, to: number): number {
    let slot = from;
    while (slot < to) {
      const word = level * WORDS + (slot >>> 5);
      const bits = this.#occupied[word]! & (-1 << (slot & 31));
      if (bits === 0) {
        slot = (slot | 31) + 1;
        continue;
      }
      slot = (slot & ~31) + (31 - Math.clz32(bits & -bits));
      if (slot >= to) {
        return -1;
      }
      const sentinel = this.#slots[level * SLOTS + slot]!;
      if (sentinel.timerNext !== sentinel) {
        return slot;
      }
      this.#occupied[word]! &= ~(1 << (slot & 31));
    }
    return -1;
  }

  #expireTick(tick: number): void {
    const low = tick | 0;
    if ((low & (2 ** BLOCK_BITS - 1)) === 0) {
      this.#sortDown(2 * SLOTS + ((low >>> BLOCK_BITS) & SLOT_MASK));
    }
    if ((low & SLOT_MASK) === 0) {
      this.#sortDown(SLOTS + ((low >>> SLOT_BITS) & SLOT_MASK));
    }
    const sentinel = this.#slots[low & SLOT_MASK];
    if (sentinel === undefined) {
      return;
    }
    // What is added meanwhile goes to a later tick, so this ends.
    for (let entry = sentinel.timerNext!; entry !== sentinel; entry = sentinel.timerNext!) {
      unlink(entry);
      const at = this.#far.size > 0 ? this.#far.get(entry) : undefined;
      this.#size--;
      if (at === undefined) {
        entry.onDeadline();
      } else {
        this.#far.delete(entry);
        this.add(entry, at);
      }
    }
  }

  /** Moves the entries of a slot to where they belong now. */
  #sortDown(slot: number): void {
    const sentinel = this.#slots[slot];
    if (sentinel === undefined) {
      return;
    }
    for (let entry = sentinel.timerNext!; entry !== sentinel; entry = sentinel.timerNext!) {
      unlink(entry);
      const ahead = (entry.timerTick - (this.#elapsed | 0)) | 0;
      this.#place(entry, this.#elapsed + ahead);
    }
  }
}

function unlink(entry: DeadlineEntry): void {
  const prev = entry.timerPrev!;
  const next = entry.timerNext!;
  prev.timerNext = next;
  next.timerPrev = prev;
  entry.timerPrev = null;
  entry.timerNext = null;
}

/** The wheel of everything that runs under no other clock. */
export const realDeadlines = new Deadlines(new RealClock());
