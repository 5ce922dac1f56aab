import { EventEmitter } from 'node:events';
import {
  type IncomingMessage,
  IncomingMessage as NodeIncomingMessage,
  Server as NodeServer,
  OutgoingMessage,
} from 'node:http';
import { Server as NetServer, Socket } from 'node:net';
import { Duplex, Readable, Stream } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { EventLog, harness, implementations, isToldAsOn20, portOf, turns } from '../../support/drop-in.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const REQUEST_EVENTS = ['data', 'end', 'aborted', 'error', 'close'];
const RESPONSE_EVENTS = ['prefinish', 'finish', 'error', 'close', 'drain'];

describe.each(implementations)('events on $name', (implementation) => {
  const on = harness(implementation);

  it('of a request without a body that is answered at once', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('req', req, REQUEST_EVENTS.slice(1));
      log.watch('res', res, RESPONSE_EVENTS);
      req.resume();
      res.end('x', () => log.add('res end callback'));
      log.add('handler done');
    });
    await (await on.open(server)).send(GET).response();
    await log.until('req close');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "res prefinish",
        "handler done",
        "res finish",
        "res end callback",
        "req end",
        "res close",
        "req close",
      ]
    `);
  });

  it('of a request whose body nobody reads', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('req', req, ['end', 'aborted', 'error', 'close']);
      log.watch('res', res, RESPONSE_EVENTS);
      res.end('x');
    });
    const client = await on.open(server);
    await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc').response();
    const told = await log.until('req close');
    if (isToldAsOn20(told))
      expect(told).toMatchInlineSnapshot(`
      [
        "res prefinish",
        "res finish",
        "res close",
        "req end",
        "req close",
      ]
    `);
    await client.send(GET).response();
  });

  it('of a request whose body is read, then answered', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('req', req, REQUEST_EVENTS);
      log.watch('res', res, RESPONSE_EVENTS);
      req.on('end', () => {
        log.add(`complete ${req.complete}`);
        res.end('x');
      });
    });
    const client = await on.open(server);
    await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc').response();
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req data",
        "req end",
        "complete true",
        "res prefinish",
        "res finish",
        "res close",
        "req close",
      ]
    `);
  });

  it('of writes: callbacks in order, and never inside the call', async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => {
      log.watch('res', res, RESPONSE_EVENTS);
      res.write('a', () => log.add('a written'));
      log.add('after a');
      res.write('b', () => log.add('b written'));
      log.add('after b');
      res.end('c', () => log.add('ended'));
      log.add('after end');
    });
    await (await on.open(server)).send(GET).response();
    const told = await log.until('res close');
    if (isToldAsOn20(told))
      expect(told).toMatchInlineSnapshot(`
      [
        "after a",
        "after b",
        "res prefinish",
        "after end",
        "a written",
        "b written",
        "res finish",
        "ended",
        "res close",
      ]
    `);
  });

  it('of a whole connection', async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => res.end('x'));
    log.watch('server', server, ['connection', 'request', 'close']);
    server.on('connection', (socket: Socket) => log.watch('socket', socket, ['end', 'error', 'close']));
    const client = await on.open(server);
    await client.send(GET).response();
    await client.send(GET).response();
    client.end();
    await client.closed;
    await log.until('socket close');
    expect(log.entries).toEqual([
      'server connection',
      'server request',
      'server request',
      'socket end',
      'socket close',
    ]);
  });

  it("'listening' comes later, even on port 0", async () => {
    const log = new EventLog();
    const server = on.track(on.http.createServer());
    log.watch('server', server, ['listening']);
    expect(server.listening).toBe(false);
    server.listen(0, '127.0.0.1', () => log.add('callback'));
    log.add('called');
    await log.until('callback');
    expect(log.entries).toEqual(['called', 'server listening', 'callback']);
    expect(server.listening).toBe(true);
  });

  it("'close' comes once, when the last connection is gone", async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => res.end('x'));
    log.watch('server', server, ['close']);
    await (await on.open(server)).send(GET).response();
    server.close((error) => log.add(`callback ${error?.message}`));
    log.add('called');
    await log.until('callback undefined');
    expect(log.entries).toEqual(['called', 'server close', 'callback undefined']);
    const again = new Promise((resolve) => server.close(resolve));
    expect(await again).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' });
  });

  it("a rejected handler's promise is reported with captureRejections", async () => {
    EventEmitter.captureRejections = true;
    const capturing = on.track(
      on.http.createServer(async () => {
        throw new Error('rejected');
      }),
    );
    EventEmitter.captureRejections = false;
    await new Promise<void>((resolve) => capturing.listen(0, '127.0.0.1', resolve));
    expect((await (await on.open(capturing)).send(GET).response()).status).toBe(500);
  });

  it("setTimeout on a response, and its 'timeout'", async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => {
      const onTimeout = (socket: Socket): void => {
        log.add(`timeout ${socket instanceof Socket}`);
        res.end('late');
      };
      res.setTimeout(20, onTimeout as () => void);
    });
    expect((await (await on.open(server)).send(GET).response()).body.toString()).toBe('late');
    expect(log.entries).toEqual(['timeout true']);
  });
});

