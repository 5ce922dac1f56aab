/** Durable work on every broker: what docs/ports.md promises of at-least-once delivery. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { type Envelope, type Handler, Requester, Responder } from '../../../lib/correlation/index.js';
import { BrokerError, OptionError, RemoteError, TimeoutError } from '../../../lib/errors.js';
import type { BrokerPort } from '../../../lib/ports/broker.js';
import type { DurableOptions } from '../../../lib/ports/deliveries.js';
import { brokerKinds, openPort } from '../../support/broker-ports.js';
import { useBroker } from '../../support/use-broker.js';

const QUICK: DurableOptions = { ackWait: 600, retryDelay: 20, maxDeliveries: 3 };
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
    return { saw, kill: () => started.kill('SIGKILL'), ended: once(started, 'exit') };
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
    const poison = requester.request('work', 'die');
    const told = expect(poison).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_DEAD_LETTER' });
    let over = false;
    const watched = told.finally(() => {
      over = true;
    });
    // As often as they come.
    let last = child();
    while (!over) {
      await Promise.race([last.ended, watched]);
      if (!over) last = child();
    }
    await (requester.port as BrokerPort).submit('work', 'fine');
    await last.saw('did', 'fine');
    expect(await (requester.port as BrokerPort).takeDeadLetters('work')).toMatchObject([
      { envelope: { payload: 'die' } },
    ]);
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
});
