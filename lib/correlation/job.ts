/**
 * One request that a Responder answers: its scope, its handler's result, and the credit of its stream. Owned by responder.ts, which is told the
 * ending through JobEnds, exactly once, unless it ended the job itself (`stop`).
 */
import { ResponderError, TimeoutError } from '../errors.js';
import type { CancelScope } from '../scope/cancel-scope.js';
import { callIn, type ScopeNode } from '../scope/scope-tree.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';
import type { CorrelationId, Envelope } from './envelope.js';
import type { Handler, HandlerContext } from './responder.js';
import { newTraceparent, parseTraceparent } from './trace-context.js';
import { TracedScope } from './traced-scope.js';

export interface JobEnds {
  part(job: Job, payload: unknown, count: number): void;
  replied(job: Job, payload: unknown): void;
  streamed(job: Job, count: number): void;
  failed(job: Job, error: unknown): void;
  expired(job: Job): void;
  /** The scope that the responder was made in was cancelled. */
  surroundingsCancelled(job: Job): void;
}

export class Job {
  readonly envelope: Envelope;
  /** Names it among those of one inbox. */
  readonly key: CorrelationId;
  readonly #ends: JobEnds;
  #scope: TracedScope | null = null;
  #over = false;
  #credit: number;
  #creditWaiter: Waiter<void> | null = null;

  constructor(envelope: Envelope, key: CorrelationId, ends: JobEnds) {
    this.envelope = envelope;
    this.key = key;
    this.#ends = ends;
    this.#credit = envelope.count;
  }

  get started(): boolean {
    return this.#scope !== null;
  }

  /** Nobody waits for the answer any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Resolves when the handler has ended, whatever became of it. */
  async run(parent: ScopeNode | null, handler: Handler): Promise<void> {
    const { traceparent, deadline } = this.envelope;
    const valid = parseTraceparent(traceparent) === null ? newTraceparent() : (traceparent as string);
    const scope = new TracedScope(valid, deadline === Number.POSITIVE_INFINITY ? undefined : { deadline });
    this.#scope = scope;
    scope.enter(parent);
    try {
      // Not even begun when it has waited too long.
      if (scope.effective === null) await callIn(scope, this.#answer, handler, scope);
    } catch (error) {
      if (!this.#over && scope.effective === null) this.#end(() => this.#ends.failed(this, error));
    } finally {
      scope.exit();
      if (!this.#over) this.#endCancelled(scope);
    }
  }

  /** Ends it without an answer. */
  stop(reason: Error): void {
    this.#over = true;
    this.#scope?.cancel(reason);
  }

  addCredit(count: number): void {
    this.#credit += count;
    this.#creditWaiter?.resolve();
  }

  readonly #answer = async (handler: Handler, scope: TracedScope): Promise<void> => {
    const context = new JobContext(this.envelope, scope);
    const result = await handler(this.envelope, context);
    if (!isStream(result)) {
      if (!this.#over) this.#reply(result);
      return;
    }
    if (context.stream) {
      await this.#sendParts(result);
      return;
    }
    await (result as Partial<AsyncIterator<unknown>>).return?.();
    throw new ResponderError(
      'ERR_GAMMALOOP_RESPONDER_KIND',
      `'${this.envelope.subject}' answers with a stream; ask with requester.stream`,
    );
  };

  #reply(result: unknown): void {
    if (this.envelope.kind === 'request') {
      this.#end(() => this.#ends.replied(this, result));
      return;
    }
    // A stream of one part, or of none.
    const count = result === undefined ? 0 : 1;
    if (count === 1) this.#ends.part(this, result, 0);
    this.#end(() => this.#ends.streamed(this, count));
  }

  /** Leaving the loop early, by cancellation, ends the iterable as well. */
  async #sendParts(parts: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
    let count = 0;
    for await (const part of parts) {
      if (this.#credit === 0) await this.#waitForCredit();
      if (this.#over) {
        return;
      }
      this.#credit--;
      this.#ends.part(this, part, count++);
    }
    if (!this.#over) this.#end(() => this.#ends.streamed(this, count));
  }

  async #waitForCredit(): Promise<void> {
    const waiter = new Waiter<void>(CREDIT);
    const parked = waiter.park();
    this.#creditWaiter = waiter;
    await parked;
    this.#creditWaiter = null;
  }

  #end(tell: () => void): void {
    this.#over = true;
    tell();
  }

  #endCancelled(scope: TracedScope): void {
    const outOfTime = scope.cancelled && scope.reason instanceof TimeoutError;
    this.#end(() => (outOfTime ? this.#ends.expired(this) : this.#ends.surroundingsCancelled(this)));
  }
}

const CREDIT: WaiterOwner<void> = { onAbort: () => true };

class JobContext implements HandlerContext {
  readonly #envelope: Envelope;
  readonly scope: CancelScope;
  readonly traceparent: string;

  constructor(envelope: Envelope, scope: TracedScope) {
    this.#envelope = envelope;
    this.scope = scope;
    this.traceparent = scope.traceparent;
  }

  get signal(): AbortSignal {
    return this.scope.signal;
  }

  get deadline(): number {
    return this.scope.deadline;
  }

  get traceId(): string {
    return this.traceparent.slice(3, 35);
  }

  get stream(): boolean {
    return this.#envelope.kind === 'stream';
  }
}

/** What is sent part by part: async iterables, and generators. Arrays, strings and Maps are values. */
function isStream(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  return (
    Symbol.asyncIterator in value ||
    (Symbol.iterator in value && typeof (value as { next?: unknown }).next === 'function')
  );
}
