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
 * One object and one promise for each waiter; no closure but the promise's own, of which `reject` is kept only in a scope.
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
const HAS_SIGNAL = 8;
/** Its deadline is one of a virtual clock. */
const IS_VIRTUAL = 16;

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

export class Waiter<T = void> extends DeadlineEntry implements Cancellable, SignalTarget {
  /** @internal */ scopePrev: ScopeLink | null = null;
  /** @internal */ scopeNext: ScopeLink | null = null;
  readonly owner: WaiterOwner<T>;
  /** The owner's own: an id, an amount, a value to hand over. */
  key: unknown;
  #state = 0;
  #promise: Promise<T> | null = null;
  #resolve: ((value: T | PromiseLike<T>) => void) | null = null;
  /** Of a waiter in a scope, which may be cancelled together with very many. The others reject by way of `resolve`, and save a closure. */
  #reject: ((error: unknown) => void) | null = null;

  constructor(owner: WaiterOwner<T>, key?: unknown) {
    super();
    this.owner = owner;
    this.key = key;
  }

  get settled(): boolean {
    return (this.#state & SETTLED) !== 0;
  }

  /** @internal What `park` gave. */
  get parked(): Promise<T> {
    return this.#promise!;
  }

  /** Starts waiting in `scope` (null: in none, so that nothing cancels it). Once. */
  park(scope: ScopeNode | null = activeScope()): Promise<T> {
    activityCount++;
    this.#state |= PARKED;
    const promise = new Promise<T>(capture as never);
    this.#promise = promise;
    this.#resolve = resolver as never;
    if (scope !== null) {
      this.#reject = rejecter;
      if (scope.effective !== null) {
        this.cancelledBy(scope.effective);
      } else {
        scope.addWaiter(this);
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

  /** From now on `signal` aborts it as well; the error is then the signal's reason. At most one signal. */
  watch(signal: AbortSignal): void {
    if (this.settled) {
      return;
    }
    if (signal.aborted) {
      this.abort(signal.reason);
      return;
    }
    this.#state |= HAS_SIGNAL;
    signalLinks.set(this, new SignalLink(this, signal));
  }

  /** False where it was settled before. */
  resolve(value: T): boolean {
    if (!this.#settle()) {
      return false;
    }
    this.#resolve!(value);
    this.#resolve = null;
    this.#reject = null;
    return true;
  }

  /** False where it was settled before. */
  reject(error: unknown): boolean {
    if (!this.#settle()) {
      return false;
    }
    if (this.#reject !== null) this.#reject(error);
    else this.#resolve!(new Rejection(error) as never);
    this.#resolve = null;
    this.#reject = null;
    if (error instanceof Cancelled) {
      ignoreRejection(this.#promise!);
    }
    return true;
  }

  /** Asks the owner to give the waiter up for `error`, as cancellation does. False where it was settled or asked before. */
  abort(error: unknown): boolean {
    if ((this.#state & (SETTLED | ASKED)) !== 0) {
      return false;
    }
    this.#state |= ASKED;
    unlinkWaiter(this);
    if (this.owner.onAbort(this, error)) {
      this.reject(error);
    }
    return true;
  }

  /** @internal */
  cancelledBy(error: Cancelled): void {
    this.abort(error);
  }

  /** @internal */
  onSignal(reason: unknown): void {
    this.abort(reason);
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
    unlinkWaiter(this);
    if ((this.#state & HAS_SIGNAL) !== 0) {
      signalLinks.get(this)?.remove();
      signalLinks.delete(this);
    }
    this.#state |= SETTLED | ASKED;
    return true;
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

/** Only waiters with a signal have one, so the others need no field for it. */
const signalLinks = new WeakMap<DeadlineEntry, SignalLink>();

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
