/**
 * Answers what is asked under one subject: calls the handler in a scope of its own, with the deadline that came with the request, and sends what it
 * returns. An async iterable (or generator) answers a `stream`, part by part, as fast as the other side gives credit.
 *
 * Handlers belong to the scope in which the Responder was made: when that is cancelled, so are they.
 * A handler that takes no notice of its cancellation goes on, and keeps its place among `concurrency`, until it ends: nothing can stop it.
 */
import { OptionError, ResponderError, TimeoutError } from '../errors.js';
import type { CancelScope } from '../scope/cancel-scope.js';
import { activeDeadlines, activeScope, liveScope, type ScopeNode } from '../scope/scope-tree.js';
import { newParentId } from '../scope/trace-context.js';
import { Waiter } from '../scope/waiter.js';
import { type HandlerEnd, handlerEnds } from './diagnostics.js';
import { type CorrelationId, controlSubject, createEnvelope, type Envelope } from './envelope.js';
import { Job, type JobEnds } from './job.js';
import type { Outcome, Port } from './port.js';
import { decodeError, encodeError } from './wire-error.js';

export interface HandlerContext {
  /** Aborted when the requester gives up, the deadline passes, or the responder is closed. Made when first asked for. */
  readonly signal: AbortSignal;
  /** Instant of `performance.now()` at which nobody waits any more; Infinity for none. */
  readonly deadline: number;
  readonly traceId: string;
  readonly traceparent: string;
  readonly scope: CancelScope;
  /** Whether parts were asked for, or one reply. */
  readonly stream: boolean;
}

export type Handler = (message: Envelope, context: HandlerContext) => unknown;

export interface ResponderOptions {
  /** Handlers that run at a time. Default 64; Infinity for no limit. */
  concurrency?: number;
  /** Requests that wait for their turn. Default 1024; one more is answered with ERR_GAMMALOOP_RESPONDER_BUSY. */
  queue?: number;
  /** Responders of one group on one subject share the requests. Default: all of a subject are one group. */
  group?: string;
}

export interface ResponderStats {
  running: number;
  queued: number;
  received: number;
  /** Answered with a reply, a finished stream, or an error of the handler. */
  replied: number;
  failed: number;
  /** Given up by the requester, while running or queued. */
  cancelled: number;
  /** Out of time, while running or queued. */
  expired: number;
  /** Refused: the queue was full. */
  refused: number;
  /** Requests that came again while they were being answered. */
  duplicates: number;
  /** Cut by `close`, or by the end of the port. */
  cut: number;
  partsSent: number;
}

/** What `close` had to do. */
export interface ResponderCloseReport {
  /** Requests that were in flight when `close` began and were answered. */
  drained: number;
  /** Requests that were cut at the deadline. */
  cut: number;
}

const DEFAULT_GROUP = 'responders';

