/**
 * What the ports to NATS, AMQP and Redis share: the connection's state and its return, subscriptions that survive it, what waits meanwhile, frames and their
 * limits, durable work. A broker's own file adds `connect`, which gives a session (broker-session.ts).
 *
 * The port is usable at once, before the broker is there. While there is no connection, what is published waits in the outbox, up to `bufferBytes` and to its
 * own deadline. What had been sent is not sent again, but for durable work that the broker had not confirmed: its key lets the repetition be told.
 */
import { randomUUID } from 'node:crypto';
import { createEnvelope, type Envelope, failureOf } from '../correlation/envelope.js';
import type { EnvelopeListener, Outcome, SubscribeOptions, Subscription } from '../correlation/port.js';
import { PortBase, payloadError } from '../correlation/port-base.js';
import { BrokerError, ClosedError, OptionError, PayloadError, TimeoutError } from '../errors.js';
import { activeDeadlines } from '../scope/scope-tree.js';
import { newTraceparent } from '../scope/trace-context.js';
import { Waiter } from '../scope/waiter.js';
import { BrokerConnection, within } from './broker-connection.js';
import {
  type BrokerPortOptions,
  type CheckedBrokerOptions,
  checkBrokerOptions,
  type DeadLetter,
  type SubmitOptions,
} from './broker-options.js';
import type { Session, SessionOwner } from './broker-session.js';
import { bundle } from './bundle.js';
import { Deliveries, type Delivery, type DeliveryStats } from './deliveries.js';
import { type DecodedFrame, decodeFrame, encodeFrame, touchFrame } from './frame.js';
import { Outbox, type Outgoing } from './outbox.js';
import { channelName, SubscribedChannel } from './subscribed-channel.js';

/** The header that names work for the de-duplication. */
export const IDEMPOTENCY_KEY = 'idempotency-key';

/** Sent without asking the broker whether it keeps up. */
const FLUSH_BYTES = 2 ** 20;
/** Work that awaits its confirmation. */
const MAX_UNCONFIRMED = 1024;
const CLOSE_TIMEOUT_MS = 5000;

export abstract class BrokerPort extends PortBase {
  protected readonly options: CheckedBrokerOptions;
  readonly #channels = new Map<string, SubscribedChannel>();
  readonly #outbox: Outbox;
  readonly #deliveries: Deliveries | null;
  readonly #unconfirmed = new Set<Outgoing>();
  readonly #connection: BrokerConnection;
  /** Subscriptions that the broker has not confirmed: what is published after them waits. */
  #subscribing = 0;
  #unflushed = 0;
  #flushing = false;
  /** A drain comes at the end of this turn. */
  #leaving = false;
  #expired = 0;
  #unreadable = 0;
  #onChange: Waiter<void>[] = [];

