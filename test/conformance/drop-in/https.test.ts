import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
import { connect, type TLSSocket, TLSSocket as TLSSocketClass, Server as TlsServer } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, isToldAsOn20, listen, portOf } from '../../support/drop-in.js';
import { cert, key } from '../../support/tls.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

describe.each(implementations)('https on $name', (implementation) => {
  const on = harness(implementation);

  async function serve(handler?: http.RequestListener, options: https.ServerOptions = {}): Promise<https.Server> {
    const server = on.track(on.https.createServer({ key, cert, ...options }, handler));
    await listen(server);
    return server;
  }

  async function open(server: https.Server): Promise<TLSSocket> {
    const socket = connect({ port: portOf(server), host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    return socket;
  }

  async function textOf(socket: TLSSocket): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    return Buffer.concat(chunks).toString('latin1');
  }

  it('serves, and the socket is the TLS socket', async () => {
    const seen: unknown[] = [];
    const server = await serve((req, res) => {
      seen.push(req.socket instanceof TLSSocketClass, (req.socket as TLSSocket).encrypted, res.socket === req.socket);
      seen.push(req.socket.remoteAddress, (req.socket as TLSSocket).getProtocol());
      res.end(`hello ${req.url}`);
    });
    expect(server).toBeInstanceOf(on.https.Server);
    expect(server).toBeInstanceOf(https.Server);
    expect(server).toBeInstanceOf(TlsServer);
    const socket = await open(server);
    socket.write(GET);
    const text = await textOf(socket);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text.endsWith('hello /')).toBe(true);
    expect(seen).toEqual([true, true, true, '127.0.0.1', 'TLSv1.3']);
  });

  it('bodies both ways, large ones too', async () => {
    const body = Buffer.alloc(2 << 20, 'secret ');
    const server = await serve((req, res) => req.pipe(res));
    const answer = deferred<Buffer>();
    const ask = https.request({ port: portOf(server), method: 'POST', rejectUnauthorized: false }, async (res) => {
      const chunks: Buffer[] = [];
      for await (const chunk of res) chunks.push(chunk);
      answer.resolve(Buffer.concat(chunks));
    });
    ask.end(body);
    expect((await answer.promise).equals(body)).toBe(true);
  });

  it('keep-alive and pipelining', async () => {
    const server = await serve((req, res) => res.end(req.url));
    const socket = await open(server);
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    socket.write(get('/1') + get('/2'));
    socket.write(GET);
    const text = await textOf(socket);
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3);
    expect(text.indexOf('/1')).toBeLessThan(text.indexOf('/2'));
  });

  it('upgrades', async () => {
    const server = await serve((_req, res) => res.end());
    server.on('upgrade', (_req, socket: TLSSocket, head: Buffer) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: t\r\n\r\n${head}`);
      socket.on('data', (chunk: Buffer) => socket.end(chunk));
    });
    const socket = await open(server);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: t\r\n\r\nhead');
    await once(socket, 'readable');
    socket.write('tail');
    expect((await textOf(socket)).endsWith('\r\n\r\nheadtail')).toBe(true);
  });

  // Node's own writes the answer to the upgrade before the second response.
  if (implementation.backend === 'native') {
    it('responses that the client has not read yet come whole, before what is said after the upgrade', async () => {
      const server = await serve((_req, res) => res.end('x'.repeat(3 * 1024 * 1024)));
      server.on('upgrade', (_req, socket) => {
        socket.write('HTTP/1.1 101 OK\r\n\r\n');
        socket.on('data', (chunk: Buffer) => socket.end(`echo ${chunk}`));
      });
      const socket = await open(server);
      socket.pause();
      const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
      socket.write(`${get}${get}GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
      socket.write('again');
      await once(server, 'upgrade');
      const [first, second, rest] = (await textOf(socket)).split('HTTP/1.1 ').slice(1);
      for (const response of [first, second]) expect(response?.split('\r\n\r\n')[1]).toHaveLength(3 * 1024 * 1024);
      expect(rest).toBe('101 OK\r\n\r\necho again');
    });
  }

  it('bad requests get 400', async () => {
    const server = await serve((_req, res) => res.end());
    const socket = await open(server);
    socket.write('G@T / HTTP/1.1\r\n\r\n');
    expect(await textOf(socket)).toBe('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });

  it("what is no TLS is a 'tlsClientError' and a 'clientError'", async () => {
    const log = new EventLog();
    const server = await serve((_req, res) => res.end());
    log.watch('server', server, ['tlsClientError', 'clientError']);
    server.on('clientError', (_error, socket) => socket.destroy());
    const client = await on.open(server as unknown as http.Server);
    client.send('GET / HTTP/1.1\r\n\r\n');
    await client.rest();
    await log.until('server clientError');
    expect(log.entries.sort()).toEqual(['server clientError', 'server tlsClientError']);
  });

  it('a client that goes: the same events as without TLS', async () => {
    const log = new EventLog();
    const server = await serve((req, res) => {
      log.watch('req', req, ['aborted', 'error', 'close']);
      log.watch('res', res, ['finish', 'close']);
    });
    const socket = await open(server);
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
    await once(server, 'request');
    socket.destroy();
    await log.until('req close');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req aborted",
        "res close",
        "req error ECONNRESET",
        "req close",
      ]
    `);
  });

  it('close ends idle connections; closeAllConnections all', async () => {
    const server = await serve((req, res) => {
      if (req.url !== '/wait') res.end('x');
    });
    const idle = await open(server);
    idle.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(idle, 'data');
    const busy = await open(server);
    busy.write('GET /wait HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(server, 'request');
    const closed = new Promise((resolve) => server.close(resolve));
    await once(idle.resume(), 'close');
    server.closeAllConnections();
    await once(busy.resume(), 'close');
    expect(await closed).toBeUndefined();
  });

  it('without new, and with the options checked by node', () => {
    const bare = (on.https.Server as unknown as typeof https.createServer)({ key, cert });
    expect(bare).toBeInstanceOf(on.https.Server);
    expect(bare.listenerCount('secureConnection')).toBe(1);
    expect(() => on.https.createServer({ key: 1 as never })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
  });
});

describe.each(implementations)('a foreign stream on $name', (implementation) => {
  const on = harness(implementation);

  it("is served when it is given by emit('connection')", async () => {
    const server = await on.serve((req, res) => res.end(`over TLS ${(req.socket as TLSSocket).encrypted}`));
    const front = https.createServer({ key, cert });
    front.removeAllListeners('secureConnection');
    front.on('secureConnection', (socket) => server.emit('connection', socket));
    await listen(front);
    const socket = connect({ port: portOf(front), host: '127.0.0.1', rejectUnauthorized: false });
    socket.write(GET);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString().endsWith('over TLS true')).toBe(true);
    await new Promise((resolve) => front.close(resolve));
  });
});
