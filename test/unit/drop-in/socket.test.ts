/** What a request's socket is: one body on node's and on ours, the expectations being what node does. */
import type http from 'node:http';
import net, { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, portOf } from '../../support/drop-in.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const ANSWER = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi';
const EVENTS = ['end', 'error', 'finish', 'close', 'timeout'];

interface Private extends Socket {
  server: http.Server;
  _httpMessage: http.ServerResponse | null;
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

describe.each(implementations)('a socket of $name', (implementation) => {
  const on = harness(implementation);

  it('is a net.Socket, with its ends and its state', async () => {
    const seen = deferred<Record<string, unknown>>();
    const server = await on.serve((req, res) => {
      const socket = req.socket as Private;
      seen.resolve({
        classes: [socket instanceof Socket, socket instanceof Duplex, socket.constructor.name],
        same: [res.socket === socket, req.connection === socket, res.connection === socket],
        server: socket.server === server,
        message: socket._httpMessage === res,
        remote: [socket.remoteAddress, socket.remoteFamily, socket.remotePort === client.socket.localPort],
        local: [socket.localAddress, socket.localFamily, socket.localPort === portOf(server)],
        address: socket.address(),
        state: [socket.readyState, socket.pending, socket.connecting, socket.destroyed, socket.closed],
        sides: [socket.readable, socket.writable, socket.allowHalfOpen, socket.errored],
        marks: [socket.readableHighWaterMark, socket.writableHighWaterMark],
        written: [socket.bytesWritten, socket.writableLength],
        listeners: [socket.listenerCount('timeout'), socket.listenerCount('error')],
      });
      res.end();
    });
    const client = await on.open(server);
    await client.send(GET).response();
    const mark = new Duplex().writableHighWaterMark;
    expect(await seen.promise).toEqual({
      classes: [true, true, 'Socket'],
      same: [true, true, true],
      server: true,
      message: true,
      remote: ['127.0.0.1', 'IPv4', true],
      local: ['127.0.0.1', 'IPv4', true],
      address: { address: '127.0.0.1', family: 'IPv4', port: portOf(server) },
      state: ['open', false, false, false, false],
      sides: [true, true, true, null],
      marks: [mark, mark],
      written: [0, 0],
      listeners: [1, 1],
    });
  });

  it('takes settings, and refuses wrong ones as node does', async () => {
    const seen = deferred<unknown[]>();
    const server = await on.serve((req, res) => {
      const { socket } = req;
      const chained = [
        socket.setNoDelay(),
        socket.setNoDelay(false),
        socket.setKeepAlive(true, 1000),
        socket.setKeepAlive(),
        socket.unref(),
        socket.ref(),
        socket.setTimeout(5000),
      ].every((result) => result === socket);
      seen.resolve([
        chained,
        socket.timeout,
        socket.setTimeout(0).timeout,
        codeOf(() => socket.setTimeout('soon' as never)),
        codeOf(() => socket.setTimeout(-1)),
        codeOf(() => socket.setTimeout(1, 'no function' as never)),
        codeOf(() => socket.setEncoding('utf8')),
      ]);
      socket.setTimeout(0);
      res.end();
    });
    await (await on.open(server)).send(GET).response();
    expect(await seen.promise).toEqual([
      true,
      5000,
      0,
      'ERR_INVALID_ARG_TYPE',
      'ERR_OUT_OF_RANGE',
      'ERR_INVALID_ARG_TYPE',
      'ERR_HTTP_SOCKET_ENCODING',
    ]);
  });

  it('writes in order with the responses, in every encoding', async () => {
    const server = await on.serve((req, res) => {
      const { socket } = req;
      socket.write('HTTP/1.1 102 Processing\r\n\r\n');
      res.writeHead(200, { 'Content-Length': 14, Connection: 'close' });
      res.write('a');
      socket.cork();
      socket.write('\u00e9', 'latin1');
      socket.write('\u00e9');
      socket.write('6869', 'hex');
      socket.write('hi', 'utf16le');
      socket.write(new Uint8Array([65, 66]));
      socket.uncork();
      process.nextTick(() => res.end('zz'));
    });
    const text = await (await on.open(server)).send(GET).rest();
    expect(text.startsWith('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n')).toBe(true);
    expect(text.split('\r\n\r\n')[2]).toBe('a\u00e9\u00c3\u00a9hih\0i\0ABzz');
  });

  it('ends after what was written', async () => {
    for (const end of ['end', 'destroySoon', 'end with a callback']) {
      const log = new EventLog();
      const server = await on.serve((req) => {
        const { socket } = req;
        log.watch('socket', socket, EVENTS);
        socket.write(ANSWER.slice(0, 20), () => log.add('written'));
        if (end === 'destroySoon') {
          socket.write(ANSWER.slice(20));
          socket.destroySoon();
        } else if (end === 'end') {
          socket.end(ANSWER.slice(20));
        } else {
          socket.end(ANSWER.slice(20), () => log.add('ended'));
        }
        expect([socket.writableEnded, socket.writable]).toEqual([true, false]);
      });
      const client = await on.open(server);
      expect(await client.send(GET).rest(), end).toBe(ANSWER);
      client.end();
      await log.until('socket close');
      const common = log.entries.filter((entry) => entry !== 'socket end');
      expect(common, end).toEqual(
        end === 'end with a callback'
          ? ['written', 'ended', 'socket finish', 'socket close'].sort(byOrder(common))
          : ['written', 'socket finish', 'socket close'],
      );
    }
  });

  it('destroyed, takes its request with it', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('req', req, ['aborted', 'error', 'close']);
      log.watch('res', res, ['finish', 'close']);
      log.watch('socket', req.socket, EVENTS);
      req.socket.destroy();
      expect([req.socket.destroyed, req.socket.remoteAddress]).toEqual([true, undefined]);
    });
    expect(await (await on.open(server)).send(GET).rest()).toBe('');
    await log.until('req close');
    await log.until('res close');
    expect(log.entries).toEqual(['req aborted', 'res close', 'socket close', 'req error ECONNRESET', 'req close']);
  });

  it('destroyed with an error, is a clientError', async () => {
    const log = new EventLog();
    const server = await on.serve((req) => {
      log.watch('socket', req.socket, ['close']);
      req.socket.destroy(Object.assign(new Error('mine'), { code: 'MINE' }));
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      log.add(`clientError ${error.code} ${socket.destroyed}`);
    });
    expect(await (await on.open(server)).send(GET).rest()).toBe('');
    expect(await log.until('socket close')).toEqual(['clientError MINE true', 'socket close']);
  });

  it('says that the peer has ended, that it is gone, that it was reset', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('socket', req.socket, EVENTS);
      if (req.url === '/') res.end();
      else log.add('waits');
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      log.add(`clientError ${error.code}`);
      socket.destroy();
    });
    const polite = await on.open(server);
    await polite.send(GET).response();
    polite.end();
    expect(await log.until('socket close')).toEqual(['socket end', 'socket finish', 'socket close']);
    log.entries.length = 0;
    const rude = (await on.open(server)).send(GET.replace('/', '/wait'));
    await log.until('waits');
    rude.reset();
    await log.until('socket close');
    expect(log.entries.slice().sort()).toEqual(
      ['waits', 'clientError ECONNRESET', 'socket error ECONNRESET', 'socket close'].sort(),
    );
  });

  it('is reset by resetAndDestroy', async () => {
    const server = await on.serve((req) => {
      expect(req.socket.resetAndDestroy()).toBe(req.socket);
    });
    const client = (await on.open(server)).send(GET);
    expect((await client.closed).error?.code).toBe('ECONNRESET');
  });

  it('has a timeout, heard by socket, request, response and server', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      req.socket.setTimeout(30, () => log.add('callback'));
      log.watch('req', req, ['timeout']);
      res.on('timeout', () => {
        log.add('res timeout');
        res.end();
      });
    });
    server.on('timeout', (socket) => log.add(`server ${socket instanceof Socket}`));
    const response = await (await on.open(server)).send(GET).response();
    expect(response.status).toBe(200);
    expect(log.entries).toEqual(['res timeout', 'server true', 'callback']);
  });

  it('holds the peer back while it is paused, until a request reads', async () => {
    const body = deferred<string>();
    const server = await on.serve((req, res) => {
      req.socket.pause();
      expect(req.socket.isPaused()).toBe(true);
      let text = '';
      req.on('data', (chunk) => (text += chunk));
      req.on('end', () => {
        body.resolve(text);
        res.end();
      });
    });
    const client = await on.open(server);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n').send('body');
    expect((await client.response()).status).toBe(200);
    expect(await body.promise).toBe('body');
  });

  it('is made for the connection event too, and counted', async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => void res.end());
    server.on('connection', (socket: Socket) => log.watch('socket', socket, ['close']));
    const client = await on.open(server);
    await client.send(GET).response();
    const count = () => new Promise((resolve) => server.getConnections((_error, total) => resolve(total)));
    expect(await count()).toBe(1);
    client.end();
    await log.until('socket close');
    expect(await count()).toBe(0);
  });

  it('of a unix socket has no addresses, and cannot be reset', async () => {
    const path = `\0gammaloop-socket-test-${process.pid}-${implementation.backend}`;
    const seen = deferred<unknown[]>();
    const server = on.track(
      on.http.createServer((req, res) => {
        seen.resolve([
          req.socket.remoteAddress,
          req.socket.localAddress,
          codeOf(() => req.socket.resetAndDestroy()),
          req.socket.destroyed,
        ]);
        res.end();
      }),
    );
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const client = net.connect(path);
    client.write(GET);
    expect(await seen.promise).toEqual([undefined, undefined, 'ERR_INVALID_HANDLE_TYPE', false]);
    client.destroy();
  });
});

/** Sorts as `entries` are, where node's versions differ about the order. */
function byOrder(entries: string[]): (a: string, b: string) => number {
  return (a, b) => entries.indexOf(a) - entries.indexOf(b);
}
