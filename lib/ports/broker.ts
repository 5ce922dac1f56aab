/**
 * What the ports to NATS, AMQP and Redis share: the connection's state and its return, subscriptions that survive it, what waits meanwhile, frames and their
 * limits, durable work. What comes in goes by way of broker-inbound.ts. A broker's own file adds `connect`, which gives a session (broker-session.ts).
 *
 * The port is usable at once, before the broker is there. While there is no connection, what is published waits in the outbox, up to `bufferBytes` and to its
 * own deadline. What had been sent is not sent again, but for durable work that the broker had not confirmed: its key lets the repetition be told.
 */
import { randomUUID } from 'node:crypto';
import { createEnvelope, type Envelope, failureOf } from '../correlation/envelope.js';
import type { EnvelopeListener, Outcome, SubscribeOptions, Subscription } from '../correlation/port.js';
import { PortBase, payloadError } from '../correlation/port-base.js';
import { OptionError, TimeoutError } from '../errors.js';
import { newTraceparent } from '../scope/trace-context.js';
import type { Waiter } from '../scope/waiter.js';
import { BrokerConnection, within } from './broker-connection.js';
import { Inbound } from './broker-inbound.js';
import {
  type BrokerPortOptions,
  type CheckedBrokerOptions,
  checkBrokerOptions,
  type DeadLetter,
  type SubmitOptions,
} from './broker-options.js';
import { bufferFull, tooLarge } from './broker-refusals.js';
import type { Sending, Session, SessionOwner } from './broker-session.js';
import { bundle } from './bundle.js';
import { Changes } from './changes.js';
import { toDeadLetter } from './dead-letter.js';
import { Deliveries, type DeliveryStats, IDEMPOTENCY_KEY, keyOf } from './deliveries.js';
import { encodeFrame, touchFrame } from './frame.js';
import { Outbox } from './outbox.js';
import { channelName, SubscribedChannel } from './subscribed-channel.js';
import { awaitConfirmation, type Work, WorkOutbox } from './work-outbox.js';

/** Sent before the broker is asked whether it keeps up; twice as much, and its answer is awaited. */
const FLUSH_BYTES = 2 ** 19;
const CLOSE_TIMEOUT_MS = 5000;

export abstract class BrokerPort extends PortBase {
  protected readonly options: CheckedBrokerOptions;
  readonly #channels = new Map<string, SubscribedChannel>();
  readonly #outbox = new Outbox();
  readonly #works: WorkOutbox;
  readonly #deliveries: Deliveries | null;
  readonly #inbound: Inbound;
  readonly #connection: BrokerConnection;
  /** Subscriptions that the broker has not confirmed: what is published after them waits. */
  #subscribing = 0;
  /** Subscribed, and no work comes yet. */
  #consuming = 0;
  #unflushed = 0;
  #flushing = false;
  #batchesSent = 0;
  /** Work that has ended in this turn. */
  #settled: { envelope: Envelope; outcome: Outcome }[] = [];
  /** A drain comes at the end of this turn. */
  #leaving = false;
  #expired = 0;
  readonly #changes = new Changes();

