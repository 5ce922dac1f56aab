import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

describe.each(backends)('keep-alive on %s', (backend) => {
  const start = starter(backend);
  const echoPath = (request: { url: string }): Response => new Response(new URL(request.url).pathname);

  it('serves many requests on one 1.1 connection', async () => {
    const server = await start({ fetch: echoPath });
    const client = await RawClient.open(server);
    for (let i = 0; i < 10; i++) {
      const response = await client.send(`GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`).response();
      expect(response.status).toBe(200);
      expect(response.body.toString()).toBe(`/${i}`);
      expect(response.headers['connection']?.[0] ?? 'keep-alive').toMatch(/^keep-alive$/i);
    }
    expect(server.stats().connections.accepted).toBe(1);
    expect(server.stats().requests.completed).toBe(10);
    client.socket.destroy();
  });

  it('closes after a 1.1 request that says connection: close', async () => {
    const server = await start({ fetch: echoPath });
    const client = await RawClient.open(server);
    const response = await client.send('GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').response();
    expect(response.headers['connection']).toEqual(['close']);
    expect(await client.rest()).toBe('');
  });

  it('closes after a 1.0 request', async () => {
    const server = await start({ fetch: echoPath });
    const client = await RawClient.open(server);
    const response = await client.send('GET /a HTTP/1.0\r\n\r\n').response();
    expect(response.status).toBe(200);
    expect(response.body.toString()).toBe('/a');
    expect(await client.rest()).toBe('');
  });

  it('keeps a 1.0 connection that asks for it, and says so', async () => {
    const server = await start({ fetch: echoPath });
    const client = await RawClient.open(server);
    for (const path of ['/a', '/b']) {
      const response = await client.send(`GET ${path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`).response();
      expect(response.headers['connection']?.join()).toMatch(/^keep-alive$/i);
      expect(response.headers['transfer-encoding']).toBeUndefined();
      expect(response.body.toString()).toBe(path);
    }
    client.socket.destroy();
  });

  it('ends a streamed 1.0 response by closing, without chunks', async () => {
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            start(controller) {
              controller.enqueue(new TextEncoder().encode('one '));
              controller.enqueue(new TextEncoder().encode('two'));
              controller.close();
            },
          }),
        ),
    });
    const client = await RawClient.open(server);
    const text = await client.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').rest();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).not.toMatch(/transfer-encoding/i);
    expect(text).toMatch(/\r\n\r\none two$/);
  });

  it('honours a response that says connection: close', async () => {
    const server = await start({ fetch: () => new Response('x', { headers: { connection: 'close' } }) });
    const client = await RawClient.open(server);
    const response = await client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n').response();
    expect(response.headers['connection']).toEqual(['close']);
    expect(await client.rest()).toBe('');
  });

  it('skips empty lines before a request', async () => {
    const server = await start({ fetch: echoPath });
    const client = await RawClient.open(server);
    const [first, second] = await client
      .send('\r\n\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n')
      .responses(2);
    expect([first?.body.toString(), second?.body.toString()]).toEqual(['/1', '/2']);
    client.socket.destroy();
  });

  it('takes a request byte by byte', async () => {
    const server = await start({ fetch: async (request) => new Response(await request.text()) });
    const client = await RawClient.open(server);
    for (const byte of 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n') {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.response()).body.toString()).toBe('hello');
    client.socket.destroy();
  });
});
