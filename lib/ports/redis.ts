/**
 * A port over Redis 6.2 or newer: one server, or Sentinel; not Redis Cluster.
 *
 *     const port = new RedisPort({ url: 'redis://127.0.0.1:6379' });
 *
 * Each subject is a channel of publish/subscribe; each member of a group has a channel of its own, and a script gives a message to one of them. Redis says how many
 * a message reached, so that requests without a responder fail at once, and members that died are passed over. A lone request goes to a member without the script, where
 * one is known (redis-routes.ts), and comes back if it has gone (redis-publish.ts). Durable: streams (redis-work.ts).
 */
import type { Redis } from 'ioredis';
import type { Envelope } from '../correlation/envelope.js';
import { newParentId } from '../scope/trace-context.js';
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
import { decodeFrame } from './frame.js';
import { QuietPublisher } from './redis-publish.js';
import { RedisRoutes, untilAskedAnew } from './redis-routes.js';
import { JOIN, PUBLISH } from './redis-scripts.js';
import { RedisWork, refusalOf } from './redis-work.js';
import { TurnCork } from './turn-cork.js';

export type { BrokerPortOptions, DeadLetter, SubmitOptions } from './broker-options.js';
export type { DurableOptions } from './deliveries.js';

export interface RedisPortOptions extends BrokerPortOptions {
  /** 'redis://[user:password@]host:6379[/db]', 'rediss://' for TLS. Default 127.0.0.1:6379. */
  url?: string;
  /** Further options of the Redis class of ioredis: username, password, tls, sentinels ... */
  client?: Record<string, unknown>;
}

/** proto-max-bulk-len, where the server does not say. */
const MAX_BYTES = 512 * 2 ** 20;

/** Where the count of turns begins anew. */
const MAX_TURN = 2 ** 30;

/** A connection of the client that never comes back by itself. */
export type Connect = () => Promise<Redis>;

export class RedisPort extends BrokerPort {
  readonly kind = 'redis';
  readonly #url: string;
  readonly #client: Record<string, unknown>;

  /** Throws PackageMissingError without ioredis. */
  constructor(options: RedisPortOptions = {}) {
    super(options);
    requirePackage('ioredis', 'gammaloop/ports/redis');
    this.#url = options.url ?? 'redis://127.0.0.1:6379';
    this.#client = options.client ?? {};
  }

  protected async connect(owner: SessionOwner): Promise<Session> {
    const { Redis: Client } = await import('ioredis');
    const open: Redis[] = [];
    const connect: Connect = async () => {
      const redis = new Client(this.#url, {
        ...this.#client,
        // Replies have the same form whatever the client's version.
        protocol: 2,
        lazyConnect: true,
        retryStrategy: () => null,
        maxRetriesPerRequest: null,
        enableAutoPipelining: false,
      });
      open.push(redis);
      let problem: unknown;
      redis.on('error', (error) => {
        problem = error;
      });
      try {
        await redis.connect();
        await redis.ping();
      } catch (error) {
        throw credentialsRefused(problem ?? error) ?? problem ?? error;
      }
      redis.once('close', () => owner.lost(problem ?? new Error('the connection was closed')));
      return redis;
    };
    try {
      const [commands, subscriber] = await Promise.all([connect(), connect()]);
      const [maxBytes, quiet] = await Promise.all([maxBytesOf(commands), QuietPublisher.open(commands)]);
      const session = new RedisSession(maxBytes, commands, quiet, subscriber, connect, open, owner, this.options);
      await session.begin();
      return session;
    } catch (error) {
      for (const redis of open) redis.disconnect();
      throw credentialsRefused(error) ?? error;
    }
  }
}

interface Scripts {
  glJoin(groups: string, group: string, member: string): Promise<number>;
  glPublish(
    groups: string,
    channel: string,
    turn: number,
    ...frames: Buffer[]
  ): Promise<[unanswered: number[], route: string[]]>;
}

class RedisSession implements Session {
  readonly maxBytes: number;
  readonly #commands: Redis & Scripts;
  readonly #quiet: QuietPublisher | null;
  readonly #subscriber: Redis;
  readonly #open: readonly Redis[];
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  readonly #work: RedisWork | null;
  readonly #cork: TurnCork;
  readonly #routes = new RedisRoutes();
  /** The channel where messages come back that their member has not heard of. */
  readonly #back: string;
  /** Those so far: they were published anew. */
  #returned = 0;
  /** Whose turn it is in a group. */
  #turn = 0;
  /** Names this end among the members of a group. */
  readonly #id = newParentId();
  #members = 0;
  readonly #heartbeat: number;
  /** When the members last told Redis of themselves. */
  #joinedAt = performance.now();
  /** Ours -> channel of Redis, and back. */
  readonly #names = new Map<Channel, string>();
  readonly #channels = new Map<string, Channel>();

