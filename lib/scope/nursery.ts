/**
 * Nurseries as Trio has them: a block that children can't outlive. The first error cancels the siblings; all are awaited; then the errors
 * come out together. The nursery's own cancellation ends here, one from outside passes on.
 */
import { Cancelled, NurseryError, ScopeError } from '../errors.js';
import { CancelScope, type CancelScopeOptions, cancellationIn } from './cancel-scope.js';
import { activeScope, callIn, isInnermost, type ScopeNode } from './scope-tree.js';
import { ignoreRejection, Waiter } from './waiter.js';

export interface NurseryOptions extends CancelScopeOptions {
  /** An error that is alone comes as a NurseryError too, never as itself. */
  strict?: boolean;
}

/** A child of `startSoon`. Its argument is the nursery's scope: `async ({ signal }) => ...`. */
export type ChildFunction = (scope: CancelScope) => unknown;

/** A child of `start`: has a scope of its own, and calls `ready` once it has started. */
export type StartingFunction<V> = (scope: CancelScope, ready: (value: V) => void) => unknown;

/** Ends by itself: once cancelled, the children stop and the wait is over. */
const joinOwner = { onAbort: (): boolean => false };

export class Nursery {
  /** The scope of the body and of all children. */
  readonly cancelScope: CancelScope;
  readonly #strict: boolean;
  /** Children, and the body while it runs. */
  #running = 1;
  #starting = 0;
  #closed = false;
  readonly #errors: unknown[] = [];
  /** One stands for all children that were cancelled. */
  #cancelled: unknown = null;
  #join: Waiter<void> | null = null;
  /** Children start in its reactions, so not before the code that starts them waits. */
  readonly #soon = Promise.resolve();
  readonly #onDone = (): void => this.#leave();
  readonly #onError = (error: unknown): void => {
    this.#addError(error);
    this.#leave();
  };

  /** @internal */
  constructor(scope: CancelScope, strict: boolean) {
    this.cancelScope = scope;
    this.#strict = strict;
  }

  /** Starts a child in the background; it first runs when the caller waits. An error of it cancels the nursery. */
  startSoon(fn: ChildFunction): void {
    this.#checkOpen();
    this.#running++;
    // The caller's AsyncLocalStorage contexts go with the child; only the scope is the nursery's. The body is there already.
    if (isInnermost(this.cancelScope)) this.#startLater(fn);
    else callIn(this.cancelScope, this.#startLater, fn);
  }

  /**
   * Starts a child and waits until it calls `ready(value)`, with the value. Until then the child belongs to the caller: the caller's scope
   * cancels it, and an error of it comes out here. From `ready` on it is a child of the nursery like any other.
   */
  start<V = void>(fn: StartingFunction<V>): Promise<V> {
    try {
      this.#checkOpen();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#starting++;
    const starting = new Starting<V>(this.cancelScope, activeScope(), {
      moved: () => this.#running++,
      settled: () => {
        this.#starting--;
        this.#checkClosed();
      },
      done: this.#onDone,
      failed: this.#onError,
    });
    return starting.run(fn);
  }

  /** @internal Runs the body, waits for the children, and ends the scope. */
  async run<T>(fn: (nursery: Nursery) => T | PromiseLike<T>): Promise<T | undefined> {
    this.cancelScope.enter(activeScope());
    let value: T | undefined;
    try {
      value = await callIn(this.cancelScope, fn, this);
    } catch (error) {
      this.#addError(error);
    }
    this.#leave();
    if (!this.#closed) {
      this.#join = new Waiter<void>(joinOwner);
      await this.#join.park(null);
    }
    const error = this.#combinedError();
    if (error === null) {
      this.cancelScope.exit();
    } else {
      this.cancelScope.exitWith(error);
    }
    return value;
  }

  readonly #startLater = (fn: ChildFunction): void => {
    void this.#soon.then(() => {
      try {
        const result = fn(this.cancelScope);
        Promise.resolve(result).then(this.#onDone, this.#onError);
      } catch (error) {
        this.#onError(error);
      }
    });
  };

  #checkOpen(): void {
    if (this.#closed) {
      throw new ScopeError(
        'ERR_GAMMALOOP_NURSERY_CLOSED',
        'The nursery has ended; start children before its block is left',
      );
    }
  }

  #leave(): void {
    this.#running--;
    this.#checkClosed();
  }

  #checkClosed(): void {
    if (this.#running === 0 && this.#starting === 0) {
      this.#closed = true;
      this.#join?.resolve();
    }
  }

  #addError(error: unknown): void {
    // As a rule all children end with the same one.
    if (error === this.#cancelled) {
      return;
    }
    const cancellation = cancellationIn(error);
    if (cancellation !== null && this.cancelScope.isOnLineOf(cancellation)) {
      this.#cancelled ??= error;
    } else {
      this.#errors.push(error);
    }
    if (this.cancelScope.ownError === null) {
      const text = error instanceof Error ? error.message : String(error);
      this.cancelScope.cancelWith(
        new Cancelled(`The nursery was cancelled, for one of its tasks ended with an error: ${text}`, error),
      );
    }
  }

  #combinedError(): unknown {
    if (this.#errors.length === 0) {
      return this.#cancelled;
    }
    const all = this.#cancelled === null ? this.#errors : [...this.#errors, this.#cancelled];
    return all.length === 1 && !this.#strict ? all[0] : new NurseryError(all, this.#strict);
  }
}

