/**
 * Asks through a port, and waits for the answer.
 *
 * Owns: one inbox (a random subject with one subscription) and the registry of those who wait. A waiter is opened *before* its request is published.
 * Whoever stops waiting (deadline, signal, scope, `close`) is told to the responder by a 'cancel' message, sent at that moment.
 * Next step: responder.ts, on the other side of the port.
 */
import { ClosedError, OptionError, PayloadError } from '../errors.js';
import { CancelScope, cancelIfDue, deadlineAround } from '../scope/cancel-scope.js';
import { activeDeadlines, activeScope, liveScope, type ScopeNode } from '../scope/scope-tree.js';
import { childTraceparent, isTraceId, newParentId, newTraceparent, parseTraceparent } from '../scope/trace-context.js';
import { traceparentAround } from '../scope/traced-scope.js';
import { controlSubject, createEnvelope, type Envelope, INBOX_PREFIX } from './envelope.js';
import type { Port, TransferList } from './port.js';
import { ReplyStream } from './reply-stream.js';
import { withCallerStack } from './stacks.js';
import { instantOf, type RegistryStats, type WaiterInfo, WaiterRegistry } from './waiter-registry.js';
import { decodeError, encodeReason } from './wire-error.js';

export interface RequestOptions {
  /** Milliseconds until the request is given up. Default: that of the requester. Infinity must be asked for. */
  timeout?: number;
  /** The same as an instant of `performance.now()`; where both are given the earlier one holds. */
  deadline?: number;
  signal?: AbortSignal;
  /** The scope whose cancellation ends the wait. Default: the current one. */
  scope?: CancelScope;
  /** The trace that the request belongs to. Default: that of the running handler, else a new one. */
  traceparent?: string;
  /** The same, where only the trace id is known. */
  traceId?: string;
  headers?: Readonly<Record<string, string>>;
  /** Objects that are moved instead of copied, where the port can. */
  transfer?: TransferList;
}

export interface StreamOptions extends RequestOptions {
  /** Parts that may be under way before the consumer has taken them. Default: that of the requester. */
  window?: number;
}

export interface RequesterOptions {
  /** Milliseconds that a request is given unless it says otherwise; for a stream, to its end. Default 30,000. */
  timeout?: number;
  /** Requests and streams that may be open at a time. Default 1,000,000. */
  capacity?: number;
  /** Parts of a stream under way. Default 32. */
  window?: number;
  /** Keeps the stack of each request as it is sent. Without it errors show the callers that `await` the request. */
  stacks?: boolean;
  /** For messages and diagnostics. */
  name?: string;
}

export interface RequesterStats extends RegistryStats {
  /** 'cancel' messages that were sent. */
  cancelsSent: number;
  /** Streams that are open; they count among `open` too. */
  streams: number;
}

/** A request or a stream that waits; what the registry knows of it. */
export class Conversation implements WaiterInfo {
  readonly subject: string;
  readonly traceparent: string;
  readonly stream: ReplyStream | null;
  /** Whose cancellation ends the wait. */
  readonly scope: ScopeNode | null;
  sent = false;

  constructor(subject: string, traceparent: string, stream: ReplyStream | null, scope: ScopeNode | null) {
    this.subject = subject;
    this.traceparent = traceparent;
    this.stream = stream;
    this.scope = scope;
  }

  get label(): string {
    return `'${this.subject}'`;
  }

  get traceId(): string {
    return this.traceparent.slice(3, 35);
  }
}

export class Requester {
  readonly port: Port;
  /** The subject that replies come to. */
  readonly inbox: string;
  readonly #registry: WaiterRegistry;
  readonly #window: number;
  readonly #streams = new Map<number, ReplyStream>();
  readonly #unsubscribe: () => void;
  readonly #forget: () => void;
  #cancelsSent = 0;

