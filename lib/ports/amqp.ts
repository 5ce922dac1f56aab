/**
 * A port over AMQP 0-9-1, as RabbitMQ 3.8 or newer has it.
 *
 *     const port = new AmqpPort({ url: 'amqp://guest:guest@127.0.0.1:5672' });
 *
 * One direct exchange, the subject is the routing key. Each group of a subject has a queue; the port has one of its own for everything else. Replies take direct
 * reply-to: the broker names the way to this port in each request, and `learnRoute` remembers it. All is published with confirms on one channel; a request that no
 * queue takes comes back ('mandatory'). Durable: quorum queues (amqp-work.ts).
 */
import { Writable } from 'node:stream';
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { type Envelope, INBOX_PREFIX } from '../correlation/envelope.js';
import { AmqpGroup } from './amqp-group.js';
import { amqpName, DIRECT_REPLY, rightsRefused, tellOfLoss } from './amqp-names.js';
import { AmqpWork } from './amqp-work.js';
import { BrokerPort } from './broker.js';
import type { BrokerPortOptions, CheckedBrokerOptions } from './broker-options.js';
import {
  type Channel,
  type DeadFrame,
  RefusedError,
  type Sending,
  type Session,
  type SessionOwner,
} from './broker-session.js';
import { requirePackage } from './client-package.js';
import { decodeFrame, subjectOf } from './frame.js';
import { TurnCork } from './turn-cork.js';

export type { BrokerPortOptions, DeadLetter, SubmitOptions } from './broker-options.js';
export type { DurableOptions } from './deliveries.js';

export interface AmqpPortOptions extends BrokerPortOptions {
  /** 'amqp://[user:password@]host:5672[/vhost]', 'amqps://' for TLS. Default 127.0.0.1:5672. */
  url?: string;
  /** Further options of `connect` of amqplib: those of the socket (`noDelay` is on), credentials, clientProperties ... */
  client?: Record<string, unknown>;
}

/** max_message_size of RabbitMQ, unless it is set otherwise. */
const MAX_BYTES = 128 * 2 ** 20;
/** Requesters whose way is remembered. */
const MAX_ROUTES = 100_000;
/** RabbitMQ takes no longer expirations. */
const MAX_EXPIRATION_MS = 2 ** 32 - 1;
const CONTENT_TYPE = 'application/vnd.gammaloop';

export class AmqpPort extends BrokerPort {
  readonly kind = 'amqp';
  readonly #url: string;
  readonly #client: Record<string, unknown>;
  readonly #routes = new Map<string, string>();
  #maxBytes = MAX_BYTES;

  /** Throws PackageMissingError without amqplib. */
  constructor(options: AmqpPortOptions = {}) {
    super(options);
    requirePackage('amqplib', 'gammaloop/ports/amqp');
    this.#url = options.url ?? 'amqp://127.0.0.1:5672';
    this.#client = options.client ?? {};
  }

  protected async connect(port: SessionOwner): Promise<Session> {
    const lost = (cause: unknown): void => {
      this.#learnLimit(cause);
      port.lost(cause);
    };
    const owner: SessionOwner = { ...port, lost };
    const open: ChannelModel[] = [];
    try {
      const publishers = await this.#open(open, owner);
      // See amqp-work.ts.
      const consumers = this.options.durable === null ? null : await this.#open(open, owner);
      return await AmqpSession.open({ publishers, consumers }, owner, this.options, this.#routes, this.#maxBytes);
    } catch (error) {
      for (const connection of open) connection.close().catch(ignore);
      throw rightsRefused(error as Error) ?? error;
    }
  }

  /** RabbitMQ tells its limit only to those who pass it, and closes their channel; what is sent again must not pass it again. */
  #learnLimit(cause: unknown): void {
    const [, limit] = /configured max size (\d+)/.exec(String((cause as Error | undefined)?.message)) ?? [];
    if (limit !== undefined) this.#maxBytes = Number(limit);
  }

  async #open(open: ChannelModel[], owner: SessionOwner): Promise<ChannelModel> {
    const { connect } = await import('amqplib');
    let connection: ChannelModel;
    try {
      // What a turn writes leaves in one piece: nothing is gained by waiting for more.
      connection = await connect(this.#url, { noDelay: true, ...this.#client });
    } catch (error) {
      throw connectFailure(error as Error);
    }
    open.push(connection);
    let problem: unknown;
    connection.on('error', (error) => {
      problem = error;
    });
    connection.once('close', () => owner.lost(problem ?? new Error('the connection was closed')));
    return connection;
  }
}

