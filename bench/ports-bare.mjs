// The bare clients, used as their documentation shows request and reply, and as a program needs it that must not hang: JSON payloads, one reply for each request,
// a timeout, an error where nobody responds. NATS's client has all of that; for AMQP and Redis correlation ids and timers are kept here.
import { randomUUID } from 'node:crypto';

export const SUBJECT = 'bench';
const TIMEOUT_MS = 30_000;

/** Who waits for a reply, by correlation id. */
class Waiting {
  #byId = new Map();
  #last = 0;

  /** Calls `send` with a new id; the promise ends by `settle`, `fail` or the timeout. */
  request(send) {
    return new Promise((resolve, reject) => {
      const id = String(++this.#last);
      const timer = setTimeout(() => this.fail(id, new Error('timeout')), TIMEOUT_MS);
      this.#byId.set(id, { resolve, reject, timer });
      send(id);
    });
  }

  settle(id, value) {
    this.#take(id)?.resolve(value);
  }

  fail(id, error) {
    this.#take(id)?.reject(error);
  }

  #take(id) {
    const waiter = this.#byId.get(id);
    this.#byId.delete(id);
    clearTimeout(waiter?.timer);
    return waiter;
  }
}

export const bare = {
  async nats(url) {
    const { connect } = await import('@nats-io/transport-node');
    const connection = await connect({ servers: url });
    return {
      respond: async (handler) => {
        connection.subscribe(SUBJECT, {
          queue: 'q',
          callback: (_error, message) => message.respond(JSON.stringify(handler(message.json()))),
        });
        await connection.flush();
      },
      request: async (payload) =>
        (await connection.request(SUBJECT, JSON.stringify(payload), { timeout: TIMEOUT_MS })).json(),
      close: () => connection.close(),
    };
  },

  async amqp(url) {
    const { connect } = await import('amqplib');
    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    const waiting = new Waiting();
    const listen = ({ content, properties }) => waiting.settle(properties.correlationId, JSON.parse(content));
    channel.on('return', ({ properties }) => waiting.fail(properties.correlationId, new Error('nobody responds')));
    let listening = null;
    return {
      respond: async (handler) => {
        await channel.assertQueue(SUBJECT, { durable: false, autoDelete: true });
        const answer = ({ content, properties: { replyTo, correlationId } }) =>
          channel.publish('', replyTo, Buffer.from(JSON.stringify(handler(JSON.parse(content)))), { correlationId });
        await channel.consume(SUBJECT, answer, { noAck: true });
      },
      request: async (payload) => {
        listening ??= channel.consume('amq.rabbitmq.reply-to', listen, { noAck: true });
        await listening;
        return waiting.request((correlationId) => {
          const content = Buffer.from(JSON.stringify(payload));
          channel.publish('', SUBJECT, content, { replyTo: 'amq.rabbitmq.reply-to', correlationId, mandatory: true });
        });
      },
      close: () => connection.close(),
    };
  },

  async redis(url) {
    const { Redis } = await import('ioredis');
    const commands = new Redis(url);
    const subscriber = new Redis(url);
    const waiting = new Waiting();
    const inbox = `inbox:${randomUUID()}`;
    let listening = null;
    return {
      respond: async (handler) => {
        subscriber.on('message', (_channel, text) => {
          const { id, replyTo, payload } = JSON.parse(text);
          commands.publish(replyTo, JSON.stringify({ id, payload: handler(payload) })).catch(console.error);
        });
        await subscriber.subscribe(SUBJECT);
      },
      request: async (payload) => {
        listening ??= subscriber.subscribe(inbox).then(() =>
          subscriber.on('message', (_channel, text) => {
            const { id, payload } = JSON.parse(text);
            waiting.settle(id, payload);
          }),
        );
        await listening;
        return waiting.request((id) => {
          const reached = (count) => count > 0 || waiting.fail(id, new Error('nobody responds'));
          const failed = (error) => waiting.fail(id, error);
          commands.publish(SUBJECT, JSON.stringify({ id, replyTo: inbox, payload })).then(reached, failed);
        });
      },
      close: async () => {
        commands.disconnect();
        subscriber.disconnect();
      },
    };
  },
};

/** The same by gammaloop's port. */
export async function ported(kind, url) {
  const { Requester, Responder } = await import('../dist/correlation/index.js');
  const module = await import(`../dist/ports/${kind}.js`);
  const Port = module[{ nats: 'NatsPort', amqp: 'AmqpPort', redis: 'RedisPort' }[kind]];
  const port = new Port({ url, servers: url });
  const requester = new Requester(port);
  return {
    respond: async (handler) => {
      new Responder(port, SUBJECT, ({ payload }) => handler(payload), { concurrency: 10_000 });
      await port.ready();
    },
    request: (payload) => requester.request(SUBJECT, payload),
    close: () => port.close(),
  };
}
