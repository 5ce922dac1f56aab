/**
 * The trace of the running code. It hangs in the tree of cancel scopes, so that it travels as they do and needs no AsyncLocalStorage of its
 * own: whoever takes a message in (a Responder, a server) runs the work in a TracedScope.
 */
import { CancelScope, type CancelScopeOptions } from './cancel-scope.js';
import { activeScope, type ScopeNode } from './scope-tree.js';
import { newTraceparent, parseTraceparent } from './trace-context.js';

export class TracedScope extends CancelScope {
  readonly #received: unknown;
  #traceparent: string | null = null;

  /** `traceparent`: as it came with the message. Where it is missing or not valid, a new trace begins. */
  constructor(traceparent: unknown, options?: CancelScopeOptions) {
    super(options);
    this.#received = traceparent;
  }

  /** Of the message that the work is for. What is sent from here continues it. Looked at when first asked for. */
  get traceparent(): string {
    this.#traceparent ??= parseTraceparent(this.#received) === null ? newTraceparent() : (this.#received as string);
    return this.#traceparent;
  }
}

/** The traceparent of the innermost TracedScope around the running code. */
export function currentTraceparent(): string | undefined {
  return traceparentAround(activeScope());
}

/** @internal The same for work in the scope `innermost`. */
export function traceparentAround(innermost: ScopeNode | null): string | undefined {
  for (let scope = innermost; scope !== null; scope = scope.parent) {
    if (scope instanceof TracedScope) {
      return scope.traceparent;
    }
  }
  return undefined;
}
