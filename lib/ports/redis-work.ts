/**
 * Durable work on Redis Streams: one stream with one consumer group for each subject. What is acknowledged is deleted; work whose worker shows no sign of life for
 * `ackWait` is claimed by another (XAUTOCLAIM); a stream beside it takes the dead letters. Durable as far as the server is: see `appendonly` in its manual.
 */
import type { Redis } from 'ioredis';
import { BrokerError } from '../errors.js';
import type { Channel, DeadFrame, SessionOwner } from './broker-session.js';
import type { Delivery, DurableOptions } from './deliveries.js';
import type { Connect } from './redis.js';
import { END, ENQUEUE, LEAVE, TAKE } from './redis-scripts.js';
import { Slots } from './slots.js';
import type { TurnCork } from './turn-cork.js';

const GROUP = 'workers';
const BLOCK_MS = 5000;
const CLAIMS_PER_WAIT = 2;
/** Claimed at a time, whatever else this worker has. */
const CLAIM_COUNT = 16;

/** Id, and fields in the order in which they were added. */
type Entry = [id: Buffer, fields: Buffer[]];

interface Scripts {
  glEnqueue(stream: string, seen: string, frame: Buffer, window: number): Promise<number>;
  glEnd(stream: string, dead: string, group: string, id: string, how: string, detail: string | number): Promise<number>;
  glTakeBuffer(stream: string, count: number): Promise<Entry[]>;
  glLeave(stream: string, group: string, consumer: string): Promise<number>;
}

export class RedisWork {
  readonly #commands: Redis & Scripts;
  readonly #cork: TurnCork;
  readonly #connect: Connect;
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  readonly #options: Required<DurableOptions>;
  readonly #consumer: string;
  readonly #consuming = new Map<Channel, Slots>();
  readonly #streams = new Set<string>();

  constructor(
    commands: Redis,
    cork: TurnCork,
    connect: Connect,
    owner: SessionOwner,
    prefix: string,
    options: Required<DurableOptions>,
    consumer: string,
  ) {
    commands.defineCommand('glEnqueue', { numberOfKeys: 2, lua: ENQUEUE });
    commands.defineCommand('glEnd', { numberOfKeys: 2, lua: END });
    commands.defineCommand('glTake', { numberOfKeys: 1, lua: TAKE });
    commands.defineCommand('glLeave', { numberOfKeys: 1, lua: LEAVE });
    this.#commands = commands as Redis & Scripts;
    this.#cork = cork;
    this.#connect = connect;
    this.#owner = owner;
    this.#prefix = prefix;
    this.#options = options;
    this.#consumer = consumer;
  }

