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
import { throwLater } from '../correlation/subscriptions.js';
import { newTraceparent } from '../correlation/trace-context.js';
import { BrokerError, ClosedError, OptionError, PayloadError, TimeoutError } from '../errors.js';
import { activeDeadlines } from '../scope/scope-tree.js';
import { Waiter } from '../scope/waiter.js';
import { type BrokerPortOptions, type CheckedBrokerOptions, checkBrokerOptions } from './broker-options.js';
import { type Channel, RefusedError, type Session, type SessionOwner } from './broker-session.js';
import { Deliveries, type Delivery, type DeliveryStats } from './deliveries.js';
import { decodeFrame, encodeFrame, touchFrame } from './frame.js';
import { type Outgoing, Outbox } from './outbox.js';

/** The header that names work for the de-duplication. */
export const IDEMPOTENCY_KEY = 'idempotency-key';

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
  /** The work as it was submitted. */
  readonly envelope: Envelope;
  readonly key: string;
  readonly reason: string;
}

/** Sent without asking the broker whether it keeps up. */
const FLUSH_BYTES = 2 ** 20;
/** Work that awaits its confirmation. */
const MAX_UNCONFIRMED = 1024;
const CLOSE_TIMEOUT_MS = 5000;

class SubscribedChannel implements Channel {
  readonly subject: string;
  readonly group: string | undefined;
  members: EnvelopeListener[] = [];
  turn = 0;

  constructor(subject: string, group: string | undefined) {
    this.subject = subject;
    this.group = group;
  }
}

export abstract class BrokerPort extends PortBase {
  protected readonly options: CheckedBrokerOptions;
  readonly #channels = new Map<string, SubscribedChannel>();
  readonly #outbox: Outbox;
  readonly #deliveries: Deliveries | null;
  readonly #unconfirmed = new Set<Outgoing>();
  #session: Session | null = null;
  /** Subscriptions that the broker has not confirmed: what is published after them waits. */
  #subscribing = 0;
  #unflushed = 0;
  #flushing = false;
  #probing = false;
  #heartbeat: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #delay: number;
  #lastError: unknown;
  #connections = 0;
  #expired = 0;
  #unreadable = 0;
  #onChange: (() => void)[] = [];