describe.each(implementations)('objects on $name', (implementation) => {
  const on = harness(implementation);

  it('are of the classes that node has', async () => {
    const server = await on.serve((req, res) => {
      expect(req).toBeInstanceOf(on.http.IncomingMessage);
      expect(req).toBeInstanceOf(NodeIncomingMessage);
      expect(req).toBeInstanceOf(Readable);
      expect(req).toBeInstanceOf(Stream);
      expect(res).toBeInstanceOf(on.http.ServerResponse);
      expect(res).toBeInstanceOf(OutgoingMessage);
      expect(res).toBeInstanceOf(EventEmitter);
      expect(req.constructor.name).toBe('IncomingMessage');
      expect(res.constructor.name).toBe('ServerResponse');
      expect(res.req).toBe(req);
      res.end('x');
    });
    expect(server).toBeInstanceOf(on.http.Server);
    expect(server).toBeInstanceOf(NodeServer);
    expect(server).toBeInstanceOf(NetServer);
    expect(server.constructor.name).toBe('Server');
    expect((await (await on.open(server)).send(GET).response()).status).toBe(200);
  });

  it('a server can be made without new, by extends, and by call', async () => {
    const { http } = on;
    class Mine extends http.Server {
      readonly own = 1;
    }
    function Old(this: NodeServer): void {
      Reflect.apply(http.Server as unknown as () => void, this, [
        {},
        (_req: unknown, res: { end(t: string): void }) => res.end('old'),
      ]);
    }
    Object.setPrototypeOf(Old.prototype, http.Server.prototype);
    const bare = (http.Server as unknown as typeof http.createServer)((_req, res) => res.end('bare'));
    const mine = new Mine((_req, res) => res.end('mine'));
    const old = new (Old as unknown as new () => NodeServer)();
    expect(mine).toBeInstanceOf(Mine);
    expect(old).toBeInstanceOf(Old);
    const texts: string[] = [];
    for (const server of [bare, mine, old]) {
      on.track(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      texts.push((await (await on.open(server)).send(GET).response()).body.toString());
    }
    expect(texts).toEqual(['bare', 'mine', 'old']);
  });

  it('messages of own classes are made where the options name them', async () => {
    const { http } = on;
    class Request extends http.IncomingMessage {
      get shout(): string {
        return (this.url as string).toUpperCase();
      }
    }
    class Response<R extends IncomingMessage> extends http.ServerResponse<R> {
      say(text: string): void {
        this.setHeader('X-Said', 'yes');
        this.end(text);
      }
    }
    const server = await on.serve({ IncomingMessage: Request, ServerResponse: Response } as never, (req, res) => {
      (res as never as Response<Request>).say((req as Request).shout);
    });
    const response = await (await on.open(server)).send('GET /abc HTTP/1.1\r\nHost: a\r\n\r\n').response();
    expect(response.body.toString()).toBe('/ABC');
    expect(response.headers['x-said']).toEqual(['yes']);
  });

  it('prototypes may be swapped, as Express does', async () => {
    const { http } = on;
    const request = Object.create(http.IncomingMessage.prototype, {
      hasHost: { get: (): boolean => true },
    });
    const response = Object.create(http.ServerResponse.prototype);
    response.send = function (this: NodeJS.WritableStream & { setHeader(n: string, v: string): void }, text: string) {
      this.setHeader('X-Sent', 'yes');
      this.end(text);
    };
    const server = await on.serve((req, res) => {
      Object.setPrototypeOf(req, request);
      Object.setPrototypeOf(res, response);
      let body = '';
      req.setEncoding('utf8');
      req.on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () =>
        (res as never as { send(t: string): void }).send(`${req.method} ${req.headers.host} ${body}`),
      );
    });
    const answer = await (await on.open(server))
      .send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
      .response();
    expect(answer.body.toString()).toBe('POST a abc');
    expect(answer.headers['x-sent']).toEqual(['yes']);
  });

  it('messages made by a program are node’s', async () => {
    const { http } = on;
    const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const req = new http.IncomingMessage(socket as Socket);
    req.method = 'GET';
    req.url = '/made';
    req.push('body');
    req.push(null);
    const chunks: string[] = [];
    for await (const chunk of req) chunks.push(String(chunk));
    expect(chunks).toEqual(['body']);
    const written: string[] = [];
    const sink = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        written.push(String(chunk));
        done();
      },
    });
    const res = new http.ServerResponse(req);
    res.assignSocket(sink as Socket);
    res.sendDate = false;
    res.setHeader('X-Made', '1');
    const finished = new Promise((resolve) => res.once('finish', resolve));
    res.end('made');
    await finished;
    expect(written.join('')).toMatch(/^HTTP\/1\.1 200 OK\r\nX-Made: 1\r\n.*made$/s);
    expect(res.writableFinished).toBe(true);
  });

  it('the socket is a net.Socket that knows its ends', async () => {
    const seen: Record<string, unknown> = {};
    const server = await on.serve((req, res) => {
      const { socket } = req;
      expect(socket).toBeInstanceOf(Socket);
      expect(req.connection).toBe(socket);
      expect(res.socket).toBe(socket);
      expect((socket as Socket & { server: unknown }).server).toBe(server);
      Object.assign(seen, {
        remoteAddress: socket.remoteAddress,
        remoteFamily: socket.remoteFamily,
        remotePort: socket.remotePort,
        localAddress: socket.localAddress,
        localPort: socket.localPort,
        address: socket.address(),
        encrypted: (socket as { encrypted?: boolean }).encrypted,
        destroyed: socket.destroyed,
        readyState: socket.readyState,
        readable: socket.readable,
        writable: socket.writable,
      });
      res.end('x', () => {
        seen['bytesWritten'] = socket.bytesWritten > 0;
      });
    });
    const client = await on.open(server);
    await client.send(GET).response();
    await turns();
    expect(seen).toEqual({
      remoteAddress: '127.0.0.1',
      remoteFamily: 'IPv4',
      remotePort: client.socket.localPort,
      localAddress: '127.0.0.1',
      localPort: portOf(server),
      address: { address: '127.0.0.1', family: 'IPv4', port: portOf(server) },
      encrypted: undefined,
      destroyed: false,
      readyState: 'open',
      readable: true,
      writable: true,
      bytesWritten: true,
    });
  });
});
