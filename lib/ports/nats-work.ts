/**
 * Durable work on JetStream: one stream of retention 'workqueue' holds it (a message goes when it is acknowledged), one durable pull consumer for each subject
 * hands it out, another stream holds the dead letters. Both streams are made where they are missing; settings of existing ones (replicas, limits) are left alone.
 */
import type {
  Consumer,
  JetStreamClient,
  JetStreamManager,
  JsMsg,
  MsgRequest,
  NextMsgRequest,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { BrokerError } from '../errors.js';
import { type Channel, type DeadFrame, RefusedError, type SessionOwner } from './broker-session.js';
import { takeUpTo } from './dead-letter.js';
import type { Delivery, DurableOptions } from './deliveries.js';
import { natsSubject, natsToken } from './nats-names.js';
import { Slots } from './slots.js';

type JetStream = typeof import('@nats-io/jetstream');

const FETCH_EXPIRES_MS = 30_000;
const NANOS_PER_MS = 1_000_000;
const REASON = 'gammaloop-reason';
const STREAM_NAME_IN_USE = 10058;
/** Of one consumer, over all workers. */
const MAX_ACK_PENDING = 100_000;

export class NatsWork {
  readonly #library: JetStream;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  readonly #options: Required<DurableOptions>;
  readonly #consuming = new Map<Channel, Slots>();

  private constructor(
    library: JetStream,
    manager: JetStreamManager,
    owner: SessionOwner,
    prefix: string,
    options: Required<DurableOptions>,
  ) {
    this.#library = library;
    this.#manager = manager;
    this.#client = manager.jetstream();
    this.#owner = owner;
    this.#prefix = prefix;
    this.#options = options;
  }

  static async open(
    connection: NatsConnection,
    owner: SessionOwner,
    prefix: string,
    options: Required<DurableOptions>,
  ): Promise<NatsWork> {
    const library = await import('@nats-io/jetstream');
    if (connection.info?.jetstream !== true) {
      throw new RefusedError("the server has no JetStream, which 'durable' needs; start it with -js");
    }
    const manager = await library.jetstreamManager(connection);
    const work = new NatsWork(library, manager, owner, prefix, options);
    await work.#ensureStream(work.#stream, `${prefix}-work.>`, {
      retention: library.RetentionPolicy.Workqueue,
      duplicate_window: options.dedupWindow * NANOS_PER_MS,
    });
    await work.#ensureStream(work.#deadStream, `${prefix}-dead.>`, {});
    return work;
  }

  get #stream(): string {
    return `${this.#prefix}-work`;
  }

  get #deadStream(): string {
    return `${this.#prefix}-dead`;
  }

  async #ensureStream(name: string, subjects: string, config: Record<string, unknown>): Promise<void> {
    try {
      await this.#manager.streams.add({
        name,
        subjects: [subjects],
        storage: this.#library.StorageType.File,
        ...config,
      });
    } catch (error) {
      // It is there, with settings of its own.
      if (errorCode(error) !== STREAM_NAME_IN_USE) throw error;
    }
  }

  async enqueue(frame: Buffer, subject: string, key: string): Promise<void> {
    try {
      await this.#client.publish(`${this.#prefix}-work.${natsSubject(subject)}`, frame, { msgID: key });
    } catch (error) {
      if (errorCode(error) === 0) throw error;
      const full = /maximum|insufficient|resources/i.test((error as Error).message);
      const code = full ? 'ERR_GAMMALOOP_BROKER_FULL' : 'ERR_GAMMALOOP_BROKER_REFUSED';
      throw new BrokerError(code, `JetStream did not store work for '${subject}': ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  async consume(channel: Channel): Promise<void> {
    const slots = new Slots(this.#options.prefetch);
    this.#consuming.set(channel, slots);
    const consumer = await this.#open(channel);
    slots.onFree = (count) => void this.#fetch(consumer, channel, slots, count);
  }

  stop(channel: Channel): void {
    this.#consuming.get(channel)?.close();
    this.#consuming.delete(channel);
  }

  async #open({ subject }: Channel): Promise<Consumer> {
    const name = natsToken(subject);
    await this.#manager.consumers.add(this.#stream, {
      durable_name: name,
      filter_subject: `${this.#prefix}-work.${natsSubject(subject)}`,
      ack_policy: this.#library.AckPolicy.Explicit,
      ack_wait: this.#options.ackWait * NANOS_PER_MS,
      max_ack_pending: MAX_ACK_PENDING,
    });
    return this.#client.consumers.get(this.#stream, name);
  }

  /** Asks for so many messages; what did not come in time is free again. */
  async #fetch(consumer: Consumer, channel: Channel, slots: Slots, count: number): Promise<void> {
    let left = count;
    try {
      const messages = await consumer.fetch({ max_messages: count, expires: FETCH_EXPIRES_MS });
      slots.onClose = () => messages.stop();
      for await (const message of messages) {
        left--;
        this.#owner.delivered(channel, message.data, this.#delivery(message, slots));
      }
    } catch (error) {
      // The connection went, or the consumer.
      this.#owner.lost(error);
      return;
    }
    slots.free(left);
  }

  #delivery(message: JsMsg, slots: Slots): Delivery {
    let over = false;
    const end = (act: () => void): void => {
      if (over) return;
      over = true;
      attempt(act);
      slots.free(1);
    };
    return {
      attempt: message.info.deliveryCount,
      ack: () => end(() => message.ack()),
      retry: () => end(() => message.nak()),
      supersede: () => end(() => {}),
      extend: () => {
        if (!over) attempt(() => message.working());
      },
      bury: (reason) => end(() => void this.#bury(message, reason)),
    };
  }

  async #bury(message: JsMsg, reason: string): Promise<void> {
    const { headers } = await import('@nats-io/transport-node');
    const told = headers();
    told.set(REASON, reason);
    try {
      const subject = message.subject.slice(`${this.#prefix}-work.`.length);
      await this.#client.publish(`${this.#prefix}-dead.${subject}`, message.data, { headers: told });
      message.ack();
    } catch {
      // It is delivered again, and buried then.
    }
  }

  takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    const query: NextMsgRequest = { next_by_subj: `${this.#prefix}-dead.${natsSubject(subject)}` };
    return takeUpTo(limit, async () => {
      const message = await this.#manager.streams.getMessage(this.#deadStream, query as MsgRequest);
      if (message === null) return null;
      await this.#manager.streams.deleteMessage(this.#deadStream, message.seq, false);
      return { frame: message.data, reason: message.header?.get(REASON) ?? '' };
    });
  }
}

/** On a closed connection the client throws: the server delivers again. */
function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // As above.
  }
}

/** Of an answer of JetStream's API; 0 for any other error. */
function errorCode(error: unknown): number {
  const { code } = error as { code?: unknown };
  return typeof code === 'number' ? code : 0;
}
