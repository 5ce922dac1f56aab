/** ctx.scope: the cancel scope of one request, for handlers that wait by gammaloop/scope. */

import { AbortedError } from '../errors.js';
import { onExchangeAbort } from '../http/abort.js';
import type { Exchange } from '../http/exchange.js';
import type { CancelScope } from '../scope/cancel-scope.js';
import { TracedScope } from '../scope/traced-scope.js';

/**
 * Cancelled when `request.signal` aborts, with the same reason. `run` passes Cancelled on, for there is no value to go on with: the handler
 * rejects with it, which is not reported, as the request is over.
 */
export class RequestScope extends TracedScope {
  readonly #announced: number;

  /** `deadline`: that of the handler, which the backend enforces, and those whom the handler asks should know. */
  constructor(exchange: Exchange, deadline: number | null, traceparent: string) {
    super(traceparent);
    this.#announced = deadline ?? Number.POSITIVE_INFINITY;
    onExchangeAbort(exchange, (reason) => this.cancel(new AbortedError(reason)));
  }

  /** The earlier one of timeouts.handler and what was set here. Only the latter is this scope's own to keep. */
  override get deadline(): number {
    return Math.min(this.#announced, super.deadline);
  }

  override set deadline(at: number) {
    super.deadline = at;
  }

  override async run<T>(fn: (scope: CancelScope) => T | PromiseLike<T>): Promise<T> {
    const value = await super.run(fn);
    if (this.cancelledCaught) {
      throw this.ownError;
    }
    return value as T;
  }
}
