/** Requesters on Redis know for a moment where the next request goes: who comes meanwhile misses nothing, and who goes costs nothing. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createEnvelope, type Envelope, Requester, Responder } from '../../../lib/correlation/index.js';
import { NoResponderError } from '../../../lib/errors.js';
import { RedisPort } from '../../../lib/ports/redis.js';
import { useBroker } from '../../support/use-broker.js';

const server = useBroker('redis');
const open: RedisPort[] = [];
let admin: Redis;

beforeAll(() => {
  admin = new Redis(server.url, { lazyConnect: true });
});

afterAll(() => admin.disconnect());

afterEach(async () => {
  for (const port of open.splice(0)) await port.close();
});

const openPort = (heartbeat = 10_000): RedisPort => {
  const port = new RedisPort({ url: server.url, heartbeat });
  open.push(port);
  return port;
};

/** A responder on a port of its own, ready. */
const respond = async (subject: string, name: string): Promise<Responder> => {
  const port = openPort();
  const responder = new Responder(port, subject, () => name);
  await port.ready();
  return responder;
};

const callsOf = async (command: string): Promise<number> =>
  Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await admin.info('commandstats'))?.[1] ?? 0);

/** Asks one at a time, and goes on until told. */
const keepAsking = (requester: Requester, subject: string) => {
  let asked = 0;
  let going = true;
  const done = (async () => {
    while (going) await requester.request(subject, ++asked);
  })();
  return {
    get asked(): number {
      return asked;
    },
    stop: (): Promise<void> => {
      going = false;
      return done;
    },
  };
};

test('requests one at a time go to the members in turn, and seldom by the script', async () => {
  await Promise.all(['a', 'b', 'c'].map((name) => respond('turns', name)));
  const requester = new Requester(openPort());
  const before = await callsOf('evalsha');
  const began = performance.now();
  const counts = new Map<string, number>();
  for (let n = 0; n < 600; n++) {
    const name = await requester.request<string>('turns');
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  // One for each lease.
  expect((await callsOf('evalsha')) - before).toBeLessThanOrEqual((performance.now() - began) / 100 + 1);
  for (const name of ['a', 'b', 'c']) expect(counts.get(name)).toBeGreaterThan(150);
});

test.each([
  ['another group', { group: 'audit' }],
  ['a subscriber without a group', {}],
])('%s that comes gets everything from the moment on when it is ready', async (_name, options) => {
  for (let round = 0; round < 3; round++) {
    const subject = `joined ${'group' in options} ${round}`;
    await respond(subject, 'first');
    const asking = keepAsking(new Requester(openPort()), subject);
    await expect.poll(() => asking.asked).toBeGreaterThan(50);
    const port = openPort();
    await port.ready();
    const seen = new Set<unknown>();
    port.subscribe(subject, ({ payload }: Envelope) => seen.add(payload), options);
    await port.ready();
    const from = asking.asked + 1;
    await expect.poll(() => asking.asked).toBeGreaterThan(from + 50);
    await asking.stop();
    await port.ready();
    const missed = [];
    for (let n = from; n <= asking.asked; n++) if (!seen.has(n)) missed.push(n);
    expect(missed).toEqual([]);
  }
});

test('a member that leaves, or is killed, costs no request that it has not begun', async () => {
  const leaving = await respond('left', 'leaving');
  const staying = await respond('left', 'staying');
  const asking = keepAsking(new Requester(openPort(), { timeout: 5000 }), 'left');
  await expect.poll(() => asking.asked).toBeGreaterThan(50);
  await leaving.close();
  const at = asking.asked;
  await expect.poll(() => asking.asked).toBeGreaterThan(at + 50);
  await asking.stop();
  expect(leaving.stats().replied + staying.stats().replied).toBe(asking.asked);

  const worker = fork(new URL('slow-worker.mjs', import.meta.url), [
    JSON.stringify({ kind: 'redis', url: server.url }),
  ]);
  await once(worker, 'message');
  const requester = new Requester(openPort());
  for (let n = 0; n < 5; n++) expect(await requester.request('slow', 'text')).toBe(4);
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  await expect.poll(() => requester.request('slow', '').catch((error) => error)).toBeInstanceOf(NoResponderError);
  await respond('slow', 'next');
  expect(await requester.request('slow')).toBe('next');
});

test('after FLUSHALL responders are found again within a heartbeat', async () => {
  const port = openPort(2000);
  new Responder(port, 'flushed', () => 'here');
  await port.ready();
  const requester = new Requester(openPort());
  await requester.request('flushed');
  await admin.flushall();
  await expect.poll(() => requester.request('flushed').catch((error: Error) => error)).toBeInstanceOf(NoResponderError);
  const again = () => requester.request('flushed').catch(() => 'nobody');
  await expect.poll(again, { timeout: 5 * 2000 }).toBe('here');
});

test('a user who may not leave answers out has all the same', async () => {
  await admin.acl('SETUSER', 'asking', 'on', '>secret', '~*', '&*', '+@all', '-client|reply');
  const url = server.url.replace('://', '://asking:secret@');
  const port = new RedisPort({ url });
  open.push(port);
  const responder = new Responder(port, 'asked', ({ payload }) => payload);
  const requester = new Requester(port);
  for (let n = 0; n < 50; n++) expect(await requester.request('asked', n)).toBe(n);
  await responder.close();
  await expect.poll(() => requester.request('asked').catch((error) => error)).toBeInstanceOf(NoResponderError);
});

test('what comes back because its member has gone reaches another before the port is ready', async () => {
  const subject = 'returned';
  const seen: unknown[] = [];
  const port = openPort();
  const members = [openPort(), openPort()];
  for (const member of members)
    member.subscribe(subject, ({ payload }: Envelope) => seen.push(payload), { group: 'one' });
  await Promise.all(members.map((member) => member.ready()));
  const publish = (n: number) =>
    port.publish(createEnvelope({ kind: 'request', id: n, subject, payload: n, deadline: performance.now() + 5000 }));
  await port.ready();
  publish(0);
  await port.ready();
  await members[0]?.close();
  publish(1);
  await port.ready();
  publish(2);
  await port.ready();
  await expect.poll(() => seen).toEqual([0, 1, 2]);
});
