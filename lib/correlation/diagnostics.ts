/**
 * What is published of the end of each wait and of each handler: for traces, for metrics with exemplars, for logs. While nobody subscribes
 * nothing is built and no clock is read; of what began before that the duration is not known.
 */
import { channel } from 'node:diagnostics_channel';

/** Each message: a WaiterEnd. Requests and streams of a Requester are waiters of its registry. */
export const waiterEnds = channel('gammaloop:correlation:waiter-end');

/** Each message: a HandlerEnd. */
export const handlerEnds = channel('gammaloop:correlation:handler-end');

export interface WaiterEnd {
  /** The `name` of the registry, or of the requester. */
  readonly registry: string;
  readonly id: number;
  /** As the counters of `stats()` name it. */
  readonly outcome: 'resolved' | 'rejected' | 'timedOut' | 'cancelled' | 'closed';
  /** What was waited for, as messages name it: of a request its subject, in quotes. */
  readonly label: string | undefined;
  readonly traceId: string | undefined;
  /** Of a request: its span, which the responder's work continues. */
  readonly traceparent: string | undefined;
  readonly durationMs: number | undefined;
  /** What it rejected with. */
  readonly error: unknown;
}

export interface HandlerEnd {
  readonly subject: string;
  readonly kind: 'request' | 'stream';
  /** As the counters of `stats()` name it. */
  readonly outcome: 'replied' | 'failed' | 'cancelled' | 'expired' | 'cut';
  readonly traceId: string;
  /** As it came with the request; a new one where that had none. */
  readonly traceparent: string;
  /** From the arrival of the request, its time in the queue included. */
  readonly durationMs: number | undefined;
  /** What it failed with, or why it was stopped. */
  readonly error: unknown;
}
