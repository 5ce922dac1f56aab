/**
 * Work that a broker repeats until it is acknowledged, on the side of those who carry it out. Knows what is in progress, extends the broker's patience
 * meanwhile, remembers what is done (the de-duplication window), repeats what failed, and buries what was delivered too often.
 */
import type { Envelope } from '../correlation/envelope.js';
import type { Outcome } from '../correlation/port.js';

/** The header that names work for the de-duplication. */
export const IDEMPOTENCY_KEY = 'idempotency-key';

export function keyOf(envelope: Envelope): string {
  return envelope.headers?.[IDEMPOTENCY_KEY] ?? `${envelope.replyTo ?? ''}/${envelope.id}`;
}

/** One delivery, as the broker knows it. None of these throws; on a lost connection they do nothing, and the broker delivers again. */
export interface Delivery {
  /** 1 for the first. */
  readonly attempt: number;
  ack(): void;
  /** Again, to anybody. */
  retry(): void;
  /** Another `ackWait` before the broker takes it for stalled. */
  extend(): void;
  /** A later delivery has taken its place: only that one is acknowledged. */
  supersede(): void;
  /** To the dead letters. */
  bury(reason: string): void;
}

export interface DurableOptions {
  /** Deliveries of one work before it becomes a dead letter. Default 5. */
  maxDeliveries?: number;
  /** Milliseconds after which work whose worker shows no sign of life is delivered again. Default 30,000. */
  ackWait?: number;
  /** Milliseconds before work whose handler threw is tried again. Default 1,000. */
  retryDelay?: number;
  /** Milliseconds in which work of the same key is taken for a repetition. Default 120,000. */
  dedupWindow?: number;
  /** Work that this port takes at a time, for each subject. Default 64: what a Responder runs at a time. */
  prefetch?: number;
}

export interface DeliveryStats {
  inProgress: number;
  /** Delivered again by the broker, whatever the reason. */
  redelivered: number;
  /** Acknowledged without being run: its key is done, or running. */
  deduplicated: number;
  buried: number;
}

interface InProgress {
  readonly key: string;
  readonly envelope: Envelope;
  /** The newest, if it was delivered again meanwhile. */
  delivery: Delivery;
}

/** Keys remembered at most. */
const MAX_DONE = 1_000_000;
const EXTENSIONS_PER_WAIT = 3;

export class Deliveries {
  readonly options: Required<DurableOptions>;
  readonly #byKey = new Map<string, InProgress>();
  readonly #byEnvelope = new Map<Envelope, InProgress>();
  /** Key -> when it may be forgotten; in that order. */
  readonly #done = new Map<string, number>();
  readonly #extending: NodeJS.Timeout;
  readonly #retries = new Map<NodeJS.Timeout, InProgress>();
  #redelivered = 0;
  #deduplicated = 0;
  #buried = 0;

  constructor(options: Required<DurableOptions>) {
    this.options = options;
    this.#extending = setInterval(() => {
      for (const { delivery } of this.#byKey.values()) delivery.extend();
    }, options.ackWait / EXTENSIONS_PER_WAIT).unref();
  }

  /** Whether the work is to be carried out now; else it has been dealt with. 'buried': whoever waits is to be told. */
  begin(key: string, envelope: Envelope, delivery: Delivery): 'run' | 'dealt-with' | 'buried' {
    if (delivery.attempt > 1) this.#redelivered++;
    const running = this.#byKey.get(key);
    if (running !== undefined) {
      this.#deduplicated++;
      running.delivery.supersede();
      running.delivery = delivery;
      return 'dealt-with';
    }
    this.#forget();
    if (this.#done.has(key)) {
      this.#deduplicated++;
      delivery.ack();
      return 'dealt-with';
    }
    if (delivery.attempt > this.options.maxDeliveries) {
      this.#buried++;
      delivery.bury(`delivered ${delivery.attempt - 1} times, and never carried out`);
      return 'buried';
    }
    const entry = { key, envelope, delivery };
    this.#byKey.set(key, entry);
    this.#byEnvelope.set(envelope, entry);
    return 'run';
  }

  settle(envelope: Envelope, outcome: Outcome): void {
    const entry = this.#byEnvelope.get(envelope);
    if (entry === undefined) {
      return;
    }
    this.#byEnvelope.delete(envelope);
    // Whoever waits has been answered, with the error.
    if (outcome === 'done' || envelope.replyTo !== undefined) {
      this.#byKey.delete(entry.key);
      this.#done.set(entry.key, performance.now() + this.options.dedupWindow);
      entry.delivery.ack();
    } else if (outcome === 'released') {
      this.#byKey.delete(entry.key);
      entry.delivery.retry();
    } else {
      this.#retryLater(entry);
    }
  }

  #retryLater(entry: InProgress): void {
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      this.#retry(entry);
    }, this.options.retryDelay);
    this.#retries.set(timer, entry);
  }

  #retry(entry: InProgress): void {
    this.#byKey.delete(entry.key);
    if (entry.delivery.attempt >= this.options.maxDeliveries) {
      this.#buried++;
      entry.delivery.bury(`failed ${entry.delivery.attempt} times`);
    } else {
      entry.delivery.retry();
    }
  }

  #forget(): void {
    const now = performance.now();
    for (const [key, until] of this.#done) {
      if (until > now && this.#done.size <= MAX_DONE) {
        return;
      }
      this.#done.delete(key);
    }
  }

  /** Gives back what waits for its repetition. What is still in progress, the broker repeats. */
  close(): void {
    clearInterval(this.#extending);
    for (const [timer, entry] of this.#retries) {
      clearTimeout(timer);
      this.#retry(entry);
    }
    this.#retries.clear();
    this.#byKey.clear();
    this.#byEnvelope.clear();
  }

  stats(): DeliveryStats {
    return {
      inProgress: this.#byKey.size,
      redelivered: this.#redelivered,
      deduplicated: this.#deduplicated,
      buried: this.#buried,
    };
  }
}
