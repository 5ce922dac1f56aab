/** What a program sees of reads and writes that take the drop-in's short ways (short-ways.ts), and of those that may not: as on node:net. */
import { AsyncLocalStorage, executionAsyncId } from 'node:async_hooks';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { netHarness, netImplementations } from '../../support/drop-in-net.js';

interface Parts {
  _write: (...args: unknown[]) => void;
  _writev: ((...args: unknown[]) => void) | undefined;
  _writeGeneric: (...args: unknown[]) => void;
  _read: (size: number) => void;
}
const partsOf = (socket: Socket): Parts => socket as unknown as Parts;

async function received(socket: Socket, byteCount: number): Promise<string> {
  while (socket.bytesRead < byteCount) await turn();
  await turn();
  return String(socket.read() ?? '');
}

/** Codes of the errors that a socket emits, as they come. */
function errorsOf(socket: Socket): (string | undefined)[] {
  const codes: (string | undefined)[] = [];
  socket.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code));
  return codes;
}

describe.each(netImplementations)('writes on $name', (implementation) => {
  const on = netHarness(implementation);
  const { net } = implementation;

  test('leave in their order, whatever they are', async () => {
    const { near, far } = await on.pair();
    const whole = buffer(far);
    near.write('a');
    near.write(Buffer.from('b'));
    near.write(new Uint8Array([0x63]));
    near.write('64', 'hex');
    near.write('e', () => {});
    near.cork();
    near.write('f');
    near.write(Buffer.from('g'));
    near.uncork();
    near.write('');
    near.write(Buffer.alloc(0));
    near.write(Buffer.from('xhx').subarray(1, 2));
    near.write(new Uint16Array([0x6a69]) as unknown as Uint8Array);
    near.setDefaultEncoding('latin1');
    near.write('é');
    near.setDefaultEncoding('hex');
    near.write('6b');
    near.write(Buffer.alloc(300_000, 'l'));
    near.end('6d');
    const bytes = await whole;
    expect(bytes.subarray(0, 12).toString('latin1')).toBe('abcdefghijék');
    expect(bytes.subarray(12).equals(Buffer.from(`${'l'.repeat(300_000)}m`))).toBe(true);
    expect(near.bytesWritten).toBe(bytes.length);
  });

  test('that are done at once leave no trace', async () => {
    const { near, far } = await on.pair();
    for (const chunk of ['text', Buffer.from('text'), 'é'] as const) {
      const before = near.bytesWritten;
      expect(near.write(chunk)).toBe(true);
      expect([near.writableLength, near.writableNeedDrain]).toEqual([0, false]);
      expect(near.bytesWritten - before).toBe(Buffer.byteLength(chunk));
    }
    expect(await received(far, 10)).toBe('texttexté');
  });

  test('say when it is too much, and drain when there is room again', async () => {
    const { near, far } = await on.pair();
    far.pause();
    const log: unknown[] = [];
    near.on('drain', () => log.push('drain', near.writableLength, near.writableNeedDrain));
    while (near.write(Buffer.alloc(64 * 1024)));
    const waiting = near.writableLength;
    expect([waiting >= near.writableHighWaterMark, near.writableNeedDrain]).toEqual([true, true]);
    log.push(near.write('x'), near.writableLength - waiting);
    far.resume();
    await once(near, 'drain');
    log.push(near.write('x'), near.writableLength, near.writableNeedDrain);
    expect(log).toEqual([false, 1, 'drain', 0, false, true, 0, false]);
  });

  test('are told to be over in their order, later, before the end', async () => {
    const { near, far } = await on.pair();
    far.resume();
    const log: string[] = [];
    near.on('finish', () => log.push('finish')).on('prefinish', () => log.push('prefinish'));
    near.write('1');
    near.write('2', () => log.push('second'));
    near.write('3');
    near.write(Buffer.from('4'), () => log.push('fourth'));
    near.write('5');
    near.end('6', () => log.push('end'));
    log.push('returned');
    await once(near, 'finish');
    await turn();
    expect(log.filter((entry) => entry !== 'prefinish')).toEqual(['returned', 'second', 'fourth', 'end', 'finish']);
    expect(log.indexOf('prefinish')).toBeLessThan(log.indexOf('finish'));
  });

  test('that come too late, or are none, fail as they should', async () => {
    const { near, far } = await on.pair({ allowHalfOpen: true }, { allowHalfOpen: true });
    far.resume();
    const codes = errorsOf(near);
    expect(() => near.write(null as never)).toThrow(expect.objectContaining({ code: 'ERR_STREAM_NULL_VALUES' }));
    expect(() => near.write(5 as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    expect(() => near.write({ length: 3 } as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    near.on('finish', () => codes.push(`in finish ${near.write('x')}`));
    near.end('last');
    await new Promise((resolve) => near.on('close', resolve));
    expect(codes).toEqual(['in finish false', 'ERR_STREAM_WRITE_AFTER_END']);
    const late = new Promise((resolve) => near.write('x', (error) => resolve((error as NodeJS.ErrnoException).code)));
    expect(await late).toBe('ERR_STREAM_WRITE_AFTER_END');
  });

  test('after destroy() are refused, and to a peer that is gone break the connection', async () => {
    const { near, far } = await on.pair();
    const codes = errorsOf(near);
    near.write('x');
    near.destroy();
    expect(near.write('x')).toBe(false);
    const refused = new Promise((resolve) =>
      near.write('x', (error) => resolve((error as NodeJS.ErrnoException).code)),
    );
    expect(await refused).toBe('ERR_STREAM_DESTROYED');
    expect(codes).toEqual([]);

    const other = await on.pair();
    const broken = errorsOf(other.near);
    errorsOf(other.far);
    other.near.resume();
    other.far.resetAndDestroy();
    while (!other.near.destroyed) {
      other.near.write('x');
      await turn();
    }
    await turn();
    expect(broken).toHaveLength(1);
    expect(['ECONNRESET', 'EPIPE']).toContain(broken[0]);
    far.destroy();
  });

  test('before the connection is there wait for it', async () => {
    const received: Promise<string>[] = [];
    const server = await on.serve({}, (socket) => received.push(text(socket)));
    const { port } = server.address() as { port: number };
    const near = on.track(net.connect(port, '127.0.0.1'));
    near.write('a');
    near.write(Buffer.from('b'));
    expect(near.writableLength).toBe(2);
    await once(near, 'connect');
    near.write('c');
    near.end('d');
    await once(near, 'close');
    expect(await received[0]).toBe('abcd');
  });

  test('go through what a program has put in the way', async () => {
    const { near, far } = await on.pair();
    const seen: string[] = [];
    for (const name of ['_write', '_writeGeneric'] as const) {
      const inner = partsOf(near)[name];
      partsOf(near)[name] = function (this: Socket, ...args: unknown[]): void {
        seen.push(name);
        Reflect.apply(inner, this, args);
      };
      near.write('a');
      near.write(Buffer.from('b'));
    }
    expect(seen).toEqual(['_write', '_write', '_write', '_writeGeneric', '_write', '_writeGeneric']);
    expect(await received(far, 4)).toBe('abab');
    const slow = await on.pair();
    const later: (() => void)[] = [];
    partsOf(slow.near)._writev = undefined;
    const inner = partsOf(slow.near)._write;
    partsOf(slow.near)._write = function (this: Socket, ...args: unknown[]): void {
      later.push(() => Reflect.apply(inner, this, args));
    };
    slow.near.write('1');
    partsOf(slow.near)._write = inner;
    slow.near.write('2');
    expect([slow.near.writableLength, slow.near.bytesWritten]).toEqual([2, 1]);
    later.pop()?.();
    expect(await received(slow.far, 2)).toBe('12');
  });

  test('and reads begin a timeout anew, set before or in between, and call what a program has put in the place of that', async () => {
    const { near, far } = await on.pair();
    far.on('data', (chunk) => far.write(chunk));
    near.resume();
    const echo = async () => {
      const count = near.bytesRead + 1;
      near.write('x');
      while (near.bytesRead < count) await turn();
    };
    await echo();
    const log: string[] = [];
    near.setTimeout(1_000_000);
    const timer = Object.getOwnPropertySymbols(near).find(({ description }) => description === 'timeout') as symbol;
    (Reflect.get(near, timer) as { refresh(): unknown }).refresh = () => log.push('refresh');
    await echo();
    expect(log).toEqual(['refresh', 'refresh']);
    near.setTimeout(0);
    Reflect.set(near, '_unrefTimer', () => log.push('replaced'));
    await echo();
    expect(log.slice(2)).toEqual(['replaced', 'replaced']);
  });

  test('of a class of its own, and by a prototype that was changed since', async () => {
    const seen: string[] = [];
    class Own extends net.Socket {
      override _write(chunk: string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
        seen.push(String(chunk));
        super._write(chunk, encoding, done);
      }
    }
    const server = await on.serve({}, (socket) => socket.resume());
    const own = on.track(new Own());
    own.connect((server.address() as { port: number }).port, '127.0.0.1');
    await once(own, 'connect');
    own.write('a');
    own.write('b');
    expect(seen).toEqual(['a', 'b']);

    const { near, far } = await on.pair();
    const inner = Writable.prototype.write;
    const nodes = Object.getPrototypeOf(net.Socket.prototype) as { write: unknown };
    const before = Object.getOwnPropertyDescriptor(nodes, 'write');
    Object.defineProperty(nodes, 'write', {
      configurable: true,
      writable: true,
      value(this: Socket, ...args: [never]): boolean {
        seen.push('changed');
        return Reflect.apply(inner, this, args);
      },
    });
    try {
      near.write('c');
    } finally {
      if (before === undefined) Reflect.deleteProperty(nodes, 'write');
      else Object.defineProperty(nodes, 'write', before);
    }
    near.write('d');
    expect(seen).toEqual(['a', 'b', 'changed']);
    expect(await received(far, 2)).toBe('cd');
  });

  test('call back in the context of the one who wrote', async () => {
    const { near, far } = await on.pair();
    far.resume();
    const context = new AsyncLocalStorage<string>();
    const stores = ['a', 'b', undefined].map((store) => {
      const write = () => new Promise((resolve) => near.write('x', () => resolve(context.getStore())));
      return store === undefined ? write() : context.run(store, write);
    });
    expect(await Promise.all(stores)).toEqual(['a', 'b', undefined]);
  });
});

describe.each(netImplementations)('reads on $name', (implementation) => {
  const on = netHarness(implementation);

  test('that flow are told piece by piece, and end', async () => {
    const { near, far } = await on.pair();
    const log: string[] = [];
    far.on('data', (chunk) => log.push(`${chunk}`)).on('end', () => log.push('end'));
    for (const piece of ['one', 'two', 'x'.repeat(5000)]) {
      near.write(piece);
      const count = near.bytesWritten;
      while (far.bytesRead < count) await turn();
    }
    expect([far.readableLength, far.readableFlowing, far.readableDidRead]).toEqual([0, true, true]);
    near.end();
    await once(far, 'end');
    expect(log.join('')).toBe(`onetwo${'x'.repeat(5000)}end`);
  });

  test('are the receiver’s own', async () => {
    const { near, far } = await on.pair();
    const kept: Buffer[] = [];
    far.on('data', (chunk) => kept.push(chunk));
    for (let i = 0; i < 200; i++) {
      near.write(Buffer.alloc(500 + i * 20, i));
      await turn();
    }
    near.end();
    await once(far, 'end');
    let at = 0;
    const whole = Buffer.concat(kept);
    for (let i = 0; i < 200; i++) {
      const end = at + 500 + i * 20;
      expect(whole.subarray(at, end).every((byte) => byte === i)).toBe(true);
      at = end;
    }
    expect(at).toBe(whole.length);
  });

  test('go on where a program has tried to move the memory of one away', async () => {
    const { near, far } = await on.pair();
    let byteCount = 0;
    let refusals = 0;
    far.on('data', (chunk: Buffer<ArrayBuffer>) => {
      byteCount += chunk.length;
      const memory = chunk.buffer as ArrayBuffer & { transfer?(): ArrayBuffer; transferToFixedLength?(): ArrayBuffer };
      if (implementation.backend !== 'native' || memory.byteLength < 65_536) return;
      refusals++;
      try {
        structuredClone(chunk, { transfer: [memory] });
      } catch (error) {
        expect((error as Error).name).toBe('DataCloneError');
      }
      if (memory.transfer) expect(() => memory.transfer?.()).toThrow(TypeError);
      if (memory.transferToFixedLength) expect(() => memory.transferToFixedLength?.()).toThrow(TypeError);
      expect(memory.byteLength).toBeGreaterThan(0);
    });
    for (let round = 1; round <= 100; round++) {
      near.write(Buffer.alloc(4000, round));
      while (far.bytesRead < round * 4000) await turn();
    }
    expect(byteCount).toBe(400_000);
    if (implementation.backend === 'native') expect(refusals).toBeGreaterThan(90);
  });

  test('stop with pause(), and with what is put back', async () => {
    const { near, far } = await on.pair();
    const log: string[] = [];
    far.on('data', (chunk) => {
      log.push(`${chunk}`);
      if (`${chunk}` === 'a') {
        far.pause();
        far.unshift(Buffer.from('back'));
      }
    });
    near.write('a');
    while (log.length === 0) await turn();
    near.write('b');
    while (far.bytesRead < 2) await turn();
    await turn();
    expect([log, far.readableLength, far.isPaused()]).toEqual([['a'], 5, true]);
    far.resume();
    while (log.join('') !== 'abackb') await turn();
    near.write('c');
    while (log.join('') !== 'abackbc') await turn();
    expect(far.readableLength).toBe(0);
  });

  test('go on where a listener leaves, a reader comes, or a text begins in the middle of a letter', async () => {
    const { near, far } = await on.pair();
    const first = once(far, 'data');
    near.write('1');
    expect(`${(await first)[0]}`).toBe('1');
    far.pause();
    near.write('2');
    while (far.bytesRead < 2) await turn();
    expect(`${far.read()}`).toBe('2');
    far.setEncoding('utf8');
    const log: string[] = [];
    far.on('data', (chunk) => log.push(`${chunk}`)).resume();
    near.write(Buffer.from('é').subarray(0, 1));
    while (far.bytesRead < 3) await turn();
    expect(log).toEqual([]);
    near.write(Buffer.from('é').subarray(1));
    while (log.length === 0) await turn();
    expect(log).toEqual(['é']);
    far.removeAllListeners('data').pause();
    near.end('rest');
    const rest: string[] = [];
    for await (const chunk of far) rest.push(chunk as string);
    expect(rest.join('')).toBe('rest');
  });

  test('go through what a program has put in the way', async () => {
    const { near, far } = await on.pair();
    const seen: string[] = [];
    const push = far.push.bind(far);
    far.push = (chunk: unknown, encoding?: BufferEncoding) => {
      seen.push(`push ${chunk}`);
      return push(chunk, encoding);
    };
    const emit = far.emit.bind(far);
    far.emit = ((event: string, ...args: [never]) => {
      if (event === 'data') seen.push(`emit ${args[0]}`);
      return emit(event as never, ...args);
    }) as never;
    far.resume();
    far.on('data', (chunk) => seen.push(`data ${chunk}`));
    near.write('x');
    while (seen.length < 3) await turn();
    expect(seen).toEqual(['push x', 'emit x', 'data x']);
  });

  test('with a pipe to one who is slow hold back, and lose nothing', async () => {
    const { near, far } = await on.pair();
    const pieces: Buffer[] = [];
    const slow = new Writable({
      highWaterMark: 10,
      write(chunk: Buffer, _encoding, done) {
        pieces.push(chunk);
        setImmediate(done);
      },
    });
    far.pipe(slow);
    for (let i = 0; i < 100; i++) near.write(Buffer.alloc(100, i));
    near.end();
    await once(slow, 'finish');
    const whole = Buffer.concat(pieces);
    expect(whole.length).toBe(10_000);
    for (let i = 0; i < 100; i++) expect(whole[i * 100 + 50]).toBe(i);
  });

  test('that are destroyed in a listener tell nothing more', async () => {
    const { near, far } = await on.pair();
    errorsOf(near);
    const log: string[] = [];
    far.on('data', (chunk) => {
      log.push(`${chunk}`);
      far.destroy();
    });
    far.on('end', () => log.push('end')).on('close', () => log.push('close'));
    near.write('a');
    near.write('b'.repeat(200_000));
    await once(far, 'close');
    await turn();
    expect(log).toHaveLength(2);
    expect(log[1]).toBe('close');
  });

  test('have a context of their own, which no other connection sees', async () => {
    const context = new AsyncLocalStorage<string>();
    const { near, far } = await on.pair();
    const other = await on.pair();
    const log: unknown[] = [];
    const ids = new Set<number>();
    for (const [name, socket] of [
      ['far', far],
      ['other', other.far],
    ] as const) {
      socket.on('data', () => {
        log.push(context.getStore());
        ids.add(executionAsyncId());
        context.enterWith(name);
      });
    }
    for (let round = 0; round < 2; round++) {
      near.write('x');
      while (far.bytesRead === round) await turn();
      other.near.write('x');
      while (other.far.bytesRead === round) await turn();
    }
    expect(log.slice(0, 2)).toEqual([undefined, undefined]);
    expect([undefined, 'far']).toContain(log[2]);
    expect([undefined, 'other']).toContain(log[3]);
    expect(ids.size).toBe(2);
  });
});
