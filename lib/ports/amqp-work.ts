/**
 * Durable work on RabbitMQ: one quorum queue for each subject, its messages persistent and confirmed, acknowledged after the handler; `prefetch` is what a worker
 * holds at a time. What is given up goes through the dead-letter exchange into a queue beside it. The broker notices a worker's death by its connection.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Channel as AmqpChannel, ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { BrokerError } from '../errors.js';
import { amqpName } from './amqp-names.js';
import type { Channel, DeadFrame, SessionOwner } from './broker-session.js';
import type { Delivery, DurableOptions } from './deliveries.js';

/** Counts the deliveries of a quorum queue before this one. */
const DELIVERY_COUNT = 'x-delivery-count';
const MAX_NACKS = 5;
const NACK_DELAY_MS = 50;

export class AmqpWork {
  readonly #connection: ChannelModel;
  /** Publishes, with confirms. */
  readonly #publishing: ConfirmChannel;
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  readonly #options: Required<DurableOptions>;
  /** Subject -> its queue's name, once it is there. */
  readonly #queues = new Map<string, Promise<string>>();
  readonly #consuming = new Map<Channel, { channel: AmqpChannel; tag: string }>();

  private constructor(
    connection: ChannelModel,
    publishing: ConfirmChannel,
    owner: SessionOwner,
    prefix: string,
    options: Required<DurableOptions>,
  ) {
    this.#connection = connection;
    this.#publishing = publishing;
    this.#owner = owner;
    this.#prefix = prefix;
    this.#options = options;
  }

  static async open(
    connection: ChannelModel,
    publishing: ConfirmChannel,
    owner: SessionOwner,
    prefix: string,
    options: Required<DurableOptions>,
  ): Promise<AmqpWork> {
    const work = new AmqpWork(connection, publishing, owner, prefix, options);
    await publishing.assertExchange(work.#deadExchange, 'direct', { durable: true });
    return work;
  }

  /** A queue that has just been made, or whose leader changes, may refuse for a moment. */
  async enqueue(frame: Buffer, subject: string, options: Options.Publish): Promise<void> {
    const queue = await this.#queueOf(subject);
    for (let attempt = 1; !(await this.#confirmed(queue, frame, options)); attempt++) {
      if (attempt === MAX_NACKS) throw full(subject);
      await delay(NACK_DELAY_MS * attempt);
    }
  }

  #confirmed(queue: string, frame: Buffer, options: Options.Publish): Promise<boolean> {
    // What waits in the queue is dropped by its workers, who know the time; the broker would bury it.
    const { expiration: _, ...kept } = options;
    return new Promise((resolve, reject) => {
      this.#publishing.sendToQueue(queue, frame, { ...kept, persistent: true }, (error) => {
        if (error === null || error === undefined) resolve(true);
        else if (/nacked/.test(String(error.message))) resolve(false);
        else reject(error);
      });
    });
  }

  async consume(channel: Channel): Promise<void> {
    const queue = await this.#queueOf(channel.subject);
    const amqp = await this.#connection.createChannel();
    amqp.on('error', (error) => this.#owner.lost(error));
    amqp.on('close', () => this.#owner.lost(new Error('a channel was closed')));
    await amqp.prefetch(this.#options.prefetch);
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) this.#owner.lost(new Error(`the queue ${queue} was deleted`));
      else this.#owner.delivered(channel, message.content, this.#delivery(amqp, message), message.properties.replyTo);
    };
    const { consumerTag } = await amqp.consume(queue, receive);
    this.#consuming.set(channel, { channel: amqp, tag: consumerTag });
  }

  /** Deliveries that are out may still be acknowledged. */
  stop(channel: Channel): void {
    const consuming = this.#consuming.get(channel);
    this.#consuming.delete(channel);
    consuming?.channel.cancel(consuming.tag).catch(ignore);
  }

  async takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    await this.#queueOf(subject);
    const taken: DeadFrame[] = [];
    while (taken.length < limit) {
      const message = await this.#publishing.get(this.#deadQueue(subject), { noAck: true });
      if (message === false) break;
      const death = (message.properties.headers?.['x-death'] as { reason?: string }[] | undefined)?.[0];
      taken.push({ frame: message.content, reason: death?.reason ?? '' });
    }
    return taken;
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
    await this.#publishing.assertQueue(dead, { durable: true });
    await this.#publishing.bindQueue(dead, this.#deadExchange, dead);
    await this.#publishing.assertQueue(queue, {
      durable: true,
      deadLetterExchange: this.#deadExchange,
      deadLetterRoutingKey: dead,
      arguments: { 'x-queue-type': 'quorum' },
    });
    return queue;
  }

  #delivery(channel: AmqpChannel, message: ConsumeMessage): Delivery {
    let over = false;
    const end = (act: () => void): void => {
      if (over) return;
      over = true;
      try {
        act();
      } catch {
        // The channel is closed: the broker delivers again.
      }
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

function full(subject: string): BrokerError {
  const text = `The broker did not store work for '${subject}': its queue is full, or not available`;
  return new BrokerError('ERR_GAMMALOOP_BROKER_FULL', text);
}

function ignore(): void {}
