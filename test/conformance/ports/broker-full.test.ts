/** Brokers that have no room: who sends is told, nothing that was accepted is lost, and all goes on when there is room again. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, test } from 'vitest';
import { Requester, Responder } from '../../../lib/correlation/index.js';
import type { BrokerPort } from '../../../lib/ports/broker.js';
import type { BrokerPortOptions } from '../../../lib/ports/broker-options.js';
import { openPort } from '../../support/broker-ports.js';
import type { BrokerKind } from '../../support/brokers.js';
import { useBroker } from '../../support/use-broker.js';

const open: { close(): unknown }[] = [];
const FULL = { code: 'ERR_GAMMALOOP_BROKER_FULL' };
const WORK = new Uint8Array(100_000);

function portOf(kind: BrokerKind, url: string, options: BrokerPortOptions): BrokerPort {
  const port = openPort(kind, url, options);
  open.push(port);
  return port;
}

afterEach(async () => {
  for (const port of open.splice(0)) await port.close();
});

/** Submits until it is refused for want of room; gives how much was accepted. */
async function fill(port: BrokerPort): Promise<number> {
  for (let n = 0; n < 1000; n++) {
    try {
      await port.submit('work', WORK, { key: `k${n}` });
    } catch (error) {
      expect(error).toMatchObject(FULL);
      return n;
    }
  }
  throw new Error('it takes everything');
}

/** Everything that was accepted is carried out, and there is room again. */
async function drain(port: BrokerPort, accepted: number): Promise<void> {
  let done = 0;
  let onDone = (): void => {};
  const all = new Promise<void>((resolve) => {
    onDone = resolve;
  });
  new Responder(port, 'work', () => {
    if (++done === accepted + 1) onDone();
  });
  await expect
    .poll(
      () =>
        port.submit('work', WORK, { key: 'after' }).then(
          () => true,
          () => false,
        ),
      { timeout: 15_000, interval: 200 },
    )
    .toBe(true);
  await all;
  expect(done).toBe(accepted + 1);
}

describe('Redis at its maxmemory', () => {
  const server = useBroker('redis');

  test('refuses work; requests go on', async () => {
    const redis = new Redis(server.url);
    const used = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1];
    await redis.config('SET', 'maxmemory', Number(used) + 4 * 2 ** 20);
    const port = portOf('redis', server.url, { prefix: 'full', durable: true });
    const accepted = await fill(port);
    expect(accepted).toBeGreaterThan(5);
    // Publish/subscribe stores nothing.
    const plain = portOf('redis', server.url, {});
    new Responder(plain, 'echo', ({ payload }) => payload);
    expect(await new Requester(plain).request('echo', 1)).toBe(1);
    // A request is stored, too: who waits is told.
    await expect(new Requester(port).request('work', WORK)).rejects.toMatchObject(FULL);
    await redis.config('SET', 'maxmemory', 0);
    redis.disconnect();
    await drain(port, accepted);
  });
});

describe('NATS', () => {
  const server = useBroker('nats');

  test('a stream at its max_bytes refuses work, and gives what it has', async () => {
    const port = portOf('nats', server.url, { prefix: 'full', durable: true });
    await port.ready();
    const connection = await connect({ servers: server.url });
    const { streams } = await jetstreamManager(connection);
    const { config } = await streams.info('full-work');
    await streams.update('full-work', { ...config, max_bytes: 1_000_000, discard: 'new' as never });
    await connection.close();
    const accepted = await fill(port);
    expect(accepted).toBeGreaterThan(5);
    await expect(new Requester(port).request('work', WORK)).rejects.toMatchObject(FULL);
    await drain(port, accepted);
  });
});

describe('AMQP with few channels', () => {
  const server = useBroker('amqp', 'channel_max = 12');

  test('responders that come and go leave none', async () => {
    const port = portOf('amqp', server.url, { prefix: 'channels', durable: true });
    const requester = new Requester(port);
    for (let n = 0; n < 30; n++) {
      const responder = new Responder(port, 'work', ({ payload }) => payload);
      expect(await requester.request('work', n)).toBe(n);
      await responder.close();
    }
    await port.ready();
    expect(port.stats()).toMatchObject({ connected: true, connections: 1 });
  });
});