  constructor(port: Port, options: RequesterOptions = {}) {
    const { timeout, capacity, stacks, name = 'requester', window = 32 } = options;
    this.port = port;
    this.#window = checkWindow(window);
    this.#registry = new WaiterRegistry({
      name,
      ...(timeout === undefined ? {} : { timeout }),
      ...(capacity === undefined ? {} : { capacity }),
      ...(stacks === undefined ? {} : { stacks }),
      onAbandon: (id, info, error) => this.#onAbandon(id, info as Conversation, error),
    });
    this.inbox = `${INBOX_PREFIX}${newParentId()}${newParentId()}`;
    const subscription = port.subscribe(this.inbox, (envelope) => this.#onEnvelope(envelope));
    this.#unsubscribe = () => subscription.unsubscribe();
    this.#forget = port.onClose((error) => this.close(error));
  }

  /** The reply's payload. Rejects with TimeoutError, NoResponderError, RemoteError ..., the signal's reason, or the scope's Cancelled. */
  async request<T = unknown>(subject: string, payload?: unknown, options: RequestOptions = {}): Promise<T> {
    try {
      return (await this.#open('request', subject, payload, options, null).promise) as T;
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** The parts of a streamed reply, in order. Leaving the loop early cancels the rest. The request is sent at once, not at the first `next`. */
  stream<T = unknown>(subject: string, payload?: unknown, options: StreamOptions = {}): ReplyStream<T> {
    const window = options.window === undefined ? this.#window : checkWindow(options.window);
    const stream = new ReplyStream<T>(window, this.#streamEnds);
    this.#open('stream', subject, payload, options, stream as ReplyStream);
    return stream;
  }

  /** Gives up what is open: it rejects with `error` (default: ClosedError), and the responders are told. Later requests reject too. */
  close(error: Error = new ClosedError('The requester')): void {
    if (this.#registry.closed) {
      return;
    }
    this.#forget();
    this.#unsubscribe();
    this.#registry.close(error);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  stats(): RequesterStats {
    return { ...this.#registry.stats(), cancelsSent: this.#cancelsSent, streams: this.#streams.size };
  }

  #open(
    kind: 'request' | 'stream',
    subject: string,
    payload: unknown,
    options: RequestOptions,
    stream: ReplyStream | null,
  ): { id: number; promise: Promise<unknown> } {
    if (typeof subject !== 'string' || subject === '') {
      throw new OptionError('subject', 'the name of a responder', subject);
    }
    const here = activeScope();
    const timers = here === null ? activeDeadlines() : here.timers;
    const deadline = instantOf(options, this.#registry.timeout, timers);
    const traceparent = traceOf(options, here);
    const scope = options.scope === undefined ? here : liveScope(checkScope(options.scope));
    const conversation = new Conversation(subject, traceparent, stream, scope);
    const waiter = this.#registry.openUntil(deadline, timers, options.signal, conversation, scope);
    if (stream !== null) {
      // The stream hears of everything in another way.
      waiter.promise.catch(ignore);
      stream.opened(waiter.id, subject);
    }
    if (waiter.settled) {
      return waiter;
    }
    const envelope = createEnvelope({
      kind,
      id: waiter.id,
      subject,
      replyTo: this.inbox,
      traceparent,
      deadline: Math.min(deadline, deadlineAround(scope)),
      headers: options.headers,
      payload,
      count: stream?.window ?? 0,
    });
    conversation.sent = true;
    if (stream !== null) this.#streams.set(waiter.id, stream);
    try {
      this.port.publish(envelope, options.transfer);
    } catch (error) {
      conversation.sent = false;
      this.#registry.cancel(waiter.id, error);
    }
    return waiter;
  }

  #onEnvelope(envelope: Envelope): void {
    const { id, kind } = envelope;
    const stream = this.#streams.size === 0 ? undefined : this.#streams.get(id as number);
    if (stream !== undefined) {
      this.#onStreamEnvelope(stream, id as number, envelope);
      return;
    }
    switch (kind) {
      case 'reply':
        this.#registry.resolve(id, envelope.payload);
        break;
      case 'error':
        if (envelope.count === 1) this.#outOfTime(id as number);
        else this.#registry.reject(id, decodeError(envelope.error ?? {}));
        break;
      default:
        // Of a stream that is no longer open.
        if (!this.#registry.has(id as number)) this.#registry.resolve(id, undefined);
    }
  }

  #onStreamEnvelope(stream: ReplyStream, id: number, envelope: Envelope): void {
    switch (envelope.kind) {
      case 'part':
        if (!stream.part(envelope)) this.#registry.cancel(id, stream.gap(envelope.count));
        break;
      case 'end':
        if (stream.received < envelope.count) {
          this.#registry.cancel(id, stream.gap(envelope.count));
        } else {
          this.#streams.delete(id);
          this.#registry.resolve(id, undefined);
          stream.end();
        }
        break;
      case 'error': {
        if (envelope.count === 1) {
          this.#outOfTime(id);
          break;
        }
        const error = decodeError(envelope.error ?? {});
        this.#streams.delete(id);
        this.#registry.reject(id, error);
        stream.fail(error);
        // A part may have been lost on the way without its responder knowing.
        if (error instanceof PayloadError) this.#sendCancel(id, stream.subject, stream, error);
        break;
      }
      default:
        break;
    }
  }

  /**
   * The responder's notice that the time is up. Its deadline was that of the scope here or of the waiter, whichever is earlier: that one has passed,
   * and its timer may be a moment behind. Where it has fired already this is no late reply.
   */
  #outOfTime(id: number): void {
    const conversation = this.#registry.infoOf(id) as Conversation | undefined;
    if (conversation !== undefined) {
      cancelIfDue(conversation.scope);
      this.#registry.expire(id);
    }
  }

  #onAbandon(id: number, conversation: Conversation, error: unknown): void {
    const { stream } = conversation;
    if (stream !== null) {
      this.#streams.delete(id);
      stream.abandon(error);
    }
    if (conversation.sent) this.#sendCancel(id, conversation.subject, stream, error);
  }

  #sendCancel(id: number, subject: string, stream: ReplyStream | null, error: unknown): void {
    if (this.port.closed) {
      return;
    }
    this.#cancelsSent++;
    this.port.publish(
      createEnvelope({
        kind: 'cancel',
        id,
        subject: stream?.responder ?? controlSubject(subject),
        replyTo: this.inbox,
        error: encodeReason(error),
      }),
    );
  }

  /** What streams want of their requester. */
  readonly #streamEnds = {
    credit: (id: number, responder: string, count: number): void => {
      if (!this.port.closed) {
        this.port.publish(createEnvelope({ kind: 'credit', id, subject: responder, replyTo: this.inbox, count }));
      }
    },
    giveUp: (id: number, reason: unknown): void => {
      this.#registry.cancel(id, reason);
    },
  };
}

function traceOf(options: RequestOptions, here: ScopeNode | null): string {
  const { traceparent, traceId } = options;
  if (traceparent !== undefined) {
    if (parseTraceparent(traceparent) === null) {
      throw new OptionError('traceparent', 'a W3C traceparent', traceparent);
    }
    return childTraceparent(traceparent);
  }
  if (traceId !== undefined) {
    if (!isTraceId(traceId)) {
      throw new OptionError('traceId', '32 lower-case hexadecimal digits, not all zero', traceId);
    }
    return newTraceparent(traceId);
  }
  const current = traceparentAround(here);
  return current === undefined ? newTraceparent() : childTraceparent(current);
}

function checkScope(scope: unknown): CancelScope {
  if (!(scope instanceof CancelScope)) {
    throw new OptionError('scope', 'a CancelScope', scope);
  }
  return scope;
}

function checkWindow(window: unknown): number {
  if (!Number.isInteger(window) || (window as number) < 1) {
    throw new OptionError('window', 'an integer of 1 or more', window);
  }
  return window as number;
}

function ignore(): void {}
