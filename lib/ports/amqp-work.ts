/**
 * Durable work on RabbitMQ: one quorum queue for each subject, its messages persistent and confirmed, acknowledged after the handler; `prefetch` is what a worker
 * holds at a time. What is given up goes through the dead-letter exchange into a queue beside it. The broker notices a worker's death by its connection.
 *
 * Nothing waits for what does not concern it: each queue is published to by a channel of its own (amqp-publisher.ts), and consumed by another, on a connection
 * that RabbitMQ does not stop reading when memory or disk run out, as it does with connections that publish.
 */
import type { Channel as AmqpChannel, ChannelModel, ConsumeMessage, Options } from 'amqplib';
import { amqpName, closeQuietly, tellOfLoss } from './amqp-names.js';
import { AmqpPublisher } from './amqp-publisher.js';
import type { Channel, DeadFrame, SessionOwner } from './broker-session.js';
import { takeUpTo } from './dead-letter.js';
import type { Delivery, DurableOptions } from './deliveries.js';

/** Counts the deliveries of a quorum queue before this one. */
const DELIVERY_COUNT = 'x-delivery-count';

/** Two connections, and what happens on them. */
export interface WorkConnections {
  readonly publishers: ChannelModel;
  /** Also for queues and dead letters. */
  readonly consumers: ChannelModel;
  readonly owner: SessionOwner;
  /** Gets what comes by direct reply to published work. */
  onReply(message: ConsumeMessage | null): void;
}

export class AmqpWork {
  readonly #connections: WorkConnections;
  readonly #declaring: AmqpChannel;
  readonly #prefix: string;
  readonly #options: Required<DurableOptions>;
  /** Subject -> its queue's name, once it is there. */
  readonly #queues = new Map<string, Promise<string>>();
  readonly #publishers = new Map<string, Promise<AmqpPublisher>>();
  /** How the consumption of each ends. */
  readonly #consuming = new Map<Channel, () => void>();

  private constructor(
    connections: WorkConnections,
    declaring: AmqpChannel,
    prefix: string,
    options: Required<DurableOptions>,
  ) {
    this.#connections = connections;
    this.#declaring = declaring;
    this.#prefix = prefix;
    this.#options = options;
  }

  static async open(
    connections: WorkConnections,
    prefix: string,
    options: Required<DurableOptions>,
  ): Promise<AmqpWork> {
    const declaring = await connections.consumers.createChannel();
    tellOfLoss(declaring, connections.owner);
    const work = new AmqpWork(connections, declaring, prefix, options);
    await declaring.assertExchange(work.#deadExchange, 'direct', { durable: true });
    return work;
  }

  async enqueue(frame: Buffer, subject: string, options: Options.Publish): Promise<void> {
    let publisher = this.#publishers.get(subject);
    if (publisher === undefined) {
      const { publishers, owner, onReply } = this.#connections;
      publisher = this.#queueOf(subject).then((queue) => AmqpPublisher.open(publishers, queue, owner, onReply));
      this.#publishers.set(subject, publisher);
    }
    await (await publisher).publish(frame, subject, options);
  }

  /** Does not resolve where the queue has no leader. */
  async consume(channel: Channel): Promise<void> {
    let stopped = false;
    this.#consuming.set(channel, () => {
      stopped = true;
    });
    const { consumers, owner } = this.#connections;
    const queue = await this.#queueOf(channel.subject);
    const amqp = await consumers.createChannel();
    tellOfLoss(amqp, owner);
    await amqp.prefetch(this.#options.prefetch);
    let isLeft = false;
    let outCount = 0;
    // Deliveries that are out may still be acknowledged; after the last one the channel is of no use.
    const closeIfDone = (): void => {
      if (isLeft && outCount === 0) closeQuietly(amqp);
    };
    const onEnd = (): void => {
      outCount--;
      closeIfDone();
    };
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) {
        owner.lost(new Error(`the queue ${queue} was deleted`));
        return;
      }
      outCount++;
      owner.delivered(channel, message.content, this.#delivery(amqp, message, onEnd), message.properties.replyTo);
    };
    const { consumerTag } = await amqp.consume(queue, receive);
    const stop = (): void => {
      amqp.cancel(consumerTag).then(() => {
        isLeft = true;
        closeIfDone();
      }, ignore);
    };
    if (stopped) stop();
    else this.#consuming.set(channel, stop);
  }

  stop(channel: Channel): void {
    this.#consuming.get(channel)?.();
    this.#consuming.delete(channel);
  }

  async takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    await this.#queueOf(subject);
    return takeUpTo(limit, async () => {
      const message = await this.#declaring.get(this.#deadQueue(subject), { noAck: true });
      if (message === false) return null;
      const death = (message.properties.headers?.['x-death'] as { reason?: string }[] | undefined)?.[0];
      return { frame: message.content, reason: death?.reason ?? '' };
    });
  }

  #queueOf(subject: string): Promise<string> {
    let queue = this.#queues.get(subject);
    if (queue === undefined) {
      queue = this.#declare(subject);
      this.#queues.set(subject, queue);
    }
    return queue;
  }

  async #declare(subject: string): Promise<string> {
    const queue = amqpName(`${this.#prefix}.work.${subject}`);
    const dead = this.#deadQueue(subject);
    await this.#declaring.assertQueue(dead, { durable: true });
    await this.#declaring.bindQueue(dead, this.#deadExchange, dead);
    await this.#declaring.assertQueue(queue, {
      durable: true,
      deadLetterExchange: this.#deadExchange,
      deadLetterRoutingKey: dead,
      arguments: { 'x-queue-type': 'quorum' },
    });
    return queue;
  }

  #delivery(channel: AmqpChannel, message: ConsumeMessage, onEnd: () => void): Delivery {
    let over = false;
    const end = (act: () => void): void => {
      if (over) return;
      over = true;
      try {
        act();
      } catch {
        // The channel is closed: the broker delivers again.
      }
      onEnd();
    };
    return {
      attempt: Number(message.properties.headers?.[DELIVERY_COUNT] ?? 0) + 1,
      ack: () => end(() => channel.ack(message)),
      retry: () => end(() => channel.nack(message, false, true)),
      bury: () => end(() => channel.nack(message, false, false)),
      // It was delivered again because its channel has gone.
      supersede: () => end(() => {}),
      extend: () => {},
    };
  }

  get #deadExchange(): string {
    return `${this.#prefix}.dead`;
  }

  #deadQueue(subject: string): string {
    return amqpName(`${this.#prefix}.dead.${subject}`);
  }
}

function ignore(): void {}