class AmqpSession implements Session {
  readonly maxBytes: number;
  readonly #connections: readonly ChannelModel[];
  readonly #channel: ConfirmChannel;
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  #work: AmqpWork | null = null;
  /** Memory or disk of the broker run out. */
  #blocked = false;
  /** Name of the port's own queue. */
  readonly #queue: string;
  /** What is bound to it, by subject. */
  readonly #bound = new Map<string, Channel>();
  readonly #groups = new Map<Channel, AmqpGroup>();
  /** Groups that are being left. */
  readonly #leaving = new Set<Promise<void>>();
  /** Of the port: requesters wait on connections of their own, and are answered also where this one is new. */
  readonly #routes: Map<string, string>;
  readonly #cork: TurnCork | null;

  private constructor(
    connections: readonly ChannelModel[],
    channel: ConfirmChannel,
    queue: string,
    owner: SessionOwner,
    prefix: string,
    routes: Map<string, string>,
    maxBytes: number,
  ) {
    this.maxBytes = maxBytes;
    this.#routes = routes;
    this.#connections = connections;
    this.#channel = channel;
    this.#queue = queue;
    this.#owner = owner;
    this.#prefix = prefix;
    const [publishers] = connections as [ChannelModel];
    this.#cork = corkOf(publishers);
    publishers.on('blocked', () => {
      this.#blocked = true;
    });
    publishers.on('unblocked', () => {
      this.#blocked = false;
      owner.unblocked();
    });
  }