  constructor(options: BrokerPortOptions) {
    super();
    this.options = checkBrokerOptions(options);
    this.#outbox = new Outbox(this.options.bufferBytes);
    this.#deliveries = this.options.durable === null ? null : new Deliveries(this.options.durable);
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
      if (session !== null && this.#subscribing === 0 && this.#outbox.size === 0 && !this.#flushing) {
        if (await within(session.flush(), end - performance.now())) {
          return;
        }
      } else {
        await this.#change(end - performance.now());
      }
      if (performance.now() >= end) {
        const cause = this.#connection.lastError;
        throw new TimeoutError(`The ${this.kind} port had no connection to its broker for ${timeout} ms`, { cause });
      }
    }
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
    const text = `The broker did not confirm work for '${subject}' within ${timeout} ms; submit it again with its key`;
    const waiter = new Waiter<void>({
      onAbort: () => true,
      onExpire: (expired) => expired.reject(new BrokerError('ERR_GAMMALOOP_BROKER_UNCONFIRMED', text)),
    });
    const parked = waiter.park();
    const timers = activeDeadlines();
    waiter.expireAt(timers.now() + timeout, timers);
    if (!waiter.settled) this.#submit(envelope, waiter);
    await parked;
  }

  /** Takes dead letters of a subject from the broker: they are yours then. */
  async takeDeadLetters(subject: string, limit = 100): Promise<DeadLetter[]> {
    this.#assertDurable();
    await this.ready();
    const taken = (await this.#connection.session?.takeDead(subject, limit)) ?? [];
    return taken.flatMap(({ frame, reason }) => {
      const decoded = decodeFrame(frame, performance.now());
      return decoded === null ? [] : [{ envelope: decoded.envelope, key: keyOf(decoded.envelope), reason }];
    });
  }

  #assertDurable(): void {
    this.assertUsable();
    if (this.#deliveries === null) throw new OptionError('durable', 'true, for a port that has work', false);
  }

  settle(envelope: Envelope, outcome: Outcome): void {
    this.#deliveries?.settle(envelope, outcome);
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
      connections: this.#connection.count,
      /** Waits for the broker, or for its confirmation. */
      waiting: this.#outbox.size,
      waitingBytes: this.#outbox.bytes,
      unconfirmed: this.#unconfirmed.size,
      /** Was out of time before the broker came back. */
      expired: this.#expired,
      unreadable: this.#unreadable,
      deliveries: this.#deliveries?.stats() ?? (null as DeliveryStats | null),
    };
  }

  // The way out.

  protected send(envelope: Envelope): void {
    if (this.#deliveries !== null && envelope.kind === 'request') this.#submit(envelope, null);
    else this.#frame(envelope, null, 0);
  }

  #submit(envelope: Envelope, waiter: Waiter<void> | null): void {
    this.#frame(envelope, { key: keyOf(envelope), waiter }, Date.now());
  }

  #frame(envelope: Envelope, work: Outgoing['work'], sentAt: number): void {
    let frame: Buffer;
    try {
      frame = encodeFrame(envelope, performance.now(), sentAt);
    } catch (cause) {
      this.#refuse(envelope, work, payloadError(envelope, cause));
      return;
    }
    const { session } = this.#connection;
    const limit = Math.min(this.options.maxBytes, session?.maxBytes ?? Number.POSITIVE_INFINITY);
    if (frame.length > limit) {
      this.#refuse(envelope, work, tooLarge(envelope, frame.length, limit));
      return;
    }
    if (!this.#outbox.push({ frame, envelope, work })) {
      const text = `${this.#outbox.bytes} bytes wait for the broker already (bufferBytes: ${this.options.bufferBytes})`;
      this.#refuse(envelope, work, new BrokerError('ERR_GAMMALOOP_BROKER_FULL', text));
    } else if (!this.#leaving) {
      this.#leaving = true;
      // After the microtasks of this turn: what they publish joins.
      process.nextTick(this.#leave);
    }
  }

  readonly #leave = (): void => {
    this.#leaving = false;
    this.#drain();
  };

  /** The broker is to answer first. */
  get #held(): boolean {
    return this.#flushing || this.#subscribing > 0;
  }

  /** What waits leaves, as far as the broker keeps up. */
  #drain(): void {
    const { session } = this.#connection;
    if (session === null) {
      return;
    }
    const now = performance.now();
    const batch: Outgoing[] = [];
    for (let next = this.#outbox.first; next !== undefined && !this.#held; next = this.#outbox.first) {
      const { frame, envelope, work } = next;
      if (this.#unflushed >= FLUSH_BYTES || (work !== null && this.#unconfirmed.size >= MAX_UNCONFIRMED)) {
        break;
      }
      this.#outbox.shift();
      if (envelope.deadline <= now || work?.waiter?.settled === true) {
        this.#expired++;
        work?.waiter?.reject(new TimeoutError(`The time of work for '${envelope.subject}' passed before it was sent`));
      } else if (frame.length > session.maxBytes) {
        this.#refuse(envelope, work, tooLarge(envelope, frame.length, session.maxBytes));
      } else if (work === null) {
        touchFrame(frame, envelope.deadline, now);
        batch.push(next);
        this.#unflushed += frame.length;
      } else {
        this.#enqueue(session, next, work);
      }
    }
    if (batch.length > 0) session.send(bundle(batch, Math.min(this.options.maxBytes, session.maxBytes)));
    if (this.#unflushed >= FLUSH_BYTES && !this.#flushing) this.#flush(session);
    if (this.#outbox.size === 0) this.#changed();
  }

  #flush(session: Session): void {
    this.#flushing = true;
    session.flush().then(
      () => {
        if (session !== this.#connection.session) return;
        this.#unflushed = 0;
        this.#flushing = false;
        this.#drain();
      },
      (error) => this.#connection.lose(session, error),
    );
  }

  #enqueue(session: Session, item: Outgoing, work: NonNullable<Outgoing['work']>): void {
    this.#unconfirmed.add(item);
    session.enqueue(item.frame, item.envelope, work.key).then(
      () => {
        if (!this.#unconfirmed.delete(item)) return;
        work.waiter?.resolve();
        this.#drain();
      },
      (error) => {
        if (!(error instanceof BrokerError)) {
          this.#connection.lose(session, error);
        } else if (this.#unconfirmed.delete(item)) {
          this.#refuse(item.envelope, work, error);
          this.#drain();
        }
      },
    );
  }

  /** It cannot be sent: who waits is told, here or on the other side. */
  #refuse(envelope: Envelope, work: Outgoing['work'], error: Error): void {
    this.unsendable++;
    if (work !== null && work.waiter !== null) {
      work.waiter.reject(error);
      return;
    }
    const answer = failureOf(envelope, error);
    // An error that does not fit either: nothing smaller is left to say.
    if (answer !== null && envelope.kind !== 'error') this.answer(answer);
  }

  protected override answer(envelope: Envelope): void {
    const local = this.#channels.get(channelName(envelope.subject, undefined));
    if (local === undefined) this.send(envelope);
    else process.nextTick(() => this.#deliver(local, envelope));
  }

  // The way in.

  readonly #owner: Omit<SessionOwner, 'lost'> = {
    received: (channel, frame, route) => this.#received(channel as SubscribedChannel, frame, route),
    delivered: (channel, frame, delivery, route) =>
      this.#delivered(channel as SubscribedChannel, frame, delivery, route),
    unanswered: (request) => {
      if (!this.closed) this.bounce(request);
    },
    refused: (envelope, error) => {
      if (!this.closed) this.#refuse(envelope, null, error);
    },
    answered: (reply) => {
      const inbox = this.#channels.get(channelName(reply.subject, undefined));
      if (inbox !== undefined) this.#deliver(inbox, reply);
    },
  };

  #received(channel: SubscribedChannel, message: Uint8Array, route: string | undefined): void {
    const now = performance.now();
    for (let at = 0; at < message.length; ) {
      const decoded = decodeFrame(message, now, at);
      if (decoded === null) {
        this.#unreadable++;
        return;
      }
      at = decoded.end;
      this.#receivedFrame(channel, decoded, route);
    }
  }

  #receivedFrame(
    channel: SubscribedChannel,
    { envelope, payloadError }: DecodedFrame,
    route: string | undefined,
  ): void {
    this.#learnRoute(envelope, route);
    if (channel.members.length === 0) {
      // It came while the subscription was given up: to another member of the group, or back.
      if (channel.group !== undefined) this.#frame(envelope, null, 0);
    } else if (payloadError !== undefined) {
      this.#unreadablePayload(channel, envelope, payloadError);
    } else {
      this.#deliver(channel, envelope);
    }
  }

  #delivered(channel: SubscribedChannel, frame: Uint8Array, delivery: Delivery, route: string | undefined): void {
    const decoded = decodeFrame(frame, performance.now());
    if (decoded === null) {
      this.#unreadable++;
      delivery.bury('not readable');
      return;
    }
    const { envelope } = decoded;
    this.#learnRoute(envelope, route);
    if (this.#deliveries === null || channel.members.length === 0) {
      delivery.retry();
    } else if (decoded.payloadError !== undefined) {
      delivery.bury('its payload cannot be read');
      this.#unreadablePayload(channel, envelope, decoded.payloadError);
    } else {
      const decision = this.#deliveries.begin(keyOf(envelope), envelope, delivery);
      if (decision === 'run') this.#deliver(channel, envelope);
      if (decision === 'buried') {
        const text = `'${envelope.subject}' was delivered ${delivery.attempt - 1} times and never carried out`;
        this.#refuseOther(envelope, new BrokerError('ERR_GAMMALOOP_DEAD_LETTER', text));
      }
    }
  }

  #learnRoute({ replyTo }: Envelope, route: string | undefined): void {
    if (route !== undefined && replyTo !== undefined) this.#connection.session?.learnRoute?.(replyTo, route);
  }

  #unreadablePayload(channel: SubscribedChannel, envelope: Envelope, cause: unknown): void {
    this.#unreadable++;
    const error = new PayloadError(`The payload of a message for '${envelope.subject}' cannot be read here`, { cause });
    if (envelope.kind === 'request' || envelope.kind === 'stream') {
      this.#refuseOther(envelope, error);
    } else {
      const answer = failureOf(envelope, error);
      if (answer !== null) this.#deliver(channel, answer);
    }
  }

  #refuseOther(request: Envelope, error: Error): void {
    const answer = failureOf(request, error);
    if (answer !== null) this.send(answer);
  }

  #deliver(channel: SubscribedChannel, envelope: Envelope): void {
    if (this.closed) {
      return;
    }
    this.countReceived();
    channel.deliver(envelope);
  }

  // The connection.

  readonly #onOpened = (session: Session): void => {
    for (const channel of this.#channels.values()) this.#subscribeOn(session, channel);
    this.#drain();
    this.#changed();
  };

  /** Unconfirmed work is sent again, first. */
  readonly #onLost = (): void => {
    this.#subscribing = 0;
    this.#unflushed = 0;
    this.#flushing = false;
    this.#outbox.unshift([...this.#unconfirmed]);
    this.#unconfirmed.clear();
  };

  #subscribeOn(session: Session, channel: SubscribedChannel): void {
    const confirmed = session.subscribe(channel);
    if (confirmed === undefined) {
      return;
    }
    this.#subscribing++;
    confirmed.then(
      () => {
        if (session !== this.#connection.session) return;
        this.#subscribing--;
        this.#drain();
        this.#changed();
      },
      (error) => this.#connection.lose(session, error),
    );
  }

  /** What waits is sent, if the broker is there and takes it within five seconds. */
  protected async finish(): Promise<void> {
    const { session } = this.#connection;
    this.#deliveries?.close();
    const end = performance.now() + CLOSE_TIMEOUT_MS;
    this.#drain();
    while (session !== null && session === this.#connection.session) {
      const done = this.#outbox.size === 0 && this.#unconfirmed.size === 0 && !this.#held;
      if (!(await within(session.flush(), end - performance.now())) || done) break;
    }
    await this.#connection.close(end);
    this.#stop();
  }

  protected abandon(): void {
    this.#deliveries?.close();
    this.#connection.destroy();
    this.#stop();
  }

  #changed(): void {
    const waiting = this.#onChange;
    this.#onChange = [];
    for (const waiter of waiting) waiter.resolve();
  }

  /** Resolves at the next change, or after `ms`. */
  #change(ms: number): Promise<void> {
    const waiter = new Waiter<void>({ onAbort: () => true, onExpire: (expired) => expired.resolve() });
    const parked = waiter.park();
    const timers = activeDeadlines();
    if (!waiter.settled) waiter.expireAt(timers.now() + Math.max(0, ms), timers);
    this.#onChange.push(waiter);
    return parked;
  }

  #stop(): void {
    const error = new ClosedError(`The ${this.kind} port`);
    for (const { work } of [...this.#unconfirmed, ...this.#outbox.takeAll()]) work?.waiter?.reject(error);
    this.#unconfirmed.clear();
    this.#changed();
  }
}

function keyOf(envelope: Envelope): string {
  return envelope.headers?.[IDEMPOTENCY_KEY] ?? `${envelope.replyTo ?? ''}/${envelope.id}`;
}

function tooLarge(envelope: Envelope, bytes: number, limit: number): PayloadError {
  const text = `A message for '${envelope.subject}' has ${bytes} bytes, and the broker takes ${limit}; send less, or in parts`;
  return new PayloadError(text, undefined, 'ERR_GAMMALOOP_PAYLOAD_SIZE');
}
