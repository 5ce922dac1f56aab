/**
 * One request that a Responder answers: its scope, its handler's result, and the credit of its stream. Owned by responder.ts, which is told the
 * ending through JobEnds, exactly once, unless it ended the job itself (`stop`).
 */
import { ResponderError, TimeoutError } from '../errors.js';
import { callIn, type ScopeNode } from '../scope/scope-tree.js';
import { TracedScope } from '../scope/traced-scope.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';
import { type HandlerEnd, handlerEnds } from './diagnostics.js';
import type { CorrelationId, Envelope } from './envelope.js';
import type { Handler, HandlerContext } from './responder.js';

export interface JobEnds {
  /** The handler has ended, whatever became of the answer. Comes last. */
  finished(job: Job): void;
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
  /** Undefined where nobody hears of ends. */
  readonly #arrivedAt = handlerEnds.hasSubscribers ? performance.now() : undefined;

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

  /** Calls the handler. A result that is there at once is sent at once, without a promise; `finished` may be called before this returns. */
  run(parent: ScopeNode | null, handler: Handler): void {
    const { traceparent, deadline } = this.envelope;
    const scope = new TracedScope(traceparent, deadline === Number.POSITIVE_INFINITY ? undefined : { deadline });
    this.#scope = scope;
    scope.enter(parent);
    // Not even begun when it has waited too long.
    if (scope.effective === null) {
      try {
        const context = new JobContext(this.envelope, scope);
        const result = callIn(scope, handler, this.envelope, context);
        if (isThenable(result) || isStream(result)) {
          void this.#awaitResult(result, scope, context);
          return;
        }
        if (!this.#over) this.#reply(result);
      } catch (error) {
        this.#fail(error, scope);
      }
    }
    this.#finish(scope);
  }

  async #awaitResult(pending: unknown, scope: TracedScope, context: HandlerContext): Promise<void> {
    try {
      const result = await pending;
      if (isStream(result)) await callIn(scope, this.#answerStream, result, context);
      else if (!this.#over) this.#reply(result);
    } catch (error) {
      this.#fail(error, scope);
    }
    this.#finish(scope);
  }

  #fail(error: unknown, scope: TracedScope): void {
    if (!this.#over && scope.effective === null) this.#end(() => this.#ends.failed(this, error));
  }

  #finish(scope: TracedScope): void {
    scope.exit();
    if (!this.#over) this.#endCancelled(scope);
    this.#ends.finished(this);
  }

  /** Ends it without an answer. */
  stop(reason: Error): void {
    this.#over = true;
    this.#scope?.cancel(reason);
  }

  /** What is told of its end. */
  endFor(subject: string, outcome: HandlerEnd['outcome'], error: unknown): HandlerEnd {
    const scope = this.#scope ?? new TracedScope(this.envelope.traceparent);
    const { traceparent } = scope;
    return {
      subject,
      kind: this.envelope.kind as HandlerEnd['kind'],
      outcome,
      traceId: traceparent.slice(3, 35),
      traceparent,
      durationMs: this.#arrivedAt === undefined ? undefined : performance.now() - this.#arrivedAt,
      error,
    };
  }

  addCredit(count: number): void {
    this.#credit += count;
    this.#creditWaiter?.resolve();
  }

  readonly #answerStream = async (
    parts: AsyncIterable<unknown> | Iterable<unknown>,
    context: HandlerContext,
  ): Promise<void> => {
    if (context.stream) {
      await this.#sendParts(parts);
      return;
    }
    await (parts as Partial<AsyncIterator<unknown>>).return?.();
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
  readonly scope: TracedScope;

  constructor(envelope: Envelope, scope: TracedScope) {
    this.#envelope = envelope;
    this.scope = scope;
  }

  get traceparent(): string {
    return this.scope.traceparent;
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

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
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
