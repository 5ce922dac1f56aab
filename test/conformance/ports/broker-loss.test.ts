/** Brokers that are away, come back, fall silent, are full or refuse: every port to a broker, as docs/ports.md has it. */
import { afterEach, describe, expect, test } from 'vitest';
import { createEnvelope, Requester, Responder } from '../../../lib/correlation/index.js';
import { PayloadError, TimeoutError } from '../../../lib/errors.js';
import type { BrokerPortOptions } from '../../../lib/ports/broker-options.js';
import { brokerKinds, openPort } from '../../support/broker-ports.js';
import { openRelay } from '../../support/tcp-relay.js';
import { useBroker } from '../../support/use-broker.js';

describe.each(brokerKinds)('%s', (kind) => {
  const server = useBroker(kind);
  const open: { close(): Promise<unknown> }[] = [];

  /** A port with a requester, and a responder of its own subject. */
  const side = (subject: string, options: BrokerPortOptions = {}, url = server.url) => {
    const port = openPort(kind, url, options);
    open.push(port);
    const started: unknown[] = [];
    let onHeld = (): void => {};
    const held = new Promise<void>((resolve) => {
      onHeld = resolve;
    });
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const responder = new Responder(port, subject, async ({ payload }) => {
      started.push(payload);
      if (payload !== 'hold') return payload;
      onHeld();
      await gate;
      return 'held';
    });
    return { port, requester: new Requester(port, { timeout: 60_000 }), responder, started, held, release };
  };

  afterEach(async () => {
    for (const port of open.splice(0)) await port.close();
  });

  test('away at the start, lost and back', async () => {
    const there = side('there');
    await there.port.ready();
    const holding = there.requester.request('there', 'hold');
    await there.held;
    await server.broker.kill();
    await expect.poll(() => there.port.connected).toBe(false);

    const late = side('late');
    await expect(late.port.ready(50)).rejects.toBeInstanceOf(TimeoutError);
    const waiting = late.requester.request('late', 'first');
    await expect(late.requester.request('late', 'over', { timeout: 50 })).rejects.toBeInstanceOf(TimeoutError);
    const small = side('small', { bufferBytes: 4000 });
    const fits = small.requester.request('small', new Uint8Array(2000));
    await expect(small.requester.request('small', new Uint8Array(2000))).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_BROKER_FULL',
    });
    there.release();

    await server.broker.restart();
    expect(await Promise.all([holding, waiting])).toEqual(['held', 'first']);
    expect(await fits).toHaveLength(2000);
    // What was out of time was not sent.
    expect(late.started).toEqual(['first']);
    expect(late.port.stats()).toMatchObject({ connections: 1, expired: 1, waiting: 0, waitingBytes: 0 });
    expect(await there.requester.request('there', 'again')).toBe('again');
    expect(there.port.stats()).toMatchObject({ connections: 2 });
  }, 90_000);

  test('an answer arrives also by a connection that is newer than its request', async () => {
    const relay = await openRelay(server.url);
    const [asking, working] = [side('asking'), side('working', {}, relay.url)];
    open.push(relay);
    await Promise.all([asking.port.ready(), working.port.ready()]);
    const answer = asking.requester.request('working', 'hold', { timeout: 15_000 });
    await working.held;
    relay.cut();
    await expect.poll(() => working.port.stats().connections).toBe(2);
    await working.port.ready();
    working.release();
    expect(await answer).toBe('held');
  }, 30_000);

  test('who comes as the last member of its group goes keeps its connection', async () => {
    const { port, requester, responder } = side('turns');
    await port.ready();
    let last: { close(): Promise<unknown> } = responder;
    for (let n = 0; n < 100; n++) {
      const next = openPort(kind, server.url);
      open.push(next);
      await next.ready();
      new Responder(next, 'turns', ({ payload }) => payload);
      for (let turns = n % 20; turns > 0; turns--) await new Promise(setImmediate);
      const leaving = last.close();
      await next.ready();
      expect(next.stats().connections).toBe(1);
      expect(await requester.request('turns', n)).toBe(n);
      await leaving;
      last = next;
    }
  }, 60_000);

  test('silent: found out, and used again when it answers', async () => {
    const { port, requester } = side('silent', { heartbeat: 300 });
    await port.ready();
    server.broker.pause();
    const during = requester.request('silent', 'during', { timeout: 100 });
    await expect(during).rejects.toBeInstanceOf(TimeoutError);
    await expect.poll(() => port.connected, { timeout: 10_000 }).toBe(false);
    const meanwhile = requester.request('silent', 'meanwhile');
    server.broker.resume();
    expect(await meanwhile).toBe('meanwhile');
  }, 60_000);

  test('slow: what it has not taken yet waits here, in order', async () => {
    const { port, requester, started } = side('slow', { heartbeat: 60_000 });
    await port.ready();
    server.broker.pause();
    const sent = Array.from({ length: 300 }, (_, i) => requester.request('slow', new Uint8Array(20_000).fill(i)));
    expect(port.stats().waitingBytes).toBeGreaterThan(1_000_000);
    server.broker.resume();
    await Promise.all(sent);
    expect(started.map((bytes) => (bytes as Uint8Array)[0])).toEqual(sent.map((_, i) => i % 256));
    expect(port.stats()).toMatchObject({ waiting: 0, waitingBytes: 0 });
  }, 60_000);

  test('a responder that closes under load loses nothing', async () => {
    const asking = side('asking');
    const [staying, leaving] = [side('shared'), side('shared')];
    await Promise.all([asking, staying, leaving].map(({ port }) => port.ready()));
    let next = 0;
    let closed: Promise<void> | undefined;
    const client = async (): Promise<void> => {
      for (let n = next++; n < 2000; n = next++) {
        if (n === 700) closed = leaving.responder.close().then(() => leaving.port.close());
        expect(await asking.requester.request('shared', n)).toBe(n);
      }
    };
    await Promise.all(Array.from({ length: 100 }, client));
    await closed;
    expect(leaving.started.length).toBeGreaterThan(0);
    // Each was carried out once.
    expect(leaving.started.length + staying.started.length).toBe(2000);
  }, 60_000);

  test('too large a payload, or reply, fails before it is sent', async () => {
    const { port, requester } = side('size', { maxBytes: 10_000 });
    const other = openPort(kind, server.url);
    open.push(other);
    new Responder(port, 'large', () => 'x'.repeat(20_000));
    await Promise.all([port.ready(), other.ready()]);
    const before = port.stats().published;
    const error = await requester.request('size', 'x'.repeat(20_000)).catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(PayloadError);
    expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD_SIZE' });
    expect((error as Error).message).toContain('10000');
    expect(port.stats()).toMatchObject({ published: before + 1, unsendable: 1 });
    const asked = new Requester(other).request('large');
    await expect(asked).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD_SIZE' });
    if (kind !== 'nats') return;
    // The server's own limit, without `maxBytes`.
    const big = new Requester(other).request('size', new Uint8Array(17 * 2 ** 20));
    await expect(big).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD_SIZE' });
    expect(other.connected).toBe(true);
  });

  test('responders of one subject that come and go on one port', async () => {
    const { port, requester, responder } = side('turns');
    const other = side('turns');
    await Promise.all([port.ready(), other.port.ready()]);
    void other.responder.close();
    let last = responder;
    for (let n = 0; n < 10; n++) {
      void last.close();
      last = new Responder(port, 'turns', ({ payload }) => `${n}: ${payload}`);
      const listener = (): void => {};
      port.subscribe('plain', listener).unsubscribe();
    }
    let plain = 0;
    port.subscribe('plain', () => plain++);
    await port.ready();
    // The one before it may still get what was on its way.
    await expect.poll(() => requester.request('turns', 'x')).toBe('9: x');
    for (let n = 0; n < 50; n++) expect(await requester.request('turns', n)).toBe(`9: ${n}`);
    port.publish(createEnvelope({ kind: 'request', id: 1, subject: 'plain' }));
    await expect.poll(() => plain).toBe(1);
  }, 30_000);

  test('a responder that was given up before the broker knew of it takes nothing from others', async () => {
    const staying = side('given-up');
    await staying.port.ready();
    const leaving = openPort(kind, server.url);
    open.push(leaving);
    await leaving.ready();
    for (let n = 0; n < 5; n++) void new Responder(leaving, 'given-up', () => 'wrong').close();
    for (let n = 0; n < 200; n++) expect(await staying.requester.request('given-up', n)).toBe(n);
    await leaving.ready();
    const { published } = leaving.stats();
    for (let n = 0; n < 200; n++) expect(await staying.requester.request('given-up', n)).toBe(n);
    expect(leaving.stats().published).toBe(published);
  }, 30_000);
});
