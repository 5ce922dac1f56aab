/**
 * What all ports of this package share: states, subscriptions, `onClose`, counting, and bouncing what nobody subscribes to. A port adds how
 * envelopes leave (`send`) and calls `arrived` for those that come.
 */
import { BrokenError, ClosedError, NoResponderError, PayloadError } from '../errors.js';
import { type Envelope, failureOf } from './envelope.js';
import type {
  CloseListener,
  EnvelopeListener,
  Port,
  PortStats,
  SubscribeOptions,
  Subscription,
  TransferList,
} from './port.js';
import { Subscriptions, throwLater } from './subscriptions.js';

export abstract class PortBase implements Port {
  abstract readonly kind: string;
  readonly #subscriptions = new Subscriptions();
  readonly #closeListeners = new Set<CloseListener>();
  #state: 'open' | 'closing' | 'closed' | 'broken' = 'open';
  /** Why it broke. */
  #error: Error | undefined;
  #closing: Promise<void> | undefined;
  #published = 0;
  #received = 0;
  #undeliverable = 0;
  protected unsendable = 0;

  /** Hands over to the other side; must not call listeners before it returns. */
  protected abstract send(envelope: Envelope, transfer: TransferList | undefined): void;

  /** Sends what is left, then frees what the port holds. Called once, on `close`. */
  protected abstract finish(): Promise<void> | void;

  /** Frees what the port holds, without sending. Called once, when the port breaks. */
  protected abstract abandon(): void;

  get closed(): boolean {
    return this.#state === 'closed' || this.#state === 'broken';
  }

  publish(envelope: Envelope, transfer?: TransferList): void {
    this.assertUsable();
    this.#published++;
    this.send(envelope, transfer);
  }

  protected assertUsable(): void {
    if (this.closed) throw this.closeError();
  }

  /** What a closed port throws: why it broke, or that it was closed here. */
  protected closeError(): Error {
    return this.#error ?? new ClosedError(`The ${this.kind} port`);
  }

  subscribe(subject: string, listener: EnvelopeListener, options?: SubscribeOptions): Subscription {
    this.assertUsable();
    return this.#subscriptions.add(subject, listener, options);
  }

  onClose(listener: CloseListener): () => void {
    if (this.closed) {
      queueMicrotask(() => listener(this.#error));
      return () => {};
    }
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#state !== 'open') {
      return;
    }
    this.#state = 'closing';
    this.#notify(undefined);
    if (this.closed) {
      return;
    }
    this.#state = 'closed';
    this.dropSubscriptions();
    await this.finish();
  }

  /** The other side is gone. */
  protected break(cause?: unknown, what = 'the other side went away'): void {
    if (this.closed) {
      return;
    }
    this.#error = new BrokenError(`The ${this.kind} port broke: ${what}`, cause === undefined ? undefined : { cause });
    const told = this.#state === 'closing';
    this.#state = 'broken';
    this.dropSubscriptions();
    this.abandon();
    if (!told) this.#notify(this.#error);
  }

  #notify(error: Error | undefined): void {
    const listeners = [...this.#closeListeners];
    this.#closeListeners.clear();
    for (const listener of listeners) {
      try {
        listener(error);
      } catch (thrown) {
        throwLater(thrown);
      }
    }
  }

  /** An envelope from the other side: to its subscribers, or back. */
  protected arrived(envelope: Envelope): void {
    if (this.closed) {
      return;
    }
    this.countReceived();
    if (!this.#subscriptions.deliver(envelope)) this.bounce(envelope);
  }

  protected bounce(envelope: Envelope): void {
    this.#undeliverable++;
    if (envelope.kind !== 'request' && envelope.kind !== 'stream') {
      return;
    }
    const answer = failureOf(
      envelope,
      new NoResponderError(
        `Nobody responds to '${envelope.subject}' on the ${this.kind} port; start a Responder for it`,
      ),
    );
    if (answer !== null) this.answer(answer);
  }

  /** An 'error' for whoever waits on this side. Must not call listeners before it returns. */
  protected answer(envelope: Envelope): void {
    this.send(envelope, undefined);
  }

  protected countReceived(): void {
    this.#received++;
  }

  protected subscriptionCount(): number {
    return this.#subscriptions.count;
  }

  protected dropSubscriptions(): void {
    this.#subscriptions.clear();
  }

  stats(): PortStats {
    return {
      published: this.#published,
      received: this.#received,
      undeliverable: this.#undeliverable,
      unsendable: this.unsendable,
      subscriptions: this.subscriptionCount(),
    };
  }
}

/** What whoever awaits the reply is told when an envelope cannot be sent. */
export function payloadError(envelope: Envelope, cause: unknown): PayloadError {
  const what = envelope.kind === 'request' || envelope.kind === 'stream' ? 'The payload' : 'The reply';
  return new PayloadError(`${what} cannot be cloned, so it cannot be sent; give plain data`, { cause });
}
