/**
 * Publishes the work of one queue, on a channel of its own: where a queue has no leader RabbitMQ keeps the channel waiting, and after some hundred messages the whole
 * connection. So no more than `MAX_IN_FLIGHT` are under way to a queue; the others wait here.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { BrokerError } from '../errors.js';
import { DIRECT_REPLY, tellOfLoss } from './amqp-names.js';
import type { SessionOwner } from './broker-session.js';

const MAX_IN_FLIGHT = 128;
const MAX_NACKS = 5;
const NACK_DELAY_MS = 50;

export class AmqpPublisher {
  readonly #channel: ConfirmChannel;
  readonly #queue: string;
  #inFlight = 0;
  readonly #waiting: (() => void)[] = [];

  private constructor(channel: ConfirmChannel, queue: string) {
    this.#channel = channel;
    this.#queue = queue;
  }

  /** `onReply` gets what comes by direct reply, which is of one channel. */
  static async open(
    connection: ChannelModel,
    queue: string,
    owner: SessionOwner,
    onReply: (message: ConsumeMessage | null) => void,
  ): Promise<AmqpPublisher> {
    const channel = await connection.createConfirmChannel();
    tellOfLoss(channel, owner);
    await channel.consume(DIRECT_REPLY, onReply, { noAck: true });
    return new AmqpPublisher(channel, queue);
  }

  /** Resolves when the broker has confirmed it. Rejects with BrokerError where it refuses. */
  async publish(frame: Buffer, subject: string, options: Options.Publish): Promise<void> {
    if (this.#inFlight < MAX_IN_FLIGHT) this.#inFlight++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      // A queue that has just been made, or whose leader changes, may refuse for a moment.
      for (let attempt = 1; !(await this.#confirmed(frame, options)); attempt++) {
        if (attempt === MAX_NACKS) throw full(subject);
        await delay(NACK_DELAY_MS * attempt);
      }
    } finally {
      // The next one takes its place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#inFlight--;
      else next();
    }
  }

  #confirmed(frame: Buffer, options: Options.Publish): Promise<boolean> {
    // What waits in the queue is dropped by its workers, who know the time; the broker would bury it.
    const { expiration: _, ...kept } = options;
    return new Promise((resolve, reject) => {
      this.#channel.sendToQueue(this.#queue, frame, { ...kept, persistent: true }, (error) => {
        if (error === null || error === undefined) resolve(true);
        else if (/nacked/.test(String(error.message))) resolve(false);
        else reject(error);
      });
    });
  }
}

function full(subject: string): BrokerError {
  const text = `The broker did not store work for '${subject}': its queue is full, or not available`;
  return new BrokerError('ERR_GAMMALOOP_BROKER_FULL', text);
}
