/** One deadline and one trace from the client's socket to the handler in another thread or process (ASYNC-03, ASYNC-04): every backend, every port. */
import { describe, expect, test } from 'vitest';
import { BrokenError, Response } from '../../lib/index.js';
import { Cancelled, CancelScope, moveOnAfter, openNursery, shield } from '../../lib/scope/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';
import { oneOfEachKind } from './ports/fixtures.js';
import { usePeer } from './ports/use-peer.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

describe.each(backends)('from a socket of %s', (backend) => {
  const start = starter(backend);

  describe.each(oneOfEachKind)('to $name', (fixture) => {
    const peer = usePeer(fixture);

    /** Two remote handlers of one request, in a nursery in its scope, which answer only when they are told to stop. */
    const hanging = (options: object = {}) =>
      start({
        ...options,
        fetch: (_request, ctx) =>
          ctx.scope.run(async () => {
            await openNursery((nursery) => {
              for (let i = 0; i < 2; i++) nursery.startSoon(() => peer.requester.request('hang', i));
            });
            return new Response('never');
          }),
      });

    test('a client that hangs up stops the handlers on the other side', async () => {
      const server = await hanging();
      const client = await RawClient.open(server);
      client.send(GET);
      expect(await peer.requester.request('reached', ['hang.started', 2])).toBe(2);
      client.reset();
      expect(await peer.requester.request('reached', ['hang.ended', 2])).toBe(2);
      await expect.poll(() => server.stats().requests.active).toBe(0);
      expect(server.stats().handlerErrors).toBe(0);
    });

    test('timeouts.handler: 503 for the client, and the other side stops', async () => {
      const server = await hanging({ timeouts: { handler: 800 } });
      const client = await RawClient.open(server);
      client.send(GET);
      expect((await client.response()).status).toBe(503);
      expect(await peer.requester.request('reached', ['hang.ended', 2])).toBe(2);
      client.socket.destroy();
    });

    test("a deadline of the handler's own scope is that of the other side, and stops it", async () => {
      const server = await start({
        timeouts: { handler: 20_000 },
        fetch: (_request, ctx) =>
          ctx.scope.run(async (scope) => {
            scope.deadline = performance.now() + 5000;
            const { remaining } = (await peer.requester.request('describe')) as { remaining: number };
            const { cancelled } = await moveOnAfter(500, () => peer.requester.request('hang'));
            return Response.json([remaining, cancelled], { status: 504 });
          }),
      });
      const client = await RawClient.open(server);
      client.send(GET);
      const { status, body } = await client.response();
      const [remaining, cancelled] = JSON.parse(body.toString()) as [number, boolean];
      expect([status, cancelled]).toEqual([504, true]);
      expect(remaining).toBeLessThanOrEqual(5000);
      expect(await peer.requester.request('reached', ['hang.ended', 1])).toBe(1);
      expect(peer.requester.stats()).toMatchObject({ cancelled: 1, timedOut: 0, late: 0 });
      client.socket.destroy();
    });

    test("ctx.scope's deadline that passes is no answer of the handler's: 500 without one, and the other side stops", async () => {
      const reported: unknown[] = [];
      const server = await start({
        onError: (error) => reported.push(error),
        fetch: (_request, ctx) =>
          ctx.scope.run(async (scope) => {
            const hanging = peer.requester.request('hang');
            await peer.requester.request('reached', ['hang.started', 1]);
            scope.deadline = performance.now() + 10;
            await hanging;
            return new Response('never');
          }),
      });
      const client = await RawClient.open(server);
      client.send(GET);
      expect((await client.response()).status).toBe(500);
      expect(await peer.requester.request('reached', ['hang.ended', 1])).toBe(1);
      expect(reported).toHaveLength(1);
      client.socket.destroy();
    });

    test('a task that fails stops its siblings on the other side, and is reported once', async () => {
      const reported: unknown[] = [];
      const server = await start({
        onError: (error) => reported.push(error),
        fetch: (_request, ctx) =>
          ctx.scope.run(async () => {
            await openNursery(async (nursery) => {
              for (let i = 0; i < 2; i++) nursery.startSoon(() => peer.requester.request('hang', i));
              await peer.requester.request('reached', ['hang.started', 2]);
              nursery.startSoon(() => peer.requester.request('fail'));
            });
            return new Response('never');
          }),
      });
      const client = await RawClient.open(server);
      client.send(GET);
      expect((await client.response()).status).toBe(500);
      expect(await peer.requester.request('reached', ['hang.ended', 2])).toBe(2);
      expect(reported).toEqual([expect.objectContaining({ code: 'ENOODD' })]);
      client.socket.destroy();
    });

    test('clean-up in a shield reaches the other side after the client has gone', async () => {
      let cleaned: (value: unknown) => void;
      const cleanUp = new Promise((resolve) => {
        cleaned = resolve;
      });
      const server = await start({
        fetch: (_request, ctx) =>
          ctx.scope.run(async () => {
            try {
              await peer.requester.request('hang');
            } finally {
              const refused = await peer.requester.request('echo').catch((error: unknown) => error);
              const done = await shield(() => peer.requester.request('echo', 'cleaned'));
              cleaned([refused instanceof Cancelled, done]);
            }
            return new Response('never');
          }),
      });
      const client = await RawClient.open(server);
      client.send(GET);
      await peer.requester.request('reached', ['hang.started', 1]);
      client.reset();
      expect(await cleanUp).toEqual([true, 'cleaned']);
      await peer.requester.request('reached', ['hang.ended', 1]);
      await expect.poll(() => server.stats().requests.active).toBe(0);
      expect(server.stats().handlerErrors).toBe(0);
    });

    test('of many clients some hang up and some wait too long: each has one outcome, and both sides count the same', async () => {
      const each = 8;
      const outcomes = new Map<string, string[]>();
      const server = await start({
        fetch: (request, ctx) => {
          const name = new URL(request.url).pathname;
          const ended = (how: string) => outcomes.set(name, [...(outcomes.get(name) ?? []), how]);
          return ctx.scope.run(async () => {
            const ask = name.startsWith('/stay')
              ? () => peer.requester.request('reached', ['hang.ended', 2 * each])
              : () => peer.requester.request('hang');
            const scope = new CancelScope();
            try {
              const value = await scope.run(() =>
                openNursery(async (nursery) => {
                  if (name.startsWith('/late')) {
                    nursery.startSoon(async () => {
                      await peer.requester.request('reached', ['hang.started', 2 * each]);
                      scope.deadline = performance.now() + 20;
                    });
                  }
                  return ask();
                }),
              );
              ended(scope.cancelledCaught ? 'late' : 'answered');
              return new Response(`${value}`, { status: scope.cancelledCaught ? 504 : 200 });
            } catch (error) {
              ended(error instanceof Cancelled ? 'left' : 'failed');
              throw error;
            }
          });
        },
      });
      const clients = await Promise.all(
        ['stay', 'late', 'leave'].flatMap((kind) =>
          Array.from({ length: each }, async (_, i) => {
            const client = await RawClient.open(server);
            client.send(`GET /${kind}${i} HTTP/1.1\r\nHost: x\r\n\r\n`);
            return { kind, client };
          }),
        ),
      );
      const of = (wanted: string) => clients.filter(({ kind }) => kind === wanted).map(({ client }) => client);
      expect(await peer.requester.request('reached', ['hang.started', 2 * each])).toBe(2 * each);
      for (const client of of('leave')) client.reset();
      for (const client of of('late')) expect((await client.response()).status).toBe(504);
      for (const client of of('stay')) {
        const { status, body } = await client.response();
        expect([status, body.toString()]).toEqual([200, `${2 * each}`]);
      }
      await expect.poll(() => server.stats().requests.active).toBe(0);
      const times = (how: string) => Array.from({ length: each }, () => [how]);
      expect([...outcomes.values()].sort()).toEqual([...times('answered'), ...times('late'), ...times('left')]);
      expect(server.stats()).toMatchObject({
        requests: { received: 3 * each, completed: 2 * each, aborted: each },
        handlerErrors: 0,
      });
      // Nothing runs on the other side, and each that began has ended.
      const { open, opened, resolved, cancelled, cancelsSent, late } = peer.requester.stats();
      expect({ open, cancelled, cancelsSent, late }).toEqual({
        open: 0,
        cancelled: 2 * each,
        cancelsSent: 2 * each,
        late: 0,
      });
      expect(resolved + cancelled).toBe(opened);
      for (const count of ['hang.started', 'hang.ended']) {
        expect(await peer.requester.request('value', count)).toBe(2 * each);
      }
      for (const { client } of clients) client.socket.destroy();
    });

    test('close({ deadline }) cuts the request, and the other side stops', async () => {
      const server = await hanging();
      const client = await RawClient.open(server);
      client.send(GET);
      expect(await peer.requester.request('reached', ['hang.started', 2])).toBe(2);
      expect(await server.close({ deadline: 0 })).toMatchObject({ drained: 0, cut: 1, connectionsCut: 1 });
      expect(await peer.requester.request('reached', ['hang.ended', 2])).toBe(2);
      client.socket.destroy();
    });

    test('trace and remaining time arrive', async () => {
      const server = await start({
        timeouts: { handler: 20_000 },
        fetch: (_request, ctx) =>
          ctx.scope.run(async () => Response.json([ctx.traceId, await peer.requester.request('describe', null)])),
      });
      const traceId = '0af7651916cd43dd8448eb211c80319c';
      const client = await RawClient.open(server);
      client.send(`GET / HTTP/1.1\r\nHost: x\r\ntraceparent: 00-${traceId}-b7ad6b7169203331-01\r\n\r\n`);
      const [known, seen] = JSON.parse((await client.response()).body.toString());
      expect([known, seen.traceId]).toEqual([traceId, traceId]);
      expect(seen.traceparent).toMatch(new RegExp(`^00-${traceId}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`));
      expect(seen.remaining).toBeGreaterThan(10_000);
      expect(seen.remaining).toBeLessThanOrEqual(20_000);
      // Without a header both still speak of one trace.
      client.send(GET);
      const [fresh, followed] = JSON.parse((await client.response()).body.toString());
      expect(followed.traceId).toBe(fresh);
      expect(fresh).not.toBe(traceId);
      client.socket.destroy();
    });

    test('a streamed reply goes out as it comes, and ends with its client', async () => {
      const server = await start({
        fetch: (_request, ctx) => {
          const parts = peer.requester.stream('count', { length: 1e9 }, { signal: ctx.signal });
          return new Response(
            (async function* () {
              for await (const part of parts) yield `${part}\n`;
            })(),
          );
        },
      });
      const client = await RawClient.open(server);
      client.send(GET);
      await client.until('the third part', () => (client.pending.includes('\r\n2\n') ? true : null));
      client.reset();
      expect(await peer.requester.request('reached', ['count.ended', 1])).toBe(1);
      await expect.poll(() => server.stats().requests.active).toBe(0);
    });

    if (!fixture.breaks) return;

    test('a worker that dies in the middle fails its requests at once', async () => {
      const server = await start({
        fetch: async (_request, ctx) => {
          const error = await ctx.scope.run(() => peer.requester.request('hang', 0)).catch((reason: unknown) => reason);
          return new Response(null, { status: error instanceof BrokenError ? 502 : 500 });
        },
      });
      const client = await RawClient.open(server);
      client.send(GET);
      expect(await peer.requester.request('reached', ['hang.started', 1])).toBe(1);
      await peer.link.kill();
      expect((await client.response()).status).toBe(502);
      client.socket.destroy();
    });
  });
});