/** What a starting child tells its nursery. */
interface StartEvents {
  /** It counts to the nursery's children from now on; `done` or `failed` comes at its end. */
  moved(): void;
  /** Who called `start` has the result. */
  settled(): void;
  done(): void;
  failed(error: unknown): void;
}

/** A child between `start` and `ready`: its scope hangs below the caller's, then below the nursery's. */
class Starting<V> {
  readonly #waiter = new Waiter<V>(joinOwner);
  readonly #scope = new CancelScope();
  readonly #nurseryScope: CancelScope;
  readonly #events: StartEvents;
  #ready: { value: V } | null = null;
  #moved = false;

  constructor(nurseryScope: CancelScope, caller: ScopeNode | null, events: StartEvents) {
    this.#nurseryScope = nurseryScope;
    this.#events = events;
    this.#scope.enter(caller);
  }

  run(fn: StartingFunction<V>): Promise<V> {
    const promise = this.#waiter.park(null);
    const failed = (error: unknown): void => {
      try {
        this.#scope.exitWith(error);
      } catch (rest) {
        if (this.#moved) {
          this.#events.failed(rest);
          return;
        }
        if (rest instanceof Cancelled) {
          ignoreRejection(promise);
        }
        this.#waiter.reject(rest);
        this.#events.settled();
        return;
      }
      this.#ended();
    };
    try {
      Promise.resolve(callIn(this.#scope, fn, this.#scope, this.#becomeReady)).then(() => {
        this.#scope.exit();
        this.#ended();
      }, failed);
    } catch (error) {
      failed(error);
    }
    return promise;
  }

  #ended(): void {
    if (this.#moved) {
      this.#events.done();
      return;
    }
    if (this.#ready !== null) {
      this.#waiter.resolve(this.#ready.value);
    } else {
      this.#waiter.reject(
        new ScopeError('ERR_GAMMALOOP_NOT_READY', 'The child of nursery.start ended without calling ready()'),
      );
    }
    this.#events.settled();
  }

  readonly #becomeReady = (value: V): void => {
    if (this.#ready !== null) {
      throw new ScopeError(
        'ERR_GAMMALOOP_READY_TWICE',
        'ready() was called twice; the first call has started the child',
      );
    }
    this.#ready = { value };
    // A child that is being cancelled ends where it is: the nursery has no part in that cancellation and could not absorb it.
    if (this.#scope.phase === 'entered' && this.#scope.effective === null) {
      this.#moved = true;
      this.#events.moved();
      this.#scope.detach();
      this.#scope.attach(this.#nurseryScope);
      this.#waiter.resolve(value);
      this.#events.settled();
    }
  };
}

/**
 * Runs `fn` with a nursery, and ends when it and all children have ended. Gives what `fn` returned; undefined where that was stopped by the
 * nursery's own cancellation. Several errors come as one NurseryError (an AggregateError), one alone as itself.
 */
export async function openNursery<T>(
  fn: (nursery: Nursery) => T | PromiseLike<T>,
  options: NurseryOptions = {},
): Promise<T | undefined> {
  const { strict = false, ...scopeOptions } = options;
  return new Nursery(new CancelScope(scopeOptions), strict).run(fn);
}
