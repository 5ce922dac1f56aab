/** A socket after 'upgrade' and 'connect': one body on node's and on ours. */
import { createHash, randomBytes } from 'node:crypto';
import http2 from 'node:http2';
import net, { type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, listen, portOf } from '../../support/drop-in.js';
import { cert, key } from '../../support/tls.js';

const UPGRADE = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n';
const CONNECT = 'CONNECT far:443 HTTP/1.1\r\nHost: far:443\r\n\r\n';
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n';
const EVENTS = ['data', 'end', 'error', 'finish', 'close'];

describe.each(implementations)('an upgraded socket of $name', (implementation) => {
  const on = harness(implementation);

  /** What the server does with one, and a client that has read the answer. */
  async function upgraded(use: (socket: Socket, head: Buffer) => void) {
    const server = await on.serve(() => {});
    server.on('upgrade', (_req, socket: Socket, head) => {
      socket.write(SWITCHING);
      // What the end of a test does to it.
      socket.on('error', () => {});
      use(socket, head);
    });
    const client = await on.open(server);
    const { socket } = client;
    socket.write(UPGRADE);
    const answered = deferred();
    let text = '';
    const read = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n\r\n')) answered.resolve();
    };
    socket.on('data', read);
    await answered.promise;
    socket.off('data', read);
    return client;
  }

  it('ends by itself only when the program says so', async () => {
    const log = new EventLog();
    const client = await upgraded((socket) => {
      log.watch('socket', socket, EVENTS);
      socket.on('end', () => socket.end('late'));
    });
    client.socket.end('x');
    await log.until('socket close');
    expect(log.entries).toEqual(['socket data', 'socket end', 'socket finish', 'socket close']);
  });

  it('destroyed with an error, says error and close; the server stays out of it', async () => {
    const log = new EventLog();
    const client = await upgraded((socket) => {
      log.watch('socket', socket, ['error']);
      socket.on('close', (hadError) => log.add(`close ${hadError}`));
      socket.destroy(Object.assign(new Error('mine'), { code: 'MINE' }));
    });
    await log.until('close true');
    expect(log.entries).toEqual(['socket error MINE', 'close true']);
    client.end();
    await client.closed;
  });

  it('reset by the peer, says ECONNRESET', async () => {
    const log = new EventLog();
    const client = await upgraded((socket) => {
      log.watch('socket', socket, ['error']);
      socket.on('close', (hadError) => log.add(`close ${hadError}`));
      socket.resume();
    });
    client.reset();
    await log.until('close true');
    expect(log.entries).toEqual(['socket error ECONNRESET', 'close true']);
  });

  it('is read by async iteration, with what was put back', async () => {
    const text = deferred<string>();
    const client = await upgraded(async (socket) => {
      socket.unshift(Buffer.from('before '));
      // Node 24 ends the iteration of a Duplex only with both its sides.
      socket.once('end', () => socket.end());
      let read = '';
      for await (const chunk of socket) read += chunk;
      text.resolve(read);
    });
    client.socket.write('one ');
    client.socket.end('two');
    expect(await text.promise).toBe('before one two');
  });

  it('counts its bytes', async () => {
    const seen = deferred<number[]>();
    const client = await upgraded((socket) => {
      socket.on('data', () => {
        socket.end('bye', () => seen.resolve([socket.bytesRead, socket.bytesWritten, socket.writableLength]));
      });
    });
    client.socket.write('hello');
    expect(await seen.promise).toEqual([UPGRADE.length + 5, SWITCHING.length + 3, 0]);
  });

  it('holds back a peer whose bytes are not read, and a program whose peer does not read', async () => {
    const bytes = randomBytes(4_000_000);
    const hash = createHash('sha1').update(bytes).digest('hex');
    const server = await on.serve(() => {});
    const back = deferred<string>();
    server.on('upgrade', (_req, socket: Socket) => {
      socket.write(SWITCHING);
      pipeline(socket, socket).catch(() => {});
    });
    const client = net.connect(portOf(server), '127.0.0.1');
    client.write(UPGRADE);
    client.once('data', () => {
      const digest = createHash('sha1');
      let length = 0;
      client.on('data', (chunk: Buffer) => {
        digest.update(chunk);
        length += chunk.length;
        if (length === bytes.length) back.resolve(digest.digest('hex'));
      });
      // Writes all before it reads any: both directions fill up on the way.
      client.pause();
      client.write(bytes.subarray(0, 2_000_000));
      client.write(bytes.subarray(2_000_000), () => {});
      setImmediate(() => client.resume());
    });
    expect(await back.promise).toBe(hash);
    client.destroy();
  });

  it('writes a corked message as one, and calls back once it has left', async () => {
    const log = new EventLog();
    const client = await upgraded((socket) => {
      socket.cork();
      socket.write('head ', () => log.add('head'));
      socket.write(Buffer.from('body'), () => log.add('body'));
      socket.uncork();
      socket.end();
      socket.on('finish', () => log.add('finish'));
    });
    expect(await client.rest()).toContain('head body');
    expect(await log.until('finish')).toEqual(['head', 'body', 'finish']);
  });

  it('carries TLS, and HTTP/2 in it, as any Duplex', async () => {
    const server = await on.serve(() => {});
    const inner = http2.createSecureServer({ key, cert }, (_req, res) => {
      res.setHeader('x-inner', 'yes');
      res.end('through two layers');
    });
    const echo = tls.createServer({ key, cert }, (socket) => socket.pipe(socket));
    server.on('connect', (req, socket: Socket) => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      (req.url === 'far:443' ? echo : inner).emit('connection', socket);
    });
    const tunnel = async (request: string) => {
      const plain = net.connect(portOf(server), '127.0.0.1');
      plain.write(request);
      await new Promise((resolve) => plain.once('data', resolve));
      return plain;
    };
    const secure = tls.connect({ socket: await tunnel(CONNECT), rejectUnauthorized: false });
    secure.write('hello');
    expect(String(await new Promise((resolve) => secure.once('data', resolve)))).toBe('hello');
    secure.destroy();
    const outer = await tunnel(CONNECT.replaceAll('443', '444'));
    const session = http2.connect('https://localhost', {
      createConnection: () => tls.connect({ socket: outer, rejectUnauthorized: false, ALPNProtocols: ['h2'] }),
    });
    const stream = session.request({ ':path': '/' });
    let text = '';
    for await (const chunk of stream) text += chunk;
    expect(text).toBe('through two layers');
    session.destroy();
  });

  it('can be given to another server of the process', async () => {
    const server = await on.serve(() => {});
    const inner = on.track(on.http.createServer((req, res) => res.end(`inner ${req.url}`)));
    await listen(inner);
    server.on('connect', (_req, socket: Socket) => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      inner.emit('connection', socket);
    });
    const client = await on.open(server);
    client.send(CONNECT);
    expect((await client.response({ bodiless: true })).status).toBe(200);
    expect(String((await client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n').response()).body)).toBe('inner /x');
  });
});
