/**
 * The waiters of one inbox, by id. Parking, cancellation and deadlines are those of scope/waiter.ts; the registry gives each waiter an id, and
 * finds it again.
 *
 * Guaranteed:
 * - A waiter is settled exactly once: by a reply, an error, its deadline, cancellation (scope, signal, `cancel`), or `close`. Afterwards nothing is left of it but
 *   a generation number: no timer, no listener, no reference to its promise.
 * - An id never means two waiters: it is slot and generation, and slots are used again in the order in which they were freed.
 * - A reply without a waiter is counted and published on the channel, and never throws: 'late' where the waiter was settled otherwise before,
 *   'duplicate' where it had its reply, 'unknown' where the registry never gave the id. A slot that has been used again since
 *   no longer tells a duplicate: it counts as late.
 */

import { channel } from 'node:diagnostics_channel';
import { setMaxListeners } from 'node:events';
import { ClosedError, OptionError, TimeoutError, TooManyWaitersError } from '../errors.js';
import type { Deadlines } from '../scope/deadlines.js';
import { activeDeadlines, activeScope, type ScopeNode } from '../scope/scope-tree.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';
import { withoutFrames } from '../scope/without-frames.js';
import { type WaiterEnd, waiterEnds } from './diagnostics.js';

/** Each message: an UnmatchedReply. Built only while somebody subscribes. */
export const unmatchedReplies = channel('gammaloop:correlation:unmatched-reply');

export type UnmatchedKind = 'late' | 'duplicate' | 'unknown';

export interface UnmatchedReply {
  readonly kind: UnmatchedKind;
  readonly id: unknown;
  /** The `name` of the registry. */
  readonly registry: string;
}

/** What is known of a waiter beside its id; for messages, and for the owner of the registry. */
export interface WaiterInfo {
  readonly traceId?: string | undefined;
  /** What is waited for, as messages name it. */
  readonly label?: string | undefined;
  /** Its span, for who traces. */
  readonly traceparent?: string | undefined;
}

export interface OpenOptions extends WaiterInfo {
  /** Milliseconds from now. Default: that of the registry. Infinity must be asked for. */
  timeout?: number | undefined;
  /** An instant of `performance.now()`; where both are given the earlier one holds. */
  deadline?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** A place in the registry, waiting. */
export interface OpenWaiter<T = unknown> {
  readonly id: number;
  readonly promise: Promise<T>;
}

export interface WaiterRegistryOptions {
  /** Waiters that may be open at a time. Default 1,000,000; at most 16,777,216. */
  capacity?: number;
  /** Milliseconds that a waiter is given unless it says otherwise. Default 30,000. */
  timeout?: number;
  /** For messages and diagnostics. */
  name?: string;
  /** Keeps the stack of each `open`, so that errors show it. Costs about a microsecond and a kilobyte each; default false. */
  stacks?: boolean;
  /** Called when a waiter ends without having been answered (deadline, cancellation, close). Must not throw. */
  onAbandon?: (id: number, info: WaiterInfo | undefined, error: unknown) => void;
}

export interface RegistryStats {
  open: number;
  opened: number;
  /** Settled by `resolve`, by `reject`, by their deadline, by cancellation, and by `close`. */
  resolved: number;
  rejected: number;
  timedOut: number;
  cancelled: number;
  closed: number;
  /** Opens that were refused, for the capacity was reached. */
  refused: number;
  late: number;
  duplicate: number;
  unknown: number;
}

const SLOT_SPAN = 2 ** 24;
const MAX_GENERATION = 2 ** 29 - 1;
const FIRST_SLOTS = 256;
const NONE = 0xffffffff;

/** How the latest waiter of a slot ended; 0 while it waits. */
const ANSWERED = 1;
const ABANDONED = 2;

/** The waiter itself is what `open` returns: one object for both. */
class RegistryWaiter extends Waiter<unknown> {
  // Two small integers are held in place; the id is a number on the heap.
  readonly generation: number;
  readonly slot: number;
  readonly info: WaiterInfo | undefined;
  /** Set as soon as it is parked. */
  promise: Promise<unknown> = null as never;

  constructor(owner: WaiterRegistry, generation: number, slot: number, info: WaiterInfo | undefined) {
    super(owner);
    this.generation = generation;
    this.slot = slot;
    this.info = info;
  }

  get id(): number {
    return this.generation * SLOT_SPAN + this.slot;
  }