  constructor(
    maxBytes: number,
    commands: Redis,
    quiet: QuietPublisher | null,
    subscriber: Redis,
    connect: Connect,
    open: readonly Redis[],
    owner: SessionOwner,
    options: CheckedBrokerOptions,
  ) {
    this.maxBytes = maxBytes;
    commands.defineCommand('glJoin', { numberOfKeys: 1, lua: JOIN });
    commands.defineCommand('glPublish', { numberOfKeys: 1, lua: PUBLISH });
    this.#commands = commands as Redis & Scripts;
    this.#quiet = quiet;
    this.#cork = new TurnCork(commands.stream);
    this.#subscriber = subscriber;
    this.#open = open;
    this.#owner = owner;
    this.#prefix = options.prefix;
    this.#back = this.#name(`_back.${this.#id}`);
    const { durable, prefix } = options;
    this.#work =
      durable === null ? null : new RedisWork(commands, this.#cork, connect, owner, prefix, durable, this.#id);
    this.#heartbeat = options.heartbeat;
    subscriber.on('messageBuffer', (nameBytes: Buffer, message: Buffer) => {
      const name = nameBytes.toString();
      const channel = this.#channels.get(name);
      if (channel !== undefined) owner.received(channel, message);
      else if (name === this.#back) this.#onReturned(message);
    });
  }

  async begin(): Promise<void> {
    await this.#subscriber.subscribe(this.#back);
  }

  async subscribe(channel: Channel): Promise<void> {
    try {
      await this.#subscribe(channel);
    } catch (error) {
      throw credentialsRefused(error) ?? error;
    }
  }

  async #subscribe(channel: Channel): Promise<void> {
    const { subject, group } = channel;
    const plain = this.#name(subject);
    // Of each member another one, also of the same group in the same port.
    const name = group === undefined ? plain : `${plain}:${group}:${this.#id}.${this.#members++}`;
    this.#names.set(channel, name);
    this.#channels.set(name, channel);
    await this.#subscriber.subscribe(name);
    const others =
      group === undefined
        ? await this.#commands.scard(this.#groupsOf(subject))
        : await this.#join(subject, group, name);
    // A requester may know of the others alone.
    if (others > 0) await untilAskedAnew();
  }

  /** Gives how many other groups there are. */
  #join(subject: string, group: string, member: string): Promise<number> {
    return this.#commands.glJoin(this.#groupsOf(subject), group, member);
  }

