import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { exchangeRaw, RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

function streamOf(...parts: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });
}

describe.each(backends)('messages on %s', (backend) => {
  const start = starter(backend);

  it('sends Date and Content-Length', async () => {
    const server = await start({ fetch: () => new Response('hello \u00e4') });
    const {
      responses: [response],
    } = await exchangeRaw(server, GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    expect(response?.version).toBe('HTTP/1.1');
    expect(response?.reason).toBe('OK');
    expect(response?.headers['content-length']).toEqual(['8']);
    const date = response?.headers['date'] as string[];
    expect(date).toHaveLength(1);
    expect(new Date(date[0] as string).toUTCString()).toBe(date[0]);
    expect(Math.abs(Date.parse(date[0] as string) - Date.now())).toBeLessThan(5000);
    expect(response?.body.toString()).toBe('hello \u00e4');
  });

  it('leaves a Date that the handler sets', async () => {
    const date = 'Thu, 01 Jan 1970 00:00:00 GMT';
    const server = await start({ fetch: () => new Response('x', { headers: { date } }) });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).headers['date']).toEqual([date]);
    client.socket.destroy();
  });

  it('sends an empty body with Content-Length: 0', async () => {
    const server = await start({ fetch: () => new Response(null) });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).headers['content-length']).toEqual(['0']);
    client.socket.destroy();
  });

  it('keeps repeated set-cookie fields apart and custom status text', async () => {
    const server = await start({
      fetch: () =>
        new Response('x', {
          status: 299,
          statusText: 'Rather Fine',
          headers: [
            ['set-cookie', 'a=1'],
            ['set-cookie', 'b=2'],
            ['x', 'y'],
          ],
        }),
    });
    const client = await RawClient.open(server);
    const response = await client.send(GET).response();
    expect([response.status, response.reason]).toEqual([299, 'Rather Fine']);
    expect(response.headers['set-cookie']).toEqual(['a=1', 'b=2']);
    client.socket.destroy();
  });

  it('answers HEAD with the length of the body and without the body', async () => {
    const server = await start({ fetch: (request) => new Response(request.method === 'HEAD' ? 'hello' : 'get') });
    const client = await RawClient.open(server);
    client.send(`HEAD / HTTP/1.1\r\nHost: x\r\n\r\n${GET}`);
    const head = await client.response({ bodiless: true });
    expect(head.status).toBe(200);
    expect(head.headers['content-length']).toEqual(['5']);
    expect((await client.response()).body.toString()).toBe('get');
    client.socket.destroy();
  });

  it('answers HEAD of a stream without chunks', async () => {
    const server = await start({ fetch: () => new Response(streamOf('a', 'b')) });
    const client = await RawClient.open(server);
    client.send(`HEAD / HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await client.response({ bodiless: true })).status).toBe(200);
    expect((await client.send(GET).response()).body.toString()).toBe('ab');
    client.socket.destroy();
  });

  it.each([204, 304])('sends no body with %i, and the connection goes on', async (status) => {
    const server = await start({
      fetch: (request) => (request.url.endsWith('/more') ? new Response('more') : new Response(null, { status })),
    });
    const client = await RawClient.open(server);
    client.send(GET + GET.replace('/', '/more'));
    const [first, second] = await client.responses(2);
    expect(first?.status).toBe(status);
    expect(first?.headers['transfer-encoding']).toBeUndefined();
    if (status === 204) expect(first?.headers['content-length']).toBeUndefined();
    expect(second?.body.toString()).toBe('more');
    client.socket.destroy();
  });

  it('sends a stream of unknown length in chunks', async () => {
    const server = await start({ fetch: () => new Response(streamOf('one ', 'two ', 'three')) });
    const client = await RawClient.open(server);
    const response = await client.send(GET).response();
    expect(response.headers['transfer-encoding']).toEqual(['chunked']);
    expect(response.headers['content-length']).toBeUndefined();
    expect(response.body.toString()).toBe('one two three');
    client.socket.destroy();
  });

  it('receives chunks with extensions and trailers, as one body', async () => {
    const server = await start({ fetch: async (request) => new Response(await request.text()) });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    client.send('5;ext=1\r\nhello\r\n').send('6\r\n world\r\n').send('0\r\nX-Checksum: abc\r\n\r\n');
    expect((await client.response()).body.toString()).toBe('hello world');
    expect((await client.send(GET).response()).status).toBe(200);
    client.socket.destroy();
  });

  it('passes trailers both ways', async () => {
    const server = await start({
      node: (req, res) => {
        req.resume();
        req.on('end', () => {
          res.writeHead(200, { trailer: 'X-Back' });
          res.write('body');
          res.addTrailers({ 'X-Back': String(req.trailers['x-sum']) });
          res.end();
        });
      },
    });
    const client = await RawClient.open(server);
    const wire =
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n';
    for (let i = 0; i < 2; i++) {
      const response = await client.send(wire).response();
      expect(response.body.toString()).toBe('body');
      expect(response.trailers).toEqual({ 'x-back': ['abc'] });
    }
    client.socket.destroy();
  });

  it('leaves trailers out where there are no chunks', async () => {
    const server = await start({
      node: (_req, res) => {
        res.write('body');
        res.addTrailers({ 'X-Back': 'abc' });
        res.end();
      },
    });
    const { text } = await exchangeRaw(server, 'GET / HTTP/1.0\r\n\r\n');
    expect(text).toMatch(/\r\n\r\nbody$/);
  });

  it('receives the same body at every split point', async () => {
    const server = await start({
      fetch: async (request) => new Response(`${request.headers.get('x-a')} ${await request.text()}`),
    });
    const client = await RawClient.open(server);
    const wire =
      'POST / HTTP/1.1\r\nHost: x\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3;q="z"\r\n' +
      'abc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n';
    for (let split = 1; split < wire.length; split++) {
      client.send(wire.slice(0, split));
      await new Promise((resolve) => setImmediate(resolve));
      client.send(wire.slice(split));
      expect((await client.response()).body.toString()).toBe('b abc0123456789');
    }
    client.socket.destroy();
  });

  it('gives headers in order and case, with repeated ones joined', async () => {
    const server = await start({
      fetch: (request) =>
        Response.json({
          a: request.headers.get('a'),
          cookie: request.headers.get('cookie'),
          none: request.headers.get('b'),
        }),
    });
    const client = await RawClient.open(server);
    const response = await client
      .send('GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\ncookie: c=1\r\na: 2\r\nCookie: d=2\r\n\r\n')
      .response();
    expect(JSON.parse(response.body.toString())).toEqual({ a: '1, 2', cookie: 'c=1; d=2', none: null });
    client.socket.destroy();
  });

  it('100-continue: is sent when the handler first reads the body', async () => {
    let read: () => void = () => {};
    const server = await start({
      fetch: async (request) => {
        await new Promise<void>((resolve) => (read = resolve));
        return new Response(await request.text());
      },
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
    await expect.poll(() => server.stats().requests.active).toBe(1);
    expect(client.bytesRead).toBe(0);
    read();
    expect((await client.response()).status).toBe(100);
    expect((await client.send('hello').response()).body.toString()).toBe('hello');
    client.socket.destroy();
  });

  it('100-continue: is not sent when the handler answers without reading, and the connection ends', async () => {
    const server = await start({ fetch: () => new Response('no', { status: 403 }) });
    const client = await RawClient.open(server);
    const response = await client
      .send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
      .response();
    expect(response.status).toBe(403);
    expect(response.headers['connection']).toEqual(['close']);
    expect(await client.rest()).toBe('');
  });

  it('100-continue: is not needed by a body that has come', async () => {
    const server = await start({ fetch: async (request) => new Response(await request.text()) });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello');
    let response = await client.response();
    if (response.status === 100) response = await client.response();
    expect(response.body.toString()).toBe('hello');
    client.socket.destroy();
  });

  it('100-continue: a 1.0 client is not sent one', async () => {
    const server = await start({ fetch: async (request) => new Response(await request.text()) });
    const { responses } = await exchangeRaw(
      server,
      'POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello',
    );
    expect(responses.map((response) => response.status)).toEqual([200]);
  });

  it('takes every target form', async () => {
    const targets: string[] = [];
    const server = await start({
      node: (req, res) => {
        targets.push(`${req.method} ${req.url}`);
        res.end();
      },
    });
    const client = await RawClient.open(server);
    client.send(
      'GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nGET http://y/z HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nQUERY /q HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    await client.responses(4);
    expect(targets).toEqual(['GET /a?b=c', 'GET http://y/z', 'OPTIONS *', 'QUERY /q']);
    client.socket.destroy();
  });

  it('refuses response splitting: header values, names and status text', async () => {
    const errors: unknown[] = [];
    const attempts: Record<string, () => Response | globalThis.Response> = {
      '/value-crlf': () => new Response('x', { headers: { a: 'b\r\nc: d' } }),
      '/value-nul': () => new Response('x', { headers: { a: 'b\0c' } }),
      '/value-lf': () => new Response('x', { headers: { a: 'b\nc' } }),
      '/name': () => new Response('x', { headers: { 'a\r\nb': 'c' } }),
      '/name-colon': () => new Response('x', { headers: { 'a:b': 'c' } }),
      '/reason': () => new Response('x', { statusText: 'OK\r\na: b' }),
      '/append': () => {
        const response = new Response('x');
        response.headers.append('a', 'b\r\nc: d');
        return response;
      },
    };
    const server = await start({
      fetch: (request) => (attempts[new URL(request.url).pathname] as () => Response)(),
      onError: (error) => errors.push(error),
    });
    const client = await RawClient.open(server);
    for (const path of Object.keys(attempts)) {
      const response = await client.send(GET.replace('/', path)).response();
      expect(response.status, path).toBe(500);
      expect(response.headers['c'], path).toBeUndefined();
      expect(response.headers['a'], path).toBeUndefined();
    }
    expect(errors).toHaveLength(Object.keys(attempts).length);
    client.socket.destroy();
  });

  it('refuses response splitting through the node interface', async () => {
    const codes: unknown[] = [];
    const attempt = (act: () => void): void => {
      try {
        act();
        codes.push('taken');
      } catch (error) {
        codes.push((error as { code?: string }).code);
      }
    };
    const server = await start({
      node: (_req, res) => {
        attempt(() => res.setHeader('a', 'b\r\nc: d'));
        attempt(() => res.setHeader('a\r\nb', 'c'));
        attempt(() => res.writeHead(200, 'OK\r\na: b'));
        if (!res.writableEnded) res.end('safe');
      },
    });
    const client = await RawClient.open(server);
    const response = await client.send(GET).response();
    expect(codes).not.toContain('taken');
    expect(response.headers['a']).toBeUndefined();
    client.socket.destroy();
  });
});
