/** Sockets and servers as node:net has them: node's own, ours on the engine, and ours that fell back. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import tls from 'node:tls';
import { describe, expect, test } from 'vitest';
import { EngineHandle } from '../../../lib/net/drop-in/handle.js';
import { netHarness, netImplementations } from '../../support/drop-in-net.js';
import { cert, key } from '../../support/tls.js';

const handleOf = (socket: Socket): unknown => (socket as unknown as { _handle: unknown })._handle;

describe.each(netImplementations)('sockets and servers on $name', (implementation) => {
  const on = netHarness(implementation);
  const { net, backend } = implementation;

  test('run where they should', async () => {
    const { near, far, server } = await on.pair();
    for (const socket of [near, far]) {
      expect(handleOf(socket) instanceof EngineHandle).toBe(backend === 'native');
      expect(socket).toBeInstanceOf(net.Socket);
    }
    expect(server).toBeInstanceOf(net.Server);
  });

  test('tell addresses, counts and states', async () => {
    const { near, far, server } = await on.pair();
    const { port } = server.address() as AddressInfo;
    expect([near.remotePort, near.remoteAddress, near.remoteFamily]).toEqual([port, '127.0.0.1', 'IPv4']);
    expect([near.localPort, near.localAddress]).toEqual([far.remotePort, '127.0.0.1']);
    expect(near.readyState).toBe('open');
    near.end('äöü');
    expect(near.readyState).toBe('readOnly');
    expect(await text(far)).toBe('äöü');
    await once(near, 'close');
    expect([near.bytesWritten, far.bytesRead]).toEqual([6, 6]);
    expect(near.readyState).toBe('closed');
  });

  test('carry every encoding', async () => {
    const { near, far } = await on.pair();
    near.write('é', 'latin1');
    near.write('é', 'utf8');
    near.write('6869', 'hex');
    near.write('hi', 'utf16le');
    near.cork();
    near.write('1');
    near.write(Buffer.from('2'));
    near.write('Mw==', 'base64');
    near.uncork();
    near.end(new Uint8Array([0x34]));
    const chunks: Buffer[] = [];
    for await (const chunk of far) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString('hex')).toBe(
      `e9c3a9${'6869'}${'68006900'}${Buffer.from('1234').toString('hex')}`,
    );
  });

  test('carry megabytes both ways, with backpressure', async () => {
    const bytes = randomBytes(8 * 1024 * 1024);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const { near, far } = await on.pair();
    far.pipe(far);
    const back = createHash('sha256');
    near.on('data', (chunk) => back.update(chunk));
    near.end(bytes);
    await once(near, 'end');
    expect(back.digest('hex')).toBe(digest);
  });

  test('a peer that does not read stops the writer, and lets it go on', async () => {
    const { near, far } = await on.pair();
    far.pause();
    const piece = Buffer.alloc(64 * 1024, 'x');
    let written = 0;
    while (near.writableLength < 1024 * 1024 && written < 256 * 1024 * 1024) {
      near.write(piece);
      written += piece.length;
      await turn();
    }
    expect(near.writableNeedDrain).toBe(true);
    expect(near.writableLength).toBeGreaterThanOrEqual(1024 * 1024);
    let received = 0;
    far.on('data', (chunk) => {
      received += chunk.length;
    });
    far.resume();
    await once(near, 'drain');
    near.end();
    await once(far, 'end');
    expect(received).toBe(written);
  });

  test('a reader that pauses holds back what comes', async () => {
    const { near, far } = await on.pair();
    far.pause();
    near.write(Buffer.alloc(4 * 1024 * 1024));
    await turn();
    await turn();
    await turn();
    expect(far.readableLength).toBeLessThanOrEqual(256 * 1024);
    near.end();
    let received = 0;
    far.on('data', (chunk) => {
      received += chunk.length;
    });
    far.resume();
    await once(far, 'end');
    expect(received).toBe(4 * 1024 * 1024);
  });

  test('what was written before destroy() arrives', async () => {
    const { near, far } = await on.pair();
    near.write('last words', () => near.destroy());
    expect(await text(far)).toBe('last words');
  });

  test('allowHalfOpen keeps our side', async () => {
    const { near, far } = await on.pair({ allowHalfOpen: true });
    let question = '';
    far.on('data', (chunk) => {
      question += String(chunk);
    });
    near.end('question');
    await once(far, 'end');
    expect(question).toBe('question');
    far.end('answer');
    expect(await text(near)).toBe('answer');
  });

  test('pauseOnConnect reads nothing until told', async () => {
    const { near, far } = await on.pair({ pauseOnConnect: true });
    near.end('waits');
    await turn();
    await turn();
    expect(far.readableLength).toBe(0);
    expect(await text(far)).toBe('waits');
  });

  test('resetAndDestroy is a reset to the peer', async () => {
    const { near, far } = await on.pair();
    const failed = once(far, 'error');
    far.resume();
    near.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET', syscall: 'read', errno: -104 });
    expect((await once(far, 'close'))[0]).toBe(true);
  });

  /**
   * Beside a silent socket whose timeout is armed after its own, the one with traffic is told later: the order of the two says so however slow the machine is.
   * Returns who was told, in order.
   */
  async function timeoutsBesideSilence(traffic: (near: Socket, far: Socket) => Promise<unknown>): Promise<string[]> {
    const { near, far } = await on.pair();
    const { near: silent } = await on.pair();
    const told: string[] = [];
    const silence = once(silent, 'timeout').then(() => told.push('silent'));
    const end = once(near, 'timeout').then(() => told.push('near'));
    near.setTimeout(40);
    silent.setTimeout(40);
    while (told.length === 0) await Promise.race([traffic(near, far), silence, end]);
    await Promise.all([silence, end]);
    return told;
  }

  test('setTimeout tells of silence, and not of writing', async () => {
    const told = await timeoutsBesideSilence(async (near, far) => {
      near.write('ping');
      await once(far.resume(), 'data');
    });
    expect(told).toEqual(['silent', 'near']);
  });

  test('setTimeout tells of silence, and not of receiving', async () => {
    // Where the process stands still until both are due, nothing can have come: then once more.
    const received = () =>
      timeoutsBesideSilence(async (near, far) => {
        far.write('ping');
        await once(near, 'data');
      });
    await expect.poll(received, { timeout: 10_000 }).toEqual(['silent', 'near']);
  });

  test('onread fills one buffer, and stops when told', async () => {
    const parts: string[] = [];
    const memory = Buffer.alloc(4);
    let isOpen = false;
    const { near, far } = await on.pair(
      {},
      {
        onread: {
          buffer: memory,
          callback(this: Socket, count: number, buffer: Buffer) {
            expect(buffer).toBe(memory);
            parts.push(buffer.toString('latin1', 0, count));
            return isOpen;
          },
        },
      },
    );
    far.end('hello world');
    await expect.poll(() => parts.length).toBe(1);
    await turn();
    expect(parts).toEqual(['hell']);
    isOpen = true;
    near.resume();
    await once(near, 'end');
    expect(parts.join('')).toBe('hello world');
  });

  test('unix sockets', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gammaloop-net-'));
    const path = join(folder, 'socket');
    const server = net.createServer((socket) => {
      socket.on('error', () => {}).end(`from ${String(socket.remoteAddress)}`);
    });
    server.listen(path);
    await once(server, 'listening');
    expect(server.address()).toBe(path);
    const client = on.track(net.connect(path));
    expect(await text(client)).toBe('from undefined');
    const second = on.track(net.connect(path));
    await once(second, 'connect');
    expect(() => second.resetAndDestroy()).toThrow(expect.objectContaining({ code: 'ERR_INVALID_HANDLE_TYPE' }));
    second.destroy();
    await new Promise((resolve) => server.close(resolve));
    const [error] = await once(on.track(net.connect(path)), 'error');
    expect(error).toMatchObject({ code: 'ENOENT', syscall: 'connect', address: path });
    rmSync(folder, { recursive: true });
  });

  test('the second address of a name is tried', async () => {
    const { server } = await on.pair();
    const { port } = server.address() as AddressInfo;
    const client = on.track(
      net.connect({
        port,
        host: 'two.example',
        autoSelectFamily: true,
        lookup: (_name, _options, done) =>
          (done as (error: null, found: object[]) => void)(null, [
            { address: '::1', family: 6 },
            { address: '127.0.0.1', family: 4 },
          ]),
      }),
    );
    await once(client, 'connect');
    expect(client.remoteAddress).toBe('127.0.0.1');
    expect(
      (client as unknown as { autoSelectFamilyAttemptedAddresses: string[] }).autoSelectFamilyAttemptedAddresses,
    ).toEqual([`::1:${port}`, `127.0.0.1:${port}`]);
    expect(handleOf(client) instanceof EngineHandle).toBe(backend === 'native');
  });

  test("failures have node's messages", async () => {
    const { server } = await on.pair();
    const { port } = server.address() as AddressInfo;
    server.close();
    const [refused] = await once(on.track(net.connect(1, '127.0.0.1')), 'error');
    expect(refused).toMatchObject({
      message: 'connect ECONNREFUSED 127.0.0.1:1',
      code: 'ECONNREFUSED',
      address: '127.0.0.1',
      port: 1,
    });
    const bound = on.track(net.connect({ port, host: '127.0.0.1', localAddress: '192.0.2.1' }));
    expect((await once(bound, 'error'))[0]).toMatchObject({ code: 'EADDRNOTAVAIL', syscall: 'bind' });
    const second = net.createServer();
    const first = await on.serve({}, () => {});
    second.listen((first.address() as AddressInfo).port, '127.0.0.1');
    expect((await once(second, 'error'))[0]).toMatchObject({ code: 'EADDRINUSE', syscall: 'listen' });
    expect(() => net.connect({} as never)).toThrow(expect.objectContaining({ code: 'ERR_MISSING_ARGS' }));
    const aborted = on.track(net.connect({ port: 1, host: '127.0.0.1', signal: AbortSignal.abort() } as never));
    expect((await once(aborted, 'error'))[0]).toMatchObject({ name: 'AbortError' });
  });

  test('a socket connects again after it was closed', async () => {
    const server = await on.serve({}, (socket) => socket.end('again'));
    const { port } = server.address() as AddressInfo;
    const socket = on.track(new net.Socket());
    for (let i = 0; i < 3; i++) {
      socket.connect(port, '127.0.0.1');
      await once(socket, 'data');
      await once(socket, 'close');
    }
  });

  test('maxConnections, getConnections and close', async () => {
    const { server, near, far } = await on.pair();
    server.maxConnections = 1;
    const dropped = once(server, 'drop');
    const refused = on.track(net.connect((server.address() as AddressInfo).port, '127.0.0.1'));
    refused.on('error', () => {});
    expect((await dropped)[0]).toMatchObject({ remoteAddress: '127.0.0.1', localAddress: '127.0.0.1' });
    await once(refused, 'close');
    const count = await new Promise((resolve) => server.getConnections((_error, found) => resolve(found)));
    expect(count).toBe(1);
    const closed = once(server, 'close');
    server.close();
    near.end();
    far.end();
    far.resume();
    await closed;
  });

  test('keep the async context of connect and listen', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const server = await storage.run('server', () =>
      on.serve({}, (socket) => {
        seen.push(storage.getStore());
        socket.on('data', () => socket.end('x'));
      }),
    );
    const client = await storage.run('client', () => on.connect(server));
    await new Promise<void>((resolve) => {
      client.on('data', () => seen.push(storage.getStore())).on('close', () => resolve());
      client.write('x');
    });
    expect(seen).toEqual(['server', 'client']);
  });

  test('TLS over both ends of a connection, and over one that is being made', async () => {
    const server = await on.serve({}, (socket) => {
      socket.once('data', (hello) => {
        expect(String(hello)).toBe('STARTTLS');
        socket.write('OK');
        const secure = on.track(new tls.TLSSocket(socket, { isServer: true, key, cert }));
        secure.on('data', (data) => secure.end(`secure ${String(data)}`));
      });
    });
    const plain = await on.connect(server);
    plain.write('STARTTLS');
    await once(plain, 'data');
    const secure = on.track(tls.connect({ socket: plain, rejectUnauthorized: false }));
    await once(secure, 'secureConnect');
    secure.write('hello');
    expect(await text(secure)).toBe('secure hello');
    const direct = await on.serve({}, (socket) => {
      on.track(new tls.TLSSocket(socket, { isServer: true, key, cert })).end('at once');
    });
    const early = on.track(net.connect((direct.address() as AddressInfo).port, '127.0.0.1'));
    expect(await text(on.track(tls.connect({ socket: early, rejectUnauthorized: false })))).toBe('at once');
  });
});
