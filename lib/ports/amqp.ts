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
import { amqpName } from './amqp-names.js';
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
import { decodeFrame, subjectOfFrame } from './frame.js';
import { TurnCork } from './turn-cork.js';

export type { BrokerPortOptions, DeadLetter, SubmitOptions } from './broker-options.js';
export type { DurableOptions } from './deliveries.js';

export interface AmqpPortOptions extends BrokerPortOptions {
  /** 'amqp://[user:password@]host:5672[/vhost]', 'amqps://' for TLS. Default 127.0.0.1:5672. */
  url?: string;
  /** Further options of `connect` of amqplib: those of the socket, credentials, clientProperties ... */
  client?: Record<string, unknown>;
}

const DIRECT_REPLY = 'amq.rabbitmq.reply-to';
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

  /** Throws PackageMissingError without amqplib. */
  constructor(options: AmqpPortOptions = {}) {
    super(options);
    requirePackage('amqplib', 'gammaloop/ports/amqp');
    this.#url = options.url ?? 'amqp://127.0.0.1:5672';
    this.#client = options.client ?? {};
  }

  protected async connect(owner: SessionOwner): Promise<Session> {
    const { connect } = await import('amqplib');
    let connection: ChannelModel;
    try {
      connection = await connect(this.#url, this.#client);
    } catch (error) {
      if (/ACCESS[-_]REFUSED|NOT_ALLOWED/.test(String((error as Error).message))) {
        throw new RefusedError('the server refuses the credentials or the vhost', { cause: error });
      }
      throw error;
    }
    let problem: unknown;
    connection.on('error', (error) => {
      problem = error;
    });
    connection.once('close', () => owner.lost(problem ?? new Error('the connection was closed')));
    try {
      return await AmqpSession.open(connection, owner, this.options);
    } catch (error) {
      connection.close().catch(ignore);
      throw error;
    }
  }
}

class AmqpSession implements Session {
  readonly maxBytes = MAX_BYTES;
  readonly #connection: ChannelModel;
  readonly #channel: ConfirmChannel;
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  readonly #work: AmqpWork | null;
  /** Name of the port's own queue. */
  readonly #queue: string;
  /** What is bound to it, by subject. */
  readonly #bound = new Map<string, Channel>();
  readonly #consumers = new Map<Channel, string>();
  readonly #routes = new Map<string, string>();
  readonly #cork: TurnCork | null;

  private constructor(
    connection: ChannelModel,
    channel: ConfirmChannel,
    queue: string,
    owner: SessionOwner,
    options: CheckedBrokerOptions,
    work: AmqpWork | null,
  ) {
    this.#connection = connection;
    this.#channel = channel;
    this.#queue = queue;
    this.#owner = owner;
    this.#prefix = options.prefix;
    this.#work = work;
    this.#cork = corkOf(connection);
  }

