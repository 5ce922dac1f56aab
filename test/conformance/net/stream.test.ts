/** Stream readers, on both backends. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  connectStream,
  type ListenOptions,
  listenStreams,
  type ProtocolStream,
  type StreamServer,
} from '../../../lib/net/index.js';
import { moveOnAfter } from '../../../lib/scope/index.js';
import { backends } from '../../support/backends.js';

describe.each(backends)('streams on the %s backend', (backend) => {
  let servers: StreamServer[] = [];
  let streams: ProtocolStream[] = [];
  afterEach(async () => {
    for (const stream of streams) stream.abort();
    for (const server of servers) await server.close({ deadline: 0 });
    servers = [];
    streams = [];
  });

  async function serve(
    handler: (stream: ProtocolStream) => void | Promise<void>,
    options: ListenOptions = {},
  ): Promise<ProtocolStream> {
    const server = await listenStreams({ hostname: '127.0.0.1', ...options, backend }, handler);
    servers.push(server);
    const stream = await connectStream({ port: server.port, hostname: '127.0.0.1', backend });
    streams.push(stream);
    return stream;
  }

  test('exactly so many bytes, however they come', async () => {
    const stream = await serve(async (peer) => {
      for (const byte of 'abcdefghij') {
        peer.write(byte);
        await new Promise((done) => setImmediate(done));
      }
    });
    expect((await stream.readExactly(4)).toString()).toBe('abcd');
    expect((await stream.readExactly(0)).length).toBe(0);
    expect((await stream.readExactly(5)).toString()).toBe('efghi');
    await expect(stream.readExactly(2)).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_INCOMPLETE_READ',
      partial: Buffer.from('j'),
      expected: 2,
    });
    expect(await stream.read()).toBe(null);
  });

  test('a megabyte is read whole, in spite of the watermark', async () => {
    const bytes = Buffer.alloc(1_000_000, 'abcdefg');
    const stream = await serve((peer) => peer.write(bytes));
    expect((await stream.readExactly(bytes.length)).equals(bytes)).toBe(true);
    expect(await stream.read()).toBe(null);
  });

  test('up to a separator, within a limit', async () => {
    const stream = await serve(async (peer) => {
      peer.write('one--two-');
      await peer.readLine();
      peer.write('-three is too long for the limit--end');
    });
    expect((await stream.readUntil('--')).toString()).toBe('one--');
    const second = stream.readUntil(Buffer.from('--'));
    stream.write('go on\n');
    expect((await second).toString()).toBe('two--');
    await expect(stream.readUntil('--', { limit: 10 })).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_READ_LIMIT',
      limit: 10,
    });
    expect((await stream.readUntil('--')).toString()).toBe('three is too long for the limit--');
    await expect(stream.readUntil('--')).rejects.toMatchObject({ partial: Buffer.from('end'), expected: null });
    await expect(stream.readUntil('')).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_OPTION' });
  });

  test('lines in pieces of any length; what was read stays as it was', async () => {
    let seed = 7;
    const upTo = (most: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % most;
    };
    const sent = Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat(upTo(i % 20 === 0 ? 60_000 : 200))}\r\n`);
    const bytes = Buffer.from(sent.join(''));
    const stream = await serve(async (peer) => {
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(at + 1 + upTo(upTo(2) === 0 ? 50 : 20_000), bytes.length);
        peer.write(bytes.subarray(at, end));
        at = end;
        if (upTo(3) > 0) await new Promise((done) => setImmediate(done));
      }
    });
    const read: Buffer[] = [];
    while (read.length < sent.length) {
      read.push(await stream.readUntil('\r\n'));
      if (upTo(4) > 0 || read.length === sent.length) continue;
      const count = (sent[read.length] as string).length;
      read.push(await stream.readExactly(count));
    }
    expect(read.map(String)).toEqual(sent);
    expect(await stream.read()).toBe(null);
  });

  test('line by line', async () => {
    const stream = await serve((peer) => peer.write('first\nsecond\r\n\nü\nlast'));
    const lines: string[] = [];
    for await (const line of stream.lines()) lines.push(line);
    expect(lines).toEqual(['first', 'second', '', 'ü', 'last']);
    expect(await stream.readLine()).toBe(null);
  });

  test('an echo by pieces, with backpressure', async () => {
    const stream = await serve(async (peer) => {
      for await (const piece of peer) {
        peer.write(piece);
        await peer.drain();
      }
    });
    const block = Buffer.alloc(100_000, 'x');
    const writing = (async () => {
      for (let i = 0; i < 50; i++) {
        stream.write(block);
        await stream.drain();
      }
      stream.end();
    })();
    let size = 0;
    for await (const piece of stream) size += piece.length;
    await writing;
    expect(size).toBe(50 * block.length);
    await stream.close();
    await stream.close();
    await expect(stream.drain()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_CLOSED' });
  });

  test('a scope ends a wait, and what came is still there', async () => {
    const stream = await serve(async (peer) => {
      peer.write('abc');
      await peer.readLine();
      peer.write('def');
    });
    const outcome = await moveOnAfter(20, async () => {
      await stream.readExactly(6);
    });
    expect(outcome.cancelled).toBe(true);
    stream.write('go\n');
    expect((await stream.readExactly(6)).toString()).toBe('abcdef');
  });

  test('two readers at once are refused', async () => {
    const stream = await serve(async (peer) => {
      await peer.readLine();
      peer.write('x');
    });
    const first = stream.readExactly(1);
    await expect(stream.read()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BUSY_RESOURCE' });
    stream.write('\n');
    expect((await first).toString()).toBe('x');
  });

  test('a connection that breaks rejects whoever waits', async () => {
    const stream = await serve(async (peer) => {
      await peer.readLine();
      peer.transport.reset();
    });
    const reading = expect(stream.readExactly(1)).rejects.toMatchObject({
      name: 'ConnectionError',
      code: 'ECONNRESET',
    });
    stream.write('\n');
    await reading;
  });

  test('what a handler throws aborts its connection', async () => {
    const rejections: unknown[] = [];
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (error) => rejections.push(error));
    try {
      let broken = false;
      const resetting = await serve(async (peer) => {
        await peer.readLine().catch((error) => {
          broken = true;
          throw error; // its connection's own: dropped
        });
      });
      resetting.transport.reset();
      const stream = await serve(async () => {
        throw new Error('handler');
      });
      expect(await stream.read()).toBe(null);
      while (!broken) await new Promise((done) => setImmediate(done));
      await new Promise((done) => setImmediate(done));
      expect(rejections).toMatchObject([{ message: 'handler' }]);
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const listener of listeners) process.on('unhandledRejection', listener);
    }
  });
});