  // Whoever holds the waiter settles it by way of the registry, as with its id.
  override resolve(value: unknown): boolean {
    return (this.owner as WaiterRegistry).resolve(this.id, value);
  }

  override reject(error: unknown): boolean {
    return (this.owner as WaiterRegistry).reject(this.id, error);
  }

  /** @internal */
  resolveNow(value: unknown): void {
    super.resolve(value);
  }

  /** @internal */
  rejectNow(error: unknown): void {
    super.reject(error);
  }
}

/** Only with `stacks`, so that the others need no field for it. */
const stacks = new WeakMap<RegistryWaiter, { stack?: string }>();

/** When it was opened: only while somebody hears of the ends. */
const begun = new WeakMap<RegistryWaiter, number>();

export class WaiterRegistry implements WaiterOwner<unknown> {
  readonly capacity: number;
  readonly timeout: number;
  readonly name: string;
  readonly #stacks: boolean;
  readonly #onAbandon: WaiterRegistryOptions['onAbandon'];
  /** By slot: the open waiter; the generation of the latest one; how that one ended; the next free slot. */
  #waiters: (RegistryWaiter | undefined)[] = [];
  #generations = new Uint32Array(0);
  #endings = new Uint8Array(0);
  #nextFree = new Uint32Array(0);
  #firstFree = NONE;
  #lastFree = NONE;
  /** Slots that have been used at all. */
  #used = 0;
  #open = 0;
  #closedWith: Error | null = null;
  #opened = 0;
  #resolved = 0;
  #rejected = 0;
  #timedOut = 0;
  #cancelled = 0;
  #closed = 0;
  #refused = 0;
  #late = 0;
  #duplicate = 0;
  #unknown = 0;

  constructor(options: WaiterRegistryOptions = {}) {
    this.capacity = options.capacity ?? 1_000_000;
    this.timeout = options.timeout ?? 30_000;
    this.name = options.name ?? 'registry';
    this.#stacks = options.stacks ?? false;
    this.#onAbandon = options.onAbandon;
    if (!Number.isInteger(this.capacity) || this.capacity < 1 || this.capacity > SLOT_SPAN) {
      throw new OptionError('capacity', `an integer from 1 to ${SLOT_SPAN}`, options.capacity);
    }
    checkTimeout(this.timeout);
  }

  /** Waiters that are open. */
  get size(): number {
    return this.#open;
  }

  get closed(): boolean {
    return this.#closedWith !== null;
  }

  /** A waiter in the current scope. Throws TooManyWaitersError, ClosedError, OptionError. */
  open<T = unknown>(options?: OpenOptions): OpenWaiter<T> {
    const timers = activeDeadlines();
    const info = options === undefined || (options.traceId ?? options.label) === undefined ? undefined : options;
    return this.openUntil(instantOf(options, this.timeout, timers), timers, options?.signal, info) as OpenWaiter<T>;
  }

  /** @internal As `open`, with everything worked out. */
  openUntil(
    deadline: number,
    timers: Deadlines,
    signal: AbortSignal | undefined,
    info: WaiterInfo | undefined,
    scope: ScopeNode | null = activeScope(),
  ): RegistryWaiter {
    if (this.#closedWith !== null) {
      throw this.#closedWith;
    }
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw new OptionError('signal', 'an AbortSignal', signal);
    }
    if (this.#open === this.capacity) {
      this.#refused++;
      throw new TooManyWaitersError(this.capacity);
    }
    const slot = this.#takeSlot();
    const last = this.#generations[slot]!;
    const generation = last === MAX_GENERATION ? 1 : last + 1;
    this.#generations[slot] = generation;
    this.#endings[slot] = 0;
    const waiter = new RegistryWaiter(this, generation, slot, info);
    if (this.#stacks) {
      const openedAt = {};
      Error.captureStackTrace(openedAt, this.openUntil);
      stacks.set(waiter, openedAt);
    }
    if (waiterEnds.hasSubscribers) begun.set(waiter, performance.now());
    this.#waiters[slot] = waiter;
    this.#open++;
    this.#opened++;
    // In a cancelled scope, or with an aborted signal, it is settled already when it returns.
    waiter.promise = waiter.park(scope);
    if (signal !== undefined) {
      // One signal for a thousand requests is no leak.
      if (!signal.aborted) setMaxListeners(0, signal);
      waiter.watch(signal, waiter.promise);
    }
    waiter.expireAt(deadline, timers);
    return waiter;
  }

