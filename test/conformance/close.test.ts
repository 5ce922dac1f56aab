import { describe, expect, it } from 'vitest';
import { AbortedError, loop, Response, serve } from '../../lib/index.js';
import { backends, portOf, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

describe.each(backends)('close on %s', (backend) => {
  const start = starter(backend);

  /** A server whose handlers wait until they are told, and the tellers. */
  async function waitingServer(): Promise<{
    server: Awaited<ReturnType<typeof start>>;
    answers: Array<() => void>;
    signals: AbortSignal[];
  }> {
    const answers: Array<() => void> = [];
    const signals: AbortSignal[] = [];
    const server = await start({
      fetch: (request) => {
        signals.push(request.signal);
        return new Promise<Response>((resolve) => answers.push(() => resolve(new Response('drained'))));
      },
    });
    return { server, answers, signals };
  }

  it('drains what is in flight, closes what is idle, refuses what is new', async () => {
    const { server, answers } = await waitingServer();
    const port = portOf(server);
    const [busy, pipelined, idle] = [
      await RawClient.open(server),
      await RawClient.open(server),
      await RawClient.open(server),
    ];
    busy.send(GET);
    pipelined.send(GET + GET);
    await expect.poll(() => answers.length).toBe(3);
    const closing = server.close();
    expect(await idle.rest()).toBe('');
    await expect(RawClient.open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    for (const answer of answers) answer();
    const response = await busy.response();
    expect(response.body.toString()).toBe('drained');
    expect(response.headers['connection']).toEqual(['close']);
    const [first, second] = await pipelined.responses(2);
    expect([first?.body.toString(), second?.body.toString()]).toEqual(['drained', 'drained']);
    expect(second?.headers['connection']).toEqual(['close']);
    expect(await busy.rest()).toBe('');
    expect(await pipelined.rest()).toBe('');
    idle.socket.destroy();
    expect(await closing).toEqual({ drained: 3, cut: 0, connectionsCut: 0 });
    expect(server.stats().connections.open).toBe(0);
  });

  it('at the deadline cuts what is left, says so, and aborts the signals', async () => {
    const { server, answers, signals } = await waitingServer();
    const [quick, slow, pipelined] = [
      await RawClient.open(server),
      await RawClient.open(server),
      await RawClient.open(server),
    ];
    quick.send(GET);
    await expect.poll(() => answers.length).toBe(1);
    slow.send(GET);
    pipelined.send(GET + GET);
    await expect.poll(() => answers.length).toBe(4);
    const closing = server.close({ deadline: 200 });
    answers[0]?.();
    expect((await quick.response()).body.toString()).toBe('drained');
    quick.end();
    expect(await closing).toEqual({ drained: 1, cut: 3, connectionsCut: 2 });
    expect(signals.slice(1).map((signal) => signal.aborted)).toEqual([true, true, true]);
    expect(signals[1]?.reason).toBeInstanceOf(AbortedError);
    expect(signals[1]?.reason).toMatchObject({ code: 'ERR_GAMMALOOP_SERVER_CLOSING', reason: 'server-closing' });
    expect(await Promise.all([slow.rest(), pipelined.rest()])).toEqual(['', '']);
    for (const answer of answers) answer();
  });

  it('may be called again, and an earlier deadline counts', async () => {
    const { server, answers } = await waitingServer();
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => answers.length).toBe(1);
    const first = server.close();
    const second = server.close({ deadline: 60_000 });
    const third = server.close({ deadline: 0 });
    const report = { drained: 0, cut: 1, connectionsCut: 1 };
    expect(await Promise.all([first, second, third, server.close()])).toEqual([report, report, report, report]);
  });

  it('refuses a bad deadline', async () => {
    const { server } = await waitingServer();
    await expect(server.close({ deadline: -1 })).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_OPTION',
      option: 'deadline',
    });
    await expect(server.close({ deadlin: 1 } as never)).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_OPTION',
      option: 'deadlin',
    });
  });

  it('finishes a streamed response that has begun', async () => {
    let push: (text: string | null) => void = () => {};
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            start(controller) {
              push = (text) =>
                text === null ? controller.close() : controller.enqueue(new TextEncoder().encode(text));
            },
          }),
        ),
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => server.stats().requests.active).toBe(1);
    push('begun ');
    await client.until('the beginning', () => (client.pending.includes('begun') ? true : null));
    const closing = server.close();
    push('and done');
    push(null);
    expect((await client.response()).body.toString()).toBe('begun and done');
    expect(await client.rest()).toBe('');
    expect((await closing).drained).toBe(1);
  });

  it('under load loses no request that a handler has seen', async () => {
    let handled = 0;
    const server = await start({
      fetch: async () => {
        handled++;
        await new Promise((resolve) => setImmediate(resolve));
        return new Response('ok');
      },
    });
    let answered = 0;
    const clients = await Promise.all(Array.from({ length: 32 }, () => RawClient.open(server)));
    const done = Promise.all(
      clients.map(async (client) => {
        try {
          for (;;) {
            const response = await client.send(GET).response();
            expect(response.body.toString()).toBe('ok');
            answered++;
            if (response.headers['connection']?.join() === 'close') break;
          }
        } catch {
          // Closed between two requests: nothing of this one was answered, and no handler may have seen it.
          expect(client.pending.length).toBe(0);
        }
        client.socket.destroy();
      }),
    );
    await expect.poll(() => answered, { interval: 1 }).toBeGreaterThan(200);
    const report = await server.close({ deadline: 10_000 });
    await done;
    expect(report.cut).toBe(0);
    expect(answered).toBe(handled);
    expect(server.stats().requests).toMatchObject({ received: handled, completed: handled, aborted: 0 });
  });

  it('is what Symbol.asyncDispose does', async () => {
    let port = 0;
    {
      await using server = await serve({ port: 0, hostname: '127.0.0.1', backend, fetch: () => new Response('x') });
      port = portOf(server);
      const client = await RawClient.open(server);
      expect((await client.send(GET).response()).body.toString()).toBe('x');
      client.socket.destroy();
    }
    await expect(RawClient.open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('follows a signal', async () => {
    const controller = new AbortController();
    const server = await start({ fetch: () => new Response('x'), signal: controller.signal });
    const port = portOf(server);
    controller.abort();
    await server.close();
    await expect(RawClient.open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(start({ fetch: () => new Response('x'), signal: controller.signal })).rejects.toBe(
      controller.signal.reason,
    );
  });

  it('loop.stats() lists open servers only', async () => {
    const before = loop.stats().servers.length;
    const server = await start({ fetch: () => new Response('x') });
    expect(loop.backend()).toBe(backend);
    expect(loop.stats().servers).toHaveLength(before + 1);
    await server.close();
    expect(loop.stats().servers).toHaveLength(before);
  });

  it('stats() counts connections, requests and bytes', async () => {
    const server = await start({ fetch: async (request) => new Response(await request.text()) });
    const client = await RawClient.open(server);
    const wire = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello';
    for (let i = 0; i < 3; i++) await client.send(wire).response();
    await expect
      .poll(() => server.stats())
      .toMatchObject({
        backend,
        connections: { open: 1, accepted: 1, closed: 0, dropped: 0 },
        requests: { active: 0, received: 3, completed: 3, aborted: 0 },
        bytes: { received: 3 * wire.length, sent: client.bytesRead },
        errors: {},
        handlerErrors: 0,
      });
    client.socket.destroy();
    await expect.poll(() => server.stats().connections).toMatchObject({ open: 0, closed: 1 });
  });
});
