/**
 * The only place that parks a task. Everything that waits (sleep, locks, limiters, channels, the correlation registry, the runner) opens a
 * Waiter, and so inherits cancellation and deadlines.
 *
 * Guaranteed:
 * - settled exactly once, by whoever comes first: resolve, reject, the scope's cancellation, its deadline, an AbortSignal. The calls that
 *   come late return false and do nothing.
 * - once settled it hangs nowhere: not in the scope, the wheel, or a signal.
 * - cancellation asks the owner, once at most: `onAbort` returns true when the operation was taken back (the waiter is then rejected at
 *   once), or false when it can't be, or has happened already: then the waiter stays parked and the owner settles it in any case.
 * - a waiter that is parked in a cancelled scope is asked at once: see `settled` after `park` before doing what can't be undone.
 * - no user code runs inside any of these calls (but listeners of a scope's own signal, when it is cancelled, and subscribers of diagnostics channels).
 *
 * One object and one promise for each waiter, a second object in a scope or with a signal; no closure but the promise's own.
 */
import { Cancelled } from '../errors.js';
import { DeadlineEntry, type Deadlines, realDeadlines } from './deadlines.js';
import { activeScope, type Cancellable, type ScopeLink, type ScopeNode, unlinkWaiter } from './scope-tree.js';
import { SignalLink, type SignalTarget } from './signal-link.js';

/** What a kind of waiting decides for its waiters: one object for any number of them. Must not throw. */
export interface WaiterOwner<T = unknown> {
  /** The waiter is to be given up for `error`. Forget it and return true, or return false and settle it later. */
  onAbort(waiter: Waiter<T>, error: unknown): boolean;
  /** The instant of `expireAt` has passed: settle the waiter, in whichever way. Left out: it never passes. */
  onExpire?(waiter: Waiter<T>): void;
}

/** An owner for those who have nothing to take back. */
export const plainOwner: { onAbort(): boolean } = { onAbort: () => true };

/** An owner for those who stand in a queue until somebody settles them. */
export function queueOwner<T>(queue: Set<Waiter<T>>): WaiterOwner<T> {
  return {
    onAbort: (waiter) => {
      queue.delete(waiter);
      return true;
    },
  };
}

const PARKED = 1;
const SETTLED = 2;
/** Asked to abort, or beyond that. */
const ASKED = 4;
/** Its deadline is one of a virtual clock. */
const IS_VIRTUAL = 8;

let resolver: (value: never) => void;
let rejecter: (error: unknown) => void;
function capture(resolve: (value: never) => void, reject: (error: unknown) => void): void {
  resolver = resolve;
  rejecter = reject;
}

let activityCount = 0;
/** Grows with each waiter that is parked or settled: where it stands still, nothing happens. */
export function waiterActivity(): number {
  return activityCount;
}

/** What a waiter has only where something can cancel it: its scope, or a signal. */
class Cancellation implements Cancellable, SignalTarget {
  scopePrev: ScopeLink | null = null;
  scopeNext: ScopeLink | null = null;
  readonly #waiter: Waiter<unknown>;
  readonly promise: Promise<unknown>;
  /** In a scope, where very many may be cancelled together. The others reject by way of `resolve`, and save a closure. */
  readonly reject: ((error: unknown) => void) | null;
  signal: SignalLink | null = null;

  constructor(waiter: Waiter<unknown>, promise: Promise<unknown>, reject: ((error: unknown) => void) | null) {
    this.#waiter = waiter;
    this.promise = promise;
    this.reject = reject;
  }

  cancelledBy(error: Cancelled): void {
    this.#waiter.abort(error);
  }

  onSignal(reason: unknown): void {
    this.#waiter.abort(reason);
  }

  end(): void {
    unlinkWaiter(this);
    this.signal?.remove();
  }
}

export class Waiter<T = void> extends DeadlineEntry {
  readonly owner: WaiterOwner<T>;
  #state = 0;
  #resolve: ((value: T | PromiseLike<T>) => void) | null = null;
  #cancellation: Cancellation | null = null;

  constructor(owner: WaiterOwner<T>) {
    super();
    this.owner = owner;
  }

