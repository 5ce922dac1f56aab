import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { ServeOptions } from '../../lib/app/serve-options.js';
import { LifespanError, Request, Response, type Server, serve } from '../../lib/index.js';

let server: Server | undefined;

async function start(options: ServeOptions): Promise<string> {
  server = await serve({ port: 0, hostname: '127.0.0.1', backend: 'node', ...options });
  return server.url;
}

afterEach(async () => {
  await server?.close({ deadline: 0 });
  server = undefined;
});

describe('serve({ fetch }) over a connection', () => {
  it('answers with each kind of body, and echoes', async () => {
    const url = await start({
      fetch: async (request) => {
        expect(request).toBeInstanceOf(Request);
        switch (new URL(request.url).pathname) {
          case '/text':
            return new Response('häl');
          case '/blob':
            return new Response(new Blob(['x'.repeat(500_000)], { type: 'a/b' }));
          case '/global':
            return new globalThis.Response('global', { status: 201 });
          case '/json':
            return Response.json(await request.json());
          case '/form':
            return new Response((await request.formData()).get('a') as string);
          default:
            return new Response(request.body);
        }
      },
    });
    const text = await fetch(`${url}/text`);
    expect([await text.text(), text.headers.get('content-type'), text.headers.get('content-length')]).toEqual([
      'häl',
      'text/plain;charset=UTF-8',
      '4',
    ]);
    const blob = await fetch(`${url}/blob`);
    expect([(await blob.text()).length, blob.headers.get('content-length')]).toEqual([500_000, '500000']);
    const global = await fetch(`${url}/global`);
    expect([global.status, await global.text()]).toEqual([201, 'global']);
    expect(await (await fetch(`${url}/json`, { method: 'POST', body: '{"a":[1]}' })).json()).toEqual({ a: [1] });
    const form = new FormData();
    form.append('a', 'field');
    expect(await (await fetch(`${url}/form`, { method: 'POST', body: form })).text()).toBe('field');
    const large = 'y'.repeat(900_000);
    expect(await (await fetch(`${url}/echo`, { method: 'POST', body: large })).text()).toBe(large);
  });

  it('aborts the signal when the client goes', async () => {
    const socket = new Socket();
    const reason = new Promise<unknown>((resolve, reject) => {
      start({
        fetch: (request) => {
          request.signal.addEventListener('abort', () => resolve(request.signal.reason));
          socket.resetAndDestroy();
          return new Promise<Response>(() => {});
        },
      }).then((url) => {
        socket.connect(Number(new URL(url).port), '127.0.0.1');
        socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      }, reject);
    });
    expect(await reason).toMatchObject({ code: 'ERR_GAMMALOOP_CLIENT_GONE' });
  });

  it('keeps the connection after a handler failed', async () => {
    const errors: unknown[] = [];
    const url = await start({
      onError: (error) => errors.push(error),
      fetch: (request) => {
        if (request.url.endsWith('/fail')) {
          throw new Error('secret');
        }
        return new Response('fine');
      },
    });
    const failed = await fetch(`${url}/fail`);
    expect([failed.status, await failed.text(), errors.length]).toEqual([500, 'Internal Server Error', 1]);
    expect(await (await fetch(url)).text()).toBe('fine');
    expect(server?.stats().handlerErrors).toBe(1);
  });
});

describe('serve({ app }) over a connection', () => {
  it('runs an application with its lifespan', async () => {
    const log: string[] = [];
    const url = await start({
      app: async (scope, receive, send) => {
        if (scope.type === 'lifespan') {
          for (;;) {
            const { type } = await receive();
            log.push(type);
            await send({ type: `${type}.complete` });
            if (type === 'lifespan.shutdown') {
              return;
            }
          }
        }
        const parts: Buffer[] = [];
        let message: { body: Buffer; more_body: boolean };
        do {
          message = await receive();
          parts.push(message.body);
        } while (message.more_body);
        await send({ type: 'http.response.start', status: 200, headers: [['content-type', 'text/plain']] });
        await send({ type: 'http.response.body', body: scope.path, more_body: true });
        await send({ type: 'http.response.body', body: Buffer.concat(parts) });
      },
    });
    expect(log).toEqual(['lifespan.startup']);
    const body = 'z'.repeat(300_000);
    expect(await (await fetch(`${url}/a%20b?c`, { method: 'POST', body })).text()).toBe(`/a b${body}`);
    await server?.close();
    expect(log).toEqual(['lifespan.startup', 'lifespan.shutdown']);
  });

  it('refuses to serve where startup fails', async () => {
    await expect(
      start({
        app: async (_scope, receive, send) => {
          await receive();
          await send({ type: 'lifespan.startup.failed', message: 'no' });
        },
      }),
    ).rejects.toBeInstanceOf(LifespanError);
  });
});

describe('serve({ node }) over a connection', () => {
  it('answers and pipes', async () => {
    const url = await start({
      node: async (req: IncomingMessage, res: ServerResponse) => {
        if (req.method === 'GET') {
          res.writeHead(201, { 'x-a': '1' }).end('hello');
          return;
        }
        await pipeline(req, res);
      },
    });
    const hello = await fetch(url);
    expect([hello.status, hello.headers.get('x-a'), await hello.text()]).toEqual([201, '1', 'hello']);
    const body = 'w'.repeat(700_000);
    expect(await (await fetch(url, { method: 'POST', body })).text()).toBe(body);
  });
});
