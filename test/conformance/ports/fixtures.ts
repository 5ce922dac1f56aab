/** Every port of the package, with its other side running. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Port } from '../../../lib/correlation/index.js';
import { AmqpPort } from '../../../lib/ports/amqp.js';
import type { BrokerPort } from '../../../lib/ports/broker.js';
import { MemoryPort } from '../../../lib/ports/memory.js';
import { NatsPort } from '../../../lib/ports/nats.js';
import { ProcessPort } from '../../../lib/ports/process.js';
import { RedisPort } from '../../../lib/ports/redis.js';
import { ThreadPort } from '../../../lib/ports/thread.js';
import type { BrokerKind } from '../../support/brokers.js';
import { startPeer } from './peer.js';

export interface Link {
  readonly port: Port;
  /** Ends the other side without warning. */
  kill(): Promise<void>;
  /** Ends everything, in order. */
  stop(): Promise<void>;
}

export interface PortFixture {
  readonly name: string;
  /** The payload that arrives is a copy. */
  readonly copies: boolean;
  /** The other side can die alone, and the port notices. */
  readonly breaks: boolean;
  /** What has to run for it. */
  readonly broker?: BrokerKind;
  /** `url`: of the broker. */
  open(url: string): Promise<Link>;
}

const main = new URL('./peer-main.mjs', import.meta.url);

function memory(clone: boolean): Link {
  const port = new MemoryPort({ clone });
  const far = new MemoryPort({ bus: port });
  startPeer(far);
  return {
    port,
    kill: () => far.close(),
    stop: async () => {
      await port.close();
      await far.close();
    },
  };
}

function worker(withChannel: boolean): Link {
  const { port1, port2 } = new MessageChannel();
  const started = new Worker(main, withChannel ? { workerData: { channel: port2 }, transferList: [port2] } : {});
  const port = new ThreadPort(withChannel ? port1 : started);
  const end = async () => {
    await started.terminate();
  };
  return {
    port,
    kill: end,
    stop: async () => {
      await port.close();
      await end();
      port1.close();
      port2.close();
    },
  };
}

function process(): Link {
  const child = fork(main, { serialization: 'advanced' });
  const port = new ProcessPort(child);
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return {
    port,
    kill: end,
    stop: async () => {
      await port.close();
      await end();
    },
  };
}

/** Two clients of one broker. */
async function clients(make: (url: string) => BrokerPort, url: string): Promise<Link> {
  const far = make(url);
  const port = make(url);
  startPeer(far);
  await Promise.all([far.ready(), port.ready()]);
  return {
    port,
    kill: () => far.close(),
    stop: async () => {
      await port.close();
      await far.close();
    },
  };
}

function broker(kind: BrokerKind, make: (url: string) => BrokerPort): PortFixture {
  return { name: kind, copies: true, breaks: false, broker: kind, open: (url) => clients(make, url) };
}

export const fixtures: PortFixture[] = [
  { name: 'memory', copies: false, breaks: false, open: async () => memory(false) },
  { name: 'memory, cloning', copies: true, breaks: false, open: async () => memory(true) },
  { name: 'thread, worker', copies: true, breaks: true, open: async () => worker(false) },
  { name: 'thread, channel', copies: true, breaks: true, open: async () => worker(true) },
  { name: 'process', copies: true, breaks: true, open: async () => process() },
  broker('nats', (servers) => new NatsPort({ servers })),
  broker('amqp', (url) => new AmqpPort({ url })),
  broker('redis', (url) => new RedisPort({ url })),
];

/** One broker stands for all, where what they share is looked at. */
export const oneOfEachKind = fixtures.filter(({ broker: kind }) => kind === undefined || kind === 'nats');
