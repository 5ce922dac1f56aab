import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const pathOf = (request: { url: string }): string => new URL(request.url).pathname;

describe.each(backends)('pipelining on %s', (backend) => {
  const start = starter(backend);

  it('requests that arrive together are handed over in one call of the engine', async () => {
    const server = await start({ fetch: () => new Response('ok') });
    const client = await RawClient.open(server);
    await client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(16)).responses(16);
    const engine = { count: 1, requests: 16, largest: 16 };
    const none = { count: 0, requests: 0, largest: 0 };
    expect(server.stats().batches).toEqual(backend === 'native' ? engine : none);
    client.socket.destroy();
  });

  it('answers 200 requests of one write in order', async () => {
    const server = await start({ fetch: (request) => new Response(pathOf(request)) });
    const client = await RawClient.open(server);
    const paths = Array.from({ length: 200 }, (_, i) => `/${i}`);
    const responses = await client.send(paths.map(get).join('')).responses(200);
    expect(responses.map((response) => response.body.toString())).toEqual(paths);
    client.socket.destroy();
  });

  it('answers asynchronous handlers that finish in reverse in the order of the requests', async () => {
    const waiting: Array<() => void> = [];
    const server = await start({
      fetch: (request) =>
        new Promise<Response>((resolve) => waiting.push(() => resolve(new Response(pathOf(request))))),
    });
    const client = await RawClient.open(server);
    const paths = Array.from({ length: 64 }, (_, i) => `/${i}`);
    client.send(paths.map(get).join(''));
    await expect.poll(() => waiting.length).toBe(64);
    for (const answer of waiting.reverse()) answer();
    const responses = await client.responses(64);
    expect(responses.map((response) => response.body.toString())).toEqual(paths);
    client.socket.destroy();
  });

  it('sends nothing of a later response before an earlier one', async () => {
    let first: (response: Response) => void = () => {};
    const server = await start({
      fetch: (request) =>
        pathOf(request) === '/first' ? new Promise<Response>((resolve) => (first = resolve)) : new Response('second'),
    });
    const client = await RawClient.open(server);
    client.send(get('/first') + get('/second'));
    await expect.poll(() => server.stats().requests.received).toBe(2);
    expect(client.bytesRead).toBe(0);
    first(new Response('first'));
    expect((await client.responses(2)).map((response) => response.body.toString())).toEqual(['first', 'second']);
    client.socket.destroy();
  });

  it('mixes bodies, methods, streams and errors in one pipeline', async () => {
    const server = await start({
      fetch: async (request) => {
        const path = pathOf(request);
        if (path === '/throw') throw new Error('on purpose');
        if (path === '/stream') {
          return new Response(
            new ReadableStream({
              start(controller) {
                controller.enqueue(new TextEncoder().encode('a'));
                setImmediate(() => {
                  controller.enqueue(new TextEncoder().encode('b'));
                  controller.close();
                });
              },
            }),
          );
        }
        if (path === '/empty') return new Response(null, { status: 204 });
        return new Response(`${request.method} ${await request.text()}`);
      },
      onError: () => {},
    });
    const client = await RawClient.open(server);
    client.send(
      'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello' +
        get('/stream') +
        get('/throw') +
        get('/empty') +
        'PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n' +
        get('/last'),
    );
    const responses = await client.responses(6);
    expect(
      responses.map((response) => [response.status, response.status === 500 ? '' : response.body.toString()]),
    ).toEqual([
      [200, 'POST hello'],
      [200, 'ab'],
      [500, ''],
      [204, ''],
      [200, 'PUT foobar'],
      [200, 'GET '],
    ]);
    client.socket.destroy();
  });

  it('answers what was pipelined before a half-close', async () => {
    const server = await start({
      fetch: async (request) => {
        await new Promise((resolve) => setImmediate(resolve));
        return new Response(pathOf(request));
      },
    });
    const client = await RawClient.open(server);
    client.send(get('/1') + get('/2') + get('/3')).end();
    expect((await client.responses(3)).map((response) => response.body.toString())).toEqual(['/1', '/2', '/3']);
    expect(await client.rest()).toBe('');
  });

  it('reads nothing behind a request that says connection: close', async () => {
    const server = await start({ fetch: (request) => new Response(pathOf(request)) });
    const client = await RawClient.open(server);
    client.send(`GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n${get('/2')}`);
    expect((await client.response()).body.toString()).toBe('/1');
    expect(await client.rest()).toBe('');
    expect(server.stats().requests.received).toBe(1);
  });

  it('refuses the body of a later request while an earlier one is still being answered', async () => {
    let answer: () => void = () => {};
    const server = await start({
      fetch: async (request) => {
        if (pathOf(request) === '/first') await new Promise<void>((resolve) => (answer = resolve));
        else await request.text();
        return new Response(pathOf(request));
      },
      onError: () => {},
    });
    const client = await RawClient.open(server);
    client.send(`${get('/first')}POST /second HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`);
    await expect.poll(() => server.stats().errors['INVALID_CHUNK_SIZE']).toBe(1);
    answer();
    expect((await client.responses(2)).map((response) => response.status)).toEqual([200, 400]);
    expect(await client.rest()).toBe('');
  });
});