  consume(channel: Channel): Promise<void> {
    return (this.#work as RedisWork).consume(channel);
  }

  unsubscribe(channel: Channel): void {
    const { subject, group } = channel;
    const name = this.#names.get(channel);
    if (name === undefined) {
      return;
    }
    this.#names.delete(channel);
    this.#work?.stop(channel);
    const forget = (): void => {
      // Another may have it by now.
      if (this.#channels.get(name) === channel) this.#channels.delete(name);
    };
    if (group === undefined) {
      this.#subscriber.unsubscribe(name).then(forget, ignore);
      return;
    }
    this.#commands
      .srem(`${this.#groupsOf(subject)}:${group}`, name)
      // What was given to this member before comes first.
      .then(() => this.#subscriber.unsubscribe(name))
      .then(forget, ignore);
  }

  send(messages: readonly Sending[]): void {
    const [first] = messages as [Sending];
    if (messages.length === 1) {
      if (isPlain(first.envelope)) this.#post(first);
      else this.#publishToGroups(first.envelope.subject, messages);
      return;
    }
    this.#cork.hold();
    const requests = new Map<string, Sending[]>();
    for (const message of messages) {
      const { subject } = message.envelope;
      const begun = requests.get(subject);
      if (begun !== undefined) begun.push(message);
      else if (isPlain(message.envelope)) this.#post(message);
      else requests.set(subject, [message]);
    }
    for (const [subject, those] of requests) this.#publishToGroups(subject, those);
  }

  #post({ frame, envelope }: Sending): void {
    const name = this.#name(envelope.subject);
    if (this.#quiet !== null) this.#quiet.publish(name, frame);
    else this.#commands.publish(name, frame).catch(ignore);
  }

  #publishToGroups(subject: string, messages: readonly Sending[]): void {
    const now = performance.now();
    const quiet = messages.length === 1 ? this.#quiet : null;
    const member = quiet === null ? undefined : this.#routes.pick(subject, this.#turn, now);
    if (quiet === null || member === undefined) {
      this.#publishByScript(subject, messages, now);
      return;
    }
    this.#turn = (this.#turn + 1) % MAX_TURN;
    quiet.publishOrReturn(member, this.#back, (messages[0] as Sending).frame);
  }

  /** The member has gone, and nobody has heard of the message. */
  #onReturned(frame: Buffer): void {
    const now = performance.now();
    const decoded = decodeFrame(frame, now);
    if (decoded === null) {
      return;
    }
    const { envelope } = decoded;
    this.#returned++;
    this.#routes.forget(envelope.subject);
    this.#publishByScript(envelope.subject, [{ frame, envelope }], now);
  }

  #publishByScript(subject: string, messages: readonly Sending[], now: number): void {
    const frames = messages.map(({ frame }) => frame);
    const turn = this.#turn;
    this.#turn = (turn + frames.length) % MAX_TURN;
    this.#commands.glPublish(this.#groupsOf(subject), this.#name(subject), turn, ...frames).then(
      ([unanswered, members]) => {
        this.#routes.learn(subject, members, now);
        for (const at of unanswered) this.#owner.unanswered((messages[at] as Sending).envelope);
      },
      (error) =>
        this.#onFailed(
          error,
          messages.map(({ envelope }) => envelope),
        ),
    );
  }

  #onFailed(error: unknown, envelopes: readonly Envelope[]): void {
    for (const envelope of envelopes) {
      const refusal = refusalOf(error, envelope.subject);
      if (refusal !== null) this.#owner.refused(envelope, refusal);
    }
  }

  enqueue(frame: Buffer, envelope: Envelope, key: string): Promise<void> {
    return (this.#work as RedisWork).enqueue(frame, envelope.subject, key);
  }

  takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    return (this.#work as RedisWork).takeDead(subject, limit);
  }

  async flush(): Promise<void> {
    const now = performance.now();
    if (now - this.#joinedAt >= this.#heartbeat / 2) this.#joinAgain(now);
    let returned: number;
    do {
      returned = this.#returned;
      await this.#commands.ping();
      // What came back has come by then.
      await this.#subscriber.ping();
    } while (this.#returned > returned);
  }

  /** With the heartbeat, which flushes: the server may have lost its keys (FLUSHALL). */
  #joinAgain(now: number): void {
    this.#joinedAt = now;
    for (const [{ subject, group }, name] of this.#names) {
      if (group !== undefined) this.#join(subject, group, name).catch(ignore);
    }
  }

  async close(): Promise<void> {
    await this.#work?.leave();
    this.destroy();
  }

  destroy(): void {
    for (const redis of this.#open) redis.disconnect();
  }

  #name(subject: string): string {
    return `${this.#prefix}:${subject}`;
  }

  /** The set of the names of a subject's groups. */
  #groupsOf(subject: string): string {
    return `${this.#prefix}:groups:${subject}`;
  }
}

/** For an inbox, which has no groups. Whoever sends there does not ask whether it arrives. */
function isPlain({ subject, kind }: Envelope): boolean {
  return subject.startsWith('_') && kind !== 'request' && kind !== 'stream';
}

/** Not every user may ask. */
async function maxBytesOf(redis: Redis): Promise<number> {
  const [, limit] = (await redis.config('GET', 'proto-max-bulk-len').catch(() => [])) as string[];
  return limit === undefined ? MAX_BYTES : Number(limit);
}

/** What connecting again does not mend; null for anything else. */
function credentialsRefused(error: unknown): RefusedError | null {
  const text = (error as Error).message;
  if (/^(WRONGPASS|NOAUTH|ERR invalid password|ERR AUTH)/.test(text)) {
    const what = 'the server refuses the credentials: see `url`, redis://user:password@host, or `client`';
    return new RefusedError(what, { cause: error });
  }
  return /^NOPERM/.test(text)
    ? new RefusedError(
        "the user's rights do not suffice: all commands on keys and channels that begin with the prefix",
        {
          cause: error,
        },
      )
    : null;
}

function ignore(): void {}
