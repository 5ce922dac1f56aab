// The bare clients, used as their documentation shows request and reply: JSON payloads, one reply for each request, correlation ids where the client has none.
import { randomUUID } from 'node:crypto';

export const SUBJECT = 'bench';

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
        (await connection.request(SUBJECT, JSON.stringify(payload), { timeout: 30_000 })).json(),
      close: () => connection.close(),
    };
  },

  async amqp(url) {
    const { connect } = await import('amqplib');
    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    const waiting = new Map();
    let last = 0;
    const listen = (message) => {
      const id = message.properties.correlationId;
      const resolve = waiting.get(id);
      waiting.delete(id);
      resolve?.(JSON.parse(message.content));
    };
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
        return new Promise((resolve) => {
          const correlationId = String(++last);
          waiting.set(correlationId, resolve);
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
    const waiting = new Map();
    const inbox = `inbox:${randomUUID()}`;
    let last = 0;
    let listening = null;
    return {
      respond: async (handler) => {
        subscriber.on('message', (_channel, text) => {
          const { id, replyTo, payload } = JSON.parse(text);
          commands.publish(replyTo, JSON.stringify({ id, payload: handler(payload) }));
        });
        await subscriber.subscribe(SUBJECT);
      },
      request: async (payload) => {
        listening ??= subscriber.subscribe(inbox).then(() =>
          subscriber.on('message', (_channel, text) => {
            const reply = JSON.parse(text);
            const resolve = waiting.get(reply.id);
            waiting.delete(reply.id);
            resolve?.(reply.payload);
          }),
        );
        await listening;
        return new Promise((resolve) => {
          const id = ++last;
          waiting.set(id, resolve);
          commands.publish(SUBJECT, JSON.stringify({ id, replyTo: inbox, payload }));
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
