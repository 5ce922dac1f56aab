/**
 * Cancel scopes as Trio has them: work that can be stopped as a whole, by a call, a deadline or an AbortSignal. A scope runs one function;
 * everything awaited in it, at any depth and in other modules, stops at its next checkpoint once the scope is cancelled.
 */

import { Cancelled, NurseryError, OptionError, ScopeError, TimeoutError } from '../errors.js';
import { activeDeadlines, activeScope, callIn, ScopeNode } from './scope-tree.js';
import { SignalLink, type SignalTarget } from './signal-link.js';
import { withoutFrames } from './without-frames.js';

export interface CancelScopeOptions {
  /** The instant (by `currentTime`) at which the scope is cancelled. */
  deadline?: number;
  /** The same as a duration in ms, which begins when the scope is entered. */
  timeout?: number;
  /** Cancellation from outside doesn't come in. */
  shield?: boolean;
  /** Cancels the scope when it aborts; `reason` is then the signal's. */
  signal?: AbortSignal;
}

/** What became of the work: `value` where it came to its end, `cancelled` where its scope stopped it. */
export type Outcome<T> =
  | { readonly cancelled: false; readonly value: T }
  | { readonly cancelled: true; readonly value: undefined };

type ScopeFunction<T> = (scope: CancelScope) => T | PromiseLike<T>;

export class CancelScope extends ScopeNode implements SignalTarget {
  #deadline: number;
  #timeout: number;
  #caught = false;
  #foreign: AbortSignal | null;
  #foreignLink: SignalLink | null = null;

  constructor(options: CancelScopeOptions = {}) {
    super();
    const { deadline, timeout, shield = false, signal } = options;
    if (deadline !== undefined && timeout !== undefined) {
      throw new OptionError('timeout', 'either deadline or timeout, not both');
    }
    this.#deadline = deadline === undefined ? Number.POSITIVE_INFINITY : checkInstant('deadline', deadline);
    this.#timeout = timeout === undefined ? Number.POSITIVE_INFINITY : checkDuration('timeout', timeout);
    this.isShield = shield;
    this.#foreign = signal ?? null;
  }

  /** The instant at which the scope is cancelled, Infinity for none. May be changed at any time, also while the scope's work waits. */
  get deadline(): number {
    return this.#deadline;
  }

  set deadline(at: number) {
    this.#deadline = checkInstant('deadline', at);
    this.#timeout = Number.POSITIVE_INFINITY;
    if (this.phase === 'entered') {
      this.#watchDeadline();
    }
  }

  /** Whether cancellation from outside is kept out. May be changed; what has been thrown already is not taken back. */
  get shield(): boolean {
    return this.isShield;
  }

  set shield(on: boolean) {
    if (typeof on !== 'boolean') {
      throw new OptionError('shield', 'a boolean', on);
    }
    this.isShield = on;
    this.refresh();
  }

  /** Cancels the scope's work, now and for good. Later calls change nothing. */
  cancel(reason?: unknown): void {
    if (this.ownError === null) {
      const because = reason === undefined ? '' : `: ${reason instanceof Error ? reason.message : String(reason)}`;
      this.cancelWith(new Cancelled(`The scope was cancelled${because}`, reason));
    }
  }

  /** Whether this scope was cancelled: by `cancel`, its deadline, or its AbortSignal. For cancellation from outside see `signal`. */
  get cancelled(): boolean {
    if (this.ownError === null && this.phase === 'entered' && this.#deadline <= this.timers.now()) {
      this.onDeadline();
    }
    return this.ownError !== null;
  }

  /** Whether the scope stopped its work: some of it ended by the cancellation, which the scope absorbed. */
  get cancelledCaught(): boolean {
    return this.#caught;
  }

  /** What cancelled it: `cancel`'s argument, or the TimeoutError of its deadline. */
  get reason(): unknown {
    return this.ownError?.reason;
  }