  async enqueue(frame: Buffer, subject: string, key: string): Promise<void> {
    this.#cork.hold();
    try {
      await this.#commands.glEnqueue(
        this.#stream(subject),
        `${this.#prefix}:seen:${subject}:${key}`,
        frame,
        this.#options.dedupWindow,
      );
    } catch (error) {
      throw refusalOf(error, subject) ?? error;
    }
  }

  async consume(channel: Channel): Promise<void> {
    const slots = new Slots(this.#options.prefetch);
    this.#consuming.set(channel, slots);
    const stream = this.#stream(channel.subject);
    await this.#commands.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM').catch((error: Error) => {
      if (!error.message.startsWith('BUSYGROUP')) throw error;
    });
    this.#streams.add(stream);
    const reader = await this.#connect();
    reader.removeAllListeners('close');
    reader.once('close', () => {
      if (!slots.closed) this.#owner.lost(new Error('the connection was closed'));
    });
    // Given up meanwhile.
    if (slots.closed) {
      reader.disconnect();
      return;
    }
    const claim = (): void => void this.#claim(channel, stream, slots);
    const claiming = setInterval(claim, this.#options.ackWait / CLAIMS_PER_WAIT).unref();
    slots.onClose = () => {
      clearInterval(claiming);
      reader.disconnect();
    };
    slots.onFree = (count) => void this.#read(reader, channel, stream, slots, count);
  }

  stop(channel: Channel): void {
    this.#consuming.get(channel)?.close();
    this.#consuming.delete(channel);
  }

  /** Takes this consumer off the groups, unless something is pending for it. */
  async leave(): Promise<void> {
    for (const channel of [...this.#consuming.keys()]) this.stop(channel);
    await Promise.all([...this.#streams].map((stream) => this.#commands.glLeave(stream, GROUP, this.#consumer)));
  }

  async takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    const entries = await this.#commands.glTakeBuffer(this.#dead(subject), limit);
    return entries.map(([, fields]) => ({ frame: fields[1] as Buffer, reason: String(fields[3]) }));
  }

  async #read(reader: Redis, channel: Channel, stream: string, slots: Slots, count: number): Promise<void> {
    try {
      const found = (await reader.callBuffer(
        'XREADGROUP',
        ...['GROUP', GROUP, this.#consumer, 'COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', stream, '>'],
      )) as [Buffer, Entry[]][] | null;
      const entries = found?.[0]?.[1] ?? [];
      for (const entry of entries) this.#deliver(channel, stream, slots, entry, 1);
      slots.free(count - entries.length);
    } catch (error) {
      if (!slots.closed) this.#owner.lost(error);
    }
  }

  /** What nobody has extended or acknowledged for `ackWait`. */
  async #claim(channel: Channel, stream: string, slots: Slots): Promise<void> {
    try {
      const [, entries] = (await this.#commands.callBuffer(
        'XAUTOCLAIM',
        ...[stream, GROUP, this.#consumer, this.#options.ackWait, '0', 'COUNT', CLAIM_COUNT],
      )) as [Buffer, (Entry | null)[]];
      const claimed = entries.filter((entry): entry is Entry => entry !== null);
      const counts = await Promise.all(claimed.map(([id]) => this.#deliveriesOf(stream, String(id))));
      slots.free(-claimed.length);
      for (const [index, entry] of claimed.entries()) {
        this.#deliver(channel, stream, slots, entry, counts[index] as number);
      }
    } catch (error) {
      if (!slots.closed) this.#owner.lost(error);
    }
  }

  async #deliveriesOf(stream: string, id: string): Promise<number> {
    const [pending] = (await this.#commands.xpending(stream, GROUP, id, id, 1)) as [string, string, number, number][];
    return pending?.[3] ?? 1;
  }

  #deliver(channel: Channel, stream: string, slots: Slots, [id, fields]: Entry, deliveries: number): void {
    const frame = fields[1] as Buffer;
    const attempt = Number(fields[3]) + deliveries - 1;
    this.#owner.delivered(
      channel,
      frame,
      this.#delivery(stream, this.#dead(channel.subject), String(id), attempt, slots),
    );
  }

  #delivery(stream: string, dead: string, id: string, attempt: number, slots: Slots): Delivery {
    let over = false;
    const end = (how: string, detail: string | number): void => {
      if (over) return;
      over = true;
      this.#cork.hold();
      // On a lost connection it stays pending, and is claimed.
      this.#commands.glEnd(stream, dead, GROUP, id, how, detail).catch(ignore);
      slots.free(1);
    };
    return {
      attempt,
      ack: () => end('ack', ''),
      retry: () => end('retry', attempt + 1),
      bury: (reason) => end('bury', reason),
      supersede: () => {
        if (!over) slots.free(1);
        over = true;
      },
      extend: () => {
        if (!over) this.#commands.xclaim(stream, GROUP, this.#consumer, 0, id, 'JUSTID').catch(ignore);
      },
    };
  }

  #stream(subject: string): string {
    return `${this.#prefix}:work:${subject}`;
  }

  #dead(subject: string): string {
    return `${this.#prefix}:dead:${subject}`;
  }
}

/** Null where it was no answer of the server: the connection went. */
export function refusalOf(error: unknown, subject: string): BrokerError | null {
  const { name, message } = error as Error;
  if (name !== 'ReplyError') {
    return null;
  }
  const code = /OOM|MISCONF/.test(message) ? 'ERR_GAMMALOOP_BROKER_FULL' : 'ERR_GAMMALOOP_BROKER_REFUSED';
  return new BrokerError(code, `Redis refused a message for '${subject}': ${message}`, { cause: error });
}

function ignore(): void {}
