import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { LifespanError, Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

describe.each(backends)('app interfaces on %s', (backend) => {
  const start = starter(backend);

  it('fetch: bodies of all kinds out', async () => {
    const bytes = new Uint8Array([0, 1, 254, 255]);
    const form = new FormData();
    form.set('field', 'value');
    const bodies: Record<string, () => Response | globalThis.Response> = {
      text: () => new Response('text'),
      bytes: () => new Response(bytes),
      buffer: () => new Response(bytes.buffer),
      blob: () => new Response(new Blob(['blob'], { type: 'text/x-blob' })),
      params: () => new Response(new URLSearchParams({ a: 'b c' })),
      form: () => new Response(form),
      json: () => Response.json({ a: 1 }),
      stream: () => new Response(new Blob(['stream']).stream()),
      redirect: () => Response.redirect('http://x/y', 303),
      foreign: () => new globalThis.Response('foreign', { headers: { 'x-foreign': 'yes' } }),
      large: () => new Response('l'.repeat(3_000_000)),
    };
    const server = await start({
      fetch: (request) => (bodies[new URL(request.url).pathname.slice(1)] as () => Response)(),
    });
    const get = async (name: string): Promise<globalThis.Response> =>
      fetch(`${server.url}/${name}`, { redirect: 'manual' });
    expect(await (await get('text')).text()).toBe('text');
    expect((await get('text')).headers.get('content-type')).toBe('text/plain;charset=UTF-8');
    expect(new Uint8Array(await (await get('bytes')).arrayBuffer())).toEqual(bytes);
    expect(new Uint8Array(await (await get('buffer')).arrayBuffer())).toEqual(bytes);
    const blob = await get('blob');
    expect([await blob.text(), blob.headers.get('content-type')]).toEqual(['blob', 'text/x-blob']);
    expect(await (await get('params')).text()).toBe('a=b+c');
    expect((await (await get('form')).formData()).get('field')).toBe('value');
    expect(await (await get('json')).json()).toEqual({ a: 1 });
    expect(await (await get('stream')).text()).toBe('stream');
    const redirect = await get('redirect');
    expect([redirect.status, redirect.headers.get('location')]).toEqual([303, 'http://x/y']);
    const foreign = await get('foreign');
    expect([await foreign.text(), foreign.headers.get('x-foreign')]).toEqual(['foreign', 'yes']);
    expect((await (await get('large')).text()).length).toBe(3_000_000);
  });

  it('fetch: bodies of all kinds in', async () => {
    const server = await start({
      fetch: async (request) => {
        switch (new URL(request.url).pathname) {
          case '/text':
            return new Response(await request.text());
          case '/json':
            return Response.json({ got: await request.json() });
          case '/bytes':
            return new Response(await request.arrayBuffer());
          case '/blob':
            return new Response((await request.blob()).type);
          case '/form':
            return new Response(String((await request.formData()).get('field')));
          default:
            return new Response('?');
        }
      },
    });
    const post = async (
      name: string,
      body: BodyInit,
      headers: Record<string, string> = {},
    ): Promise<globalThis.Response> => fetch(`${server.url}/${name}`, { method: 'POST', body, headers });
    expect(await (await post('text', 'h\u00e9llo')).text()).toBe('h\u00e9llo');
    expect(await (await post('json', JSON.stringify({ a: [1] }))).json()).toEqual({ got: { a: [1] } });
    expect(new Uint8Array(await (await post('bytes', new Uint8Array([0, 200]))).arrayBuffer())).toEqual(
      new Uint8Array([0, 200]),
    );
    expect(await (await post('blob', 'x', { 'content-type': 'a/b' })).text()).toBe('a/b');
    const form = new FormData();
    form.set('field', 'value');
    expect(await (await post('form', form)).text()).toBe('value');
    expect(await (await post('form', new URLSearchParams({ field: 'encoded' }))).text()).toBe('encoded');
    const large = 'x'.repeat(1_000_000);
    expect(await (await post('text', large)).text()).toBe(large);
  });

  it('fetch: a handler that throws, rejects or returns nonsense is answered 500 without detail, and the connection is usable', async () => {
    const errors: Array<[unknown, unknown]> = [];
    const server = await start({
      fetch: ((request: { url: string }) => {
        switch (new URL(request.url).pathname) {
          case '/throw':
            throw new Error('secret');
          case '/reject':
            return Promise.reject(new Error('secret'));
          case '/undefined':
            return undefined;
          case '/number':
            return Promise.resolve(5);
          default:
            return new Response('fine');
        }
      }) as never,
      onError: (error, info) => errors.push([error, info.url]),
    });
    const client = await RawClient.open(server);
    for (const path of ['/throw', '/reject', '/undefined', '/number']) {
      const response = await client.send(GET.replace('/', path)).response();
      expect(response.status).toBe(500);
      expect(response.body.toString()).not.toContain('secret');
      expect(JSON.stringify(response.rawHeaders)).not.toContain('secret');
    }
    expect((await client.send(GET).response()).body.toString()).toBe('fine');
    expect(errors.map(([, url]) => new URL(url as string).pathname)).toEqual([
      '/throw',
      '/reject',
      '/undefined',
      '/number',
    ]);
    expect(server.stats().handlerErrors).toBe(4);
    expect(server.stats().connections.accepted).toBe(1);
    client.socket.destroy();
  });

  it('fetch: an onError that throws hurts nobody', async () => {
    const server = await start({
      fetch: () => {
        throw new Error('on purpose (first)');
      },
      onError: () => {
        throw new Error('on purpose (the hook)');
      },
    });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).status).toBe(500);
    expect((await client.send(GET).response()).status).toBe(500);
    client.socket.destroy();
  });

  it('fetch: the context has the address and no AsyncLocalStorage store of another request', async () => {
    const storage = new AsyncLocalStorage<string>();
    const leaked: unknown[] = [];
    const server = await start({
      fetch: async (request, ctx) => {
        leaked.push(storage.getStore());
        const path = new URL(request.url).pathname;
        storage.enterWith(path);
        await new Promise((resolve) => setImmediate(resolve));
        await request.text();
        return new Response(`${storage.getStore()} ${ctx.remoteAddress}`);
      },
    });
    const client = await RawClient.open(server);
    client.send(
      Array.from(
        { length: 20 },
        (_, i) => `POST /${i} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
      ).join(''),
    );
    const responses = await client.responses(20);
    expect(responses.map((response) => response.body.toString())).toEqual(
      Array.from({ length: 20 }, (_, i) => `/${i} 127.0.0.1`),
    );
    expect(leaked).toEqual(Array.from({ length: 20 }, () => undefined));
    client.socket.destroy();
  });

  it('asgi: an http application, its scope, a body in parts and a streamed answer', async () => {
    const scopes: Array<Record<string, unknown>> = [];
    const server = await start({
      app: async (scope, receive, send) => {
        if (scope.type === 'lifespan') throw new Error('lifespan is not supported here');
        scopes.push(scope);
        let body = '';
        for (;;) {
          const message = await receive();
          expect(message.type).toBe('http.request');
          body += Buffer.from(message.body ?? '').toString();
          if (!message.more_body) break;
        }
        await send({ type: 'http.response.start', status: 201, headers: [[Buffer.from('x-a'), Buffer.from('b')]] });
        await send({ type: 'http.response.body', body: Buffer.from('got '), more_body: true });
        await send({ type: 'http.response.body', body: Buffer.from(body) });
      },
    });
    const client = await RawClient.open(server);
    client.send('POST /a%20b?q=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
    const response = await client.response();
    expect([response.status, response.headers['x-a'], response.body.toString()]).toEqual([201, ['b'], 'got hello']);
    expect(scopes[0]).toMatchObject({
      type: 'http',
      http_version: '1.1',
      method: 'POST',
      scheme: 'http',
      path: '/a b',
    });
    expect(Buffer.from(scopes[0]?.['query_string'] as Uint8Array).toString()).toBe('q=1');
    client.socket.destroy();
  });

  it('asgi: http.disconnect when the client goes', async () => {
    const messages: string[] = [];
    const server = await start({
      app: async (scope, receive) => {
        if (scope.type === 'lifespan') throw new Error('lifespan is not supported here');
        for (;;) {
          const message = await receive();
          messages.push(message.type);
          if (message.type === 'http.disconnect') return;
        }
      },
      onError: () => {},
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => messages).toEqual(['http.request']);
    client.reset();
    await expect.poll(() => messages).toEqual(['http.request', 'http.disconnect']);
  });

  it('asgi: lifespan startup before the first request, shutdown after the last', async () => {
    const order: string[] = [];
    const server = await start({
      app: async (scope, receive, send) => {
        if (scope.type === 'lifespan') {
          for (;;) {
            const message = await receive();
            order.push(message.type);
            await send({ type: `${message.type}.complete` });
            if (message.type === 'lifespan.shutdown') return;
          }
        }
        order.push('request');
        await send({ type: 'http.response.start', status: 200, headers: [] });
        await send({ type: 'http.response.body', body: Buffer.from('ok') });
      },
    });
    const client = await RawClient.open(server);
    expect((await client.send(GET).response()).body.toString()).toBe('ok');
    await server.close();
    expect(order).toEqual(['lifespan.startup', 'request', 'lifespan.shutdown']);
    client.socket.destroy();
  });

  it('asgi: a startup that fails refuses to serve', async () => {
    await expect(
      start({
        app: async (scope, receive, send) => {
          if (scope.type !== 'lifespan') return;
          await receive();
          await send({ type: 'lifespan.startup.failed', message: 'no database' });
        },
        onError: () => {},
      }),
    ).rejects.toSatisfy(
      (error) =>
        error instanceof LifespanError && error.code === 'ERR_GAMMALOOP_LIFESPAN' && /no database/.test(error.message),
    );
  });

  it('node: (req, res) with streams both ways', async () => {
    const server = await start({
      node: async (req, res) => {
        let body = '';
        for await (const chunk of req) body += String(chunk);
        res.writeHead(202, { 'X-Method': req.method as string });
        res.write(`${req.url} `);
        res.end(body);
      },
    });
    const response = await fetch(`${server.url}/path?x=1`, { method: 'PUT', body: 'hello' });
    expect([response.status, response.headers.get('x-method'), await response.text()]).toEqual([
      202,
      'PUT',
      '/path?x=1 hello',
    ]);
  });

  it('node: a handler that throws or rejects is answered 500', async () => {
    const errors: unknown[] = [];
    const server = await start({
      node: (req) => {
        if (req.url === '/reject') return Promise.reject(new Error('secret'));
        throw new Error('secret');
      },
      onError: (error) => errors.push(error),
    });
    const client = await RawClient.open(server);
    for (const path of ['/throw', '/reject']) {
      const response = await client.send(GET.replace('/', path)).response();
      expect(response.status).toBe(500);
      expect(response.body.toString()).not.toContain('secret');
    }
    expect(errors).toHaveLength(2);
    client.socket.destroy();
  });
});