  constructor(options: BrokerPortOptions) {
    super();
    this.options = checkBrokerOptions(options);
    this.#works = new WorkOutbox({
      refused: (work, error) => this.#refuseWork(work, error),
      lost: (session, error) => this.#connection.lose(session, error),
      confirmed: () => {
        this.#drain();
        if (this.#works.unconfirmed === 0) this.#changes.tell();
      },
    });
    this.#deliveries = this.options.durable === null ? null : new Deliveries(this.options.durable);
    this.#inbound = new Inbound(this.#deliveries, {
      isClosed: () => this.closed,
      countReceived: () => this.countReceived(),
      send: (envelope) => this.send(envelope),
      learnRoute: (replyTo, route) => this.#connection.session?.learnRoute?.(replyTo, route),
    });
    this.#connection = new BrokerConnection((owner) => this.connect(owner), this.#owner, this.options, {
      opened: this.#onOpened,
      lost: this.#onLost,
      refused: (error) => this.break(error.cause ?? error, error.message),
    });
  }

  /** Throws RefusedError where trying again will not help. */
  protected abstract connect(owner: SessionOwner): Promise<Session>;

  get connected(): boolean {
    return this.#connection.session !== null;
  }

  /** Resolves when the broker has taken everything that was published and subscribed so far. Rejects with TimeoutError after `timeout` ms (30,000). */
  async ready(timeout = 30_000): Promise<void> {
    const end = performance.now() + timeout;
    for (;;) {
      this.assertUsable();
      const { session } = this.#connection;
      if (session !== null && this.#idle) {
        if (await within(session.flush(), end - performance.now())) {
          return;
        }
      } else {
        await this.#changes.next(end - performance.now());
      }
      if (performance.now() >= end) {
        const cause = this.#connection.lastError;
        throw new TimeoutError(this.#whyNotReady(timeout), cause === undefined ? undefined : { cause });
      }
    }
  }

  /** Nothing is to be awaited of the broker. */
  get #idle(): boolean {
    const unanswered = this.#subscribing + this.#consuming + this.#works.unconfirmed;
    return unanswered + this.#outbox.size + this.#works.size === 0 && !this.#flushing;
  }

  #whyNotReady(timeout: number): string {
    const cause = (this.#connection.lastError as Error | undefined)?.message;
    if (!this.connected) return `The ${this.kind} port had no connection to its broker for ${timeout} ms: ${cause}`;
    if (this.#consuming > 0)
      return `The broker gave no work of ${this.#consuming} queues for ${timeout} ms: see its log`;
    return `The broker did not answer the ${this.kind} port for ${timeout} ms`;
  }

  /**
   * Durable work that nobody waits for. Resolves when the broker has stored it; from then on it is carried out at least once, or becomes a dead letter. Rejects
   * with PayloadError, BrokerError (ERR_GAMMALOOP_BROKER_UNCONFIRMED: not known, submit again with the same key), ClosedError, or the scope's Cancelled.
   */
  async submit(subject: string, payload?: unknown, options: SubmitOptions = {}): Promise<void> {
    this.#assertDurable();
    const { key = randomUUID(), timeout = 30_000, traceparent = newTraceparent(), headers, deadline } = options;
    const envelope = createEnvelope({
      kind: 'request',
      id: key,
      subject,
      payload,
      traceparent,
      headers: { ...headers, [IDEMPOTENCY_KEY]: key },
      ...(deadline === undefined ? {} : { deadline }),
    });
    const { waiter, confirmed } = awaitConfirmation(subject, timeout);
    if (!waiter.settled) this.#submit(envelope, waiter);
    await confirmed;
  }

  /** Takes dead letters of a subject from the broker: they are yours then. */
  async takeDeadLetters(subject: string, limit = 100): Promise<DeadLetter[]> {
    this.#assertDurable();
    if (!this.connected) await this.ready();
    const taken = (await this.#connection.session?.takeDead(subject, limit)) ?? [];
    return taken.map((dead) => toDeadLetter(subject, dead));
  }

  #assertDurable(): void {
    this.assertUsable();
    if (this.#deliveries === null) throw new OptionError('durable', 'true, for a port that has work', false);
  }

  settle(envelope: Envelope, outcome: Outcome): void {
    if (this.#deliveries === null) return;
    this.#settled.push({ envelope, outcome });
    this.#leaveSoon();
  }

  override subscribe(subject: string, listener: EnvelopeListener, options: SubscribeOptions = {}): Subscription {
    this.assertUsable();
    const name = channelName(subject, options.group);
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = new SubscribedChannel(subject, options.group);
      this.#channels.set(name, channel);
      if (this.#connection.session !== null) this.#subscribeOn(this.#connection.session, channel);
    }
    const leave = channel.add(listener);
    return {
      subject,
      unsubscribe: () => {
        if (leave() && channel.members.length === 0 && this.#channels.delete(name))
          this.#connection.session?.unsubscribe(channel);
      },
    };
  }

  protected override subscriptionCount(): number {
    let count = 0;
    for (const { members } of this.#channels.values()) count += members.length;
    return count;
  }

  protected override dropSubscriptions(): void {
    for (const channel of this.#channels.values()) {
      channel.members = [];
      this.#connection.session?.unsubscribe(channel);
    }
    this.#channels.clear();
  }

  override stats() {
    return {
      ...super.stats(),
      connected: this.connected,
      /** The broker takes nothing for now. */
      blocked: this.#connection.session?.blocked === true,
      connections: this.#connection.count,
      /** Waits for the broker, or for its confirmation. */
      waiting: this.#outbox.size + this.#works.size,
      waitingBytes: this.#outbox.bytes + this.#works.bytes,
      unconfirmed: this.#works.unconfirmed,
      /** Was out of time before the broker came back. */
      expired: this.#expired + this.#works.expired,
      unreadable: this.#inbound.unreadable,
      deliveries: this.#deliveries?.stats() ?? (null as DeliveryStats | null),
    };
  }

  // The way out.

  protected send(envelope: Envelope): void {
    if (this.#deliveries !== null && envelope.kind === 'request') {
      this.#submit(envelope, null);
      return;
    }
    const frame = this.#encode(envelope, 0);
    if (frame instanceof Error) {
      this.#refuse(envelope, frame);
      return;
    }
    this.#outbox.push({ frame, envelope });
    this.#leaveSoon();
  }

  #submit(envelope: Envelope, waiter: Waiter<void> | null): void {
    const frame = this.#encode(envelope, Date.now());
    if (frame instanceof Error) {
      this.#refuseWork({ envelope, waiter }, frame);
      return;
    }
    this.#works.push({ frame, envelope, key: keyOf(envelope), waiter });
    this.#leaveSoon();
  }

  #refuseWork({ envelope, waiter }: Pick<Work, 'envelope' | 'waiter'>, error: Error): void {
    if (waiter === null) {
      this.#refuse(envelope, error);
      return;
    }
    this.unsendable++;
    waiter.reject(error);
  }

  /** Or why it cannot be sent. */
  #encode(envelope: Envelope, sentAt: number): Buffer | Error {
    let frame: Buffer;
    try {
      frame = encodeFrame(envelope, performance.now(), sentAt);
    } catch (cause) {
      return payloadError(envelope, cause);
    }
    const { bufferBytes, maxBytes } = this.options;
    const limit = Math.min(maxBytes, this.#connection.session?.maxBytes ?? Number.POSITIVE_INFINITY);
    if (frame.length > limit) return tooLarge(envelope, frame.length, limit);
    const waiting = this.#outbox.bytes + this.#works.bytes;
    // One that is larger than all the room is taken alone.
    return waiting > 0 && waiting + frame.length > bufferBytes ? bufferFull(waiting, bufferBytes) : frame;
  }

  /** After the microtasks of this turn: what they publish joins. */
  #leaveSoon(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    process.nextTick(this.#leave);
  }

  readonly #leave = (): void => {
    this.#leaving = false;
    this.#drain();
    this.#settleAll();
  };

  /** After the answers have left: whose worker dies before that is done again, elsewhere. */
  #settleAll(): void {
    const settled = this.#settled;
    this.#settled = [];
    for (const { envelope, outcome } of settled) this.#deliveries?.settle(envelope, outcome);
  }

  /** The broker is to answer first. */
  get #held(): boolean {
    const { session } = this.#connection;
    return this.#unflushed >= 2 * FLUSH_BYTES || this.#subscribing > 0 || session?.blocked === true;
  }

  /** What waits leaves, as far as the broker keeps up. */
  #drain(): void {
    const { session } = this.#connection;
    if (session === null) {
      return;
    }
    const now = performance.now();
    const batch: Sending[] = [];
    for (let next = this.#outbox.first; next !== undefined && !this.#held; next = this.#outbox.first) {
      this.#outbox.shift();
      const { frame, envelope } = next;
      if (envelope.deadline <= now) {
        this.#expired++;
      } else if (frame.length > session.maxBytes) {
        this.#refuse(envelope, tooLarge(envelope, frame.length, session.maxBytes));
      } else {
        touchFrame(frame, envelope.deadline, now);
        batch.push(next);
        this.#unflushed += frame.length;
      }
    }
    if (batch.length > 0) {
      this.#batchesSent++;
      session.send(bundle(batch, Math.min(this.options.maxBytes, session.maxBytes)));
    }
    if (this.#unflushed >= FLUSH_BYTES && !this.#flushing) this.#flush(session);
    if (!this.#held) this.#works.drain(session);
    if (this.#outbox.size + this.#works.size === 0) this.#changes.tell();
  }

  #flush(session: Session): void {
    const asked = this.#unflushed;
    this.#flushing = true;
    session.flush().then(
      () => {
        if (session !== this.#connection.session) return;
        this.#unflushed -= asked;
        this.#flushing = false;
        this.#drain();
      },
      (error) => this.#connection.lose(session, error),
    );
  }

  /** It cannot be sent: who waits is told, here or on the other side. */
  #refuse(envelope: Envelope, error: Error): void {
    this.unsendable++;
    const answer = failureOf(envelope, error);
    // An error that does not fit either: nothing smaller is left to say.
    if (answer !== null && envelope.kind !== 'error') this.answer(answer);
  }

  protected override answer(envelope: Envelope): void {
    const local = this.#channels.get(channelName(envelope.subject, undefined));
    if (local === undefined) this.send(envelope);
    else process.nextTick(() => this.#inbound.deliver(local, envelope));
  }

  readonly #owner: Omit<SessionOwner, 'lost'> = {
    received: (channel, message, route) => this.#inbound.received(channel as SubscribedChannel, message, route),
    delivered: (channel, frame, delivery, route) =>
      this.#inbound.delivered(channel as SubscribedChannel, frame, delivery, route),
    unanswered: (request) => {
      if (!this.closed) this.bounce(request);
    },
    refused: (envelope, error) => {
      if (!this.closed) this.#refuse(envelope, error);
    },
    unblocked: () => this.#drain(),
    answered: (reply) => {
      const inbox = this.#channels.get(channelName(reply.subject, undefined));
      if (inbox !== undefined) this.#inbound.deliver(inbox, reply);
    },
  };

  // The connection.

  readonly #onOpened = (session: Session): void => {
    for (const channel of this.#channels.values()) this.#subscribeOn(session, channel);
    this.#drain();
    this.#changes.tell();
  };

  readonly #onLost = (): void => {
    this.#subscribing = 0;
    this.#consuming = 0;
    this.#unflushed = 0;
    this.#flushing = false;
    this.#works.requeue();
  };

  #subscribeOn(session: Session, channel: SubscribedChannel): void {
    const current = (): boolean => session === this.#connection.session;
    const lost = (error: unknown): void => this.#connection.lose(session, error);
    const confirmed = session.subscribe(channel);
    if (confirmed !== undefined) {
      this.#subscribing++;
      confirmed.then(() => {
        if (!current()) return;
        this.#subscribing--;
        this.#drain();
        this.#changes.tell();
      }, lost);
    }
    if (this.#deliveries === null || channel.group === undefined) {
      return;
    }
    this.#consuming++;
    session.consume(channel).then(() => {
      if (!current()) return;
      this.#consuming--;
      this.#changes.tell();
    }, lost);
  }

  /** What waits is sent, if the broker is there and takes it within five seconds. */
  protected async finish(): Promise<void> {
    const { session } = this.#connection;
    const end = performance.now() + CLOSE_TIMEOUT_MS;
    this.#drain();
    this.#settleAll();
    this.#deliveries?.close();
    while (session !== null && session === this.#connection.session) {
      const before = this.#batchesSent;
      const answered = await within(session.flush(), end - performance.now());
      const left = this.#outbox.size + this.#works.size + this.#works.unconfirmed;
      if (!answered || (left === 0 && this.#batchesSent === before)) break;
      // Also what came for members that have gone, and goes to others.
      this.#drain();
    }
    await this.#connection.close(end);
    this.#stop();
  }

  protected abandon(): void {
    this.#deliveries?.close();
    this.#connection.destroy();
    this.#stop();
  }

  #stop(): void {
    this.#works.close(this.closeError());
    this.#outbox.takeAll();
    this.#changes.tell();
  }
}
