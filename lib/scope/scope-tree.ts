/**
 * The tree of cancel scopes, without the public face (cancel-scope.ts): which scope code runs in, which scopes are cancelled, and the
 * waiters that a cancellation reaches. A scope is *effectively* cancelled when it was cancelled itself, or its parent is and it is no
 * shield. This is state, not an event: whoever starts to wait in such a scope is refused, each time.
 *
 * Cancelling visits the waiters and scopes below the cancelled one, nothing else.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Cancelled } from '../errors.js';
import { DeadlineEntry, type Deadlines, realDeadlines } from './deadlines.js';

/** What hangs in a scope's list of waiters; also the list's sentinel. */
export interface ScopeLink {
  scopePrev: ScopeLink | null;
  scopeNext: ScopeLink | null;
}

/** What a scope knows of a waiter. */
export interface Cancellable extends ScopeLink {
  /** Called once at most, after the waiter has left the scope's list. Must not throw. */
  cancelledBy(error: Cancelled): void;
}

class Sentinel implements ScopeLink {
  scopePrev: ScopeLink = this;
  scopeNext: ScopeLink = this;
}

/** Which scope an error comes from. Outside the class, for errors.ts stands below this module. */
const origins = new WeakMap<Cancelled, ScopeNode>();

/** @internal */
export class ScopeNode extends DeadlineEntry {
  parent: ScopeNode | null = null;
  timers: Deadlines = realDeadlines;
  phase: 'new' | 'entered' | 'exited' = 'new';
  isShield = false;
  /** The error of this scope's own cancellation. */
  ownError: Cancelled | null = null;
  /** The error that waiters get, while the scope is effectively cancelled. */
  effective: Cancelled | null = null;
  /** The signal's controller, once somebody asked for it. */
  controller: AbortController | null = null;
  #waiters: Sentinel | null = null;
  #firstChild: ScopeNode | null = null;
  #prevSibling: ScopeNode | null = null;
  #nextSibling: ScopeNode | null = null;

  /** Places the scope below `parent`; where that is cancelled, so is this one from now on. */
  attach(parent: ScopeNode | null): void {
    this.parent = parent;
    if (parent !== null) {
      this.#nextSibling = parent.#firstChild;
      if (parent.#firstChild !== null) {
        parent.#firstChild.#prevSibling = this;
      }
      parent.#firstChild = this;
    }
    this.refresh();
  }

  detach(): void {
    const { parent } = this;
    if (parent !== null) {
      if (this.#prevSibling !== null) {
        this.#prevSibling.#nextSibling = this.#nextSibling;
      } else if (parent.#firstChild === this) {
        parent.#firstChild = this.#nextSibling;
      }
      if (this.#nextSibling !== null) {
        this.#nextSibling.#prevSibling = this.#prevSibling;
      }
      this.#prevSibling = null;
      this.#nextSibling = null;
    }
  }

  /** What still waits here (work that nobody awaited) belongs to the parent from now on. `parent` itself stays known. */
  handOver(): void {
    const { parent } = this;
    if (parent === null) {
      return;
    }
    for (let child = this.#firstChild; child !== null; child = this.#firstChild) {
      child.detach();
      child.attach(parent);
    }
    const list = this.#waiters;
    if (list === null || list.scopeNext === list) {
      return;
    }
    if (parent.effective !== null) {
      this.#cancelWaiters(parent.effective);
      return;
    }
    const target = parent.#list();
    const first = list.scopeNext;
    const last = list.scopePrev;
    first.scopePrev = target.scopePrev;
    target.scopePrev.scopeNext = first;
    last.scopeNext = target;
    target.scopePrev = last;
    list.scopePrev = list;
    list.scopeNext = list;
  }

  addWaiter(waiter: Cancellable): void {
    const list = this.#list();
    const last = list.scopePrev;
    waiter.scopePrev = last;
    waiter.scopeNext = list;
    last.scopeNext = waiter;
    list.scopePrev = waiter;
  }

  /** Cancels for good. False where it was cancelled already: the first reason stays. */
  cancelWith(error: Cancelled): boolean {
    if (this.ownError !== null) {
      return false;
    }
    origins.set(error, this);
    this.ownError = error;
    this.timers.remove(this);
    this.refresh();
    return true;
  }

