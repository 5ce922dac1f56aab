/**
 * The line between the broker port (broker.ts), which is one for all, and a broker's client. A session is one connection: made by `connect`, used until it is lost or
 * closed, and never again. The port makes a new one, subscribes again, and sends what waited.
 */
import type { Envelope } from '../correlation/envelope.js';
import type { BrokerError } from '../errors.js';
import type { Delivery } from './deliveries.js';

/** A subject that is subscribed to, once for each group. */
export interface Channel {
  readonly subject: string;
  /** Undefined: every such channel gets everything. */
  readonly group: string | undefined;
}

/** What became a dead letter, and why. */
export interface DeadFrame {
  readonly frame: Uint8Array;
  readonly reason: string;
}

/** One message of one frame, or of several (bundle.ts), of which the envelope is that of the first. */
export interface Sending {
  readonly frame: Buffer;
  readonly envelope: Envelope;
}

export interface Session {
  /** The largest frame that the broker takes. */
  readonly maxBytes: number;
  /** The broker takes nothing for now; `unblocked` is called when it does again. */
  readonly blocked?: boolean;
  /** Resolves when what is published from then on arrives. Rejects with RefusedError where that will never be. */
  subscribe(channel: Channel): Promise<void> | void;
  /** Durable: takes the work of a subscribed channel. Resolves when the broker gives it; rejects as `subscribe` does. */
  consume(channel: Channel): Promise<void>;
  /** And takes no more of its work. */
  unsubscribe(channel: Channel): void;
  /** The messages of one turn: at most once, in order for each subject. Does not throw; what cannot be sent is lost with the session. */
  send(messages: readonly Sending[]): void;
  /** Durable: resolves when the broker has stored it. Rejects with BrokerError where it refuses; any other error means that the fate is unknown. */
  enqueue(frame: Buffer, envelope: Envelope, key: string): Promise<void>;
  /** Takes dead letters of a subject away. */
  takeDead(subject: string, limit: number): Promise<DeadFrame[]>;
  /** Where replies to an inbox go, if the broker names such routes itself. */
  learnRoute?(replyTo: string, route: string): void;
  /** Resolves when the broker has taken everything before it. */
  flush(): Promise<void>;
  /** In order, after `flush`. */
  close(): Promise<void>;
  /** At once. `lost` need not be called. */
  destroy(): void;
}

/** Whom a session tells. None of these throws. */
export interface SessionOwner {
  received(channel: Channel, frame: Uint8Array, route?: string): void;
  /** Durable work. */
  delivered(channel: Channel, frame: Uint8Array, delivery: Delivery, route?: string): void;
  /** Nobody subscribes to the subject of this request. */
  unanswered(request: Envelope): void;
  /** The broker refused this message, alone. */
  refused(envelope: Envelope, error: BrokerError): void;
  /** A reply from one who speaks no frames. */
  answered(reply: Envelope): void;
  unblocked(): void;
  /** The connection is gone. More than one call does nothing. */
  lost(cause: unknown): void;
}

/** Connecting again will not help: rights, names, settings. */
export class RefusedError extends Error {}
