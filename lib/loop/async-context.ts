/**
 * The async context of a call, taken only where there is one. Of a million timers most are armed where no AsyncLocalStorage has a value and no hook of
 * async_hooks listens; an AsyncResource each would be most of what they cost, and would keep nothing.
 *
 * What node offers for it: an AsyncResource holds the context (node 24, in a property), or lets the hooks store it (node 20 and 22, without the option for the
 * former). Whether there are hooks is told by a type that is refused, ERR_ASYNC_TYPE, only where they would see it. Where a resource looks like neither
 * way that is known, every call takes its context.
 */
import { AsyncResource } from 'node:async_hooks';

/** `emitDestroy` is called by us, so that garbage collection need not be watched. */
export const MANUAL_DESTROY = { requireManualDestroy: true };

/** With a trigger, so that node need not look for it. */
const PROBE = { requireManualDestroy: true, triggerAsyncId: 0 };

/** So many calls later it is asked again whether there still are hooks. */
const HOOKED_CALLS = 1024;

const properties = Object.getOwnPropertySymbols(new AsyncResource('GammaloopProbe', MANUAL_DESTROY));
const frameProperty = properties.find((symbol) => symbol.description === 'context_frame');
const isKnown = properties.length === (frameProperty === undefined ? 2 : 3);

/** Calls that are not asked whether there are hooks: there were some a moment ago. Endless where a resource looks like neither way. */
let hookedCalls = isKnown ? 0 : Number.POSITIVE_INFINITY;

/** False: nothing would see that the call's context is not kept. */
export function hasContext(): boolean {
  if (hookedCalls > 0) {
    hookedCalls--;
    return true;
  }
  try {
    // Goes nowhere, so that optimized code does not allocate it.
    return isInContext(new AsyncResource('', PROBE));
  } catch {
    hookedCalls = HOOKED_CALLS;
    return true;
  }
}

function isInContext(probe: AsyncResource): boolean {
  if (frameProperty !== undefined && (probe as unknown as Record<symbol, unknown>)[frameProperty] !== undefined) {
    return true;
  }
  if (emptyContext === null) emptyContext = new AsyncResource('GammaloopTimers', MANUAL_DESTROY);
  return false;
}

let emptyContext: AsyncResource | null = null;

/** For what was handed over where hasContext() was false: calls as if from there. */
export function callWithoutContext<A extends unknown[]>(callback: (...args: A) => unknown, ...args: A): void {
  (emptyContext as AsyncResource).runInAsyncScope(callback as () => unknown, undefined, ...(args as unknown as []));
}
