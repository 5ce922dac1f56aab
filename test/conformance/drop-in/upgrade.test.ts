import type nodeHttp from 'node:http';
import { type IncomingMessage, request } from 'node:http';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, portOf, turns } from '../../support/drop-in.js';

const UPGRADE = 'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n';
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe.each(implementations)('upgrades on $name', (implementation) => {
  const on = harness(implementation);

  it('are complete requests, also with a body', async () => {
    const server = await on.serve((_req, res) => res.end('not upgraded'));
    const ended = deferred<boolean>();
    server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
      const { complete } = req;
      req.on('end', () => ended.resolve(complete)).resume();
      socket.resume().end(SWITCHING);
    });
    const client = await on.open(server);
    client.send(UPGRADE.replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 4\r\n\r\nbody'));
    expect(await ended.promise).toBe(true);
    expect(await client.end().rest()).toBe(SWITCHING);
  });

  it('hand out the socket, both ways, with what came after the head', async () => {
    const server = await on.serve((_req, res) => res.end('not upgraded'));
    const seen = deferred<unknown[]>();
    server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
      seen.resolve([
        req.url,
        (req as { upgrade?: boolean }).upgrade,
        req.headers.upgrade,
        head.toString(),
        socket instanceof Duplex,
        socket instanceof Socket,
      ]);
      socket.write(SWITCHING);
      socket.on('data', (chunk: Buffer) => socket.write(`echo ${chunk}`));
      socket.on('end', () => socket.end('bye'));
    });
    const client = await on.open(server);
    client.send(`${UPGRADE}early`);
    expect(await seen.promise).toEqual(['/chat', true, 'test', 'early', true, true]);
    await client.until('101', () => (client.pending.includes('\r\n\r\n') ? true : null));
    client.send('one');
    await client.until('the echo', () => (client.pending.includes('echo one') ? true : null));
    expect(await client.end().rest()).toBe(`${SWITCHING}echo onebye`);
  });

  it('without a listener the request is answered as any other', async () => {
    const server = await on.serve((req, res) => res.end(`plain ${req.headers.upgrade}`));
    const client = await on.open(server);
    expect((await client.send(UPGRADE).response()).body.toString()).toBe('plain test');
    expect((await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').response()).status).toBe(200);
  });

  it('a small write does not wait in the socket', async () => {
    const server = await on.serve((_req, res) => res.end());
    const log = new EventLog();
    server.on('upgrade', (_req, socket: Socket) => {
      socket.write(SWITCHING, () => log.add('written'));
      log.add(`waits ${socket.writableLength}`);
      socket.end('bye', () => log.add('ended'));
    });
    expect(await (await on.open(server)).send(UPGRADE).rest()).toBe(`${SWITCHING}bye`);
    expect(await log.until('ended')).toEqual(['waits 0', 'written', 'ended']);
  });

  it('a refusal is written on the socket', async () => {
    const server = await on.serve((_req, res) => res.end());
    server.on('upgrade', (_req, socket: Socket) => {
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
    });
    const client = await on.open(server);
    expect(await client.send(UPGRADE).rest()).toBe('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
  });

  it('one that is over is kept by nothing', async () => {
    const server = await on.serve((_req, res) => res.end());
    const kept = new Set<number>();
    const registry = new FinalizationRegistry<number>((id) => kept.delete(id));
    server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
      kept.add(1);
      registry.register(req, 1);
      socket.end(SWITCHING);
    });
    expect(await (await on.open(server)).send(UPGRADE).rest()).toBe(SWITCHING);
    expect(kept.size).toBe(1);
    for (let round = 0; round < 50 && kept.size > 0; round++) {
      collectGarbage();
      await turns();
    }
    expect(kept.size).toBe(0);
  });

  it('after an ordinary request on the same connection', async () => {
    const server = await on.serve((_req, res) => res.end('plain'));
    server.on('upgrade', (_req, socket: Socket) => socket.end(SWITCHING));
    const client = await on.open(server);
    expect((await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').response()).body.toString()).toBe('plain');
    expect(await client.send(UPGRADE).rest()).toBe(SWITCHING);
  });

  it('CONNECT makes a tunnel', async () => {
    const server = await on.serve((_req, res) => res.end());
    server.on('connect', (req: IncomingMessage, socket: Socket, head: Buffer) => {
      socket.write(`HTTP/1.1 200 Connection Established\r\n\r\n${req.url} ${head}`);
      socket.pipe(socket);
    });
    const client = await on.open(server);
    client.send('CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nhello');
    await client.until('the tunnel', () => (client.pending.includes('hello') ? true : null));
    client.send('through');
    await client.until('the echo', () => (client.pending.includes('through') ? true : null));
    expect(await client.end().rest()).toBe('HTTP/1.1 200 Connection Established\r\n\r\nexample.com:443 hellothrough');
  });

  it('CONNECT without a listener ends the connection', async () => {
    const server = await on.serve((_req, res) => res.end('not asked'));
    const client = await on.open(server);
    expect(await client.send('CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n').rest()).toBe('');
  });

  it('backpressure both ways, and large data unharmed', async () => {
    const size = 8 << 20;
    const server = await on.serve((_req, res) => res.end());
    const log = new EventLog();
    server.on('upgrade', (_req, socket: Socket, head: Buffer) => {
      socket.write(SWITCHING);
      let received = head.length;
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received === size) log.add('received all');
      });
      log.add(`write ${socket.write(Buffer.alloc(size, 'x'))}`);
      socket.once('drain', () => log.add('drain'));
      socket.once('end', () => socket.end());
    });
    const client = await on.open(server);
    client.send(UPGRADE);
    client.send(Buffer.alloc(size, 'y'));
    await log.until('received all');
    await log.until('drain');
    await client.until('all of it', () => (client.pending.length >= SWITCHING.length + size ? true : null));
    expect(client.pending.subarray(SWITCHING.length).every((byte) => byte === 0x78)).toBe(true);
    expect(log.entries[0]).toBe('write false');
    await client.end().rest();
  });

  it('a socket that is gone says so', async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => res.end());
    server.on('upgrade', (_req, socket: Socket) => {
      log.watch('socket', socket, ['end', 'error', 'close']);
      socket.write(SWITCHING);
      socket.resume();
    });
    const client = await on.open(server);
    client.send(UPGRADE);
    await client.until('101', () => (client.pending.includes('\r\n\r\n') ? true : null));
    client.reset();
    await log.until('socket close');
    expect(log.entries).toEqual(['socket error ECONNRESET', 'socket close']);
  });

  it('the sockets of upgrades are no business of closeAllConnections', async () => {
    const upgraded = deferred<Socket>();
    const server = await on.serve((_req, res) => res.end());
    server.on('upgrade', (_req, socket: Socket) => {
      socket.write(SWITCHING);
      upgraded.resolve(socket);
    });
    const client = await on.open(server);
    client.send(UPGRADE);
    const socket = await upgraded.promise;
    server.closeAllConnections();
    expect(socket.destroyed).toBe(false);
    socket.end('still');
    expect(await client.rest()).toBe(`${SWITCHING}still`);
  });

  const readsAgain: [string, string, nodeHttp.RequestListener][] = [
    [
      'a body had paused',
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n${'b'.repeat(40_000)}`,
      (req, res) => {
        req.socket.setNoDelay();
        req.on('readable', () => {
          while (req.read() !== null);
        });
        res.end('x');
      },
    ],
  ];
  // Node's own does not read again.
  if (implementation.backend === 'native') {
    readsAgain.push(
      [
        'the program had paused',
        'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
        (req, res) => {
          req.socket.pause();
          res.end('x');
        },
      ],
      [
        'its output had paused',
        'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3),
        (_req, res) => res.end('x'.repeat(2 * 1024 * 1024)),
      ],
    );
  }
  it.each(readsAgain)('a socket that %s reads again', async (_name, before, handler) => {
    const server = await on.serve(handler);
    server.on('upgrade', (_req, socket: Socket, head: Buffer) => {
      socket.write(`${SWITCHING}${head}`);
      socket.on('data', (chunk: Buffer) => socket.end(`echo ${chunk}`));
    });
    const client = await on.open(server);
    client.send(`${before}${UPGRADE}`);
    await client.until('101', () => (client.pending.includes(SWITCHING) ? true : null));
    client.send('again');
    await client.until('the echo', () => (client.pending.includes('echo again') ? true : null));
  });

  it("node's own client can upgrade", async () => {
    const server = await on.serve((_req, res) => res.end());
    server.on('upgrade', (_req, socket: Socket) => {
      socket.write(`${SWITCHING}first`);
      socket.on('data', (chunk: Buffer) => socket.end(chunk));
    });
    const done = deferred<string>();
    const ask = request({ port: portOf(server), headers: { Connection: 'Upgrade', Upgrade: 'test' } });
    ask.on('upgrade', (_res, socket, head) => {
      let text = head.toString();
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('end', () => done.resolve(text));
      socket.write('second');
    });
    ask.end();
    expect(await done.promise).toBe('firstsecond');
  });
});
