/**
 * A hierarchical timer wheel of three levels of 1024 slots (1 ms, 1 s, 17 min; 12 days in all, later instants go round again), under one alarm. Adding and
 * removing are O(1) and allocate nothing: an item has a row of numbers, which the garbage collector does not look at, and an element of an array. Without
 * items there is no alarm.
 *
 * Guaranteed: an item never expires before its tick, expires once, in the order of ticks and among equals in the order of adding.
 */
import type { Clock } from './clock.js';

const SLOT_BITS = 10;
const SLOTS = 1 << SLOT_BITS;
const SLOT_MASK = SLOTS - 1;
const BLOCK_BITS = 2 * SLOT_BITS;
const LEVELS = 3;
const WORDS = SLOTS / 32;
/** One slot less than the wheel holds, so that the slot of the present never means a round later. */
const MAX_AHEAD_TICKS = 2 ** 30 - 2 ** BLOCK_BITS - 1;

// A row is four words, and known by the place of the first: the rows before and after it in the list of its slot (one that is in no list follows itself), and
// its tick (a double; 0: nobody's). The first rows are the lists' ends, one a slot; a free row is followed by the next free one.
const ROW_WORDS = 4;
const HEADS = LEVELS * SLOTS;
const FIRST_ROWS = HEADS + 4096;
/** More rows than this are given back when they are empty. */
const KEPT_ROWS = 2 ** 16;

// As in clock.ts: a test's fake timers are not ours.
const { setImmediate } = globalThis;

export class TimerWheel<T> {
  readonly clock: Clock;
  /** Takes the item out, now or later. Must not throw. */
  readonly #onExpired: (row: number, tick: number) => void;
  /** Every tick up to here has been expired. A tick is a whole millisecond of the clock; beyond 32 bits after 24 days. */
  #elapsed: number;
  /** Items that wait; those that have expired and were not taken yet. */
  #size = 0;
  #expired = 0;
  #alarm = Number.POSITIVE_INFINITY;
  #expiring = false;
  #clearsSoon = false;
  #shrinksSoon = false;
  #words = new Int32Array(0);
  /** The same memory: the second of a row's two is its tick. */
  #ticks = new Float64Array(0);
  #items: (T | undefined)[] = [];
  #freeRow = 0;
  /** A set bit: the slot may have items. Cleared when found empty. */
  readonly #occupied = new Int32Array(LEVELS * WORDS);

  constructor(clock: Clock, onExpired: (row: number, tick: number) => void) {
    this.clock = clock;
    this.#elapsed = Math.floor(clock.now());
    this.#onExpired = onExpired;
    clock.onAlarm = () => this.#onAlarm();
    this.#reset();
  }

  /** Items that wait. */
  get size(): number {
    return this.#size;
  }

  /** The instant of the next alarm: the earliest tick, or a time at which the wheel sorts; Infinity without items. */
  get nextAlarm(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#alarm;
  }