  /** A standard signal, aborted when the scope's work is to stop, also from outside. Once aborted it stays so. */
  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.effective !== null) {
        this.controller.abort(this.effective);
      }
    }
    return this.controller.signal;
  }

  /** Throws Cancelled where the scope's work is to stop: a checkpoint that doesn't wait. */
  throwIfCancelled(): void {
    throwIfStopped(this);
  }

  /** Runs `fn` in the scope, once. Gives its value, or undefined when it was stopped; `cancelledCaught` tells which. */
  async run<T>(fn: ScopeFunction<T>): Promise<T | undefined> {
    this.enter(activeScope());
    let value: T;
    try {
      value = await callIn(this, fn, this);
    } catch (error) {
      this.exitWith(error);
      return undefined;
    }
    this.exit();
    return value;
  }

  /** @internal Begins as a child of `parent`. */
  enter(parent: ScopeNode | null): void {
    if (this.phase !== 'new') {
      throw new ScopeError(
        'ERR_GAMMALOOP_SCOPE_USED',
        'A cancel scope runs one function, once; make a new scope for each',
      );
    }
    this.phase = 'entered';
    this.timers = parent?.timers ?? activeDeadlines();
    if (this.#timeout < Number.POSITIVE_INFINITY) {
      this.#deadline = this.timers.now() + this.#timeout;
    }
    this.attach(parent);
    if (this.#foreign !== null) {
      this.#watchSignal(this.#foreign);
    }
    if (this.#deadline < Number.POSITIVE_INFINITY) {
      this.#watchDeadline();
    }
  }

  /** @internal */
  exit(): void {
    this.phase = 'exited';
    this.timers.remove(this);
    this.#foreignLink?.remove();
    this.#foreignLink = null;
    this.#foreign = null;
    this.detach();
    this.handOver();
  }

  /** @internal Ends with `error`, and throws what of it is not this scope's own cancellation. */
  exitWith(error: unknown): void {
    const rest = this.effective !== null && !this.parentCancelled ? this.#absorb(error) : error;
    this.exit();
    if (rest !== ABSORBED) {
      throw rest;
    }
  }

  /** @internal */
  onSignal(reason: unknown): void {
    this.cancel(reason);
  }

  /** @internal */
  override onDeadline(): void {
    if (this.ownError === null) {
      this.cancelWith(deadlineError());
    }
  }

  #watchDeadline(): void {
    this.timers.remove(this);
    if (this.ownError !== null) {
      return;
    }
    if (this.#deadline <= this.timers.now()) {
      this.onDeadline();
    } else if (this.#deadline < Number.POSITIVE_INFINITY) {
      this.timers.add(this, this.#deadline);
    }
  }

  #watchSignal(signal: AbortSignal): void {
    if (signal.aborted) {
      this.cancel(signal.reason);
    } else {
      this.#foreignLink = new SignalLink(this, signal);
    }
  }

  /** What is left of `error` without the cancellation of this scope. */
  #absorb(error: unknown): unknown {
    const cancelled = cancellationIn(error);
    if (cancelled !== null) {
      if (!this.isOnLineOf(cancelled)) {
        return error;
      }
      this.#caught = true;
      return ABSORBED;
    }
    if (error instanceof NurseryError) {
      const rest = error.errors.map((each) => this.#absorb(each)).filter((each) => each !== ABSORBED);
      if (rest.length === 0) {
        return ABSORBED;
      }
      if (rest.length === 1 && !error.strict) {
        return rest[0];
      }
      const changed = rest.length < error.errors.length || rest.some((each, index) => each !== error.errors[index]);
      return changed ? new NurseryError(rest, error.strict) : error;
    }
    return error;
  }
}

const ABSORBED = Symbol('absorbed');

/** The Cancelled that `error` is, or that node's own AbortError stands for (its cause is the reason of the scope's signal). */
export function cancellationIn(error: unknown): Cancelled | null {
  if (error instanceof Cancelled) {
    return error;
  }
  if (error instanceof Error && error.name === 'AbortError' && error.cause instanceof Cancelled) {
    return error.cause;
  }
  return null;
}

/** The innermost scope that the running code is in, or null. */
export function currentScope(): CancelScope | null {
  let scope = activeScope();
  while (scope !== null && !(scope instanceof CancelScope)) {
    scope = scope.parent;
  }
  return scope;
}

/** Throws Cancelled where the running code is to stop: a checkpoint that doesn't wait, for long computations. */
export function throwIfCancelled(): void {
  throwIfStopped(activeScope());
}

