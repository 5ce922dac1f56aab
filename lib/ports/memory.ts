/**
 * The reference port: envelopes cross no border. Ports on one bus see each other and themselves, as clients of a broker do:
 *
 *     const port = new MemoryPort();              // a bus of its own: Requester and Responder may share the port
 *     const other = new MemoryPort({ bus: port }); // another end of the same bus
 *
 * Delivery is a microtask later. After `TURN_BUDGET` deliveries without a turn of the event loop the bus waits for one, so that requests which answer
 * each other forever starve neither timers nor sockets.
 */
import { AsyncResource } from 'node:async_hooks';
import { type Envelope, failureOf } from '../correlation/envelope.js';
import type { EnvelopeListener, SubscribeOptions, Subscription, TransferList } from '../correlation/port.js';
import { PortBase, payloadError } from '../correlation/port-base.js';
import { Subscriptions } from '../correlation/subscriptions.js';

const TURN_BUDGET = 2048;

export interface MemoryPortOptions {
  /** A port on the bus to join. */
  bus?: MemoryPort;
  /** Payloads are structured-cloned, as threads and processes do it. Default: they are handed over as they are. */
  clone?: boolean;
}

interface Sent {
  readonly envelope: Envelope;
  /** Whose counters hear of it. */
  readonly port: MemoryPort;
}

/** Listeners run in the asynchronous context that the bus was made in, not in that of whoever published first. */
class MemoryBus extends AsyncResource {
  readonly subscriptions = new Subscriptions();
  #queue: Sent[] = [];
  #scheduled = false;
  /** Deliveries since the event loop last turned. */
  #delivered = 0;
  #turning = false;

  constructor() {
    super('GAMMALOOP_MEMORY_BUS', { requireManualDestroy: true });
  }

  push(sent: Sent): void {
    this.#queue.push(sent);
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#schedule();
    }
  }

  #schedule(): void {
    if (!this.#turning) {
      this.#turning = true;
      setImmediate(this.#turned);
    }
    // Over the budget: #turned goes on.
    if (this.#delivered < TURN_BUDGET) queueMicrotask(this.#drain);
  }

  readonly #turned = (): void => {
    const waiting = this.#delivered >= TURN_BUDGET;
    this.#turning = false;
    this.#delivered = 0;
    if (waiting && this.#scheduled) this.#schedule();
  };

  readonly #drain = (): void => this.runInAsyncScope(this.#deliverAll, this);

  /** What listeners publish meanwhile is the next batch. */
  #deliverAll(): void {
    const batch = this.#queue;
    this.#queue = [];
    this.#scheduled = false;
    this.#delivered += batch.length;
    for (const { envelope, port } of batch) {
      if (!this.subscriptions.deliver(envelope)) port.undelivered(envelope);
    }
  }
}

export class MemoryPort extends PortBase {
  readonly kind = 'memory';
  readonly #bus: MemoryBus;
  readonly #clone: boolean;
  /** Those of this end. */
  readonly #own = new Set<Subscription>();

  constructor(options: MemoryPortOptions = {}) {
    super();
    const { bus } = options;
    this.#bus = bus === undefined ? new MemoryBus() : bus.#bus;
    this.#clone = options.clone ?? (bus === undefined ? false : bus.#clone);
  }

  override subscribe(subject: string, listener: EnvelopeListener, options?: SubscribeOptions): Subscription {
    this.assertUsable();
    const receive = (envelope: Envelope): void => {
      this.countReceived();
      listener(envelope);
    };
    const onBus = this.#bus.subscriptions.add(subject, receive, options);
    const subscription: Subscription = {
      subject,
      unsubscribe: () => {
        this.#own.delete(subscription);
        onBus.unsubscribe();
      },
    };
    this.#own.add(subscription);
    return subscription;
  }

  protected override subscriptionCount(): number {
    return this.#own.size;
  }

  protected send(envelope: Envelope, transfer: TransferList | undefined): void {
    this.#bus.push({ envelope: this.#clone ? this.#copy(envelope, transfer) : envelope, port: this });
  }

  /** The envelope with a copy of its payload; what becomes of it where there can be none. */
  #copy(envelope: Envelope, transfer: TransferList | undefined): Envelope {
    try {
      const options =
        transfer === undefined ? undefined : { transfer: transfer as readonly ArrayBuffer[] as ArrayBuffer[] };
      return { ...envelope, payload: structuredClone(envelope.payload, options) };
    } catch (cause) {
      this.unsendable++;
      return failureOf(envelope, payloadError(envelope, cause)) ?? { ...envelope, payload: undefined };
    }
  }

  /** Called by the bus for what this port published and nobody subscribes to. */
  undelivered(envelope: Envelope): void {
    this.bounce(envelope);
  }

  protected override dropSubscriptions(): void {
    for (const subscription of [...this.#own]) subscription.unsubscribe();
  }

  protected finish(): void {}

  protected abandon(): void {}
}
