/** The options that all broker ports have, checked; those of durable work. */
import type { Envelope } from '../correlation/envelope.js';
import { OptionError } from '../errors.js';
import type { DurableOptions } from './deliveries.js';

export interface BrokerPortOptions {
  /** Before every name that the port uses on the broker. Default 'gl'. */
  prefix?: string;
  /** Bytes that may wait here while the broker is away or slow. Default 64 MiB. */
  bufferBytes?: number;
  /** The largest message; default what the broker takes. */
  maxBytes?: number;
  /** Milliseconds between two signs of life that are asked of the broker; without one for so long the connection counts as lost. Default 10,000. */
  heartbeat?: number;
  /** Milliseconds before the second attempt to connect, doubled with each, up to `max`. Default 50 and 2,000. */
  reconnect?: { min?: number; max?: number };
  /** Requests are stored by the broker and delivered until they are acknowledged. Default false. */
  durable?: boolean | DurableOptions;
}

export interface SubmitOptions {
  /** Names the work: submitted twice within the de-duplication window it is done once. Default: random. */
  key?: string;
  /** Milliseconds to wait for the broker's confirmation. Default 30,000. */
  timeout?: number;
  /** Instant of `performance.now()` after which the work is not begun any more. Default: none. */
  deadline?: number;
  traceparent?: string;
  headers?: Readonly<Record<string, string>>;
}

export interface DeadLetter {
  /** The work as it was submitted. Where it cannot be read here its payload is the message's bytes; where nothing of it can, `id` and `key` are ''. */
  readonly envelope: Envelope;
  readonly key: string;
  readonly reason: string;
}

export interface CheckedBrokerOptions {
  readonly prefix: string;
  readonly bufferBytes: number;
  readonly maxBytes: number;
  readonly heartbeat: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly durable: Required<DurableOptions> | null;
}

const MIB = 2 ** 20;

export function checkBrokerOptions(options: BrokerPortOptions): CheckedBrokerOptions {
  const { prefix = 'gl', reconnect = {}, durable = false } = options;
  if (typeof prefix !== 'string' || !/^[A-Za-z0-9_-]+$/.test(prefix)) {
    throw new OptionError('prefix', 'letters, digits, - and _', prefix);
  }
  return {
    prefix,
    bufferBytes: atLeast('bufferBytes', options.bufferBytes ?? 64 * MIB, 0),
    maxBytes: atLeast('maxBytes', options.maxBytes ?? Number.POSITIVE_INFINITY, 1),
    heartbeat: atLeast('heartbeat', options.heartbeat ?? 10_000, 1),
    minDelay: atLeast('reconnect.min', reconnect.min ?? 50, 1),
    maxDelay: atLeast('reconnect.max', reconnect.max ?? 2000, 1),
    durable: durable === false ? null : checkDurable(durable === true ? {} : durable),
  };
}

function checkDurable(options: DurableOptions): Required<DurableOptions> {
  if (typeof options !== 'object' || options === null)
    throw new OptionError('durable', 'a boolean or an object', options);
  return {
    maxDeliveries: whole('durable.maxDeliveries', options.maxDeliveries ?? 5, 1),
    ackWait: whole('durable.ackWait', options.ackWait ?? 30_000, 100),
    retryDelay: whole('durable.retryDelay', options.retryDelay ?? 1000, 0),
    dedupWindow: whole('durable.dedupWindow', options.dedupWindow ?? 120_000, 100),
    prefetch: whole('durable.prefetch', options.prefetch ?? 64, 1),
  };
}

function atLeast(name: string, value: unknown, min: number): number {
  if (typeof value !== 'number' || !(value >= min)) throw new OptionError(name, `a number of ${min} or more`, value);
  return value;
}

function whole(name: string, value: unknown, min: number): number {
  const max = 2 ** 31 - 1;
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw new OptionError(name, `an integer from ${min} to ${max}`, value);
  }
  return value as number;
}
