/**
 * The trace of the running code. It hangs in the tree of cancel scopes, so that it travels as they do and needs no AsyncLocalStorage of its
 * own: whoever takes a message in (a Responder, a server) runs the work in a TracedScope.
 */
import { CancelScope, type CancelScopeOptions } from '../scope/cancel-scope.js';
import { activeScope } from '../scope/scope-tree.js';

export class TracedScope extends CancelScope {
  /** Of the message that the work is for. What is sent from here continues it. */
  readonly traceparent: string;

  constructor(traceparent: string, options?: CancelScopeOptions) {
    super(options);
    this.traceparent = traceparent;
  }
}

/** The traceparent of the innermost TracedScope around the running code. */
export function currentTraceparent(): string | undefined {
  for (let scope = activeScope(); scope !== null; scope = scope.parent) {
    if (scope instanceof TracedScope) {
      return scope.traceparent;
    }
  }
  return undefined;
}
