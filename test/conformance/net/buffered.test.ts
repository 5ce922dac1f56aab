/** Protocols with memory of their own, on both backends. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { BufferedProtocol } from '../../../lib/net/index.js';
import { backends } from '../../support/backends.js';
import { Recorder, world } from './support.js';

/** Lends what `memory` gives, and hashes what comes. */
class Lending extends Recorder implements BufferedProtocol {
  readonly hash = createHash('md5');
  byteCount = 0;
  updates = 0;
  current: Uint8Array = new Uint8Array(0);

  readonly memory: () => Uint8Array;

  constructor(memory: () => Uint8Array) {
    super();
    this.memory = memory;
  }

  getBuffer(_sizeHint: number): Uint8Array {
    this.current = this.memory();
    return this.current;
  }

  bufferUpdated(byteCount: number): void {
    this.updates++;
    this.byteCount += byteCount;
    this.hash.update(this.current.subarray(0, byteCount));
    this.dataReceived(Buffer.alloc(0));
  }
}

const pattern = (byteCount: number, start: string) => Buffer.alloc(byteCount, `${start}0123456789`);
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

describe.each(backends)('buffered protocols on the %s backend', (backend) => {
  const it = world(backend);

  test('many connections share one memory', async () => {
    const memory = new Uint8Array(10_000);
    const servers: Lending[] = [];
    const listener = await it.listen(() => {
      const protocol = new Lending(() => memory);
      servers.push(protocol);
      return protocol;
    });
    const sent = Array.from({ length: 20 }, (_, index) => pattern(300_000 + index, `of ${index} `));
    const clients = await Promise.all(sent.map(() => it.connect(listener, new Recorder())));
    for (let at = 0; at < 310_000; at += 31_000) {
      for (const [index, client] of clients.entries()) {
        client.transport?.write((sent[index] as Buffer).subarray(at, at + 31_000));
      }
    }
    for (const client of clients) client.transport?.writeEof();
    await Promise.all(clients.map((client) => client.has('lost')));
    await Promise.all(servers.map((server) => server.has('lost')));
    expect(servers.map((server) => server.hash.digest('hex')).sort()).toEqual(sent.map(md5).sort());
    for (const server of servers) expect(server.transport?.bytesRead).toBe(server.byteCount);
  });

  test.each([1, 7, 65_536, 1_000_000])('memory of %i bytes', async (size) => {
    const { server, client } = await it.pair(new Lending(() => new Uint8Array(size)), new Recorder());
    const bytes = pattern(Math.min(400_000, size * 500), 'x');
    client.transport?.write(bytes);
    client.transport?.close();
    await server.has('lost');
    expect(server.log).toEqual(['made', 'data', 'eof', 'lost']);
    expect(server.hash.digest('hex')).toBe(md5(bytes));
  });

  test('what is sent back from the memory is what was received', async () => {
    class Echo extends Lending {
      override bufferUpdated(byteCount: number): void {
        this.transport?.write(this.current.subarray(0, byteCount));
        this.current.fill(0, 0, byteCount);
      }
    }
    const memory = Buffer.alloc(200_000);
    const { client } = await it.pair(new Echo(() => memory), new Lending(() => new Uint8Array(50_000)));
    const bytes = pattern(3_000_000, 'echo');
    client.transport?.write(bytes);
    client.transport?.writeEof();
    await client.has('lost');
    expect(client.hash.digest('hex')).toBe(md5(bytes));
  });

  test('pausing in bufferUpdated stops it, and nothing is lost', async () => {
    class Pausing extends Lending {
      paused = false;
      override bufferUpdated(byteCount: number): void {
        expect(this.paused).toBe(false);
        super.bufferUpdated(byteCount);
        this.paused = true;
        this.transport?.pauseReading();
        setImmediate(() => {
          this.paused = false;
          this.transport?.resumeReading();
        });
      }
    }
    const { server, client } = await it.pair(new Pausing(() => new Uint8Array(60_000)), new Recorder());
    const bytes = pattern(2_000_000, 'paused');
    client.transport?.write(bytes);
    client.transport?.close();
    await server.has('lost');
    expect(server.hash.digest('hex')).toBe(md5(bytes));
    expect(server.updates).toBeGreaterThan(1);
  });

  test('the kind of protocol may change at any time', async () => {
    const parts: Buffer[] = [];
    let turns = 0;
    class Plain extends Recorder {
      override dataReceived(data: Buffer): void {
        parts.push(Buffer.from(data));
        if (++turns % 3 === 0) this.transport?.setProtocol(lending);
      }
    }
    const plain = new Plain();
    const memory = new Uint8Array(5000);
    const lending: BufferedProtocol = {
      getBuffer: () => memory,
      bufferUpdated(byteCount) {
        parts.push(Buffer.from(memory.subarray(0, byteCount)));
        if (++turns % 2 === 0) plain.transport?.setProtocol(plain);
      },
      connectionLost: (error) => plain.connectionLost(error),
    };
    const { client } = await it.pair(plain, new Recorder());
    const bytes = pattern(1_500_000, 'changing');
    client.transport?.write(bytes);
    client.transport?.close();
    await plain.has('lost');
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
  });

  test('what came before the end of a connection that breaks is received, and then that', async () => {
    const { server, client } = await it.pair(new Lending(() => new Uint8Array(100)), new Recorder());
    client.transport?.write('before');
    await server.until(() => server.byteCount === 6);
    client.transport?.reset();
    await server.has('lost');
    expect(server.lost).toMatchObject({ code: 'ECONNRESET' });
  });

  test.each([
    ['nothing', () => undefined],
    ['no bytes', () => new Uint8Array(0)],
    [
      'detached memory',
      () => {
        const memory = new Uint8Array(8);
        structuredClone(memory.buffer, { transfer: [memory.buffer] });
        return memory;
      },
    ],
    ['what only looks like memory', () => Object.create(Uint8Array.prototype, { length: { value: 8 } })],
    [
      'an exception',
      () => {
        throw new Error('no memory');
      },
    ],
  ])('a protocol that lends %s loses its connection, and no other does', async (_, memory) => {
    const uncaught: Error[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => uncaught.push(error));
    try {
      const { server, client } = await it.pair(new Lending(memory as () => Uint8Array), new Recorder());
      const other = await it.pair(new Lending(() => new Uint8Array(10)), new Recorder());
      client.transport?.write('x');
      await Promise.all([client.has('lost'), server.has('lost')]);
      expect(uncaught).toHaveLength(1);
      expect(server.lost).toBe(uncaught[0]);
      other.client.transport?.write('fine');
      await other.server.until(() => other.server.byteCount === 4);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  test('closing from getBuffer receives nothing more', async () => {
    class Closing extends Lending {
      override getBuffer(sizeHint: number): Uint8Array {
        this.transport?.close();
        return super.getBuffer(sizeHint);
      }
    }
    const { server, client } = await it.pair(new Closing(() => new Uint8Array(100)), new Recorder());
    client.transport?.write('x');
    await Promise.all([client.has('lost'), server.has('lost')]);
    if (backend === 'native') expect(server.updates).toBe(0);
    expect(server.lost).toBeNull();
  });

  test('both methods run in the context of the connection', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen = new Set<string | undefined>();
    class Seeing extends Lending {
      override getBuffer(sizeHint: number): Uint8Array {
        seen.add(storage.getStore());
        return super.getBuffer(sizeHint);
      }
      override bufferUpdated(byteCount: number): void {
        seen.add(storage.getStore());
        super.bufferUpdated(byteCount);
      }
    }
    const server = new Seeing(() => new Uint8Array(4));
    const { client } = await storage.run('mine', () => it.pair(server, new Recorder()));
    client.transport?.write('a');
    await server.until(() => server.byteCount === 1);
    client.transport?.write('b');
    await server.until(() => server.byteCount === 2);
    expect([...seen]).toEqual(['mine']);
  });
});
