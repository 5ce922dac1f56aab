/** The ports to brokers, made alike. */
import { AmqpPort } from '../../lib/ports/amqp.js';
import type { BrokerPort } from '../../lib/ports/broker.js';
import type { BrokerPortOptions } from '../../lib/ports/broker-options.js';
import { NatsPort } from '../../lib/ports/nats.js';
import { RedisPort } from '../../lib/ports/redis.js';
import type { BrokerKind } from './brokers.js';

export const brokerKinds: readonly BrokerKind[] = ['nats', 'amqp', 'redis'];

export function openPort(kind: BrokerKind, url: string, options: BrokerPortOptions = {}): BrokerPort {
  switch (kind) {
    case 'nats':
      return new NatsPort({ ...options, servers: url });
    case 'amqp':
      return new AmqpPort({ ...options, url });
    default:
      return new RedisPort({ ...options, url });
  }
}
