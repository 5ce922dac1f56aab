/**
 * The parts of one streamed reply, as an async iterator. At most `window` parts are under way or lie here: the responder sends as many as it has
 * credit for, and gets more when the consumer has taken half of them.
 *
 * What the responder sent arrives before its error or end. What ends the stream on this side (deadline, cancellation, `close`) ends it at once.
 */
import { StreamGapError } from '../errors.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';
import type { Envelope } from './envelope.js';
import { withCallerStack } from './stacks.js';

/** The requester, as the stream sees it. */
export interface StreamEnds {
  credit(id: number, responder: string, count: number): void;
  giveUp(id: number, reason: unknown): void;
}

type Result<T> = IteratorResult<T, undefined>;

export class ReplyStream<T = unknown> implements AsyncIterableIterator<T, undefined> {
  readonly window: number;
  /** The name of the responder that was asked. */
  subject = '';
  /** Where credit and cancellation go, once the first part has come. */
  responder: string | undefined;
  /** Parts that have come. */
  received = 0;
  readonly #ends: StreamEnds;
  #id = 0;
  #parts: T[] = [];
  /** Index of the next part in #parts. */
  #next = 0;
  /** Taken by the consumer since the last credit. */
  #taken = 0;
  #state: 'open' | 'ended' | 'failed' = 'open';
  #error: unknown;
  #waiting: Waiter<Result<T>>[] = [];

  /** @internal Made by `requester.stream`. */
  constructor(window: number, ends: StreamEnds) {
    this.window = window;
    this.#ends = ends;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Result<T>> {
    if (this.#next < this.#parts.length && this.#waiting.length === 0) {
      return { value: this.#takePart(), done: false };
    }
    if (this.#state === 'failed') {
      const error = this.#error;
      // Once; afterwards the iterator is done, as generators are.
      this.#state = 'ended';
      throw withCallerStack(error);
    }
    if (this.#state === 'ended') {
      return DONE;
    }
    const waiter = new Waiter<Result<T>>(this.#owner);
    const parked = waiter.park();
    if (!waiter.settled) this.#waiting.push(waiter);
    try {
      return await parked;
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** The consumer wants no more: the responder is told. */
  async return(): Promise<Result<T>> {
    if (this.#state === 'open') this.#ends.giveUp(this.#id, undefined);
    this.#finish('ended');
    return DONE;
  }

  async throw(error: unknown): Promise<Result<T>> {
    if (this.#state === 'open') this.#ends.giveUp(this.#id, error);
    this.#finish('ended');
    throw error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal */
  opened(id: number, subject: string): void {
    this.#id = id;
    this.subject = subject;
  }

  /** @internal A part: true if it is the next one, or one that has come already; false if there is a gap. */
  part(envelope: Envelope): boolean {
    if (envelope.count !== this.received) {
      return envelope.count < this.received;
    }
    this.received++;
    this.responder ??= envelope.replyTo;
    this.#parts.push(envelope.payload as T);
    this.#serve();
    return true;
  }

  /** @internal */
  gap(count: number): StreamGapError {
    return new StreamGapError(`Parts ${this.received} to ${count - 1} of the stream from '${this.subject}' were lost`);
  }

  /** @internal The responder has sent all. */
  end(): void {
    this.#state = 'ended';
    this.#serve();
  }

  /** @internal The responder failed, after what it has sent. */
  fail(error: unknown): void {
    this.#state = 'failed';
    this.#error = error;
    this.#serve();
  }

  /** @internal Ended from this side. */
  abandon(error: unknown): void {
    if (this.#state !== 'open') {
      return;
    }
    this.#error = error;
    this.#finish('failed');
  }

  #finish(state: 'ended' | 'failed'): void {
    this.#state = state;
    this.#parts = [];
    this.#next = 0;
    this.#serve();
  }

  /** Gives those who wait what there is. */
  #serve(): void {
    while (this.#waiting.length > 0) {
      const hasPart = this.#next < this.#parts.length;
      if (!hasPart && this.#state === 'open') {
        return;
      }
      const waiter = this.#waiting.shift() as Waiter<Result<T>>;
      if (hasPart) {
        waiter.resolve({ value: this.#takePart(), done: false });
      } else if (this.#state === 'failed') {
        this.#state = 'ended';
        waiter.reject(this.#error);
      } else {
        waiter.resolve(DONE);
      }
    }
  }

  #takePart(): T {
    const part = this.#parts[this.#next] as T;
    this.#parts[this.#next++] = undefined as T;
    if (this.#next === this.#parts.length) {
      this.#parts = [];
      this.#next = 0;
    }
    this.#taken++;
    if (this.#taken * 2 >= this.window && this.#state === 'open' && this.responder !== undefined) {
      this.#ends.credit(this.#id, this.responder, this.#taken);
      this.#taken = 0;
    }
    return part;
  }

  /** A `next` that is cancelled takes no part; the stream goes on. */
  readonly #owner: WaiterOwner<Result<T>> = {
    onAbort: (waiter) => {
      this.#waiting = this.#waiting.filter((other) => other !== waiter);
      return true;
    },
  };
}

const DONE: Result<never> = Object.freeze({ value: undefined, done: true });
