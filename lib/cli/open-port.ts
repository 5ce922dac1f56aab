/** The port that a URL names. */
import type { BrokerPort } from '../ports/broker.js';
import type { BrokerPortOptions } from '../ports/broker-options.js';
import { CommandError } from './command-error.js';

export async function openPort(url: string, options: BrokerPortOptions): Promise<BrokerPort> {
  const [scheme] = url.split('://');
  switch (scheme) {
    case 'nats':
    case 'nats+tls': {
      const { NatsPort } = await import('../ports/nats.js');
      const tls = scheme === 'nats+tls' ? { client: { tls: {} } } : {};
      return new NatsPort({ ...options, ...tls, servers: url.replace('nats+tls:', 'nats:') });
    }
    case 'amqp':
    case 'amqps': {
      const { AmqpPort } = await import('../ports/amqp.js');
      return new AmqpPort({ ...options, url });
    }
    case 'redis':
    case 'rediss': {
      const { RedisPort } = await import('../ports/redis.js');
      return new RedisPort({ ...options, url });
    }
    default:
      throw new CommandError(`--port takes nats://, amqp:// or redis://, not '${url}'`);
  }
}