/** @internal Cancels the scope around `innermost` whose deadline has passed, if there is one: its timer may be a moment behind the clock. */
export function cancelIfDue(innermost: ScopeNode | null): void {
  for (let scope = innermost; scope !== null; scope = scope.isShield ? null : scope.parent) {
    if (scope instanceof CancelScope && scope.cancelled) {
      return;
    }
  }
}

function throwIfStopped(innermost: ScopeNode | null): void {
  // A computation that never waits keeps the timer from firing.
  cancelIfDue(innermost);
  if (innermost !== null && innermost.effective !== null) {
    throw innermost.effective;
  }
}

/** The instant by which the running code has to be done: the earliest deadline around it, -Infinity when cancelled already. */
export function currentDeadline(): number {
  return deadlineAround(activeScope());
}

/** @internal The same for work in the scope `innermost`. */
export function deadlineAround(innermost: ScopeNode | null): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (let scope = innermost; scope !== null; scope = scope.parent) {
    if (scope.effective !== null) {
      return Number.NEGATIVE_INFINITY;
    }
    if (scope instanceof CancelScope && scope.deadline < earliest) {
      earliest = scope.deadline;
    }
    if (scope.isShield) {
      break;
    }
  }
  return earliest;
}

/** Runs `fn`; when `ms` pass before its end, stops it and goes on. */
export function moveOnAfter<T>(ms: number, fn: ScopeFunction<T>, options?: { shield?: boolean }): Promise<Outcome<T>> {
  return moveOn(new CancelScope({ ...options, timeout: checkDuration('ms', ms) }), fn);
}

/** As moveOnAfter, with an instant by `currentTime`. */
export function moveOnAt<T>(
  deadline: number,
  fn: ScopeFunction<T>,
  options?: { shield?: boolean },
): Promise<Outcome<T>> {
  return moveOn(new CancelScope({ ...options, deadline }), fn);
}

/** Runs `fn`; when `ms` pass before its end, stops it and throws TimeoutError. */
export function failAfter<T>(ms: number, fn: ScopeFunction<T>, options?: { shield?: boolean }): Promise<T> {
  return fail(new CancelScope({ ...options, timeout: checkDuration('ms', ms) }), fn);
}

/** As failAfter, with an instant by `currentTime`. */
export function failAt<T>(deadline: number, fn: ScopeFunction<T>, options?: { shield?: boolean }): Promise<T> {
  return fail(new CancelScope({ ...options, deadline }), fn);
}

/** Runs `fn` where cancellation from outside doesn't come in: clean-up that has to wait for something. Give it a deadline of its own. */
export function shield<T>(fn: ScopeFunction<T>): Promise<T> {
  // Only its own cancellation makes it undefined, and that is the caller's doing.
  return new CancelScope({ shield: true }).run(fn) as Promise<T>;
}

async function moveOn<T>(scope: CancelScope, fn: ScopeFunction<T>): Promise<Outcome<T>> {
  const value = await scope.run(fn);
  return scope.cancelledCaught ? { cancelled: true, value: undefined } : { cancelled: false, value: value as T };
}

async function fail<T>(scope: CancelScope, fn: ScopeFunction<T>): Promise<T> {
  const value = await scope.run(fn);
  if (scope.cancelledCaught) {
    const { reason } = scope;
    if (reason instanceof TimeoutError) {
      throw reason;
    }
    throw new TimeoutError('The work was cancelled before its end', { cause: reason });
  }
  return value as T;
}

function deadlineError(): Cancelled {
  const text = 'The deadline of the scope passed';
  return withoutFrames(() => new Cancelled(text, new TimeoutError(text)));
}

export function checkDuration(name: string, ms: unknown): number {
  if (typeof ms !== 'number' || !(ms >= 0)) {
    throw new OptionError(name, 'a number of milliseconds, 0 or more', ms);
  }
  return ms;
}

export function checkInstant(name: string, at: unknown): number {
  if (typeof at !== 'number' || Number.isNaN(at)) {
    throw new OptionError(name, 'an instant in milliseconds as currentTime() gives it, or Infinity', at);
  }
  return at;
}
