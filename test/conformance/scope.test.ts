import { describe, expect, it } from 'vitest';
import { type AbortedError, Cancelled, Response } from '../../lib/index.js';
import { currentDeadline, currentScope, moveOnAfter, openNursery, shield, sleep } from '../../lib/scope/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const FOREVER = 3_600_000;

describe.each(backends)('ctx.scope on %s', (backend) => {
  const start = starter(backend);

  /** A handler whose two children wait for ever, and what became of it. */
  async function waitingServer(options: object = {}) {
    const errors: unknown[] = [];
    const stopped: unknown[] = [];
    let ended: (error: unknown) => void = () => {};
    const end = new Promise<unknown>((resolve) => {
      ended = resolve;
    });
    const server = await start({
      ...options,
      onError: (error: unknown) => errors.push(error),
      fetch: (_request, ctx) => {
        const answer = ctx.scope.run(async () => {
          await openNursery((nursery) => {
            for (let child = 0; child < 2; child++) {
              nursery.startSoon(() =>
                sleep(FOREVER).catch((error) => {
                  stopped.push(error);
                  throw error;
                }),
              );
            }
          });
          return new Response('never');
        });
        answer.catch(ended);
        return answer;
      },
    });
    return { server, errors, stopped, end };
  }

  it('a client that goes stops everything that waits in it, with the reason of the signal, and nothing is reported', async () => {
    const { server, errors, stopped, end } = await waitingServer();
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => server.stats().requests.active).toBe(1);
    client.reset();
    const error = (await end) as Cancelled;
    expect(error).toBeInstanceOf(Cancelled);
    expect((error.reason as AbortedError).code).toBe('ERR_GAMMALOOP_CLIENT_GONE');
    expect(stopped).toHaveLength(2);
    await expect.poll(() => server.stats().requests.active).toBe(0);
    expect(errors).toEqual([]);
    expect(server.stats().handlerErrors).toBe(0);
  });

  it('reading a body is waiting, too: it ends with its scope, and the connection goes on', async () => {
    const server = await start({
      fetch: async (request) => {
        const { cancelled, value } = await moveOnAfter(30, () => request.text());
        return new Response(cancelled ? 'gave up' : value);
      },
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc');
    expect((await client.response()).body.toString()).toBe('gave up');
    client.send('defPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz');
    expect((await client.response()).body.toString()).toBe('xyz');
    client.socket.destroy();
  });

  it('timeouts.handler: 503 for the client, and the work stops', async () => {
    const { server, errors, stopped, end } = await waitingServer({ timeouts: { handler: 100 } });
    const client = await RawClient.open(server);
    client.send(GET);
    expect((await client.response()).status).toBe(503);
    expect((((await end) as Cancelled).reason as AbortedError).code).toBe('ERR_GAMMALOOP_HANDLER_TIMEOUT');
    expect(stopped).toHaveLength(2);
    expect(errors).toEqual([]);
    client.socket.destroy();
  });

  it('close({ deadline }) stops what it cuts', async () => {
    const { server, errors, end } = await waitingServer();
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => server.stats().requests.active).toBe(1);
    await server.close({ deadline: 0 });
    expect((((await end) as Cancelled).reason as AbortedError).code).toBe('ERR_GAMMALOOP_SERVER_CLOSING');
    expect(errors).toEqual([]);
  });

  it('a deadline of the handler’s own is its error; clean-up can wait under a shield', async () => {
    const errors: unknown[] = [];
    let cleaned = false;
    const server = await start({
      onError: (error) => errors.push(error),
      fetch: (_request, ctx) => {
        ctx.scope.deadline = performance.now() + 20;
        return ctx.scope.run(async () => {
          try {
            await sleep(FOREVER);
          } finally {
            await shield(() => sleep(1));
            cleaned = true;
          }
          return new Response('never');
        });
      },
    });
    const client = await RawClient.open(server);
    client.send(GET);
    expect((await client.response()).status).toBe(500);
    expect(cleaned).toBe(true);
    expect(errors).toMatchObject([{ code: 'ERR_GAMMALOOP_CANCELLED', cause: { code: 'ERR_GAMMALOOP_TIMEOUT' } }]);
    client.socket.destroy();
  });

  it('is one for each request, is known by its handler alone, and tells the deadline', async () => {
    const scopes = new Set<unknown>();
    const server = await start({
      timeouts: { handler: 60_000 },
      fetch: async (_request, ctx) => {
        expect(ctx.scope).toBe(ctx.scope);
        scopes.add(ctx.scope);
        return ctx.scope.run(async (scope) => {
          await sleep(1);
          expect(currentScope()).toBe(scope);
          expect(currentDeadline()).toBe(ctx.deadline);
          expect(scope.signal.aborted).toBe(false);
          return new Response('ok');
        });
      },
    });
    const client = await RawClient.open(server);
    client.send(GET.repeat(5));
    for (const response of await client.responses(5)) {
      expect([response.status, response.body.toString()]).toEqual([200, 'ok']);
    }
    expect(scopes.size).toBe(5);
    client.socket.destroy();
  });
});