export class Responder {
  readonly port: Port;
  readonly subject: string;
  readonly #handler: Handler;
  readonly #concurrency: number;
  readonly #queueCapacity: number;
  /** The scope in which the responder was made. */
  readonly #parent: ScopeNode | null;
  /** Where requesters send credit and cancellation, once they know it. */
  readonly #inbox: string;
  readonly #unsubscribe: () => void;
  readonly #unsubscribeControl: () => void;
  /** By the requester's inbox, then by id: what is running or queued. */
  readonly #jobs = new Map<string, Map<CorrelationId, Job>>();
  /** The job whose handler is being called: not among `#jobs` yet, for most often it ends at once. */
  #starter: Job | null = null;
  #queue: Job[] = [];
  /** Index of the first job of the queue. */
  #head = 0;
  #queued = 0;
  #running = 0;
  #starting = false;
  #closing: Promise<ResponderCloseReport> | null = null;
  #idle: Waiter<void> | null = null;
  readonly #counts = {
    received: 0,
    replied: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
    refused: 0,
    duplicates: 0,
    cut: 0,
    partsSent: 0,
  };

  constructor(port: Port, subject: string, handler: Handler, options: ResponderOptions = {}) {
    const { concurrency = 64, queue = 1024, group = DEFAULT_GROUP } = options;
    if (typeof subject !== 'string' || subject === '') throw new OptionError('subject', 'a name', subject);
    if (typeof handler !== 'function') throw new OptionError('handler', 'a function', handler);
    if (!(concurrency >= 1)) throw new OptionError('concurrency', 'a number of 1 or more', concurrency);
    if (!(queue >= 0)) throw new OptionError('queue', 'a number of 0 or more', queue);
    this.port = port;
    this.subject = subject;
    this.#handler = handler;
    this.#concurrency = concurrency;
    this.#queueCapacity = queue;
    this.#parent = activeScope();
    this.#inbox = `_responder.${newParentId()}${newParentId()}`;
    const control = [this.#inbox, controlSubject(subject)].map((name) =>
      port.subscribe(name, (envelope) => this.#onControl(envelope)),
    );
    const requests = port.subscribe(subject, (envelope) => this.#onRequest(envelope), { group });
    this.#unsubscribe = () => requests.unsubscribe();
    const forget = port.onClose((error) => this.#onPortClosed(error));
    this.#unsubscribeControl = () => {
      forget();
      for (const subscription of control) subscription.unsubscribe();
    };
  }

  /**
   * Takes no more requests and waits until those in flight are answered; at the deadline (ms from now; default none) cuts the rest: their
   * scopes are cancelled, and their requesters get ERR_GAMMALOOP_RESPONDER_CLOSED.
   */
  close(options: { deadline?: number } = {}): Promise<ResponderCloseReport> {
    const { deadline = Number.POSITIVE_INFINITY } = options;
    if (!(deadline >= 0)) return Promise.reject(new OptionError('deadline', 'milliseconds, 0 or more', deadline));
    this.#closing ??= this.#drain(deadline);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  stats(): ResponderStats {
    return { running: this.#running, queued: this.#queued, ...this.#counts };
  }

  async #drain(timeout: number): Promise<ResponderCloseReport> {
    this.#unsubscribe();
    const inFlight = this.#inFlight();
    const cutBefore = this.#counts.cut;
    if (inFlight > 0) {
      const timers = activeDeadlines();
      const waiter = new Waiter<void>({ onAbort: () => true, onExpire: (expired) => expired.resolve(undefined) });
      const parked = waiter.park();
      waiter.expireAt(timers.now() + timeout, timers);
      this.#idle = waiter;
      try {
        await parked;
      } finally {
        // Also where the closing itself is cancelled.
        this.#cutAll(new ResponderError('ERR_GAMMALOOP_RESPONDER_CLOSED', `The responder of '${this.subject}' closed`));
        this.#unsubscribeControl();
      }
    } else {
      this.#unsubscribeControl();
    }
    const cut = this.#counts.cut - cutBefore;
    return { drained: inFlight - cut, cut };
  }

  /** Running and queued jobs whose requesters wait. */
  #inFlight(): number {
    this.#registerStarter();
    let count = 0;
    for (const jobs of this.#jobs.values()) count += jobs.size;
    return count;
  }

  #onRequest(envelope: Envelope): void {
    if (envelope.kind !== 'request' && envelope.kind !== 'stream') {
      return;
    }
    this.#counts.received++;
    const { replyTo = '' } = envelope;
    // Those that await no answer cannot be told apart, and need not be.
    const key = replyTo === '' ? `#${this.#counts.received}` : envelope.id;
    if (this.#jobs.get(replyTo)?.has(key) === true) {
      this.#counts.duplicates++;
      this.port.settle?.(envelope, 'done');
      return;
    }
    const isFull = this.#running >= this.#concurrency;
    if (isFull && this.#queued >= this.#queueCapacity) {
      this.#counts.refused++;
      const text = `The responder of '${this.subject}' has ${this.#running} requests running and ${this.#queued} queued`;
      this.#send(envelope, 'error', 0, undefined, new ResponderError('ERR_GAMMALOOP_RESPONDER_BUSY', text));
      this.port.settle?.(envelope, 'released');
      return;
    }
    const job = new Job(envelope, key, this.#ends);
    if (isFull) {
      this.#register(job);
      this.#queue.push(job);
      this.#queued++;
    } else {
      this.#starter = job;
      this.#start(job);
      this.#registerStarter();
    }
  }

  #register(job: Job): void {
    const { replyTo = '' } = job.envelope;
    const jobs = this.#jobs.get(replyTo);
    if (jobs === undefined) this.#jobs.set(replyTo, new Map([[job.key, job]]));
    else jobs.set(job.key, job);
  }

  /** The job of the running handler, where it has not ended: whoever looks for all jobs is to see it. */
  #registerStarter(): void {
    if (this.#starter !== null) {
      this.#register(this.#starter);
      this.#starter = null;
    }
  }

  #start(job: Job): void {
    this.#running++;
    job.run(liveScope(this.#parent), this.#handler);
  }

  #onFinished(): void {
    this.#running--;
    this.#checkIdle();
    if (this.#starting) {
      return;
    }
    // Not by recursion: a handler that answers at once finishes within #start.
    this.#starting = true;
    while (this.#queued > 0 && this.#running < this.#concurrency) this.#start(this.#shift());
    this.#starting = false;
  }

  /** The next job that somebody still waits for. */
  #shift(): Job {
    let job: Job;
    do {
      job = this.#queue[this.#head] as Job;
      this.#head++;
    } while (job.over);
    if (this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#queued--;
    return job;
  }

  #onControl(envelope: Envelope): void {
    const job = this.#jobs.get(envelope.replyTo ?? '')?.get(envelope.id);
    if (job === undefined) {
      return;
    }
    if (envelope.kind === 'credit') {
      job.addCredit(envelope.count);
    } else if (envelope.kind === 'cancel') {
      this.#endQuietly(job, 'cancelled', decodeError(envelope.error ?? {}), 'done');
    }
  }

  /** Nobody is to be told. A job that runs keeps its place until its handler has ended. */
  #endQuietly(job: Job, how: HandlerEnd['outcome'], reason: Error, outcome: Outcome): void {
    this.#release(job, how, outcome, reason);
    job.stop(reason);
    if (!job.started) {
      this.#queued--;
      // What is over leaves the queue in bulk, or a handler that hangs would let it grow.
      if (this.#queue.length > 2 * this.#queued + 64) {
        this.#queue = this.#queue.slice(this.#head).filter((queued) => !queued.over);
        this.#head = 0;
      }
    }
    this.#checkIdle();
  }

  /** Its end, once. */
  #release(job: Job, how: HandlerEnd['outcome'], outcome: Outcome, error?: unknown): void {
    const { envelope, key } = job;
    this.#counts[how]++;
    this.port.settle?.(envelope, outcome);
    if (job === this.#starter) {
      this.#starter = null;
    } else {
      const { replyTo = '' } = envelope;
      const jobs = this.#jobs.get(replyTo);
      if (jobs?.delete(key) === true && jobs.size === 0) this.#jobs.delete(replyTo);
    }
    if (handlerEnds.hasSubscribers) handlerEnds.publish(job.endFor(this.subject, how, error));
  }

  #checkIdle(): void {
    if (this.#idle !== null && this.#jobs.size === 0) this.#idle.resolve();
  }

  #onPortClosed(error: Error | undefined): void {
    this.#unsubscribe();
    this.#cutAll(
      error ??
        new ResponderError('ERR_GAMMALOOP_RESPONDER_CLOSED', `The port of the responder of '${this.subject}' closed`),
    );
    this.#closing ??= Promise.resolve({ drained: 0, cut: this.#counts.cut });
  }

  #cutAll(reason: Error): void {
    this.#registerStarter();
    for (const jobs of [...this.#jobs.values()]) {
      for (const job of [...jobs.values()]) {
        // Ended meanwhile by a listener of another one's signal, which may close the port.
        if (job.over) continue;
        this.#send(job.envelope, 'error', 0, undefined, reason);
        this.#endQuietly(job, 'cut', reason, 'released');
      }
    }
  }

  #send(
    request: Envelope,
    kind: 'reply' | 'part' | 'end' | 'error',
    count: number,
    payload: unknown,
    error?: unknown,
  ): void {
    if (request.replyTo === undefined || this.port.closed) {
      return;
    }
    this.port.publish(
      createEnvelope({
        kind,
        id: request.id,
        subject: request.replyTo,
        replyTo: kind === 'part' && count === 0 ? this.#inbox : undefined,
        payload,
        count,
        error: error === undefined ? undefined : encodeError(error),
      }),
    );
  }

  /** How jobs end. Of those that were ended from here only `finished` is heard. */
  readonly #ends: JobEnds = {
    finished: () => this.#onFinished(),
    part: (job, payload, count) => {
      this.#counts.partsSent++;
      this.#send(job.envelope, 'part', count, payload);
    },
    replied: (job, payload) => {
      this.#release(job, 'replied', 'done');
      this.#send(job.envelope, 'reply', 0, payload);
    },
    streamed: (job, count) => {
      this.#release(job, 'replied', 'done');
      this.#send(job.envelope, 'end', count, undefined);
    },
    failed: (job, error) => {
      this.#release(job, 'failed', 'failed', error);
      this.#send(job.envelope, 'error', 0, undefined, error);
    },
    expired: (job) => {
      const error = new TimeoutError(`'${this.subject}' was not answered within its time`);
      this.#release(job, 'expired', 'done', error);
      this.#send(job.envelope, 'error', 1, undefined, error);
    },
    surroundingsCancelled: (job) => {
      const error = new ResponderError(
        'ERR_GAMMALOOP_RESPONDER_CLOSED',
        `The scope of '${this.subject}' was cancelled`,
      );
      this.#release(job, 'cut', 'released', error);
      this.#send(job.envelope, 'error', 0, undefined, error);
    },
  };
}