  /** An empty wheel notices only so that time has passed, and sorts less what is added then. `now`: what the caller has read from the clock, if it has. */
  catchUp(now?: number): void {
    if (this.#size === 0) this.#elapsed = Math.max(this.#elapsed, Math.ceil(now ?? this.clock.now()) - 1);
  }

  /** The tick at which something expires that is added for the instant `at`: at the next alarm where that has passed. */
  tickAt(at: number): number {
    const tick = Math.ceil(at);
    return tick > this.#elapsed ? tick : this.#elapsed + 1;
  }

  /** `tick`: what `tickAt` has just given. Returns the item's row, more than 0; row and tick together are never another item's. */
  add(item: T, tick: number): number {
    if (this.#freeRow === 0) this.#resize(2 * this.#items.length - HEADS);
    const words = this.#words;
    const row = this.#freeRow;
    this.#freeRow = words[row + 1]!;
    this.#items[row >>> 2] = item;
    this.#ticks[(row >>> 1) + 1] = tick;
    // All within 32 bits, which go round: the wheel reaches less far than they do.
    const low = Math.min(tick, this.#elapsed + MAX_AHEAD_TICKS) | 0;
    const differs = low ^ (this.#elapsed | 0);
    let slot: number;
    if (differs >>> SLOT_BITS === 0) {
      slot = low & SLOT_MASK;
    } else if (differs >>> BLOCK_BITS === 0) {
      slot = SLOTS + ((low >>> SLOT_BITS) & SLOT_MASK);
    } else {
      slot = 2 * SLOTS + ((low >>> BLOCK_BITS) & SLOT_MASK);
    }
    const head = slot * ROW_WORDS;
    const last = words[head]!;
    words[row] = last;
    words[row + 1] = head;
    words[last + 1] = row;
    words[head] = row;
    this.#occupied[slot >>> 5]! |= 1 << (slot & 31);
    this.#size++;
    if (tick < this.#alarm) this.#setAlarm(tick);
    return row;
  }

  /** Takes an item out, whether it waits or has expired; undefined: it was taken before. */
  take(row: number, tick: number): T | undefined {
    return this.#ticks[(row >>> 1) + 1] === tick ? this.takeHeld(row) : undefined;
  }

  /** The same of an item that is known not to have been taken before. */
  takeHeld(row: number): T {
    const words = this.#words;
    const before = words[row]!;
    const after = words[row + 1]!;
    this.#ticks[(row >>> 1) + 1] = 0;
    words[row + 1] = this.#freeRow;
    this.#freeRow = row;
    const item = this.#items[row >>> 2] as T;
    this.#items[row >>> 2] = undefined;
    if (after === row) {
      if (--this.#expired === 0) this.#shrinkSoon();
    } else {
      words[before + 1] = after;
      words[after] = before;
      if (--this.#size === 0) this.#emptied();
    }
    return item;
  }

  /** Another item in the place of one that has just been added. */
  replace(row: number, item: T): void {
    this.#items[row >>> 2] = item;
  }

  /** The item of a row that onExpired was just given. */
  peek(row: number): T {
    return this.#items[row >>> 2] as T;
  }

  #setAlarm(tick: number): void {
    if (this.#expiring) return;
    // The wheel has to look at what is too far away for it.
    this.#alarm = Math.min(tick, this.#elapsed + MAX_AHEAD_TICKS);
    this.clock.setAlarm(this.#alarm);
  }

  /** What empties a wheel is mostly followed by something for later: its alarm stays until the end of the turn. */
  #emptied(): void {
    if (this.#clearsSoon) return;
    this.#clearsSoon = true;
    this.clock.atEndOfTurn(this.#clear);
  }

  readonly #clear = (): void => {
    this.#clearsSoon = false;
    if (this.#size > 0) return;
    this.#alarm = Number.POSITIVE_INFINITY;
    this.clock.clearAlarm();
    this.#shrinkSoon();
  };

  #resize(rows: number): void {
    const words = this.#words;
    const items = this.#items;
    const memory = new ArrayBuffer(rows * ROW_WORDS * 4);
    this.#words = new Int32Array(memory);
    this.#ticks = new Float64Array(memory);
    this.#words.set(words);
    this.#items = new Array(rows).fill(undefined);
    for (let i = 0; i < items.length; i++) this.#items[i] = items[i];
    this.#freeRow = Math.max(items.length, HEADS) * ROW_WORDS;
    const last = this.#words.length - ROW_WORDS;
    for (let row = this.#freeRow; row < last; row += ROW_WORDS) this.#words[row + 1] = row + ROW_WORDS;
  }

  #reset(): void {
    this.#words = new Int32Array(0);
    this.#items = [];
    this.#resize(FIRST_ROWS);
    for (let head = 0; head < HEADS * ROW_WORDS; head += ROW_WORDS) {
      this.#words[head] = head;
      this.#words[head + 1] = head;
    }
  }

  /** In another turn: as many may come again at once. */
  #shrinkSoon(): void {
    if (this.#size > 0 || this.#items.length <= KEPT_ROWS || this.#shrinksSoon) return;
    this.#shrinksSoon = true;
    setImmediate(() => {
      this.#shrinksSoon = false;
      if (this.#size === 0 && this.#expired === 0) this.#reset();
    });
  }

  #unlink(row: number): void {
    const words = this.#words;
    const before = words[row]!;
    const after = words[row + 1]!;
    words[before + 1] = after;
    words[after] = before;
  }

  #onAlarm(): void {
    this.#alarm = Number.POSITIVE_INFINITY;
    this.#expiring = true;
    const target = Math.floor(this.clock.now());
    try {
      for (let next = this.#nextTick(); next <= target; next = this.#nextTick()) {
        this.#elapsed = next;
        this.#expireTick(next);
      }
      this.#elapsed = Math.max(this.#elapsed, target);
    } finally {
      // Also where an item breaks its promise and throws: one bug must not stop every other timer.
      this.#expiring = false;
      if (this.#size > 0) {
        this.#alarm = this.#nextTick();
        this.clock.setAlarm(this.#alarm);
      }
    }
  }

  /** The next tick at which something expires, or moves to a lower level; Infinity without items. */
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

  /** The first slot of the level in [from, to) that has items, or -1. */
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
      const head = (level * SLOTS + slot) * ROW_WORDS;
      if (this.#first(head) !== head) {
        return slot;
      }
      this.#occupied[word]! &= ~(1 << (slot & 31));
    }
    return -1;
  }

  #expireTick(tick: number): void {
    const low = tick | 0;
    if ((low & (2 ** BLOCK_BITS - 1)) === 0) {
      this.#sortDown((2 * SLOTS + ((low >>> BLOCK_BITS) & SLOT_MASK)) * ROW_WORDS);
    }
    if ((low & SLOT_MASK) === 0) {
      this.#sortDown((SLOTS + ((low >>> SLOT_BITS) & SLOT_MASK)) * ROW_WORDS);
    }
    const head = (low & SLOT_MASK) * ROW_WORDS;
    // What is added meanwhile goes to a later tick, so this ends. It may also replace the memory.
    for (let row = this.#first(head); row !== head; row = this.#first(head)) {
      const wanted = this.#ticks[(row >>> 1) + 1]!;
      if (wanted > tick) {
        this.#sort(row, wanted);
        continue;
      }
      this.#unlink(row);
      this.#words[row + 1] = row;
      this.#size--;
      this.#expired++;
      this.#onExpired(row, wanted);
    }
  }

  /** Moves the items of a slot to where they belong now. */
  #sortDown(head: number): void {
    for (let row = this.#first(head); row !== head; row = this.#first(head)) {
      this.#sort(row, this.#ticks[(row >>> 1) + 1]!);
    }
  }

  /** To where it belongs now. It keeps its row, which is the next free one when it has been taken. */
  #sort(row: number, tick: number): void {
    this.add(this.takeHeld(row), tick);
  }

  #first(head: number): number {
    return this.#words[head + 1]!;
  }
}
