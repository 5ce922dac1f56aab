/**
 * The message that a port carries. Plain data: whoever makes an envelope gives it away, and nobody changes it afterwards.
 *
 * A conversation is named by (`replyTo`, `id`): requester to responder goes 'request' or 'stream', then 'cancel' and 'credit';
 * back comes exactly one of 'reply', 'error', 'end', before which a stream has its 'part's, numbered from 0. The first part brings the `replyTo` of the
 * responder, where credit and cancellation go from then on; until then a 'cancel' goes to `controlSubject(subject)`, which every responder hears.
 *
 * `deadline` is an instant of the clock of this thread (`performance.now()`). Threads and machines share no such clock, so ports put the
 * *remaining* milliseconds on the wire (`toWire`) and add them to their own clock on arrival (`fromWire`).
 */
import { encodeError, type WireError } from './wire-error.js';

export const ENVELOPE_KINDS = ['request', 'stream', 'reply', 'part', 'end', 'error', 'cancel', 'credit'] as const;
export type EnvelopeKind = (typeof ENVELOPE_KINDS)[number];

/** Ours are integers; a responder gives back whatever came. */
export type CorrelationId = number | string;

export interface Envelope {
  readonly kind: EnvelopeKind;
  /** Names the conversation among those of one inbox. */
  readonly id: CorrelationId;
  /** Where the message goes: the name of a responder, or an inbox. */
  readonly subject: string;
  /** The sender's inbox. A request without one awaits no reply. */
  readonly replyTo: string | undefined;
  readonly traceparent: string | undefined;
  /** Instant of this thread's clock after which nobody waits any more; Infinity for none. */
  readonly deadline: number;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly payload: unknown;
  /** 'part' and 'end': the number of parts before it. 'credit' and 'stream': how many more parts may be sent.
   *  'error': 1 if it is that the deadline passed over there. Else 0. */
  readonly count: number;
  /** 'error' and 'cancel': why. */
  readonly error: WireError | undefined;
}

export interface EnvelopeInit {
  kind: EnvelopeKind;
  id: CorrelationId;
  subject: string;
  replyTo?: string | undefined;
  traceparent?: string | undefined;
  deadline?: number;
  headers?: Readonly<Record<string, string>> | undefined;
  payload?: unknown;
  count?: number;
  error?: WireError | undefined;
}

/** Every envelope is made here, so that all have one shape. */
export function createEnvelope(init: EnvelopeInit): Envelope {
  return {
    kind: init.kind,
    id: init.id,
    subject: init.subject,
    replyTo: init.replyTo,
    traceparent: init.traceparent,
    deadline: init.deadline ?? Number.POSITIVE_INFINITY,
    headers: init.headers,
    payload: init.payload,
    count: init.count ?? 0,
    error: init.error,
  };
}

/** Begins the subjects that requesters get their replies under; each is of one requester. */
export const INBOX_PREFIX = '_inbox.';

/** Where all responders of a subject hear what is not for one of them alone. */
export function controlSubject(subject: string): string {
  return `_control.${subject}`;
}

/** The answer to whoever waits for a message that could not be delivered: null where nobody does. */
export function failureOf(envelope: Envelope, reason: Error): Envelope | null {
  const error = encodeError(reason);
  switch (envelope.kind) {
    case 'request':
    case 'stream':
      return envelope.replyTo === undefined
        ? null
        : createEnvelope({ kind: 'error', id: envelope.id, subject: envelope.replyTo, error });
    case 'reply':
    case 'part':
    case 'end':
    case 'error':
      return createEnvelope({ kind: 'error', id: envelope.id, subject: envelope.subject, error });
    default:
      return null;
  }
}

/** Fields of one envelope on the wire, in this order, in one flat array with those of the other envelopes of the batch. */
export const WIRE_FIELDS = 10;

/** Appends to a batch. What was appended is structured-cloneable where payload and headers are. */
export function toWire(batch: unknown[], envelope: Envelope, now: number): void {
  batch.push(
    ENVELOPE_KINDS.indexOf(envelope.kind),
    envelope.id,
    envelope.subject,
    envelope.replyTo,
    envelope.traceparent,
    // Never below 0: a message that is out of time on departure is out of time on arrival.
    envelope.deadline === Number.POSITIVE_INFINITY ? undefined : Math.max(0, envelope.deadline - now),
    envelope.headers,
    envelope.payload,
    envelope.count,
    envelope.error,
  );
}

/** The envelope that begins at `batch[at]`; null where those fields are none. Types are checked: the peer may be of another version. */
export function fromWire(batch: readonly unknown[], at: number, now: number): Envelope | null {
  const kind = ENVELOPE_KINDS[batch[at] as number];
  const id = batch[at + 1];
  const subject = batch[at + 2];
  const replyTo = batch[at + 3];
  const traceparent = batch[at + 4];
  const remaining = batch[at + 5];
  const headers = batch[at + 6];
  const count = batch[at + 8];
  const error = batch[at + 9];
  if (
    kind === undefined ||
    (typeof id !== 'number' && typeof id !== 'string') ||
    typeof subject !== 'string' ||
    (replyTo !== undefined && typeof replyTo !== 'string') ||
    (traceparent !== undefined && typeof traceparent !== 'string') ||
    (remaining !== undefined && !(typeof remaining === 'number' && remaining >= 0)) ||
    (headers !== undefined && (typeof headers !== 'object' || headers === null)) ||
    !(typeof count === 'number' && count >= 0) ||
    (error !== undefined && (typeof error !== 'object' || error === null))
  ) {
    return null;
  }
  return {
    kind,
    id,
    subject,
    replyTo,
    traceparent,
    deadline: remaining === undefined ? Number.POSITIVE_INFINITY : now + remaining,
    headers: headers as Readonly<Record<string, string>> | undefined,
    payload: batch[at + 7],
    count,
    error: error as WireError | undefined,
  };
}