  get settled(): boolean {
    return (this.#state & SETTLED) !== 0;
  }

  /** Starts waiting in `scope` (null: in none, so that it does not cancel). Once. */
  park(scope: ScopeNode | null = activeScope()): Promise<T> {
    activityCount++;
    this.#state |= PARKED;
    const promise = new Promise<T>(capture as never);
    this.#resolve = resolver as never;
    if (scope !== null) {
      const cancellation = new Cancellation(this as Waiter<unknown>, promise, rejecter);
      this.#cancellation = cancellation;
      if (scope.effective !== null) {
        this.abort(scope.effective);
      } else {
        scope.addWaiter(cancellation);
      }
    }
    return promise;
  }

  /** From now on the owner's `onExpire` is called at the instant `at` by the clock of `timers`, unless settled before. */
  expireAt(at: number, timers: Deadlines): void {
    if (this.settled) {
      return;
    }
    this.#leaveTimers();
    if (at < Number.POSITIVE_INFINITY) {
      if (timers !== realDeadlines) {
        this.#state |= IS_VIRTUAL;
        virtualTimers.set(this, timers);
      }
      timers.add(this, at);
    }
  }

  /** From now on `signal` aborts it as well; the error is then the signal's reason. At most one signal. `parked`: what `park` gave. */
  watch(signal: AbortSignal, parked: Promise<T>): void {
    if (this.settled) {
      return;
    }
    this.#cancellation ??= new Cancellation(this as Waiter<unknown>, parked, null);
    if (signal.aborted) {
      this.abort(signal.reason);
    } else {
      this.#cancellation.signal = new SignalLink(this.#cancellation, signal);
    }
  }

  /** False where it was settled before. */
  resolve(value: T): boolean {
    if (!this.#settle()) {
      return false;
    }
    this.#resolve!(value);
    this.#forget();
    return true;
  }

  /** False where it was settled before. */
  reject(error: unknown): boolean {
    if (!this.#settle()) {
      return false;
    }
    const cancellation = this.#cancellation;
    if (cancellation !== null && cancellation.reject !== null) cancellation.reject(error);
    else this.#resolve!(new Rejection(error) as never);
    if (cancellation !== null && error instanceof Cancelled) {
      ignoreRejection(cancellation.promise);
    }
    this.#forget();
    return true;
  }

  /** Asks the owner to give the waiter up for `error`, as cancellation does. False where it was settled or asked before. */
  abort(error: unknown): boolean {
    if ((this.#state & (SETTLED | ASKED)) !== 0) {
      return false;
    }
    this.#state |= ASKED;
    if (this.#cancellation !== null) unlinkWaiter(this.#cancellation);
    if (this.owner.onAbort(this, error)) {
      this.reject(error);
    }
    return true;
  }

  /** @internal */
  override onDeadline(): void {
    this.owner.onExpire?.(this);
  }

  #settle(): boolean {
    if ((this.#state & (SETTLED | PARKED)) !== PARKED) {
      return false;
    }
    activityCount++;
    this.#leaveTimers();
    this.#cancellation?.end();
    this.#state |= SETTLED | ASKED;
    return true;
  }

  #forget(): void {
    this.#resolve = null;
    this.#cancellation = null;
  }

  #leaveTimers(): void {
    if ((this.#state & IS_VIRTUAL) === 0) {
      realDeadlines.remove(this);
    } else {
      this.#state &= ~IS_VIRTUAL;
      virtualTimers.get(this)?.remove(this);
    }
  }
}

/** A thenable that rejects whoever adopts it. */
class Rejection {
  readonly #error: unknown;

  constructor(error: unknown) {
    this.#error = error;
  }

  // biome-ignore lint/suspicious/noThenProperty: it is meant to be adopted by a promise
  then(_resolve: unknown, reject: (error: unknown) => void): void {
    reject(this.#error);
  }
}

/** Only waiters under a virtual clock have other timers than the real ones. */
const virtualTimers = new WeakMap<DeadlineEntry, Deadlines>();

let ignored: Promise<unknown>[] = [];

/**
 * No unhandledRejection for this promise, which is about to reject. A Cancelled that nobody looks at is no mistake: its scope knows of it.
 * Other errors stay visible. Handled one after the other, within the present turn, for that costs least: there may be very many.
 */
export function ignoreRejection(promise: Promise<unknown>): void {
  if (ignored.push(promise) === 1) {
    queueMicrotask(handleIgnored);
  }
}

async function handleIgnored(): Promise<void> {
  const batch = ignored;
  ignored = [];
  for (const promise of batch) {
    try {
      await promise;
    } catch {
      // As expected.
    }
  }
}