  static async open(
    { publishers, consumers }: { publishers: ChannelModel; consumers: ChannelModel | null },
    owner: SessionOwner,
    { prefix, durable }: CheckedBrokerOptions,
    routes: Map<string, string>,
    maxBytes: number,
  ): Promise<AmqpSession> {
    const channel = await publishers.createConfirmChannel();
    tellOfLoss(channel, owner);
    await channel.assertExchange(prefix, 'direct', { durable: true });
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
    const connections = consumers === null ? [publishers] : [publishers, consumers];
    const session = new AmqpSession(connections, channel, queue, owner, prefix, routes, maxBytes);
    const onOwn = (message: ConsumeMessage | null): void => session.#onOwn(message);
    await channel.consume(DIRECT_REPLY, onOwn, { noAck: true });
    await channel.consume(queue, onOwn, { noAck: true });
    channel.on('return', (message) => session.#onReturn(message));
    if (consumers !== null && durable !== null)
      session.#work = await AmqpWork.open({ publishers, consumers, owner, onReply: onOwn }, prefix, durable);
    return session;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  async subscribe(channel: Channel): Promise<void> {
    const { subject, group } = channel;
    if (group === undefined) {
      this.#bound.set(subject, channel);
      if (!subject.startsWith(INBOX_PREFIX))
        await this.#channel.bindQueue(this.#queue, this.#prefix, amqpName(subject));
      return;
    }
    const queue = {
      name: amqpName(`${this.#prefix}.${subject}.${group}`),
      exchange: this.#prefix,
      routingKey: amqpName(subject),
    };
    const [publishers] = this.#connections as [ChannelModel];
    const membership = new AmqpGroup(publishers, queue, this.#owner, ({ content, properties }) =>
      this.#owner.received(channel, content, properties.replyTo),
    );
    this.#groups.set(channel, membership);
    await membership.join();
  }

  consume(channel: Channel): Promise<void> {
    return (this.#work as AmqpWork).consume(channel);
  }

  unsubscribe(channel: Channel): void {
    const { subject, group } = channel;
    if (group === undefined) {
      this.#bound.delete(subject);
      if (!subject.startsWith(INBOX_PREFIX))
        this.#try(() => this.#channel.unbindQueue(this.#queue, this.#prefix, amqpName(subject)));
      return;
    }
    const membership = this.#groups.get(channel);
    this.#groups.delete(channel);
    if (membership !== undefined) this.#leave(membership);
    this.#work?.stop(channel);
  }

  #leave(membership: AmqpGroup): void {
    const left = membership.leave();
    this.#leaving.add(left);
    void left.then(() => this.#leaving.delete(left));
  }

  send(messages: readonly Sending[]): void {
    for (const { frame, envelope } of messages) this.#send(frame, envelope);
    if (messages.length > 1) this.#cork?.hold();
  }

  #send(frame: Buffer, envelope: Envelope): void {
    const { subject, kind } = envelope;
    const options = this.#optionsOf(envelope);
    try {
      if (!subject.startsWith(INBOX_PREFIX)) {
        options.mandatory = kind === 'request' || kind === 'stream';
        this.#channel.publish(this.#prefix, amqpName(subject), frame, options);
        return;
      }
      const own = this.#bound.get(subject);
      const route = this.#routes.get(subject);
      // Of this very port: there is no way through the broker.
      if (own !== undefined) setImmediate(() => this.#owner.received(own, frame));
      else if (route === undefined) this.#owner.unanswered(envelope);
      else this.#channel.publish('', route, frame, options);
    } catch {
      // The channel is closed: the session is lost, which its owner hears.
    }
  }

  enqueue(frame: Buffer, envelope: Envelope, key: string): Promise<void> {
    const { subject, traceparent } = envelope;
    // For whoever looks at what lies in the queue; the frame has it, too.
    const headers = { traceparent };
    return (this.#work as AmqpWork).enqueue(frame, subject, { ...this.#optionsOf(envelope), headers, messageId: key });
  }

  takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    return (this.#work as AmqpWork).takeDead(subject, limit);
  }

  learnRoute(replyTo: string, route: string): void {
    if (this.#routes.get(replyTo) === route) {
      return;
    }
    this.#routes.delete(replyTo);
    this.#routes.set(replyTo, route);
    if (this.#routes.size > MAX_ROUTES) this.#routes.delete(this.#routes.keys().next().value as string);
  }

  /** What was confirmed the broker has; the question after it is answered last. Groups are on channels of their own. */
  async flush(): Promise<void> {
    await Promise.all(this.#leaving);
    await this.#channel.waitForConfirms().catch((error: Error) => {
      // Work that a queue refused: who enqueued it knows.
      if (!/nacked/.test(error.message)) throw error;
    });
    await this.#channel.checkExchange(this.#prefix);
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  destroy(): void {
    // amqplib has no other end: a connection that is gone already refuses it.
    for (const connection of this.#connections) this.#try(() => connection.close());
  }

  #optionsOf({ id, replyTo, deadline }: Envelope): Options.Publish {
    const options: Options.Publish = { contentType: CONTENT_TYPE, correlationId: String(id) };
    if (replyTo?.startsWith(INBOX_PREFIX) === true) {
      // What is passed on for another port keeps the way to that one.
      options.replyTo = this.#bound.has(replyTo) ? DIRECT_REPLY : (this.#routes.get(replyTo) ?? DIRECT_REPLY);
    }
    const left = deadline - performance.now();
    if (left < MAX_EXPIRATION_MS) options.expiration = Math.max(1, Math.ceil(left));
    return options;
  }

  /** On the port's own queue, or by direct reply. */
  #onOwn(message: ConsumeMessage | null): void {
    if (message === null) {
      this.#owner.lost(new Error("the port's own queue was deleted"));
      return;
    }
    const channel = this.#bound.get(subjectOf(message.content));
    if (channel !== undefined) this.#owner.received(channel, message.content, message.properties.replyTo);
  }

  #onReturn(message: { content: Buffer }): void {
    const decoded = decodeFrame(message.content, performance.now());
    if (decoded !== null) this.#owner.unanswered(decoded.envelope);
  }

  /** On a closed channel amqplib throws, or rejects: the session is lost then, which its owner hears. */
  #try(act: () => unknown): void {
    try {
      Promise.resolve(act()).catch(ignore);
    } catch {
      // As above.
    }
  }
}

const ADDRESS = 'see `url`, amqp://user:password@host/vhost';

function connectFailure(error: Error): Error {
  if (/ACCESS[-_]REFUSED/.test(error.message)) {
    return new RefusedError(`the server refuses the credentials: ${ADDRESS}`, { cause: error });
  }
  // Why, amqplib does not say. It may pass: a broker that ends, or a limit of connections.
  return /ConnectionOpenOk.*ConnectionClose/.test(error.message)
    ? new Error(`the vhost is not there, not for this user, or has too many connections: ${ADDRESS}`, { cause: error })
    : error;
}

/**
 * amqplib writes what was published in a turn one message at a time, in an immediate that it schedules after the turn's promises; the cork is released in the next
 * one. What the socket did not take then is written when it has drained. The socket is no part of what amqplib documents: where there is none, messages leave as
 * amqplib sends them.
 */
function corkOf({ connection }: ChannelModel): TurnCork | null {
  const { stream } = connection as { stream?: unknown };
  if (!(stream instanceof Writable)) return null;
  const atOnce = new TurnCork(stream);
  stream.prependListener('drain', () => atOnce.hold());
  return new TurnCork(stream, afterImmediates);
}

function afterImmediates(release: () => void): void {
  process.nextTick(setImmediate, release);
}

function ignore(): void {}