  constructor(options: BrokerPortOptions) {
    super();
    this.options = checkBrokerOptions(options);
    this.#delay = this.options.minDelay;
    this.#outbox = new Outbox(this.options.bufferBytes);
    this.#deliveries = this.options.durable === null ? null : new Deliveries(this.options.durable);
    // When the subclass is made.
    queueMicrotask(() => void this.#connect());
  }

  /** Throws RefusedError where trying again will not help. */
  protected abstract connect(owner: SessionOwner): Promise<Session>;

  get connected(): boolean {
    return this.#session !== null;
  }

  /** Resolves when the broker has taken everything that was published and subscribed so far. Rejects with TimeoutError after `timeout` ms (30,000). */
  async ready(timeout = 30_000): Promise<void> {
    const end = performance.now() + timeout;
    for (;;) {
      this.assertUsable();
      const session = this.#session;
      if (session !== null && this.#subscribing === 0 && this.#outbox.size === 0 && !this.#flushing) {
        if (await within(session.flush(), end - performance.now())) {
          return;
        }
      } else if (await within(new Promise<void>((resolve) => this.#onChange.push(resolve)), end - performance.now())) {
        continue;
      }
      if (performance.now() >= end) {
        const cause = this.#lastError;
        throw new TimeoutError(`The ${this.kind} port had no connection to its broker for ${timeout} ms`, { cause });
      }
    }
  }

  /**
   * Durable work that nobody waits for. Resolves when the broker has stored it; from then on it is carried out at least once, or becomes a dead letter. Rejects
   * with PayloadError, BrokerError (ERR_GAMMALOOP_BROKER_UNCONFIRMED: not known, submit again with the same key), ClosedError, or the scope's Cancelled.
   */
  async submit(subject: string, payload?: unknown, options: SubmitOptions = {}): Promise<void> {
    this.assertUsable();
    if (this.#deliveries === null) throw new OptionError('durable', 'true, for a port that work is submitted to', false);
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
    this.assertUsable();
    await this.ready();
    const taken = (await this.#session?.takeDead(subject, limit)) ?? [];
    return taken.flatMap(({ frame, reason }) => {
      const decoded = decodeFrame(frame, performance.now());
      return decoded === null ? [] : [{ envelope: decoded.envelope, key: keyOf(decoded.envelope), reason }];
    });
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
      if (this.#session !== null) this.#subscribeOn(this.#session, channel);
    }
    const { members } = channel;
    const member: EnvelopeListener = (envelope) => listener(envelope);
    channel.members = [...members, member];
    return { subject, unsubscribe: () => this.#unsubscribe(name, member) };
  }

  #unsubscribe(name: string, member: EnvelopeListener): void {
    const channel = this.#channels.get(name);
    if (channel?.members.includes(member) !== true) {
      return;
    }
    channel.members = channel.members.filter((other) => other !== member);
    if (channel.members.length === 0) {
      this.#channels.delete(name);
      this.#session?.unsubscribe(channel);
    }
  }

  protected override subscriptionCount(): number {
    let count = 0;
    for (const { members } of this.#channels.values()) count += members.length;
    return count;
  }

  protected override dropSubscriptions(): void {
    for (const channel of this.#channels.values()) {
      channel.members = [];
      this.#session?.unsubscribe(channel);
    }
    this.#channels.clear();
  }

  override stats() {
    return {
      ...super.stats(),
      connected: this.connected,
      connections: this.#connections,
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
    const session = this.#session;
    const limit = Math.min(this.options.maxBytes, session?.maxBytes ?? Number.POSITIVE_INFINITY);
    if (frame.length > limit) {
      this.#refuse(envelope, work, tooLarge(envelope, frame.length, limit));
      return;
    }
    if (work === null && session !== null && this.#outbox.size === 0 && !this.#held) {
      this.#sendOn(session, frame, envelope);
      return;
    }
    if (!this.#outbox.push({ frame, envelope, work })) {
      const text = `${this.#outbox.bytes} bytes wait for the broker already (bufferBytes: ${this.options.bufferBytes})`;
      this.#refuse(envelope, work, new BrokerError('ERR_GAMMALOOP_BROKER_FULL', text));
    } else {
      this.#drain();
    }
  }

  /** The broker is to answer first. */
  get #held(): boolean {
    return this.#flushing || this.#subscribing > 0;
  }

  #sendOn(session: Session, frame: Buffer, envelope: Envelope): void {
    session.send(frame, envelope);
    this.#unflushed += frame.length;
    if (this.#unflushed < FLUSH_BYTES) {
      return;
    }
    this.#flushing = true;
    session.flush().then(
      () => {
        if (session !== this.#session) return;
        this.#unflushed = 0;
        this.#flushing = false;
        this.#drain();
      },
      (error) => this.#lose(session, error),
    );
  }

  #drain(): void {
    const session = this.#session;
    for (let next = this.#outbox.first; next !== undefined && session !== null && !this.#held; next = this.#outbox.first) {
      const { frame, envelope, work } = next;
      if (work !== null && this.#unconfirmed.size >= MAX_UNCONFIRMED) {
        return;
      }
      this.#outbox.shift();
      const now = performance.now();
      if (envelope.deadline <= now || work?.waiter?.settled === true) {
        this.#expired++;
        work?.waiter?.reject(new TimeoutError(`The time of work for '${envelope.subject}' passed before it was sent`));
      } else if (frame.length > session.maxBytes) {
        this.#refuse(envelope, work, tooLarge(envelope, frame.length, session.maxBytes));
      } else if (work === null) {
        touchFrame(frame, envelope.deadline, now);
        this.#sendOn(session, frame, envelope);
      } else {
        this.#enqueue(session, next, work);
      }
    }
    if (this.#outbox.size === 0) this.#changed();
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
          this.#lose(session, error);
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

  #ownerOf(current: { session: Session | null }): SessionOwner {
    return {
      received: (channel, frame, route) => this.#received(channel as SubscribedChannel, frame, route),
      delivered: (channel, frame, delivery) => this.#delivered(channel as SubscribedChannel, frame, delivery),
      unanswered: (request) => {
        if (!this.closed) this.bounce(request);
      },
      refused: (envelope, cause) => {
        const full = /OOM|MISCONF/.test(cause.message);
        const code = full ? 'ERR_GAMMALOOP_BROKER_FULL' : 'ERR_GAMMALOOP_BROKER_REFUSED';
        const text = `The broker refused a message for '${envelope.subject}': ${cause.message}`;
        if (!this.closed) this.#refuse(envelope, null, new BrokerError(code, text, { cause }));
      },
      answered: (reply) => {
        const inbox = this.#channels.get(channelName(reply.subject, undefined));
        if (inbox !== undefined) this.#deliver(inbox, reply);
      },
      lost: (cause) => {
        if (current.session !== null) this.#lose(current.session, cause);
      },
    };
  }

  #received(channel: SubscribedChannel, frame: Uint8Array, route: string | undefined): void {
    const decoded = decodeFrame(frame, performance.now());
    if (decoded === null) {
      this.#unreadable++;
      return;
    }
    const { envelope } = decoded;
    if (route !== undefined && envelope.replyTo !== undefined) this.#session?.learnRoute?.(envelope.replyTo, route);
    if (channel.members.length === 0) {
      // It came while the subscription was given up: to another member of the group, or back.
      if (channel.group !== undefined) this.#session?.send(encodeFrame(envelope, performance.now()), envelope);
    } else if (decoded.payloadError !== undefined) {
      this.#unreadablePayload(channel, envelope, decoded.payloadError);
    } else {
      this.#deliver(channel, envelope);
    }
  }

  #delivered(channel: SubscribedChannel, frame: Uint8Array, delivery: Delivery): void {
    const decoded = decodeFrame(frame, performance.now());
    if (decoded === null) {
      this.#unreadable++;
      delivery.bury('not readable');
      return;
    }
    const { envelope } = decoded;
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
    const { members } = channel;
    if (channel.group === undefined) {
      for (const member of members) if (channel.members.includes(member)) call(member, envelope);
      return;
    }
    if (channel.turn >= members.length) channel.turn = 0;
    const member = members[channel.turn++];
    if (member !== undefined) call(member, envelope);
  }

  // The connection.

  async #connect(): Promise<void> {
    if (this.closed) {
      return;
    }
    const current: { session: Session | null } = { session: null };
    let session: Session;
    try {
      session = await this.connect(this.#ownerOf(current));
    } catch (error) {
      this.#lastError = error;
      if (error instanceof RefusedError) this.break(error.cause ?? error, error.message);
      else this.#connectLater();
      return;
    }
    if (this.closed) {
      session.destroy();
      return;
    }
    current.session = session;
    this.#session = session;
    this.#connections++;
    this.#delay = this.options.minDelay;
    this.#heartbeat = setInterval(() => this.#probe(session), this.options.heartbeat).unref();
    for (const channel of this.#channels.values()) this.#subscribeOn(session, channel);
    this.#drain();
    this.#changed();
  }

  #connectLater(): void {
    if (this.closed) {
      return;
    }
    // Half of it by chance: a thousand clients of one broker do not return at once.
    const delay = this.#delay * (0.5 + Math.random() / 2);
    this.#delay = Math.min(this.#delay * 2, this.options.maxDelay);
    this.#retryTimer = setTimeout(() => void this.#connect(), delay);
  }

  #subscribeOn(session: Session, channel: SubscribedChannel): void {
    const confirmed = session.subscribe(channel);
    if (confirmed === undefined) {
      return;
    }
    this.#subscribing++;
    confirmed.then(
      () => {
        if (session !== this.#session) return;
        this.#subscribing--;
        this.#drain();
        this.#changed();
      },
      (error) => {
        if (session !== this.#session) return;
        if (error instanceof RefusedError) this.break(error.cause ?? error, error.message);
        else this.#lose(session, error);
      },
    );
  }

  /** A broker that does not answer for a whole heartbeat is gone. */
  #probe(session: Session): void {
    if (this.#probing) {
      this.#lose(session, new TimeoutError(`The broker did not answer for ${this.options.heartbeat} ms`));
      return;
    }
    this.#probing = true;
    session.flush().then(
      () => {
        if (session === this.#session) this.#probing = false;
      },
      (error) => this.#lose(session, error),
    );
  }

  #lose(session: Session, cause: unknown): void {
    if (session !== this.#session) {
      return;
    }
    this.#lastError = cause;
    this.#forgetSession();
    session.destroy();
    this.#outbox.unshift([...this.#unconfirmed]);
    this.#unconfirmed.clear();
    this.#connectLater();
  }

  #forgetSession(): void {
    this.#session = null;
    this.#subscribing = 0;
    this.#unflushed = 0;
    this.#flushing = false;
    this.#probing = false;
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
  }

  #changed(): void {
    const waiting = this.#onChange;
    this.#onChange = [];
    for (const resolve of waiting) resolve();
  }

  /** What waits is sent, if the broker is there and takes it within five seconds. */
  protected async finish(): Promise<void> {
    const session = this.#session;
    this.#deliveries?.close();
    if (session !== null) {
      const end = performance.now() + CLOSE_TIMEOUT_MS;
      while (session === this.#session && (this.#outbox.size > 0 || this.#unconfirmed.size > 0 || this.#held)) {
        if (!(await within(session.flush(), end - performance.now()))) break;
      }
      if (session === this.#session) await within(session.flush(), end - performance.now());
      this.#forgetSession();
      await within(session.close(), end - performance.now());
      session.destroy();
    }
    this.#stop(new ClosedError(`The ${this.kind} port`));
  }

  protected abandon(): void {
    this.#deliveries?.close();
    this.#session?.destroy();
    this.#forgetSession();
    this.#stop(new ClosedError(`The ${this.kind} port`));
  }

  #stop(error: Error): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    for (const { work } of [...this.#unconfirmed, ...this.#outbox.takeAll()]) work?.waiter?.reject(error);
    this.#unconfirmed.clear();
    this.#changed();
  }
}

function keyOf(envelope: Envelope): string {
  return envelope.headers?.[IDEMPOTENCY_KEY] ?? `${envelope.replyTo ?? ''}/${envelope.id}`;
}

function channelName(subject: string, group: string | undefined): string {
  return group === undefined ? subject : `${subject}\u0000${group}`;
}

function tooLarge(envelope: Envelope, bytes: number, limit: number): PayloadError {
  const text = `A message for '${envelope.subject}' has ${bytes} bytes, and the broker takes ${limit}; send less, or in parts`;
  return new PayloadError(text, undefined, 'ERR_GAMMALOOP_PAYLOAD_SIZE');
}

function call(listener: EnvelopeListener, envelope: Envelope): void {
  try {
    listener(envelope);
  } catch (error) {
    throwLater(error);
  }
}

/** Whether it resolved, or rejected, in time: true, false. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms), false);
  });
  try {
    return await Promise.race([
      promise.then(
        () => true,
        () => false,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
