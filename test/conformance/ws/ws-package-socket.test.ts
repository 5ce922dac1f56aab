/** gammaloop/ws and the socket below it: what `ws` programs do to `_socket`, how both end, and what was read before there was a WebSocket. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import gammaloopHttp from '../../../lib/drop-in/http.js';
import { WebSocket, WebSocketServer } from '../../../lib/drop-in/ws/index.js';
import { carriers, connected, packageServers } from './package-servers.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { text, binary, continuation, ping } = opcodes;

describe.each(carriers)('gammaloop/ws and its socket, on $name', (carrier) => {
  const { listen, track } = packageServers(carrier);
  const clients: WsClient[] = [];
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  async function pair(wss: WebSocketServer, port: number): Promise<[WebSocket, Socket, WsClient]> {
    const connection = connected(wss);
    const client = await WsClient.open(port);
    clients.push(client);
    const socket = await connection;
    return [socket, socket._socket as Socket, client];
  }

  const once = (emitter: NodeJS.EventEmitter, name: string): Promise<unknown[]> =>
    new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

  test('handleUpgrade later, on another server: what came meanwhile is read first, and in order', async () => {
    const wss = track(new WebSocketServer({ noServer: true }));
    const http: Server = carrier.backend === 'native' ? gammaloopHttp.createServer() : createServer();
    let upgrade = (): void => {};
    http.on('upgrade', (request, socket, head) => {
      if (!carrier.isNative) socket.write = socket.write.bind(socket);
      upgrade = () => wss.handleUpgrade(request, socket, head, (opened) => wss.emit('connection', opened, request));
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const received: string[] = [];
    wss.on('connection', (socket) => socket.on('message', (data: Buffer) => received.push(data.toString())));
    const early = Array.from({ length: 300 }, (_, i) => frame(text, `${i} ${'x'.repeat(997)}`));
    const upgraded = once(http, 'upgrade');
    const opened = WsClient.open((http.address() as AddressInfo).port, { behind: frame(text, 'head') });
    const [, socket] = (await upgraded) as [unknown, Socket];
    // All that the socket takes without being read.
    const client = await new Promise<Socket>((resolve) => http.getConnections(() => resolve(socket)));
    expect(client.destroyed).toBe(false);
    upgrade();
    const peer = await opened;
    clients.push(peer);
    peer.send(...early, closeFrame(1000));
    expect(await peer.closed()).toEqual({ code: 1000, reason: '' });
    expect(received).toEqual(['head', ...early.map((_, i) => `${i} ${'x'.repeat(997)}`)]);
    await new Promise((resolve) => http.close(resolve));
  });

  test('a socket that was paused by the request before reads again', async () => {
    const wss = track(new WebSocketServer({ noServer: true }));
    const http: Server = carrier.backend === 'native' ? gammaloopHttp.createServer() : createServer();
    http.on('request', (request, response) => {
      request.socket.pause();
      response.end();
    });
    http.on('upgrade', (request, socket, head) => {
      if (!carrier.isNative) socket.write = socket.write.bind(socket);
      wss.handleUpgrade(request, socket, head, (opened) => wss.emit('connection', opened, request));
    });
    wss.on('connection', (socket) => socket.on('message', (data: Buffer) => socket.close(1000, data.toString())));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const client = await WsClient.connect((http.address() as AddressInfo).port);
    clients.push(client);
    client.socket.write(
      'GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    expect(await client.readHead()).toMatch(/^HTTP\/1.1 200 /);
    expect(await client.readHead()).toMatch(/^HTTP\/1.1 101 /);
    client.send(frame(text, 'again'));
    expect(await client.closed({ answers: true })).toEqual({ code: 1000, reason: 'again' });
    await new Promise((resolve) => http.close(resolve));
  });

  test('closing: the socket ends, then closes, and then the WebSocket', async () => {
    const { wss, port } = await listen();
    const [socket, below, client] = await pair(wss, port);
    const order: string[] = [];
    for (const name of ['finish', 'end', 'close']) below.on(name, () => order.push(name));
    const closed = once(socket, 'close').then((args) => order.push('WebSocket') && args);
    client.send(frame(text, 'last'), closeFrame(3000, 'enough'));
    expect(await client.closed()).toEqual({ code: 3000, reason: 'enough' });
    expect(await closed).toEqual([3000, Buffer.from('enough')]);
    expect(order.filter((name) => name !== 'end' && name !== 'finish')).toEqual(['close', 'WebSocket']);
    expect(order).toContain('finish');
    expect(below.destroyed).toBe(true);
    expect(socket.readyState).toBe(WebSocket.CLOSED);
  });

  test('bytes: written by hand in their place, counted, and shown to who listens', async () => {
    const { wss, port } = await listen();
    const [socket, below, client] = await pair(wss, port);
    const shown: Buffer[] = [];
    below.prependListener('data', (chunk: Buffer) => shown.push(Buffer.from(chunk)));
    const readBefore = below.bytesRead;
    const writtenBefore = below.bytesWritten;
    socket.send('one');
    await new Promise((resolve) => setImmediate(resolve));
    below.write(Buffer.from([0x81, 3, 0x74, 0x77, 0x6f]));
    await new Promise((resolve) => setImmediate(resolve));
    socket.send('three');
    expect([await client.text(), await client.text(), await client.text()]).toEqual(['one', 'two', 'three']);
    expect(below.bytesWritten - writtenBefore).toBe(5 + 5 + 7);
    const wire = Buffer.concat([frame(text, 'seen'), frame(binary, Buffer.alloc(70_000))]);
    const messages = new Promise<void>((resolve) =>
      socket.on('message', (data: Buffer) => data.length > 4 && resolve()),
    );
    client.send(wire);
    await messages;
    expect(below.bytesRead - readBefore).toBe(wire.length);
    expect(Buffer.concat(shown)).toEqual(wire);
    expect(below.remotePort).toBe(client.socket.localPort);
  });

  test('socket.destroy() and socket.end() under it: 1006', async () => {
    const { wss, port } = await listen();
    const [first, below, client] = await pair(wss, port);
    const closed = once(first, 'close');
    first.send('before');
    await new Promise((resolve) => setImmediate(resolve));
    below.destroy();
    expect(await client.text()).toBe('before');
    expect(await client.next()).toBeNull();
    expect(await closed).toEqual([1006, Buffer.alloc(0)]);
    const [second, other, peer] = await pair(wss, port);
    const ended = once(second, 'close');
    other.end();
    expect(await peer.next()).toBeNull();
    peer.socket.end();
    expect(await ended).toEqual([1006, Buffer.alloc(0)]);
  });

  test('a peer that vanishes, in order or by reset: 1006 and no error', async () => {
    const { wss, port } = await listen();
    for (const vanish of [(peer: Socket) => peer.end(), (peer: Socket) => peer.resetAndDestroy()]) {
      const [socket, , client] = await pair(wss, port);
      const errors: unknown[] = [];
      socket.on('error', (error) => errors.push(error));
      const closed = once(socket, 'close');
      client.send(frame(text, 'x', { fin: false }));
      vanish(client.socket);
      expect(await closed).toEqual([1006, Buffer.alloc(0)]);
      expect(errors).toEqual([]);
    }
  });

  test('pause() holds what comes, also on the socket, until resume()', async () => {
    const { wss, port } = await listen();
    const [socket, below, client] = await pair(wss, port);
    const seen: string[] = [];
    socket.on('message', (data: Buffer) => seen.push(data.toString()));
    for (const target of [socket, below]) {
      target.pause();
      expect(below.isPaused()).toBe(true);
      // What is on its way to us is not counted as having come.
      await new Promise((resolve) => setImmediate(resolve));
      client.send(frame(text, 'held'), frame(ping, 'p'));
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(seen).toEqual([]);
      target.resume();
      expect(below.isPaused()).toBe(false);
      expect((await client.next())?.payload.toString()).toBe('p');
      await expect.poll(() => seen).toEqual(['held']);
      seen.length = 0;
    }
  });

  test('without allowSynchronousEvents each event has a turn of the loop, also the last ones', async () => {
    const { wss, port } = await listen({ allowSynchronousEvents: false });
    const [socket, , client] = await pair(wss, port);
    const seen: unknown[] = [];
    let turn = 0;
    const count = (): void => {
      turn++;
      if (seen.at(-1) !== 'close') setImmediate(count);
    };
    count();
    const turns = new Set<number>();
    const note = (event: unknown): void => {
      seen.push(event);
      turns.add(turn);
    };
    socket.on('message', (data: Buffer) => note(data.toString()));
    socket.on('ping', () => note('ping'));
    const closed = once(socket, 'close').then(() => seen.push('close'));
    client.send(
      frame(text, 'a'),
      frame(text, 'b', { fin: false }),
      frame(ping),
      frame(continuation, 'c'),
      closeFrame(),
    );
    expect(await client.closed()).toEqual({ code: 1005, reason: '' });
    await closed;
    expect(seen).toEqual(['a', 'ping', 'bc', 'close']);
    expect(turns.size).toBe(3);
  });

  test('server.close() leaves the open ones alone, and the HTTP server waits for them', async () => {
    const { wss, port } = await listen();
    const [socket, , client] = await pair(wss, port);
    let isClosed = false;
    const closed = new Promise<void>((resolve) =>
      wss.close(() => {
        isClosed = true;
        resolve();
      }),
    );
    socket.on('message', (data: Buffer) => socket.send(data.toString()));
    client.send(frame(text, 'still here'));
    expect(await client.text()).toBe('still here');
    expect(isClosed).toBe(false);
    client.send(closeFrame(1000));
    expect((await client.closed())?.code).toBe(1000);
    await closed;
  });

  test("events have the async context of the socket's, as those of ws, and no other connection's", async () => {
    const storage = new AsyncLocalStorage<string>();
    const { wss, port } = await listen();
    const seen: unknown[] = [];
    wss.on('connection', (socket: WebSocket, request) => {
      storage.run(request.url as string, () => {
        socket.on('message', (data: Buffer) => {
          seen.push(storage.getStore());
          storage.run(`message ${data}`, () => socket.send(data.toString(), () => seen.push(storage.getStore())));
        });
      });
    });
    const [one, two] = [await WsClient.open(port, { path: '/one' }), await WsClient.open(port, { path: '/two' })];
    clients.push(one, two);
    // Several messages of one batch, and of two connections in one turn.
    one.send(frame(text, '1'), frame(text, '2'));
    two.send(frame(text, '3'));
    expect([await one.text(), await one.text(), await two.text()]).toEqual(['1', '2', '3']);
    await expect.poll(() => seen.length).toBe(6);
    const callbacks = seen.filter((store) => store !== undefined);
    expect(callbacks.sort()).toEqual(['message 1', 'message 2', 'message 3']);
    expect(seen.filter((store) => store === undefined)).toHaveLength(3);
  });

  test('many, opened and ended in every way, at once: nothing is left of them', async () => {
    const { wss, port } = await listen();
    let closes = 0;
    wss.on('connection', (socket: WebSocket) => {
      socket.on('error', () => {});
      socket.on('close', () => closes++);
      socket.on('message', (data: Buffer) => {
        if (data.toString() === 'terminate') socket.terminate();
        else if (data.toString() === 'close') socket.close(1000);
        else socket.send(data.toString());
      });
    });
    const ways: ((client: WsClient) => void)[] = [
      (client) => client.send(closeFrame(1000)),
      (client) => client.send(frame(text, 'terminate')),
      (client) => client.send(frame(text, 'close')).send(closeFrame(1000)),
      (client) => client.send(frame(3)),
      (client) => client.socket.resetAndDestroy(),
      (client) => client.socket.end(),
    ];
    for (let round = 0; round < 5; round++) {
      const opened = await Promise.all(ways.map(() => WsClient.open(port)));
      clients.push(...opened);
      for (const [i, client] of opened.entries()) {
        client.socket.on('end', () => client.socket.end());
        (ways[i] as (client: WsClient) => void)(client);
      }
    }
    await expect.poll(() => closes).toBe(5 * ways.length);
    expect(wss.clients?.size).toBe(0);
  });
});
