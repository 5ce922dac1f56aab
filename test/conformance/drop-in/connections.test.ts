/** Keep-alive, pipelining, and the end of connections and servers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, isToldAsOn20, turns } from '../../support/drop-in.js';

const get = (path: string, extra = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`;

describe.each(implementations)('keep-alive on $name', (implementation) => {
  const on = harness(implementation);

  it('Connection: close is answered in kind, and the connection ends', async () => {
    const server = await on.serve((_req, res) => res.end('x'));
    const text = await (await on.open(server)).send(get('/', 'Connection: close\r\n')).rest();
    expect(text).toContain('\r\nConnection: close\r\n');
    expect(text).not.toContain('Keep-Alive');
  });

  it('the Keep-Alive header says the timeout, and the requests that are left', async () => {
    const server = await on.serve({ keepAliveTimeout: 7000 }, (_req, res) => res.end('x'));
    server.maxRequestsPerSocket = 2;
    const client = await on.open(server);
    const kept: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const { headers } = await client.send(get('/')).response();
      kept.push([headers['connection'], headers['keep-alive']]);
    }
    expect(kept).toEqual([
      [['keep-alive'], ['timeout=7, max=2']],
      [['close'], undefined],
    ]);
  });

  it("requests beyond maxRequestsPerSocket get 503 and 'dropRequest'", async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.add(`request ${req.url}`);
      res.end('x');
    });
    log.watch('server', server, ['dropRequest']);
    server.maxRequestsPerSocket = 1;
    const client = await on.open(server);
    const responses = await client.send(get('/1') + get('/2')).responses(2);
    expect(responses.map(({ status }) => status)).toEqual([200, 503]);
    expect(log.entries).toEqual(['request /1', 'server dropRequest']);
  });

  it('a connection that stays idle is closed after keepAliveTimeout', async () => {
    const server = await on.serve({ keepAliveTimeout: 50 }, (_req, res) => res.end('x'));
    const client = await on.open(server);
    expect((await client.send(get('/')).response()).status).toBe(200);
    expect(await client.rest()).toBe('');
  });

  it('shouldKeepAlive false closes', async () => {
    const server = await on.serve((_req, res) => {
      res.shouldKeepAlive = false;
      res.end('x');
    });
    expect(await (await on.open(server)).send(get('/')).rest()).toContain('Connection: close');
  });

  it('no half-open connections are kept: a FIN between requests is answered with one', async () => {
    const server = await on.serve((_req, res) => res.end('x'));
    const client = await on.open(server);
    await client.send(get('/')).response();
    const count = (): Promise<number> =>
      new Promise((resolve, reject) => server.getConnections((error, n) => (error ? reject(error) : resolve(n))));
    expect(await count()).toBe(1);
    expect(await client.end().rest()).toBe('');
    await client.closed;
    while ((await count()) !== 0) await turns(1);
  });
});

describe.each(implementations)('pipelining on $name', (implementation) => {
  const on = harness(implementation);

  it('answers come in the order of the requests, whoever is ready first', async () => {
    const waiting: ServerResponse[] = [];
    const server = await on.serve((req, res) => {
      waiting.push(res);
      res.setHeader('X-Path', req.url as string);
      if (waiting.length < 3) return;
      waiting[2]?.end('third');
      waiting[1]?.write('sec');
      waiting[1]?.end('ond');
      setImmediate(() => waiting[0]?.end('first'));
    });
    const responses = await (await on.open(server)).send(get('/1') + get('/2') + get('/3')).responses(3);
    expect(responses.map(({ headers, body }) => [headers['x-path']?.[0], body.toString()])).toEqual([
      ['/1', 'first'],
      ['/2', 'second'],
      ['/3', 'third'],
    ]);
  });

  it('events of responses that wait for their turn', async () => {
    const log = new EventLog();
    const all: ServerResponse[] = [];
    const server = await on.serve((req, res) => {
      log.watch(`res${req.url}`, res, ['finish', 'close']);
      log.add(`request ${req.url} ${res.socket === null ? 'waits' : 'has its socket'}`);
      all.push(res);
      if (all.length < 2) return;
      all[1]?.end('two', () => log.add('ended /2'));
      setImmediate(() => all[0]?.end('one'));
    });
    await (await on.open(server)).send(get('/1') + get('/2')).responses(2);
    await log.until('res/2 close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "request /1 has its socket",
        "request /2 waits",
        "res/1 finish",
        "res/1 close",
        "res/2 finish",
        "ended /2",
        "res/2 close",
      ]
    `);
  });

  it('bodies between pipelined requests go to their own request', async () => {
    const server = await on.serve((req, res) => {
      let body = '';
      req.on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () => res.end(`${req.url} ${body}`));
    });
    const post = (path: string, body: string): string =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const client = await on.open(server);
    const responses = await client.send(post('/1', 'one') + post('/2', 'second') + get('/3')).responses(3);
    expect(responses.map(({ body }) => body.toString())).toEqual(['/1 one', '/2 second', '/3 ']);
  });

  it('what follows a Connection: close is not answered', async () => {
    const paths: unknown[] = [];
    const server = await on.serve((req, res) => {
      paths.push(req.url);
      res.end('x');
    });
    const text = await (await on.open(server)).send(get('/1', 'Connection: close\r\n') + get('/2')).rest();
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(paths[0]).toBe('/1');
  });

  it('a hundred at once', async () => {
    const server = await on.serve((req, res) => res.end(req.url));
    const wire = Array.from({ length: 100 }, (_, i) => get(`/${i}`)).join('');
    const responses = await (await on.open(server)).send(wire).responses(100);
    expect(responses.map(({ body }) => body.toString())).toEqual(Array.from({ length: 100 }, (_, i) => `/${i}`));
  });

  it('the connection ends under a response that waits: both hear of it', async () => {
    const log = new EventLog();
    const both = deferred();
    let count = 0;
    const server = await on.serve((req, res) => {
      log.watch(`req${req.url}`, req, ['aborted', 'error', 'close']);
      log.watch(`res${req.url}`, res, ['finish', 'close']);
      if (req.url === '/2') res.end('kept back');
      if (++count === 2) both.resolve();
    });
    const client = await on.open(server);
    client.send(get('/1') + get('/2'));
    await both.promise;
    client.reset();
    await log.until('res/1 close');
    await log.until('req/2 close');
    await turns();
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req/1 aborted",
        "req/2 aborted",
        "res/1 close",
        "req/1 error ECONNRESET",
        "req/1 close",
        "req/2 error ECONNRESET",
        "req/2 close",
      ]
    `);
  });
});

describe.each(implementations)('closing on $name', (implementation) => {
  const on = harness(implementation);

  async function waiting(): Promise<{ server: Awaited<ReturnType<typeof on.serve>>; busy: Promise<ServerResponse> }> {
    const { promise, resolve } = deferred<ServerResponse>();
    const server = await on.serve((req: IncomingMessage, res) => {
      if (req.url === '/wait') resolve(res);
      else res.end('x');
    });
    return { server, busy: promise };
  }

  it('close() ends idle connections, lets the busy finish, and takes no more', async () => {
    const { server, busy } = await waiting();
    const idle = await on.open(server);
    await idle.send(get('/')).response();
    const active = await on.open(server);
    active.send(get('/wait'));
    const res = await busy;
    const closed = new Promise((resolve) => server.close(resolve));
    expect(server.listening).toBe(false);
    expect(await idle.rest()).toBe('');
    res.end('finished');
    expect((await active.response()).body.toString()).toBe('finished');
    active.end();
    expect(await closed).toBeUndefined();
  });

  it('closeIdleConnections() leaves the busy ones', async () => {
    const { server, busy } = await waiting();
    const idle = await on.open(server);
    await idle.send(get('/')).response();
    const active = await on.open(server);
    active.send(get('/wait'));
    const res = await busy;
    server.closeIdleConnections();
    expect(await idle.rest()).toBe('');
    res.end('still here');
    expect((await active.response()).body.toString()).toBe('still here');
  });

  it('closeAllConnections() cuts them all', async () => {
    const log = new EventLog();
    const { server, busy } = await waiting();
    const idle = await on.open(server);
    await idle.send(get('/')).response();
    const active = await on.open(server);
    active.send(get('/wait'));
    log.watch('res', await busy, ['finish', 'close']);
    server.closeAllConnections();
    await idle.rest();
    await active.rest();
    await log.until('res close');
    expect(log.entries).toEqual(['res close']);
  });

  it('asyncDispose closes', async () => {
    const { server } = await waiting();
    await (server as unknown as Record<symbol, () => Promise<void>>)[
      Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')
    ]?.();
    expect(server.listening).toBe(false);
  });

  it('can listen again after it has closed', async () => {
    const { server } = await waiting();
    await new Promise((resolve) => server.close(resolve));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    expect((await (await on.open(server)).send(get('/')).response()).status).toBe(200);
  });

  it("maxConnections drops the next one, with 'drop'", async () => {
    const { server } = await waiting();
    server.maxConnections = 1;
    const dropped = deferred<Record<string, unknown>>();
    server.on('drop', (data) => dropped.resolve(data as Record<string, unknown>));
    const first = await on.open(server);
    await first.send(get('/')).response();
    const second = await on.open(server);
    expect(await dropped.promise).toMatchObject({
      localAddress: '127.0.0.1',
      remoteAddress: '127.0.0.1',
      remoteFamily: 'IPv4',
    });
    await second.rest();
    expect((await first.send(get('/')).response()).status).toBe(200);
  });

  it('a raw answer on the socket goes out as it is', async () => {
    const server = await on.serve((req) => {
      (req.socket as Socket).end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw');
    });
    expect(await (await on.open(server)).send(get('/')).rest()).toBe('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw');
  });

  it('sockets of the connection event: destroyed before a request comes', async () => {
    const requests: unknown[] = [];
    const server = await on.serve((req, res) => {
      requests.push(req.url);
      res.end();
    });
    server.on('connection', (socket: Socket) => socket.destroy());
    const client = await on.open(server);
    client.send(get('/'));
    expect(await client.rest()).toBe('');
    expect(requests).toEqual([]);
  });
});