  has(id: number): boolean {
    return this.#find(id) !== undefined;
  }

  /** What `open` was told of a waiter that is open. */
  infoOf(id: number): WaiterInfo | undefined {
    return this.#find(id)?.info;
  }

  /** Gives the reply. False for a late, duplicate or unknown one, which is counted. */
  resolve(id: unknown, value: unknown): boolean {
    const waiter = this.#take(id, ANSWERED);
    if (waiter === undefined) {
      return this.#unmatched(id);
    }
    this.#resolved++;
    waiter.resolveNow(value);
    if (waiterEnds.hasSubscribers) this.#publishEnd(waiter, 'resolved', undefined);
    return true;
  }

  /** Gives an error for a reply. False for a late, duplicate or unknown one, which is counted. */
  reject(id: unknown, error: unknown): boolean {
    const waiter = this.#take(id, ANSWERED);
    if (waiter === undefined) {
      return this.#unmatched(id);
    }
    this.#rejected++;
    waiter.rejectNow(withStack(error, waiter));
    if (waiterEnds.hasSubscribers) this.#publishEnd(waiter, 'rejected', error);
    return true;
  }

  /** Gives the waiter up: its promise rejects with `reason`. False where it is not open; this is nobody's mistake, and not counted. */
  cancel(id: number, reason: unknown): boolean {
    return this.#find(id)?.abort(reason) ?? false;
  }

  /** Ends the waiter as its deadline does. False where it is not open; not counted either. */
  expire(id: number): boolean {
    const waiter = this.#find(id);
    if (waiter === undefined) {
      return false;
    }
    this.onExpire(waiter);
    return true;
  }

  /** Rejects every waiter, and every later `open`, with `error`. Later calls do nothing. */
  close(error: Error = new ClosedError('The waiter registry')): void {
    if (this.#closedWith !== null) {
      return;
    }
    this.#closedWith = error;
    for (let slot = 0; slot < this.#used && this.#open > 0; slot++) {
      const waiter = this.#waiters[slot];
      if (waiter !== undefined) {
        this.#closed++;
        this.#abandon(waiter, 'closed', error);
      }
    }
  }

  stats(): RegistryStats {
    return {
      open: this.#open,
      opened: this.#opened,
      resolved: this.#resolved,
      rejected: this.#rejected,
      timedOut: this.#timedOut,
      cancelled: this.#cancelled,
      closed: this.#closed,
      refused: this.#refused,
      late: this.#late,
      duplicate: this.#duplicate,
      unknown: this.#unknown,
    };
  }

  /** @internal The scope or the signal gives the waiter up; it is settled here, so there is nothing left to reject. */
  onAbort(waiter: Waiter<unknown>, error: unknown): boolean {
    this.#cancelled++;
    this.#abandon(waiter as RegistryWaiter, 'cancelled', error);
    return false;
  }

