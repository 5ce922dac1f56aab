/** What a program does with a connection's socket while HTTP is spoken on it. One body; the expectations are what node does. */
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, turns } from '../../support/drop-in.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';

describe.each(implementations)('during HTTP, a socket of $name', (implementation) => {
  const on = harness(implementation);

  it("tells a listener for 'data' the bytes as they come, and HTTP goes on", async () => {
    const seen: string[] = [];
    const server = await on.serve((req, res) => {
      if (req.url === '/') req.socket.on('data', (chunk) => seen.push(chunk.toString('latin1')));
      let body = '';
      req.on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () => res.end(body));
    });
    const client = await on.open(server);
    expect((await client.send(GET).response()).status).toBe(200);
    const post = 'POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc';
    expect((await client.send(post).response()).body.toString()).toBe('abc');
    expect(seen.join('')).toBe(post);
  });

  it("has one listener for 'data' and two for 'close' when a program looks first", async () => {
    const counts = deferred<number[]>();
    const server = await on.serve((req, res) => {
      counts.resolve(['data', 'close'].map((name) => req.socket.listenerCount(name)));
      res.end();
    });
    await (await on.open(server)).send(GET).response();
    const [data, close] = await counts.promise;
    expect(data).toBe(1);
    expect(close).toBeGreaterThanOrEqual(2);
  });

  it('parses what a program pushes', async () => {
    const server = await on.serve((req, res) => res.end(req.url));
    server.on('connection', (socket: Socket) => socket.push(GET.replace('/', '/pushed')));
    expect((await (await on.open(server)).response()).body.toString()).toBe('/pushed');
  });

  it('has no message before the first request, and null between two', async () => {
    const seen: unknown[] = [];
    const closed = deferred();
    const server = await on.serve((_req, res) => res.end('x'));
    server.on('connection', (socket: Socket & { _httpMessage?: unknown }) => {
      seen.push(socket._httpMessage);
      socket.on('close', () => {
        seen.push(socket._httpMessage);
        closed.resolve();
      });
    });
    const client = await on.open(server);
    await client.send(GET).response();
    client.end();
    await closed.promise;
    expect(seen).toEqual([undefined, null]);
  });

  it('is paused by a body that nobody reads, and flows when its response is over', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('socket', req.socket, ['pause']);
      req.on('close', () => log.add('request close'));
      req.socket.once('pause', () => res.end('enough'));
    });
    const client = await on.open(server);
    const chunk = `${(128 * 1024).toString(16)}\r\n${'x'.repeat(128 * 1024)}\r\n`;
    const { body } = await client.send(POST + chunk).response();
    expect(String(body)).toBe('enough');
    expect(log.entries[0]).toBe('socket pause');
  });

  it('gives the bytes of responses to a write of the program', async () => {
    const written: string[] = [];
    const finished: number[] = [];
    const server = await on.serve((req, res) => {
      const { socket } = req;
      if (req.url === '/') {
        const { write } = socket;
        socket.write = ((...args: Parameters<Socket['write']>) => {
          written.push(String(args[0]));
          return write.apply(socket, args);
        }) as Socket['write'];
      }
      res.on('finish', () => finished.push(1));
      res.write('one ');
      res.end('two');
    });
    const client = await on.open(server);
    expect((await client.send(GET).response()).body.toString()).toBe('one two');
    expect((await client.send(GET.replace('/', '/2')).response()).body.toString()).toBe('one two');
    await turns();
    expect(finished.length).toBe(2);
    const all = written.join('');
    expect(all.split('HTTP/1.1 200 OK').length).toBe(3);
    expect(all).toContain('two');
  });

  it('calls back of a write when the bytes have left', async () => {
    const order: string[] = [];
    const done = deferred();
    const server = await on.serve((req, res) => {
      req.socket.write('HTTP/1.1 103 Early Hints\r\n\r\n', () => {
        order.push('written');
        done.resolve();
      });
      order.push('called');
      res.end();
    });
    (await on.open(server)).send(GET);
    await done.promise;
    expect(order).toEqual(['called', 'written']);
  });

  it('is not idle with a part of the next head', async () => {
    const server = await on.serve((req, res) => res.end(req.url));
    const client = await on.open(server);
    await client.send(GET).response();
    const half = Math.floor(GET.length / 2);
    const arrived = new Promise<void>((resolve) => {
      client.socket.write(GET.slice(0, half), () => resolve());
    });
    await arrived;
    await turns(5);
    server.closeIdleConnections();
    expect((await client.send(GET.slice(half)).response()).body.toString()).toBe('/');
  });

  it("is the program's alone where it has removed node's listener for connections", async () => {
    const server = on.track(on.http.createServer(() => expect.fail('HTTP is spoken')));
    server.removeAllListeners('connection');
    server.on('connection', (socket) => socket.on('data', (chunk) => socket.end(`echo ${chunk}`)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    expect(await (await on.open(server)).send(GET).rest()).toBe(`echo ${GET}`);
  });
});
