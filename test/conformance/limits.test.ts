import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { exchangeRaw, RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const echo = async (request: { text(): Promise<string> }): Promise<Response> =>
  new Response(String((await request.text()).length));

/** A GET whose head has exactly `length` bytes. */
function headOf(length: number): string {
  const before = 'GET / HTTP/1.1\r\nHost: x\r\nA: ';
  return `${before}${'a'.repeat(length - before.length - 4)}\r\n\r\n`;
}

describe.each(backends)('limits on %s', (backend) => {
  const start = starter(backend);

  it('headerBytes: at it 200, one above 431 and close', async () => {
    const server = await start({ fetch: echo, limits: { headerBytes: 500 } });
    const client = await RawClient.open(server);
    expect((await client.send(headOf(500)).response()).status).toBe(200);
    const over = await client.send(headOf(501)).response();
    expect(over.status).toBe(431);
    expect(over.headers['connection']).toEqual(['close']);
    expect(await client.rest()).toBe('');
    expect(server.stats().errors).toEqual({ HEADER_BYTES_EXCEEDED: 1 });
  });

  it('headerBytes: the default is 16 KiB', async () => {
    const server = await start({ fetch: echo });
    expect(
      (await exchangeRaw(server, headOf(16384) + headOf(16385))).responses.map((response) => response.status),
    ).toEqual([200, 431]);
  });

  it('the largest head that the options admit arrives whole, with a body beside it', async () => {
    const server = await start({
      fetch: async (request) => new Response(`${[...request.headers].length} ${(await request.text()).length}`),
      limits: { headerBytes: 262144, headerCount: 10000, bodyBytes: 65536 },
    });
    const fields = Array.from({ length: 9997 }, (_, i) => `x${i}: ${'v'.repeat(14)}\r\n`).join('');
    const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n${fields}`;
    const filler = `y: ${'f'.repeat(262144 - head.length - 7)}\r\n\r\n`;
    expect((head + filler).length).toBe(262144);
    const client = await RawClient.open(server);
    const { status, body } = await client.send(head + filler + 'b'.repeat(65536)).response();
    expect(`${status} ${body}`).toBe('200 10000 65536');
    client.socket.destroy();
  });

  it('headerBytes: an endless head is refused before it ends', async () => {
    const server = await start({ fetch: echo, limits: { headerBytes: 500 } });
    const { responses } = await exchangeRaw(server, `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(600)}`);
    expect(responses.map((response) => response.status)).toEqual([431]);
  });

  it('headerBytes: an endless target is refused with 431 too', async () => {
    const server = await start({ fetch: echo, limits: { headerBytes: 500 } });
    const { responses } = await exchangeRaw(server, `GET /${'a'.repeat(600)}`);
    expect(responses.map((response) => response.status)).toEqual([431]);
  });

  it('headerCount: at it 200, one above 431 and close, never truncated', async () => {
    const seen: number[] = [];
    const server = await start({
      fetch: (request) => {
        seen.push([...request.headers].length);
        return new Response('x');
      },
      limits: { headerCount: 10 },
    });
    const fields = (count: number): string =>
      `GET / HTTP/1.1\r\nHost: x\r\n${Array.from({ length: count - 1 }, (_, i) => `A${i}: b\r\n`).join('')}\r\n`;
    const { responses } = await exchangeRaw(server, fields(10) + fields(11));
    expect(responses.map((response) => response.status)).toEqual([200, 431]);
    expect(responses[1]?.headers['connection']).toEqual(['close']);
    expect(seen).toEqual([10]);
    expect(server.stats().errors).toEqual({ HEADER_COUNT_EXCEEDED: 1 });
  });

  it('headerCount: more than node keeps by default (2000) arrive whole where the limit allows it', async () => {
    const server = await start({
      fetch: (request) => new Response(String([...request.headers].length)),
      limits: { headerCount: 3000, headerBytes: 65536 },
    });
    const fields = Array.from({ length: 2500 }, (_, i) => `a${i}: b\r\n`).join('');
    const client = await RawClient.open(server);
    expect((await client.send(`GET / HTTP/1.1\r\nHost: x\r\n${fields}\r\n`).response()).body.toString()).toBe('2501');
    client.socket.destroy();
  });

  it('bodyBytes with content-length: at it 200, one above 413 and close, the handler not called', async () => {
    let calls = 0;
    const server = await start({
      fetch: async (request) => {
        calls++;
        return echo(request);
      },
      limits: { bodyBytes: 1000 },
    });
    const post = (length: number): string =>
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${'b'.repeat(length)}`;
    const { responses } = await exchangeRaw(server, post(1000) + post(1001));
    expect(responses.map((response) => response.status)).toEqual([200, 413]);
    expect(responses[1]?.headers['connection']).toEqual(['close']);
    expect(calls).toBe(1);
    expect(server.stats().errors).toEqual({ BODY_TOO_LARGE: 1 });
  });

  it('bodyBytes with chunks: at it 200, one above 413 and close, and the reader gets an error', async () => {
    const errors: unknown[] = [];
    const server = await start({
      fetch: async (request) => {
        try {
          return await echo(request);
        } catch (error) {
          errors.push((error as { code?: string }).code);
          throw error;
        }
      },
      onError: () => {},
      limits: { bodyBytes: 1000 },
    });
    const post = (length: number): string =>
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n${'b'.repeat(500)}\r\n${(length - 500).toString(16)}\r\n${'b'.repeat(length - 500)}\r\n0\r\n\r\n`;
    const client = await RawClient.open(server);
    expect((await client.send(post(1000)).response()).body.toString()).toBe('1000');
    const over = await client.send(post(1001)).response();
    expect(over.status).toBe(413);
    expect(over.headers['connection']).toEqual(['close']);
    expect(await client.rest()).toBe('');
    expect(errors.every((code) => code === 'ERR_GAMMALOOP_BODY_TOO_LARGE')).toBe(true);
    expect(server.stats().errors).toEqual({ BODY_TOO_LARGE: 1 });
  });

  it('bodyBytes 0 is no limit', async () => {
    const server = await start({ fetch: echo, limits: { bodyBytes: 0 } });
    const client = await RawClient.open(server);
    client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n`).send(Buffer.alloc(3_000_000, 'b'));
    expect((await client.response()).body.toString()).toBe('3000000');
    client.socket.destroy();
  });

  it('chunkOverheadBytes: extensions at it 200, above it 413 and close', async () => {
    const server = await start({ fetch: echo, limits: { chunkOverheadBytes: 100 }, onError: () => {} });
    // ';' and 97 name bytes, and the empty line of the trailers.
    const post = (length: number): string =>
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;${'e'.repeat(length)}\r\nb\r\n0\r\n\r\n`;
    const { responses } = await exchangeRaw(server, post(97) + post(101));
    expect(responses.map((response) => response.status)).toEqual([200, 413]);
    expect(responses[1]?.headers['connection']).toEqual(['close']);
    expect(server.stats().errors).toEqual({ CHUNK_OVERHEAD_EXCEEDED: 1 });
  });

  it('chunkOverheadBytes: trailers count', async () => {
    const server = await start({ fetch: echo, limits: { chunkOverheadBytes: 100 }, onError: () => {} });
    const { responses } = await exchangeRaw(
      server,
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nT: ${'t'.repeat(120)}\r\n\r\n`,
    );
    expect(responses.map((response) => response.status)).toEqual([413]);
  });

  it('chunkOverheadBytes: many small chunks are no overhead', async () => {
    const server = await start({ fetch: echo, limits: { chunkOverheadBytes: 100 } });
    const client = await RawClient.open(server);
    client.send(
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nb\r\n'.repeat(5000)}0\r\n\r\n`,
    );
    expect((await client.response()).body.toString()).toBe('5000');
    client.socket.destroy();
  });

  it('connections: one more is closed at once and counted as dropped', async () => {
    const server = await start({ fetch: () => new Response('x'), limits: { connections: 2 } });
    const clients = [await RawClient.open(server), await RawClient.open(server)];
    for (const client of clients) expect((await client.send(GET).response()).status).toBe(200);
    const third = await RawClient.open(server);
    await third.rest();
    await third.closed;
    expect(third.bytesRead).toBe(0);
    await expect.poll(() => server.stats().connections.dropped).toBe(1);
    expect(server.stats().connections.open).toBe(2);
    clients[0]?.socket.destroy();
    await expect.poll(() => server.stats().connections.open).toBe(1);
    const fourth = await RawClient.open(server);
    expect((await fourth.send(GET).response()).status).toBe(200);
    for (const client of [...clients, fourth]) client.socket.destroy();
  });

  it('requestsPerConnection: the last one is answered with connection: close', async () => {
    const server = await start({ fetch: () => new Response('x'), limits: { requestsPerConnection: 3 } });
    const { responses } = await exchangeRaw(server, GET.repeat(5));
    expect(responses.map((response) => response.headers['connection']?.join() === 'close')).toEqual([
      false,
      false,
      true,
    ]);
    expect(server.stats().requests.received).toBe(3);
  });

  it('pipelinedRequests: further ones wait unread', async () => {
    const waiting: Array<() => void> = [];
    let most = 0;
    const server = await start({
      fetch: (request) =>
        new Promise<Response>((resolve) => {
          waiting.push(() => resolve(new Response(new URL(request.url).pathname)));
          most = Math.max(most, waiting.length);
        }),
      limits: { pipelinedRequests: 4 },
    });
    const client = await RawClient.open(server);
    client.send(Array.from({ length: 20 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
    const bodies: string[] = [];
    while (bodies.length < 20) {
      await expect.poll(() => waiting.length).toBe(Math.min(4, 20 - bodies.length));
      expect(server.stats().requests.active).toBe(Math.min(4, 20 - bodies.length));
      waiting.shift()?.();
      bodies.push((await client.response()).body.toString());
    }
    expect(most).toBe(4);
    expect(bodies).toEqual(Array.from({ length: 20 }, (_, i) => `/${i}`));
    client.socket.destroy();
  });
});
