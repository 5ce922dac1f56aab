/** Transports and protocols, on both backends: what asyncio promises of them. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect as nodeConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type BufferedProtocol, connectProtocol, listen, type Transport } from '../../../lib/net/index.js';
import { moveOnAfter } from '../../../lib/scope/index.js';
import { backends } from '../../support/backends.js';
import { UNRESOLVABLE } from '../../support/unresolvable.js';
import { Recorder, world } from './support.js';

describe.each(backends)('transports on the %s backend', (backend) => {
  const it = world(backend);

  test('made, data, end, lost: in this order, and once', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    expect(client.log).toEqual(['made']);
    client.transport?.write('hello ');
    client.transport?.write(Buffer.from('wörld'));
    await server.until(() => Buffer.from(server.text, 'latin1').toString() === 'hello wörld');
    server.transport?.write('answer');
    await client.until(() => client.text === 'answer');
    client.transport?.close();
    client.transport?.close();
    expect(client.transport?.isClosing).toBe(true);
    await Promise.all([client.has('lost'), server.has('lost')]);
    expect(server.log).toEqual(['made', 'data', 'eof', 'lost']);
    expect(client.log).toEqual(['made', 'data', 'lost']);
    expect([server.lost, client.lost]).toEqual([null, null]);
    expect(client.transport?.bytesWritten).toBe(12);
    expect(client.transport?.bytesRead).toBe(6);
    client.transport?.write('late');
  });

  test('knows both ends', async () => {
    const { server, client, listener } = await it.pair(new Recorder(), new Recorder());
    await server.has('made');
    const { remote, local } = client.transport as Transport;
    expect(remote).toEqual({ address: '127.0.0.1', port: listener.port, family: 'IPv4' });
    expect(server.transport?.remote).toEqual(local);
    expect(server.transport?.local).toEqual(remote);
    expect(listener.transports.size).toBe(1);
    expect(client.transport?.setNoDelay().setKeepAlive(true, 10).unref().ref()).toBe(client.transport);
  });

  test('a protocol that keeps its side open goes on writing after the end of the other', async () => {
    const server = new Recorder();
    server.keepsOpen = true;
    const { client } = await it.pair(server, new Recorder());
    client.transport?.write('question');
    client.transport?.writeEof();
    client.transport?.writeEof();
    expect(() => client.transport?.write('more')).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_CLOSED' }));
    await server.has('eof');
    expect(server.text).toBe('question');
    server.transport?.write('late answer');
    server.transport?.close();
    await Promise.all([client.has('lost'), server.has('lost')]);
    expect(client.text).toBe('late answer');
    expect(client.log).toEqual(['made', 'data', 'eof', 'lost']);
  });

  test('close sends what was written, however much', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    const bytes = Buffer.alloc(5_000_000, 'abcdefghij');
    client.transport?.write(bytes);
    client.transport?.close();
    await Promise.all([server.has('lost'), client.has('lost')]);
    expect(server.text.length).toBe(bytes.length);
    expect(createHash('md5').update(server.text, 'latin1').digest('hex')).toBe(
      createHash('md5').update(bytes).digest('hex'),
    );
  });

  test('what was written is a copy', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    const bytes = Buffer.from('first');
    client.transport?.write(bytes);
    bytes.write('other');
    await server.until(() => server.text.length === 5);
    expect(server.text).toBe('first');
    client.transport?.writeMany(['a', Buffer.from('b'), '', 'c']);
    await server.until(() => server.text === 'firstabc');
  });

  test('abort loses what waits; reset is seen as a reset', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    const mine = new Error('mine');
    client.transport?.abort(mine);
    client.transport?.abort();
    await Promise.all([client.has('lost'), server.has('lost')]);
    expect(client.lost).toBe(mine);
    const second = await it.pair(new Recorder(), new Recorder());
    second.client.transport?.write('x');
    await second.server.has('data');
    second.client.transport?.reset();
    await second.server.has('lost');
    expect(second.server.lost).toMatchObject({ code: 'ECONNRESET' });
    await second.client.has('lost');
    expect(second.client.lost).toBe(null);
  });

  test('writing is paused above the high watermark, and goes on below the low one', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    await server.has('made');
    server.transport?.pauseReading();
    client.transport?.setWriteBufferLimits({ high: 100_000, low: 1000 });
    expect(client.transport?.getWriteBufferLimits()).toEqual({ high: 100_000, low: 1000 });
    const block = Buffer.alloc(64 * 1024, 'w');
    let written = 0;
    while (!client.log.includes('pause')) {
      client.transport?.write(block);
      written += block.length;
      await new Promise((done) => setImmediate(done));
    }
    expect(client.transport?.writeBufferSize()).toBeGreaterThan(100_000);
    expect(client.log).not.toContain('resume');
    server.transport?.resumeReading();
    await client.has('resume');
    await server.until(() => server.text.length === written);
    expect(client.log).toEqual(['made', 'pause', 'resume']);
    expect(client.transport?.writeBufferSize()).toBe(0);
    expect(() => client.transport?.setWriteBufferLimits({ high: 1, low: 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }),
    );
  });

  test('nothing is received while reading is paused, and nothing is lost', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    await server.has('made');
    server.transport?.pauseReading();
    server.transport?.pauseReading();
    expect(server.transport?.isReading).toBe(false);
    client.transport?.write('held');
    client.transport?.close();
    await client.has('lost');
    for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
    expect(server.log).toEqual(['made']);
    server.transport?.resumeReading();
    await server.has('lost');
    expect(server.log).toEqual(['made', 'data', 'eof', 'lost']);
    expect(server.text).toBe('held');
    expect(server.lost).toBe(null);
  });

  test('a protocol may pause in the middle of what comes', async () => {
    class OneByOne extends Recorder {
      override dataReceived(data: Buffer): void {
        super.dataReceived(data);
        this.transport?.pauseReading();
        setImmediate(() => this.transport?.resumeReading());
      }
    }
    const { server, client } = await it.pair(new OneByOne(), new Recorder());
    const bytes = Buffer.alloc(3_000_000, '0123456789');
    client.transport?.write(bytes);
    client.transport?.close();
    await server.has('lost');
    expect(server.text === bytes.toString()).toBe(true);
  });

  test('a buffered protocol lends its memory', async () => {
    const memory = Buffer.alloc(1000);
    class Lending extends Recorder implements BufferedProtocol {
      hints: number[] = [];
      getBuffer(sizeHint: number): Uint8Array {
        this.hints.push(sizeHint);
        return memory;
      }
      bufferUpdated(byteCount: number): void {
        super.dataReceived(memory.subarray(0, byteCount));
      }
    }
    const { server, client } = await it.pair(new Lending(), new Recorder());
    const bytes = Buffer.alloc(50_000, 'lent.');
    client.transport?.write(bytes);
    client.transport?.close();
    await server.has('lost');
    expect(server.text === bytes.toString()).toBe(true);
    expect(server.hints.every((hint) => hint >= 1)).toBe(true);
  });

  test('setProtocol hands the connection on', async () => {
    const { server, client } = await it.pair(new Recorder(), new Recorder());
    await server.has('made');
    const successor = new Recorder();
    server.transport?.setProtocol(successor);
    expect(server.transport?.protocol).toBe(successor);
    client.transport?.write('for the second');
    await successor.until(() => successor.text === 'for the second');
    client.transport?.close();
    await successor.has('lost');
    expect(server.log).toEqual(['made']);
  });

  test('what a protocol throws aborts its connection, and no other', async () => {
    const uncaught: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => uncaught.push(error));
    try {
      class Throwing extends Recorder {
        override dataReceived(): void {
          throw new Error('broken protocol');
        }
      }
      const protocols = [new Throwing(), new Recorder()];
      const listener = await it.listen(() => protocols[listener.transports.size - 1] as Recorder);
      const first = await it.connect(listener, new Recorder());
      await protocols[0]?.has('made');
      const second = await it.connect(listener, new Recorder());
      first.transport?.write('x');
      await Promise.all([first.has('lost'), protocols[0]?.has('lost')]);
      expect(protocols[0]?.lost).toMatchObject({ message: 'broken protocol' });
      second.transport?.write('fine');
      await protocols[1]?.until(() => protocols[1]?.text === 'fine');
      expect(uncaught).toMatchObject([{ message: 'broken protocol' }]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  test('connections run in the context of the call that made them', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    class Seeing extends Recorder {
      override dataReceived(data: Buffer): void {
        seen.push(storage.getStore());
        super.dataReceived(data);
      }
    }
    const listener = await storage.run('server', () => it.listen(() => new Seeing()));
    const client = await storage.run('client', () => it.connect(listener, new Seeing()));
    client.transport?.write('x');
    const [transport] = [...listener.transports];
    const peer = (transport ?? client.transport)?.protocol as Recorder;
    await peer.until(() => seen.length === 1);
    for (const { protocol } of listener.transports) (protocol as Recorder).transport?.write('y');
    await client.until(() => client.text === 'y');
    expect(seen).toEqual(['server', 'client']);
  });

  test('unix sockets', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gammaloop-net-'));
    const path = join(folder, 's');
    const server = new Recorder();
    const listener = await it.listen(() => server, { path });
    expect(listener.address()).toBe(path);
    const client = await it.connect(listener, new Recorder());
    client.transport?.write('local');
    await server.until(() => server.text === 'local');
    expect(client.transport?.remote).toEqual({ address: undefined, port: undefined, family: undefined });
    client.transport?.close();
    await server.has('lost');
    await listener.close();
    rmSync(folder, { recursive: true });
  });

  test('IPv6, a local address, and names', async () => {
    const server = new Recorder();
    const listener = await it.listen(() => server, { hostname: '::1' });
    const client = await it.connect(listener, new Recorder());
    expect(client.transport?.remote).toEqual({ address: '::1', port: listener.port, family: 'IPv6' });
    const second = await it.listen(() => new Recorder());
    const bound = await it.connect(second, new Recorder(), { localAddress: '127.0.0.3' });
    expect(bound.transport?.local.address).toBe('127.0.0.3');
    // The server listens on one family of the name alone.
    const named = await it.connect(second, new Recorder(), { hostname: 'localhost' });
    expect(named.transport?.remote.port).toBe(second.port);
  });

  test("failures to connect are told by node's codes", async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as { port: number };
    await new Promise((done) => closed.close(done));
    const factory = () => new Recorder();
    await expect(connectProtocol({ port, hostname: '127.0.0.1', backend }, factory)).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'ECONNREFUSED',
      syscall: 'connect',
      address: '127.0.0.1',
      port,
    });
    await expect(connectProtocol({ path: '/nowhere/socket', backend }, factory)).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(connectProtocol({ port, hostname: UNRESOLVABLE, backend }, factory)).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'ENOTFOUND',
      syscall: 'getaddrinfo',
    });
    for (const options of [
      {},
      { port, path: '/x' },
      { port: -1 },
      { port, localAddress: 'x' },
      { port, nonsense: 1 },
    ]) {
      await expect(connectProtocol({ ...options, backend } as never, factory)).rejects.toMatchObject({
        code: 'ERR_GAMMALOOP_OPTION',
      });
    }
    await expect(listen({ port: 1, path: '/x', backend }, factory)).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_OPTION',
    });
    const listener = await it.listen(factory);
    await expect(listen({ port: listener.port, hostname: '127.0.0.1', backend }, factory)).rejects.toMatchObject({
      name: 'ListenError',
      code: 'EADDRINUSE',
    });
  });

  test('a factory that throws refuses its connection', async () => {
    const listener = await it.listen(() => new Recorder());
    const refused = connectProtocol({ port: listener.port, hostname: '127.0.0.1', backend }, () => {
      throw new Error('no protocol');
    });
    await expect(refused).rejects.toThrow('no protocol');
  });

  test('connecting is given up with the scope, by a signal, and in time', async () => {
    // A listener whose queue is full answers nobody.
    const full = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 });
    await once(full, 'listening');
    const { fd } = (full as unknown as { _handle: { fd: number } })._handle;
    expect(fd).toBeGreaterThan(0);
    const { port } = full.address() as { port: number };
    const target = { port, hostname: '127.0.0.1', backend };
    const factory = () => new Recorder();
    await expect(connectProtocol({ ...target, signal: AbortSignal.abort() }, factory)).rejects.toMatchObject({
      name: 'AbortError',
    });
    const outcome = await moveOnAfter(0, async () => {
      await connectProtocol(target, factory);
    });
    expect(outcome.cancelled).toBe(true);
    full.close();
  });

  test('close() waits for the connections, or cuts them', async () => {
    const { server, client, listener } = await it.pair(new Recorder(), new Recorder());
    await server.has('made');
    const closed = listener.close();
    let isClosed = false;
    void closed.then(() => {
      isClosed = true;
    });
    client.transport?.write('still open');
    await server.until(() => server.text === 'still open');
    expect(isClosed).toBe(false);
    const refused = connectProtocol({ port: listener.port, hostname: '127.0.0.1', backend }, () => new Recorder());
    await expect(refused).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await listener.close({ deadline: 0 });
    await client.has('lost');
    expect(server.lost).toBe(null);
  });

  test('what is longer than a timer goes is never', async () => {
    const server = new Recorder();
    const listener = await it.listen(() => server);
    const client = await it.connect(listener, new Recorder(), { timeout: Number.POSITIVE_INFINITY });
    await server.has('made');
    const closed = listener.close({ deadline: Number.POSITIVE_INFINITY });
    // Longer than the shortest timer, which it would be else.
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(server.lost).toBe(undefined);
    client.transport?.close();
    await closed;
  });

  test('maxConnections closes what is too many', async () => {
    const listener = await it.listen(() => new Recorder(), { maxConnections: 1 });
    const first = await it.connect(listener, new Recorder());
    const second = await it.connect(listener, new Recorder());
    await second.has('lost');
    first.transport?.close();
    await first.has('lost');
  });

  test('speaks with node:net', async () => {
    const server = new Recorder();
    const listener = await it.listen(() => server);
    const socket = nodeConnect(listener.port, '127.0.0.1');
    socket.end('from node');
    await server.has('lost');
    expect(server.text).toBe('from node');
    expect(server.lost).toBe(null);
  });
});
