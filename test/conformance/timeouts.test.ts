import { describe, expect, it } from 'vitest';
import { AbortedError, Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const echo = async (request: { text(): Promise<string> }): Promise<Response> => new Response(await request.text());

describe.each(backends)('timeouts on %s', (backend) => {
  const start = starter(backend);

  it('headers: a head that does not end is answered 408 and closed', async () => {
    const server = await start({ fetch: echo, timeouts: { headers: 200 } });
    const client = await RawClient.open(server);
    const began = performance.now();
    const response = await client.send('GET / HTTP/1.1\r\nHost: x\r\nA: ').response();
    expect(response.status).toBe(408);
    expect(response.headers['connection']).toEqual(['close']);
    expect(performance.now() - began).toBeGreaterThan(150);
    expect(await client.rest()).toBe('');
    expect(server.stats().errors).toEqual({ HEADERS_TIMEOUT: 1 });
  });

  it('headers: the time counts from the first byte, not from the last', async () => {
    const server = await start({ fetch: echo, timeouts: { headers: 300 } });
    const client = await RawClient.open(server);
    client.send('GET / HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => client.send('A: b\r\n'), 40);
    try {
      expect((await client.response()).status).toBe(408);
    } finally {
      clearInterval(drip);
    }
    client.socket.destroy();
  });

  it('request: a body that does not end is answered 408 and closed, and its reader gets an error', async () => {
    const codes: unknown[] = [];
    const server = await start({
      fetch: async (request) => {
        try {
          return await echo(request);
        } catch (error) {
          codes.push((error as { code?: string }).code);
          throw error;
        }
      },
      onError: () => {},
      timeouts: { request: 200 },
    });
    const client = await RawClient.open(server);
    const response = await client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello').response();
    expect(response.status).toBe(408);
    expect(response.headers['connection']).toEqual(['close']);
    expect(await client.rest()).toBe('');
    expect(codes.every((code) => code === 'ERR_GAMMALOOP_BODY_TIMEOUT')).toBe(true);
    expect(server.stats().errors).toEqual({ REQUEST_TIMEOUT: 1 });
  });

  it('keepAlive: an idle connection is closed without a word', async () => {
    const server = await start({ fetch: () => new Response('x'), timeouts: { keepAlive: 150 } });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).status).toBe(200);
    const began = performance.now();
    expect(await client.rest()).toBe('');
    expect(performance.now() - began).toBeGreaterThan(100);
  });

  it('keepAlive: a connection that never sends a request is closed', async () => {
    const server = await start({ fetch: () => new Response('x'), timeouts: { keepAlive: 150 } });
    const client = await RawClient.open(server);
    expect(await client.rest()).toBe('');
  });

  it('keepAlive: does not count while a request is being answered', async () => {
    const server = await start({
      fetch: async () => {
        await new Promise((resolve) => setTimeout(resolve, 400));
        return new Response('late');
      },
      timeouts: { keepAlive: 100 },
    });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).body.toString()).toBe('late');
    client.socket.destroy();
  });

  it('handler: 503, the signal aborted with the reason, the late answer ignored, the server usable', async () => {
    let reason: unknown;
    let lateAnswered: () => void = () => {};
    const late = new Promise<void>((resolve) => (lateAnswered = resolve));
    const server = await start({
      fetch: async (request) => {
        if (request.url.endsWith('/quick')) return new Response('quick');
        await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve(), { once: true }));
        reason = request.signal.reason;
        queueMicrotask(lateAnswered);
        return new Response('late');
      },
      timeouts: { handler: 150 },
    });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).status).toBe(503);
    await late;
    expect(reason).toBeInstanceOf(AbortedError);
    expect(reason).toMatchObject({ code: 'ERR_GAMMALOOP_HANDLER_TIMEOUT', reason: 'handler-timeout' });
    expect(server.stats().errors).toEqual({ HANDLER_TIMEOUT: 1 });
    const again = await RawClient.open(server);
    expect((await again.send('GET /quick HTTP/1.1\r\nHost: x\r\n\r\n').response()).body.toString()).toBe('quick');
    for (const each of [client, again]) each.socket.destroy();
  });

  it('handler: a response that has begun is not cut', async () => {
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            async start(controller) {
              controller.enqueue(new TextEncoder().encode('begun '));
              await new Promise((resolve) => setTimeout(resolve, 400));
              controller.enqueue(new TextEncoder().encode('done'));
              controller.close();
            },
          }),
        ),
      timeouts: { handler: 100 },
    });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).body.toString()).toBe('begun done');
    client.socket.destroy();
  });

  it('minBodyBytesPerSecond: a body that drips is answered 408 and closed', async () => {
    const server = await start({
      fetch: echo,
      onError: () => {},
      timeouts: { bodyRateWindow: 300, minBodyBytesPerSecond: 1000 },
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    const drip = setInterval(() => client.send('b'), 50);
    try {
      expect((await client.response()).status).toBe(408);
    } finally {
      clearInterval(drip);
    }
    expect(server.stats().errors).toEqual({ BODY_RATE_TIMEOUT: 1 });
    client.socket.destroy();
  });

  it('minBodyBytesPerSecond: a handler that does not read is not held against the client', async () => {
    const body = Buffer.alloc(900_000, 'b');
    const server = await start({
      fetch: async (request) => {
        await new Promise((resolve) => setTimeout(resolve, 600));
        return new Response(String((await request.arrayBuffer()).byteLength));
      },
      timeouts: { bodyRateWindow: 100, minBodyBytesPerSecond: 1000 },
    });
    const client = await RawClient.open(server);
    client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`).send(body);
    expect((await client.response()).body.toString()).toBe('900000');
    client.socket.destroy();
  });

  it('linger: a client that does not close is closed on', async () => {
    const server = await start({ fetch: () => new Response('x'), timeouts: { linger: 150 } });
    const client = await RawClient.open(server);
    await client.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').response();
    // The client keeps its side open; the server must not keep the connection for ever.
    await expect.poll(() => server.stats().connections.open).toBe(0);
    client.socket.destroy();
  });
});
