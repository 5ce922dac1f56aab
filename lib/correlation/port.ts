/**
 * What carries envelopes from one place to another: memory, a thread, a process, a broker. Requester and Responder know nothing else.
 * test/conformance/ports runs one suite against every port.
 *
 * Guaranteed, by every port:
 * - Asynchronous: no listener runs inside `publish` or `subscribe`.
 * - Order: envelopes published to one subject on one port reach one subscriber in the order of their publishing.
 * - Each envelope reaches every subscriber without a group, and one subscriber of each group.
 * - A 'request' or 'stream' with `replyTo` that reaches no subscriber is answered at once, on `replyTo`, with an 'error' envelope that carries
 *   NoResponderError. Other envelopes without a subscriber are dropped and counted.
 * - What cannot be sent (a payload that cannot be cloned) is reported as an 'error' envelope with PayloadError to whoever awaits the reply.
 * - The payload arrives equal in value to what structured cloning gives: primitives, plain objects, arrays, Map, Set, Date, RegExp, bigint,
 *   Error, ArrayBuffer and its views.
 * - `deadline` arrives as an instant of the receiver's clock, never earlier than the sender's.
 * - Closing: `close` calls the `onClose` listeners once, with undefined, *while the port still sends*, so that answers in flight can be given; then sends
 *   what was published, and stops. After it `publish` throws ClosedError, and no listener runs.
 * - Breaking: when the other side is gone, the `onClose` listeners are called once with a BrokenError, and `publish` throws that error.
 * - A listener that throws does not keep envelopes from other listeners; its error becomes an uncaught exception.
 *
 * Hinted: it is tried, and nothing may depend on it:
 * - `transfer`: the objects are moved instead of copied where the port can (threads); elsewhere they are copied.
 * - Members of a group take turns.
 * - The death of the other side is noticed at once by ports that have exactly one (threads, processes). With many (memory, brokers) a requester learns it
 *   from its deadline, or from NoResponderError at the next request.
 * - Envelopes published in one turn travel together.
 *
 * At least once: a port that repeats an envelope until it is settled has `settle`. Who subscribes with a group says there, once for each 'request' it got, that it
 * needs it no longer.
 *
 * Unspecified:
 * - Whether a port's own subscribers get what it publishes (memory and brokers: yes; threads and processes: no).
 * - Order between different subjects, and between different ports.
 * - Whether the payload is the same object or a copy: don't change it after publishing.
 * - Duplicates. Ports of this package deliver at most once; brokers may repeat. Requesters count a repeated reply and drop it.
 * - What became of envelopes that were under way when a port broke.
 */
import type { Envelope } from './envelope.js';

export type EnvelopeListener = (envelope: Envelope) => void;
export type CloseListener = (error: Error | undefined) => void;

export interface SubscribeOptions {
  /** Subscribers with the same group on the same subject share the envelopes: each goes to one of them. */
  group?: string;
}

export interface Subscription {
  readonly subject: string;
  /** No envelope reaches the listener afterwards. A second call does nothing. */
  unsubscribe(): void;
}

/** What `transfer` may hold, for example ArrayBuffer and MessagePort. */
export type TransferList = readonly object[];

/** 'done': answered, or nobody waits any more. 'failed': the handler threw. 'released': not carried out here, another may. */
export type Outcome = 'done' | 'failed' | 'released';

/** Counters since the port was made. */
export interface PortStats {
  published: number;
  received: number;
  /** Envelopes without a subscriber: bounced requests, and others, dropped. */
  undeliverable: number;
  /** Envelopes that could not be sent: their payload cannot be cloned. */
  unsendable: number;
  subscriptions: number;
}

export interface Port {
  /** For messages: 'memory', 'thread', 'process' ... */
  readonly kind: string;
  /** True once closed or broken. */
  readonly closed: boolean;
  publish(envelope: Envelope, transfer?: TransferList): void;
  subscribe(subject: string, listener: EnvelopeListener, options?: SubscribeOptions): Subscription;
  /** Returns a function that takes the listener away. On a port that is closed or broken already the listener is called in a microtask. */
  onClose(listener: CloseListener): () => void;
  /** Idempotent. Resolves when what was published has been handed over. */
  close(): Promise<void>;
  /** Only on ports that deliver at least once. Envelopes that came another way are ignored. */
  settle?(envelope: Envelope, outcome: Outcome): void;
  stats(): PortStats;
}