  /** @internal */
  onExpire(waiter: Waiter<unknown>): void {
    const { label, traceId } = (waiter as RegistryWaiter).info ?? {};
    const what = label === undefined ? 'No reply' : `No reply from ${label}`;
    this.#timedOut++;
    const text = `${what} within its time${traceId === undefined ? '' : ` (trace ${traceId})`}`;
    this.#abandon(
      waiter as RegistryWaiter,
      'timedOut',
      withoutFrames(() => new TimeoutError(text)),
    );
  }

  #abandon(waiter: RegistryWaiter, outcome: WaiterEnd['outcome'], error: unknown): void {
    this.#take(waiter.id, ABANDONED);
    // Others' errors are shared: by all waiters of a scope, or that were open at `close`.
    waiter.rejectNow(outcome === 'timedOut' ? withStack(error, waiter) : error);
    this.#onAbandon?.(waiter.id, waiter.info, error);
    if (waiterEnds.hasSubscribers) this.#publishEnd(waiter, outcome, error);
  }

  #publishEnd(waiter: RegistryWaiter, outcome: WaiterEnd['outcome'], error: unknown): void {
    const { label, traceId, traceparent } = waiter.info ?? {};
    const at = begun.get(waiter);
    const durationMs = at === undefined ? undefined : performance.now() - at;
    waiterEnds.publish({
      registry: this.name,
      id: waiter.id,
      outcome,
      label,
      traceId,
      traceparent,
      durationMs,
      error,
    } satisfies WaiterEnd);
  }

  #find(id: unknown): RegistryWaiter | undefined {
    if (typeof id !== 'number') {
      return undefined;
    }
    const generation = Math.floor(id / SLOT_SPAN);
    const waiter = this.#waiters[id - generation * SLOT_SPAN];
    return waiter !== undefined && waiter.generation === generation ? waiter : undefined;
  }

  /** Takes an open waiter out, and frees its slot. */
  #take(id: unknown, ending: number): RegistryWaiter | undefined {
    const waiter = this.#find(id);
    if (waiter === undefined) {
      return undefined;
    }
    const { slot } = waiter;
    this.#waiters[slot] = undefined;
    this.#endings[slot] = ending;
    this.#open--;
    this.#nextFree[slot] = NONE;
    if (this.#firstFree === NONE) this.#firstFree = slot;
    else this.#nextFree[this.#lastFree] = slot;
    this.#lastFree = slot;
    return waiter;
  }

  #takeSlot(): number {
    // First those never used: a freed one then lies as long as possible, and tells duplicates from late replies.
    if (this.#used < this.#generations.length || this.#firstFree === NONE) {
      if (this.#used === this.#generations.length) this.#grow();
      this.#waiters.push(undefined);
      return this.#used++;
    }
    const slot = this.#firstFree;
    this.#firstFree = this.#nextFree[slot]!;
    if (this.#firstFree === NONE) this.#lastFree = NONE;
    return slot;
  }

  #grow(): void {
    const length = Math.min(Math.max(FIRST_SLOTS, this.#used * 2), this.capacity);
    const generations = new Uint32Array(length);
    const endings = new Uint8Array(length);
    const nextFree = new Uint32Array(length);
    generations.set(this.#generations);
    endings.set(this.#endings);
    nextFree.set(this.#nextFree);
    this.#generations = generations;
    this.#endings = endings;
    this.#nextFree = nextFree;
  }

  #unmatched(id: unknown): false {
    const kind = this.#kindOf(id);
    if (kind === 'late') this.#late++;
    else if (kind === 'duplicate') this.#duplicate++;
    else this.#unknown++;
    if (unmatchedReplies.hasSubscribers) {
      unmatchedReplies.publish({ kind, id, registry: this.name } satisfies UnmatchedReply);
    }
    return false;
  }

  #kindOf(id: unknown): UnmatchedKind {
    if (!Number.isSafeInteger(id) || (id as number) < SLOT_SPAN) {
      return 'unknown';
    }
    const generation = Math.floor((id as number) / SLOT_SPAN);
    const slot = (id as number) % SLOT_SPAN;
    const latest = slot < this.#used ? this.#generations[slot]! : 0;
    if (generation > latest) {
      return 'unknown';
    }
    return generation === latest && this.#endings[slot] === ANSWERED ? 'duplicate' : 'late';
  }
}

/** The deadline that the options ask for. */
export function instantOf(
  options: { timeout?: number | undefined; deadline?: number | undefined } | undefined,
  defaultTimeout: number,
  timers: Deadlines,
): number {
  const timeout = options?.timeout;
  const deadline = options?.deadline;
  if (timeout !== undefined) checkTimeout(timeout);
  if (deadline === undefined) {
    return timers.now() + (timeout ?? defaultTimeout);
  }
  if (typeof deadline !== 'number' || !(deadline > Number.NEGATIVE_INFINITY)) {
    throw new OptionError('deadline', 'an instant in milliseconds, or Infinity', deadline);
  }
  return timeout === undefined ? deadline : Math.min(deadline, timers.now() + timeout);
}

function checkTimeout(timeout: unknown): void {
  if (typeof timeout !== 'number' || !(timeout >= 0)) {
    throw new OptionError('timeout', 'milliseconds, 0 or more, or Infinity', timeout);
  }
}

/** Errors that have the stack of a waiter. A second one is not added: whoever rejects many with the same error would make it grow. */
const stamped = new WeakSet<Error>();

/** Where `open` was called, under the error's own stack. Only with `stacks`. */
function withStack(error: unknown, waiter: RegistryWaiter): unknown {
  const opened = stacks.get(waiter)?.stack;
  if (opened === undefined || !(error instanceof Error) || stamped.has(error)) {
    return error;
  }
  stamped.add(error);
  try {
    error.stack = `${error.stack ?? String(error)}\n${opened.slice(opened.indexOf('\n') + 1)}`;
  } catch {
    // A frozen error keeps the stack that it has.
  }
  return error;
}
