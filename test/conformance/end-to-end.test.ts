/** One deadline and one trace from the client's socket to the handler in another thread or process (ASYNC-03, ASYNC-04): every backend, every port. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Requester } from '../../lib/correlation/index.js';
import { BrokenError, Response } from '../../lib/index.js';
import { openNursery } from '../../lib/scope/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';
import { fixtures, type Link } from './ports/fixtures.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

describe.each(backends)('from a socket of %s', (backend) => {
  const start = starter(backend);

  describe.each(fixtures)('to $name', (fixture) => {
    let link: Link;
    let requester: Requester;

    beforeEach(async () => {
      link = await fixture.open();
      requester = new Requester(link.port, { timeout: 30_000 });
      expect(await requester.request('echo', 'ready')).toBe('ready');
    });

    afterEach(async () => {
      requester.close();
      expect(requester.stats()).toMatchObject({ open: 0, streams: 0 });
      await link.stop();
    });

    /** Two remote handlers of one request, in a nursery in its scope, which answer only when they are told to stop. */
    const hanging = (options: object = {}) =>
      start({
        ...options,
        fetch: (_request, ctx) =>
          ctx.scope.run(async () => {
            await openNursery((nursery) => {
              for (let i = 0; i < 2; i++) nursery.startSoon(() => requester.request('hang', i));
            });
            return new Response('never');
          }),
      });

    test('a client that hangs up stops the handlers on the other side', async () => {
      const server = await hanging();
      const client = await RawClient.open(server);
      client.send(GET);
      expect(await requester.request('reached', ['hang.started', 2])).toBe(2);
      client.reset();
      expect(await requester.request('reached', ['hang.ended', 2])).toBe(2);
      await expect.poll(() => server.stats().requests.active).toBe(0);
      expect(server.stats().handlerErrors).toBe(0);
    });

    test('timeouts.handler: 503 for the client, and the other side stops', async () => {
      const server = await hanging({ timeouts: { handler: 150 } });
      const client = await RawClient.open(server);
      client.send(GET);
      expect((await client.response()).status).toBe(503);
      expect(await requester.request('reached', ['hang.ended', 2])).toBe(2);
      client.socket.destroy();
    });

    test('close({ deadline }) cuts the request, and the other side stops', async () => {
      const server = await hanging();
      const client = await RawClient.open(server);
      client.send(GET);
      expect(await requester.request('reached', ['hang.started', 2])).toBe(2);
      expect(await server.close({ deadline: 0 })).toMatchObject({ drained: 0, cut: 1, connectionsCut: 1 });
      expect(await requester.request('reached', ['hang.ended', 2])).toBe(2);
      client.socket.destroy();
    });

    test('trace and remaining time arrive', async () => {
      const server = await start({
        timeouts: { handler: 20_000 },
        fetch: (_request, ctx) =>
          ctx.scope.run(async () => Response.json([ctx.traceId, await requester.request('describe', null)])),
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
          const parts = requester.stream('count', { length: 1e9 }, { signal: ctx.signal });
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
      expect(await requester.request('reached', ['count.ended', 1])).toBe(1);
      await expect.poll(() => server.stats().requests.active).toBe(0);
    });

    if (!fixture.breaks) return;

    test('a worker that dies in the middle fails its requests at once', async () => {
      const server = await start({
        fetch: async (_request, ctx) => {
          const error = await ctx.scope.run(() => requester.request('hang', 0)).catch((reason: unknown) => reason);
          return new Response(null, { status: error instanceof BrokenError ? 502 : 500 });
        },
      });
      const client = await RawClient.open(server);
      client.send(GET);
      expect(await requester.request('reached', ['hang.started', 1])).toBe(1);
      await link.kill();
      expect((await client.response()).status).toBe(502);
      client.socket.destroy();
    });
  });
});
