/**
 * A port over NATS.
 *
 *     const port = new NatsPort({ servers: 'nats://127.0.0.1:4222' });
 *
 * Core NATS: each subject is one NATS subject, each group a queue group. A request names a subject of the port's one inbox as its reply subject, where the server
 * tells that nobody subscribes. Durable: JetStream (nats-work.ts).
 */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { createEnvelope, type Envelope } from '../correlation/envelope.js';
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
import { natsSubject, subjectOf } from './nats-names.js';
import { NatsWork } from './nats-work.js';

export type { BrokerPortOptions, DeadLetter, SubmitOptions } from './broker-options.js';
export type { DurableOptions } from './deliveries.js';

export interface NatsPortOptions extends BrokerPortOptions {
  /** 'nats://host:4222', 'host:4222', or several of one cluster. Default 127.0.0.1:4222. */
  servers?: string | string[];
  /** Further options of `connect` of @nats-io/transport-node: user, pass, token, authenticator, tls ... */
  client?: Record<string, unknown>;
}

export class NatsPort extends BrokerPort {
  readonly kind = 'nats';
  readonly #client: Record<string, unknown>;

  /** Throws PackageMissingError without @nats-io/transport-node (durable: and @nats-io/jetstream). */
  constructor(options: NatsPortOptions = {}) {
    super(options);
    requirePackage('@nats-io/transport-node', 'gammaloop/ports/nats');
    if (this.options.durable !== null) requirePackage('@nats-io/jetstream', "gammaloop/ports/nats with 'durable'");
    const { servers = '127.0.0.1:4222', client = {} } = options;
    this.#client = {
      name: 'gammaloop',
      ...credentialsOf(servers),
      ...client,
      servers: withoutCredentials(servers),
      reconnect: false,
    };
  }

  protected async connect(owner: SessionOwner): Promise<Session> {
    const { connect, errors } = await import('@nats-io/transport-node');
    let connection: NatsConnection;
    try {
      connection = await connect(this.#client);
    } catch (error) {
      if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError) {
        throw new RefusedError(CREDENTIALS, { cause: error });
      }
      throw error;
    }
    try {
      const work =
        this.options.durable === null
          ? null
          : await NatsWork.open(connection, owner, this.options.prefix, this.options.durable);
      return new NatsSession(connection, owner, this.options, work);
    } catch (error) {
      void connection.close();
      throw error;
    }
  }
}

/** Of nats://user:password@host and nats://token@host, which the client itself does not read. */
function credentialsOf(servers: string | string[]): Record<string, string> {
  const [first = ''] = [servers].flat();
  const [, user, pass] = /^\w+:\/\/([^:@/]+)(?::([^@/]*))?@/.exec(first) ?? [];
  if (user === undefined) return {};
  const decoded = decodeURIComponent(user);
  return pass === undefined ? { token: decoded } : { user: decoded, pass: decodeURIComponent(pass) };
}

function withoutCredentials(servers: string | string[]): string[] {
  return [servers].flat().map((server) => server.replace(/\/\/[^@/]*@/, '//'));
}

const NO_RESPONDERS = 503;
const CREDENTIALS =
  'the server refuses the credentials: see `servers`, nats://user:password@host or nats://token@host, or `client`';
const RIGHTS = "the user's rights do not suffice: publish and subscribe to all that begins with the prefix";

class NatsSession implements Session {
  readonly maxBytes: number;
  readonly #connection: NatsConnection;
  readonly #owner: SessionOwner;
  readonly #prefix: string;
  readonly #work: NatsWork | null;
  /** What the server answers requests with goes here. */
  readonly #inbox: string;
  readonly #open = new Map<Channel, () => void>();

  constructor(connection: NatsConnection, owner: SessionOwner, options: CheckedBrokerOptions, work: NatsWork | null) {
    this.#connection = connection;
    this.#owner = owner;
    this.#prefix = options.prefix;
    this.#work = work;
    this.maxBytes = connection.info?.max_payload ?? 2 ** 20;
    this.#inbox = `${options.prefix}._unanswered.${newParentId()}`;
    connection.subscribe(`${this.#inbox}.>`, {
      callback: (error, message) => {
        if (error !== null) owner.lost(new RefusedError(RIGHTS, { cause: error }));
        else this.#onAnswer(message);
      },
    });
    connection.closed().then((error) => owner.lost(error ?? new Error('the connection was closed')));
  }

  subscribe(channel: Channel): void {
    const { subject, group } = channel;
    const subscription = this.#connection.subscribe(this.#name(subject), {
      ...(group === undefined ? {} : { queue: group }),
      callback: (error, message) => {
        // A subscription that the server refuses: it says so here.
        if (error !== null) this.#owner.lost(new RefusedError(RIGHTS, { cause: error }));
        else this.#owner.received(channel, message.data);
      },
    });
    // What the server has sent already still comes.
    this.#open.set(channel, () => void subscription.drain().catch(() => {}));
  }

  consume(channel: Channel): Promise<void> {
    return (this.#work as NatsWork).consume(channel);
  }

  unsubscribe(channel: Channel): void {
    this.#open.get(channel)?.();
    this.#open.delete(channel);
    this.#work?.stop(channel);
  }

  send(messages: readonly Sending[]): void {
    if (this.#connection.isClosed()) {
      return;
    }
    for (const { frame, envelope } of messages) {
      const { kind, replyTo } = envelope;
      const awaits = replyTo !== undefined && (kind === 'request' || kind === 'stream');
      const options = awaits ? { reply: this.#replySubject(envelope, replyTo) } : undefined;
      this.#connection.publish(this.#name(envelope.subject), frame, options);
    }
  }

  enqueue(frame: Buffer, envelope: Envelope, key: string): Promise<void> {
    return (this.#work as NatsWork).enqueue(frame, envelope.subject, key);
  }

  takeDead(subject: string, limit: number): Promise<DeadFrame[]> {
    return (this.#work as NatsWork).takeDead(subject, limit);
  }

  flush(): Promise<void> {
    return this.#connection.flush();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  destroy(): void {
    void this.#connection.close();
  }

  #name(subject: string): string {
    return `${this.#prefix}.${natsSubject(subject)}`;
  }

  /** Says whose request it was: id, number of tokens of its inbox, inbox, subject. */
  #replySubject({ id, subject }: Envelope, replyTo: string): string {
    const inbox = natsSubject(replyTo);
    const token = typeof id === 'number' ? id : `x${Buffer.from(id).toString('hex')}`;
    return `${this.#inbox}.${token}.${inbox.split('.').length}.${inbox}.${natsSubject(subject)}`;
  }

  /** From the server: nobody subscribes. From a responder that is not gammaloop: its reply, as bytes. */
  #onAnswer(message: Msg): void {
    const [token = '', count = '', ...names] = message.subject.slice(this.#inbox.length + 1).split('.');
    const id = token.startsWith('x') ? Buffer.from(token.slice(1), 'hex').toString() : Number(token);
    const replyTo = subjectOf(names.slice(0, Number(count)).join('.'));
    const subject = subjectOf(names.slice(Number(count)).join('.'));
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
      this.#owner.unanswered(createEnvelope({ kind: 'request', id, subject, replyTo }));
    } else {
      this.#owner.answered(
        createEnvelope({ kind: 'reply', id, subject: replyTo, payload: new Uint8Array(message.data) }),
      );
    }
  }
}