describe.each<[BrokerKind, string]>([
  ['nats', 'max_pending: 16777216\nwrite_deadline: "1s"'],
  ['redis', ''],
])('%s cuts off a worker that does not read', (kind, config) => {
  const server = useBroker(kind, config);

  test('who waits for it is told in time, and it comes back by itself', async () => {
    if (kind === 'redis') {
      const redis = new Redis(server.url);
      await redis.config('SET', 'client-output-buffer-limit', 'pubsub 8mb 4mb 1');
      redis.disconnect();
    }
    const worker = fork(new URL('slow-worker.mjs', import.meta.url), [JSON.stringify({ kind, url: server.url })]);
    open.push({ close: () => worker.kill('SIGKILL') });
    await once(worker, 'message');
    const port = portOf(kind, server.url, {});
    const requester = new Requester(port);
    expect(await requester.request('slow', new Uint8Array(3))).toBe(3);
    worker.kill('SIGSTOP');
    const ask = () => requester.request('slow', new Uint8Array(1_000_000), { timeout: 1500 });
    const ends = await Promise.allSettled(Array.from({ length: 50 }, ask));
    const codes = new Set(ends.map((end) => (end.status === 'rejected' ? end.reason.code : end.value)));
    expect([...codes].filter((code) => !/_(TIMEOUT|NO_RESPONDER)$/.test(code))).toEqual([]);
    // The broker has let it go.
    const code = () => requester.request('slow', new Uint8Array(3), { timeout: 1500 }).catch((error) => error.code);
    await expect.poll(code, { timeout: 10_000 }).toBe('ERR_GAMMALOOP_NO_RESPONDER');
    worker.kill('SIGCONT');
    const again = () =>
      requester.request('slow', new Uint8Array(4), { timeout: 1500 }).then(
        (length) => length,
        () => -1,
      );
    await expect.poll(again, { timeout: 10_000 }).toBe(4);
    expect(port.stats()).toMatchObject({ connections: 1, waiting: 0 });
    expect(requester.stats().open).toBe(0);
  }, 40_000);
});

describe('RabbitMQ', () => {
  const server = useBroker('amqp');

  test('a queue with a length limit that rejects refuses work, and gives what it has', async () => {
    const policy = JSON.stringify({ 'max-length': 10, overflow: 'reject-publish' });
    server.broker.control('set_policy', 'few', '^few\\.work', policy, '--apply-to', 'queues');
    const port = portOf('amqp', server.url, { prefix: 'few', durable: true });
    const accepted = await fill(port);
    expect(accepted).toBeGreaterThanOrEqual(10);
    await expect(new Requester(port).request('work', 1)).rejects.toMatchObject(FULL);
    await drain(port, accepted);
  }, 40_000);

  test('out of memory takes nothing: what is sent waits here up to `bufferBytes`, work that is stored is still done', async () => {
    const durable = { prefetch: 1 };
    const port = portOf('amqp', server.url, { prefix: 'alarm', heartbeat: 500, bufferBytes: 50_000, durable });
    const worker = portOf('amqp', server.url, { prefix: 'alarm', heartbeat: 500, durable });
    const requester = new Requester(port);
    new Responder(worker, 'echo', ({ payload }) => payload);
    await Promise.all([port.ready(), worker.ready()]);
    for (let n = 0; n < 10; n++) await port.submit('work', n);
    server.broker.control('set_vm_memory_high_watermark', '0.00001');
    // The broker tells when the next message comes.
    const first = requester.request('echo', 'first', { timeout: 60_000 });
    await expect.poll(() => port.stats().blocked).toBe(true);
    const waits = requester.request('echo', 'waits', { timeout: 60_000 });
    const large = requester.request('echo', new Uint8Array(49_000), { timeout: 60_000 });
    await expect(requester.request('echo', new Uint8Array(10_000))).rejects.toMatchObject(FULL);
    await expect(requester.request('echo', 'short', { timeout: 50 })).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_TIMEOUT',
    });
    // Acknowledgements are taken: ten, one at a time.
    const done: unknown[] = [];
    new Responder(worker, 'work', ({ payload }) => void done.push(payload));
    await expect.poll(() => done.length, { timeout: 10_000 }).toBe(10);
    // It is not taken for lost.
    expect(port.stats()).toMatchObject({ connected: true, connections: 1 });
    server.broker.control('set_vm_memory_high_watermark', '0.8');
    expect(await first).toBe('first');
    expect(await waits).toBe('waits');
    expect(await large).toHaveLength(49_000);
    expect(port.stats()).toMatchObject({ blocked: false, connections: 1, waiting: 0, waitingBytes: 0 });
  }, 60_000);
});

describe.each<[BrokerKind, string, number]>([
  ['nats', '', 16 * 2 ** 20],
  ['redis', '', 2 ** 20],
  ['amqp', 'max_message_size = 1048576', 2 ** 20],
])('%s with a limit of its own', (kind, config, limit) => {
  const server = useBroker(kind, config);

  test('refuses what is larger, alone, and is not asked again', async () => {
    if (kind === 'redis') {
      const redis = new Redis(server.url);
      await redis.config('SET', 'proto-max-bulk-len', limit);
      redis.disconnect();
    }
    const port = portOf(kind, server.url, { prefix: 'limit', durable: true });
    await port.ready();
    const large = () => port.submit('work', new Uint8Array(limit + 1), { timeout: 10_000 });
    await expect(large()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD_SIZE' });
    const { connections } = port.stats();
    await expect(large()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD_SIZE' });
    await expect(large()).rejects.toThrow(String(limit));
    await port.submit('work', 'fits');
    // RabbitMQ tells its limit once, by closing the channel.
    expect(port.stats()).toMatchObject({ connections, unconfirmed: 0 });
    expect(connections).toBe(kind === 'amqp' ? 2 : 1);
  });
});