  /** Brings `effective` up to date here and below, and wakes who waits where it became set. */
  refresh(): void {
    let signals: ScopeNode[] | null = null;
    const stack: ScopeNode[] = [this];
    for (let scope = stack.pop(); scope !== undefined; scope = stack.pop()) {
      const error = scope.ownError ?? (scope.isShield ? null : (scope.parent?.effective ?? null));
      if ((error === null) === (scope.effective === null)) {
        continue;
      }
      scope.effective = error;
      if (error !== null) {
        scope.#cancelWaiters(error);
        if (scope.controller !== null) {
          signals ??= [];
          signals.push(scope);
        }
      }
      for (let child = scope.#firstChild; child !== null; child = child.#nextSibling) {
        stack.push(child);
      }
    }
    // Last, for these run the listeners, which may do anything to the tree.
    for (const scope of signals ?? []) {
      if (scope.effective !== null) {
        scope.controller?.abort(scope.effective);
      }
    }
  }

  /** A cancellation comes from outside and is no concern of this scope's. */
  get parentCancelled(): boolean {
    return !this.isShield && this.parent !== null && this.parent.effective !== null;
  }

  /** Whether a Cancelled comes from the line of this scope, and not from work of another scope that was awaited here. */
  isOnLineOf(error: Cancelled): boolean {
    const origin = origins.get(error);
    return origin !== undefined && (isWithin(origin, this) || isWithin(this, origin));
  }

  #list(): Sentinel {
    this.#waiters ??= new Sentinel();
    return this.#waiters;
  }

  #cancelWaiters(error: Cancelled): void {
    const list = this.#waiters;
    if (list === null) {
      return;
    }
    for (let link = list.scopeNext; link !== list; link = list.scopeNext) {
      unlinkWaiter(link);
      (link as Cancellable).cancelledBy(error);
    }
  }
}

function isWithin(inner: ScopeNode, outer: ScopeNode): boolean {
  for (let scope: ScopeNode | null = inner; scope !== null; scope = scope.parent) {
    if (scope === outer) {
      return true;
    }
  }
  return false;
}

/** Does nothing for one that is in no list. */
export function unlinkWaiter(link: ScopeLink): void {
  const { scopePrev, scopeNext } = link;
  if (scopePrev !== null && scopeNext !== null) {
    scopePrev.scopeNext = scopeNext;
    scopeNext.scopePrev = scopePrev;
    link.scopePrev = null;
    link.scopeNext = null;
  }
}

const storage = new AsyncLocalStorage<ScopeNode | null>();

let scopeOfThread: (() => ScopeNode | null) | null = null;

/** @internal What code is in that has entered no scope of its own. A runner's worker gives the scope of the task that it runs. */
export function provideScopeOfThread(scope: () => ScopeNode | null): void {
  scopeOfThread = scope;
}

/** The scope that the running code is in, or null. */
export function activeScope(): ScopeNode | null {
  return liveScope(storage.getStore() ?? scopeOfThread?.() ?? null);
}

/**
 * Which scope work in `scope` counts to. What outlived an exited one (a promise that nobody awaited) counts to the next above, except that
 * a cancelled scope stays cancelled for it.
 */
export function liveScope(scope: ScopeNode | null): ScopeNode | null {
  let live = scope;
  while (live !== null && live.phase === 'exited' && live.effective === null) {
    live = live.parent;
  }
  return live;
}

/** Calls `fn` with `scope` as the current one, in it and in everything that it starts. */
export function callIn<A extends unknown[], R>(scope: ScopeNode | null, fn: (...args: A) => R, ...args: A): R {
  return storage.run(scope, fn, ...args);
}

/** Whether the running code is in `scope`, and in none within it: `callIn` would change nothing. */
export function isInnermost(scope: ScopeNode): boolean {
  return storage.getStore() === scope;
}

/** The wheel of the clock that the running code is under. */
export function activeDeadlines(): Deadlines {
  return storage.getStore()?.timers ?? realDeadlines;
}

/** The present, in ms: performance.now(), or the virtual clock's time in a test that runs under one. Deadlines are such instants. */
export function currentTime(): number {
  return activeDeadlines().now();
}