  static async open(
    connection: ChannelModel,
    owner: SessionOwner,
    options: CheckedBrokerOptions,
  ): Promise<AmqpSession> {
    const { prefix, durable } = options;
    const channel = await connection.createConfirmChannel();
    channel.on('error', (error) => owner.lost(error));
    channel.on('close', () => owner.lost(new Error('the channel was closed')));
    await channel.assertExchange(prefix, 'direct', { durable: true });
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
    const work = durable === null ? null : await AmqpWork.open(connection, channel, owner, prefix, durable);
    const session = new AmqpSession(connection, channel, queue, owner, options, work);
    await channel.consume(DIRECT_REPLY, (message) => session.#onOwn(message), { noAck: true });
    await channel.consume(queue, (message) => session.#onOwn(message), { noAck: true });
    channel.on('return', (message) => session.#onReturn(message));
    return session;
  }

  async subscribe(channel: Channel): Promise<void> {
    const { subject, group } = channel;
    if (group === undefined) {
      this.#bound.set(subject, channel);
      if (!subject.startsWith(INBOX_PREFIX))
        await this.#channel.bindQueue(this.#queue, this.#prefix, amqpName(subject));
      return;
    }
    const name = amqpName(`${this.#prefix}.${subject}.${group}`);
    await this.#channel.assertQueue(name, { durable: false, autoDelete: true });
    await this.#channel.bindQueue(name, this.#prefix, amqpName(subject));
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) this.#owner.lost(new Error(`the queue ${name} was deleted`));
      else this.#owner.received(channel, message.content, message.properties.replyTo);
    };
    const { consumerTag } = await this.#channel.consume(name, receive, { noAck: true });
    this.#consumers.set(channel, consumerTag);
    await this.#work?.consume(channel);
  }

  unsubscribe(channel: Channel): void {
    const { subject, group } = channel;
    if (group === undefined) {
      this.#bound.delete(subject);
      if (!subject.startsWith(INBOX_PREFIX))
        this.#try(() => this.#channel.unbindQueue(this.#queue, this.#prefix, amqpName(subject)));
      return;
    }
    const tag = this.#consumers.get(channel);
    this.#consumers.delete(channel);
    if (tag !== undefined) this.#try(() => this.#channel.cancel(tag));
    this.#work?.stop(channel);
  }

  send(messages: readonly Sending[]): void {
    for (const { frame, envelope } of messages) this.#send(frame, envelope);
    this.#cork?.hold();
  }

  #send(frame: Buffer, envelope: Envelope): void {
    const { subject, kind } = envelope;
    const options = this.#optionsOf(envelope);
    this.#try(() => {
      if (!subject.startsWith(INBOX_PREFIX)) {
        const mandatory = kind === 'request' || kind === 'stream';
        this.#channel.publish(this.#prefix, amqpName(subject), frame, { ...options, mandatory });
        return;
      }
      const own = this.#bound.get(subject);
      const route = this.#routes.get(subject);
      // Of this very port: there is no way through the broker.
      if (own !== undefined) setImmediate(() => this.#owner.received(own, frame));
      else if (route === undefined) this.#owner.unanswered(envelope);
      else this.#channel.publish('', route, frame, options);
    });
  }

  enqueue(frame: Buffer, envelope: Envelope, key: string): Promise<void> {
    return (this.#work as AmqpWork).enqueue(frame, envelope.subject, { ...this.#optionsOf(envelope), messageId: key });
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

  /** What was confirmed the broker has; the question after it is answered last. */
  async flush(): Promise<void> {
    await this.#channel.waitForConfirms().catch((error: Error) => {
      // Work that a queue refused: who enqueued it knows.
      if (!/nacked/.test(error.message)) throw error;
    });
    await this.#channel.checkExchange(this.#prefix);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  destroy(): void {
    // amqplib has no other end: a connection that is gone already refuses it.
    this.#try(() => this.#connection.close());
  }

  #optionsOf({ id, replyTo, traceparent, deadline }: Envelope): Options.Publish {
    const options: Options.Publish = { contentType: CONTENT_TYPE, correlationId: String(id) };
    if (replyTo?.startsWith(INBOX_PREFIX) === true) {
      // What is passed on for another port keeps the way to that one.
      options.replyTo = this.#bound.has(replyTo) ? DIRECT_REPLY : (this.#routes.get(replyTo) ?? DIRECT_REPLY);
    }
    if (traceparent !== undefined) options.headers = { traceparent };
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
    const channel = this.#bound.get(subjectOfFrame(message.content));
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

/**
 * amqplib writes what was published in a turn one message at a time, in an immediate that it schedules after the turn's promises; the cork is released in the next
 * one. The socket is no part of what amqplib documents: where there is none, messages leave as amqplib sends them.
 */
function corkOf({ connection }: ChannelModel): TurnCork | null {
  const { stream } = connection as { stream?: unknown };
  return stream instanceof Writable ? new TurnCork(stream, afterImmediates) : null;
}

function afterImmediates(release: () => void): void {
  process.nextTick(setImmediate, release);
}

function ignore(): void {}
