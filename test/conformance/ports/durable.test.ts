/** Durable work on every broker: what docs/ports.md promises of at-least-once delivery. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { connect as amqp } from 'amqplib';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, test } from 'vitest';
import { ENVELOPE_KINDS } from '../../../lib/correlation/envelope.js';
import { type Envelope, type Handler, Requester, Responder } from '../../../lib/correlation/index.js';
import { BrokerError, OptionError, RemoteError, TimeoutError } from '../../../lib/errors.js';
import type { BrokerPort } from '../../../lib/ports/broker.js';
import type { DeadLetter } from '../../../lib/ports/broker-options.js';
import type { DurableOptions } from '../../../lib/ports/deliveries.js';
import { brokerKinds, openPort } from '../../support/broker-ports.js';
import type { BrokerKind } from '../../support/brokers.js';
import { useBroker } from '../../support/use-broker.js';

const QUICK: DurableOptions = { ackWait: 1500, retryDelay: 20, maxDeliveries: 3 };
const main = new URL('worker-main.mjs', import.meta.url);
let prefixes = 0;

describe.each(brokerKinds)('durable work on %s', (kind) => {
  const server = useBroker(kind);
  const open: { close(): unknown }[] = [];
  let prefix = '';

  /** A port of this test's own names. */
  const port = (durable: DurableOptions = QUICK): BrokerPort => {
    if (prefix === '') prefix = `d${process.pid}x${prefixes++}`;
    const made = openPort(kind, server.url, { prefix, durable });
    open.push(made);
    return made;
  };

  /** Gathers what a handler is given. */
  const worker = (at: BrokerPort, handler: Handler = () => undefined) => {
    const got: unknown[] = [];
    const waiting: { count: number; resolve: () => void }[] = [];
    const responder = new Responder(at, 'work', (message, context) => {
      got.push(message.payload);
      for (const { count, resolve } of waiting) if (got.length >= count) resolve();
      return handler(message, context);
    });
    const reached = (count: number): Promise<void> =>
      got.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve }));
    return { got, reached, responder };
  };

  const child = () => {
    const started = fork(main, [JSON.stringify({ kind, url: server.url, options: { prefix, durable: QUICK } })]);
    const said: { began?: string; did?: string; ready?: true }[] = [];
    started.on('message', (message) => said.push(message as object));
    const saw = async (key: 'began' | 'did' | 'ready', value: unknown): Promise<void> => {
      while (!said.some((message) => message[key] === value)) await once(started, 'message');
    };
    open.push({ close: () => started.kill('SIGKILL') });
    return { saw, kill: () => started.kill('SIGKILL'), died: () => started.signalCode !== null };
  };

  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each.close();
    prefix = '';
  });

  test('waits for a worker, and is done once', async () => {
    const here = port();
    await here.submit('work', { n: 1 });
    await here.submit('work', new Uint8Array([7]));
    const { got, reached } = worker(port());
    await reached(2);
    expect(got).toEqual([{ n: 1 }, new Uint8Array([7])]);
    await expect.poll(() => here.takeDeadLetters('work')).toEqual([]);
  });

  test('carries its key, headers and trace', async () => {
    const here = port();
    let seen: Envelope | undefined;
    const { reached } = worker(port(), (message) => {
      seen = message;
    });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await here.submit('work', null, { key: 'order-17', headers: { tenant: 'a' }, traceparent });
    await reached(1);
    expect(seen).toMatchObject({ headers: { tenant: 'a', 'idempotency-key': 'order-17' }, traceparent });
  });

  test('requests wait for a worker too, and get their reply', async () => {
    const requester = new Requester(port());
    const asked = requester.request('work', 20);
    await (requester.port as BrokerPort).ready();
    const { responder } = worker(port(), ({ payload }) => (payload as number) + 1);
    expect(await asked).toBe(21);
    expect(responder.stats()).toMatchObject({ received: 1, replied: 1 });
    requester.close();
  });

  test('is acknowledged after its answer has left: a worker that dies in between has it done again', async () => {
    // One server tells of both in the order in which they came.
    if (kind !== 'nats') return;
    const observer = await connect({ servers: server.url });
    open.push(observer);
    const seen: string[] = [];
    observer.subscribe('>', {
      callback: (_error, { subject, data }) => {
        if (subject.startsWith('$JS.ACK.')) seen.push('acknowledged');
        else if (data[0] === 0x47 && data[2] === ENVELOPE_KINDS.indexOf('reply')) seen.push('answered');
      },
    });
    await observer.flush();
    worker(port(), ({ payload }) => payload);
    const requester = new Requester(port());
    for (let n = 0; n < 3; n++) expect(await requester.request('work', n)).toBe(n);
    await expect.poll(() => seen).toEqual(Array(3).fill(['answered', 'acknowledged']).flat());
  });

  test("a handler's error is the answer of a request, and not tried again", async () => {
    const requester = new Requester(port());
    const { got } = worker(port(), () => {
      throw new RangeError('no');
    });
    const failed = requester.request('work', 'x');
    await expect(failed).rejects.toBeInstanceOf(RemoteError);
    await expect(requester.request('work', 'y')).rejects.toMatchObject({ message: 'no' });
    expect(got).toEqual(['x', 'y']);
    requester.close();
  });

  test('submitted work whose handler throws is tried again, then is a dead letter', async () => {
    const here = port();
    const { got, reached } = worker(port(), ({ payload }) => {
      if (payload === 'bad') throw new Error('never');
    });
    await here.submit('work', 'bad', { key: 'k1' });
    await here.submit('work', 'good');
    await reached(4);
    await expect.poll(async () => (await here.takeDeadLetters('work')).map(({ key }) => key)).toEqual(['k1']);
    expect(got.filter((payload) => payload === 'bad')).toHaveLength(3);
    expect(got.filter((payload) => payload === 'good')).toHaveLength(1);
    expect(await here.takeDeadLetters('work')).toEqual([]);
  });

  test('of a worker that was killed goes to another', async () => {
    const requester = new Requester(port(), { timeout: 15_000 });
    const first = child();
    await first.saw('ready', true);
    const hanging = requester.request('work', 'hang');
    await first.saw('began', 'hang');
    const { reached } = worker(port(), () => 'done by another');
    first.kill();
    await reached(1);
    expect(await hanging).toBe('done by another');
    expect(requester.stats()).toMatchObject({ open: 0, duplicate: 0 });
    requester.close();
  });

  test('that kills its workers ends as a dead letter, and whoever waits is told', async () => {
    const requester = new Requester(port(), { timeout: 18_000 });
    // All there before the first dies: on a busy machine four starts one after the other take longer than the deadline.
    const workers = Array.from({ length: (QUICK.maxDeliveries ?? 0) + 1 }, child);
    await Promise.all(workers.map(({ saw }) => saw('ready', true)));
    await expect(requester.request('work', 'die')).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_DEAD_LETTER' });
    const killed = (): number => workers.filter(({ died }) => died()).length;
    await expect.poll(killed).toBeGreaterThan(0);
    expect(killed()).toBeLessThanOrEqual(QUICK.maxDeliveries as number);
    await (requester.port as BrokerPort).submit('work', 'fine');
    await Promise.race(workers.map(({ saw }) => saw('did', 'fine')));
    const dead = () => (requester.port as BrokerPort).takeDeadLetters('work');
    await expect.poll(dead).toMatchObject([{ envelope: { payload: 'die' } }]);
    requester.close();
  });

  test('of one key is done once within the window', async () => {
    const here = port();
    const there = port();
    const { got, reached } = worker(there);
    await here.submit('work', 'once', { key: 'same' });
    await reached(1);
    await here.submit('work', 'once', { key: 'same' });
    await here.submit('work', 'after');
    await reached(2);
    expect(got).toEqual(['once', 'after']);
  });

  test('whose time is over is not begun', async () => {
    const requester = new Requester(port());
    await expect(requester.request('work', 'late', { timeout: 50 })).rejects.toBeInstanceOf(TimeoutError);
    const { got, reached } = worker(port());
    await (requester.port as BrokerPort).submit('work', 'next');
    await reached(1);
    expect(got).toEqual(['next']);
    requester.close();
  });

  test('a cancellation reaches its handler, and it is not tried again', async () => {
    const requester = new Requester(port());
    let onAborted = (): void => {};
    const aborted = new Promise<void>((resolve) => {
      onAborted = resolve;
    });
    const { got, reached } = worker(port(), async ({ payload }, { signal }) => {
      if (payload !== 'long') return;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      onAborted();
    });
    const controller = new AbortController();
    const asked = requester.request('work', 'long', { signal: controller.signal });
    await reached(1);
    controller.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
    await aborted;
    await (requester.port as BrokerPort).submit('work', 'next');
    await reached(2);
    expect(got).toEqual(['long', 'next']);
    requester.close();
  });

  test('a worker that closes gives back what it has not done', async () => {
    const here = port();
    const leaving = port();
    const { responder, reached } = worker(
      leaving,
      (_message, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    );
    await here.submit('work', 'unfinished');
    await reached(1);
    expect(await responder.close({ deadline: 0 })).toMatchObject({ cut: 1 });
    await leaving.close();
    const { reached: again } = worker(port());
    await again(1);
  });

  test('no more than `prefetch` is with one worker', async () => {
    const here = port();
    const held: (() => void)[] = [];
    const { got, reached } = worker(
      port({ ...QUICK, ackWait: 10_000, prefetch: 2 }),
      () => new Promise<void>((resolve) => held.push(resolve)),
    );
    for (let i = 0; i < 4; i++) await here.submit('work', i);
    await reached(2);
    const { got: others, reached: othersReached } = worker(port({ ...QUICK, ackWait: 10_000 }));
    await othersReached(2);
    expect(got).toHaveLength(2);
    expect([...got, ...others].sort()).toEqual([0, 1, 2, 3]);
    for (const release of held) release();
  });

  test('given up before the broker knew of the worker goes to another', async () => {
    const leaving = port();
    await leaving.ready();
    for (let n = 0; n < 3; n++) void worker(leaving, () => 'wrong').responder.close();
    const here = port();
    const { got, reached } = worker(here);
    await here.ready();
    for (let n = 0; n < 20; n++) await here.submit('work', n);
    await reached(20);
    expect(got).toHaveLength(20);
    expect(leaving.stats().deliveries).toMatchObject({ inProgress: 0, redelivered: 0 });
  });

  test('that cannot be read is a dead letter, as the bytes that it is', async () => {
    const here = port();
    await here.submit('work', 'fine', { key: 'first' });
    await here.ready();
    const unreadable = Buffer.from('no frame at all');
    await publishRaw(kind, server.url, prefix, unreadable);
    const there = port();
    const { got, reached } = worker(there);
    await reached(1);
    const letters: DeadLetter[] = [];
    await expect
      .poll(async () => {
        letters.push(...(await here.takeDeadLetters('work')));
        return letters.length;
      })
      .toBe(1);
    expect(Buffer.from(letters[0]?.envelope.payload as Uint8Array).equals(unreadable)).toBe(true);
    expect(there.stats().unreadable).toBe(1);
    expect(got).toEqual(['fine']);
  });

  test('is nothing that a port without `durable` has', async () => {
    const plain = openPort(kind, server.url);
    open.push(plain);
    await expect(plain.submit('work', 1)).rejects.toBeInstanceOf(OptionError);
    await expect(plain.takeDeadLetters('work')).rejects.toBeInstanceOf(OptionError);
  });

  test('survives kill -9 of the broker, and what is submitted meanwhile arrives after it', async () => {
    const here = port();
    const there = port();
    await here.submit('work', 'before');
    await there.ready();
    await server.broker.stored(`${prefix}.work.work`);
    await server.broker.kill();
    const meanwhile = here.submit('work', 'meanwhile', { timeout: 60_000 });
    const unconfirmed = here.submit('work', 'given up', { timeout: 50 });
    await expect(unconfirmed).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BROKER_UNCONFIRMED' });
    await expect(unconfirmed).rejects.toBeInstanceOf(BrokerError);
    const { got, reached } = worker(there);
    await server.broker.restart();
    await meanwhile;
    await reached(2);
    expect(got).toEqual(['before', 'meanwhile']);
    expect(here.stats()).toMatchObject({ connected: true, connections: 2, unconfirmed: 0, waiting: 0 });
  }, 90_000);

  if (kind === 'amqp')
    test('in a queue that has lost its leader holds up nothing else', async () => {
      const first = port();
      await first.submit('stuck', 1);
      await server.broker.stored(`${prefix}.work.stuck`);
      await first.close();
      await server.broker.kill();
      // What RabbitMQ makes of a kill before it has written the list of its quorum queues.
      const node = `gammaloop${server.broker.port}@localhost`;
      await rm(join(server.broker.folder, 'mnesia', node, 'quorum', node, 'names.dets'));
      await server.broker.restart();
      const here = openPort(kind, server.url, { prefix, durable: QUICK, heartbeat: 500 });
      open.push(here);
      new Responder(here, 'stuck', () => 'never');
      new Responder(here, 'fine', ({ payload }) => payload);
      const requester = new Requester(here);
      const asked = requester.request('stuck', 2, { timeout: 3000 });
      expect(await requester.request('fine', 3, { timeout: 15_000 })).toBe(3);
      await expect(asked).rejects.toBeInstanceOf(TimeoutError);
      await expect(here.submit('stuck', 4, { timeout: 1500 })).rejects.toMatchObject({
        code: 'ERR_GAMMALOOP_BROKER_UNCONFIRMED',
      });
      await expect(here.ready(100)).rejects.toThrow('no work of 1 queues');
      expect(await requester.request('fine', 5)).toBe(5);
      expect(await here.takeDeadLetters('fine')).toEqual([]);
      expect(here.stats()).toMatchObject({ connected: true, connections: 1 });
    }, 60_000);
});

/** As another program would: into the queue of 'work', and no frame. */
async function publishRaw(kind: BrokerKind, url: string, prefix: string, bytes: Buffer): Promise<void> {
  if (kind === 'nats') {
    const connection = await connect({ servers: url });
    await jetstream(connection).publish(`${prefix}-work.work`, bytes);
    await connection.close();
  } else if (kind === 'redis') {
    const redis = new Redis(url);
    await redis.xadd(`${prefix}:work:work`, '*', 'frame', bytes, 'attempt', 1);
    redis.disconnect();
  } else {
    const connection = await amqp(url);
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(`${prefix}.work.work`, bytes);
    await channel.waitForConfirms();
    await connection.close();
  }
}
