/**
 * Membership of a group on RabbitMQ: all members consume one queue, which goes with the last of them. Who comes at that moment may find it gone between two steps, for
 * which the broker closes the channel: each membership has one of its own, and begins anew on another.
 */
import type { Channel as AmqpChannel, ChannelModel, ConsumeMessage } from 'amqplib';
import { closeQuietly, tellOfLoss } from './amqp-names.js';
import type { SessionOwner } from './broker-session.js';

const MAX_ATTEMPTS = 20;

export interface GroupQueue {
  readonly name: string;
  readonly exchange: string;
  readonly routingKey: string;
}

interface Membership {
  readonly channel: AmqpChannel;
  readonly consumerTag: string;
}

export class AmqpGroup {
  readonly #connection: ChannelModel;
  readonly #queue: GroupQueue;
  readonly #owner: SessionOwner;
  readonly #receive: (message: ConsumeMessage) => void;
  #left = false;
  #joining: Promise<Membership | null> = Promise.resolve(null);

  constructor(
    connection: ChannelModel,
    queue: GroupQueue,
    owner: SessionOwner,
    receive: (message: ConsumeMessage) => void,
  ) {
    this.#connection = connection;
    this.#queue = queue;
    this.#owner = owner;
    this.#receive = receive;
  }

  /** Resolves when what is published from then on arrives. */
  async join(): Promise<void> {
    this.#joining = this.#join();
    await this.#joining;
  }

  async #join(): Promise<Membership | null> {
    for (let attempt = 1; !this.#left; attempt++) {
      const channel = await this.#connection.createChannel();
      // Told by the step that failed, too.
      channel.on('error', ignore);
      try {
        const consumerTag = await this.#consume(channel);
        tellOfLoss(channel, this.#owner);
        return { channel, consumerTag };
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !/NOT[-_]FOUND/.test((error as Error).message)) throw error;
      }
    }
    return null;
  }

  /** As a consumer it keeps the queue: only the first two steps may find it gone. */
  async #consume(channel: AmqpChannel): Promise<string> {
    const { name, exchange, routingKey } = this.#queue;
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) this.#owner.lost(new Error(`the queue ${name} was deleted`));
      else this.#receive(message);
    };
    await channel.assertQueue(name, { durable: false, autoDelete: true });
    const { consumerTag } = await channel.consume(name, receive, { noAck: true });
    await channel.bindQueue(name, exchange, routingKey);
    return consumerTag;
  }

  /** Resolves when nothing comes any more. Does not reject: a connection that is gone has no members. */
  async leave(): Promise<void> {
    this.#left = true;
    try {
      const membership = await this.#joining;
      if (membership === null) return;
      const { channel, consumerTag } = membership;
      await channel.cancel(consumerTag);
      closeQuietly(channel);
    } catch {
      // As above.
    }
  }
}

function ignore(): void {}
