/** Transfer lists, of arguments and of results: who has the bytes when, and that nobody else sees them. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as workerThreads from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { canBeTaken } from '../../../lib/runner/transfer.js';
import { errorOf, isProcess, makeGate, makeRunner } from './support.js';

/** In the slot, lent, by message. */
const sizes = [0, 1, 100, 4096, 65_536, 262_144, 262_145, 1_000_000];

function bytesOf(size: number, first = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = first + index;
  return bytes;
}

/** Quicker than element by element. */
function expectBytes(actual: unknown, expected: Uint8Array): void {
  expect(actual).toBeInstanceOf(Uint8Array);
  const { byteOffset, byteLength, buffer } = actual as Uint8Array;
  expect([byteOffset, byteLength, buffer.byteLength]).toEqual([0, expected.length, expected.length]);
  expect(Buffer.compare(actual as Uint8Array, expected)).toBe(0);
}

function resizable(size: number, maxByteLength: number): Uint8Array<ArrayBuffer> {
  const Resizable = ArrayBuffer as unknown as new (size: number, options: { maxByteLength: number }) => ArrayBuffer;
  return new Uint8Array(new Resizable(size, { maxByteLength }));
}

describe.each(sizes)('%i bytes', (size) => {
  test('leave the caller when run() returns, and the worker when its task does', async () => {
    const runner = makeRunner();
    for (let round = 0; round < 3; round++) {
      const bytes = bytesOf(size, round);
      const moved = runner.run<Uint8Array>('keepAndMove', [bytes], { transfer: [bytes.buffer] });
      expect(bytes.buffer.byteLength).toBe(0);
      const kept = runner.run('keptLength');
      expectBytes(await moved, bytesOf(size, round));
      expect(await kept).toBe(0);
    }
  });

  test('go where they are not in the arguments, too, and stay where they are not in the list', async () => {
    const runner = makeRunner();
    const listed = bytesOf(size);
    const other = bytesOf(size, 1);
    const sent = runner.run('echo', [other], { transfer: [listed.buffer] });
    expect(listed.buffer.byteLength).toBe(0);
    expectBytes(other, bytesOf(size, 1));
    expectBytes(await sent, bytesOf(size, 1));
    expectBytes(other, bytesOf(size, 1));
  });

  test('two of one size never change places', async () => {
    const runner = makeRunner();
    const [first, second] = [bytesOf(size, 1), bytesOf(size, 2)];
    const [one, two] = await runner.run<[unknown, unknown]>('reversed', [first, second], {
      transfer: [second.buffer, first.buffer],
    });
    expectBytes(one, bytesOf(size, 2));
    expectBytes(two, bytesOf(size, 1));
  });

  test("are the caller's again when they come back: no later task writes there", async () => {
    const runner = makeRunner();
    const bytes = bytesOf(size);
    const back = await runner.run<Uint8Array>('move', [bytes], { transfer: [bytes.buffer] });
    for (let value = 1; value < 4; value++) {
      expectBytes(await runner.run('filled', [back, value]), new Uint8Array(size).fill(value));
    }
    expectBytes(back, bytesOf(size));
    structuredClone(back, { transfer: [back.buffer] });
    expect(back.buffer.byteLength).toBe(0);
  });

  test('are gone from the caller also where the task fails, is cancelled, or loses its worker', async () => {
    const runner = makeRunner({ graceMs: 0 });
    const give = (name: string, args: unknown[], options = {}) => {
      const bytes = bytesOf(size);
      const outcome = errorOf(runner.run(name, [...args, bytes], { ...options, transfer: [bytes.buffer] }));
      expect(bytes.buffer.byteLength).toBe(0);
      return outcome;
    };
    expect(await give('thrower', ['error'])).toBeInstanceOf(TypeError);
    expect((await give('exit', [0])).code).toBe('ERR_GAMMALOOP_WORKER_EXIT');
    const gate = makeGate();
    const [running, queued] = [new AbortController(), new AbortController()];
    const stopped = give('spinForever', [gate.token], { signal: running.signal });
    await gate.reached();
    const removed = give('echo', [], { signal: queued.signal });
    queued.abort();
    running.abort();
    expect((await removed).code).toBe('ERR_GAMMALOOP_CANCELLED');
    expect((await stopped).code).toBe('ERR_GAMMALOOP_CANCELLED');
    const bytes = bytesOf(size);
    expectBytes(await runner.run('move', [bytes], { transfer: [bytes.buffer] }), bytesOf(size));
  });
});

describe('views', () => {
  test.each([64, 65_536, 300_000])('on a part of a moved buffer of %i bytes keep their place in it', async (size) => {
    const runner = makeRunner();
    const part = { view: 'Uint16Array', offset: 2, length: 3, whole: [0, 1, 2, 3, 4, 5, 6, 7], size };
    const { buffer } = bytesOf(size);
    expect(await runner.run('describeView', [new Uint16Array(buffer, 2, 3)], { transfer: [buffer] })).toEqual(part);
    const bytes = bytesOf(size);
    const middle = await runner.run<Uint8Array>('moveMiddle', [bytes], { transfer: [bytes.buffer] });
    expect([middle.byteOffset, ...middle]).toEqual([8, 8, 9, 10, 11, 12, 13, 14, 15]);
    expect(middle.buffer.byteLength).toBe(size);
  });

  test.each([64, 65_536, 300_000])('of one moved buffer of %i bytes, within and between arguments', async (size) => {
    const runner = makeRunner();
    const { buffer } = bytesOf(size);
    const args = [{ deep: [new Uint8Array(buffer)] }, buffer, new Uint8Array(buffer, 4, 2), 'text'];
    const back = (await runner.run('echoAll', args, { transfer: [buffer] })) as typeof args;
    const [{ deep }, whole, part] = back as [{ deep: Uint8Array[] }, ArrayBuffer, Uint8Array];
    expectBytes(deep[0], bytesOf(size));
    expect(deep[0]!.buffer).toBe(whole);
    expect(part.buffer).toBe(whole);
    expect([part.byteOffset, ...part]).toEqual([4, 4, 5]);
  });

  test('in a resizable buffer follow its size there', async () => {
    const runner = makeRunner();
    const bytes = resizable(16, 64);
    const seen = runner.run('isResizable', [bytes], { transfer: [bytes.buffer] });
    if (isProcess()) {
      expect(await errorOf(seen)).toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD' });
      expect(bytes.buffer.byteLength).toBe(16);
    } else {
      expect(await seen).toBe(64);
      expect(bytes.buffer.byteLength).toBe(0);
    }
  });
});

describe('what cannot be moved is refused, and stays', () => {
  const gone = new ArrayBuffer(8);
  structuredClone(gone, { transfer: [gone] });
  test.each<[string, ArrayBuffer[]]>([
    ['what has gone already', [gone]],
    ['shared memory', [new SharedArrayBuffer(8) as unknown as ArrayBuffer]],
  ])('%s', async (_, list) => {
    const runner = makeRunner();
    const fine = bytesOf(65_536);
    const error = await errorOf(runner.run('echo', [1], { transfer: [fine.buffer, ...list] }));
    expect(error.code).toBe('ERR_GAMMALOOP_PAYLOAD');
    expectBytes(fine, bytesOf(65_536));
    expect(await runner.run('add', [1, 2])).toBe(3);
  });

  test('memory of WebAssembly: refused, or, on node 20, copied', async () => {
    const runner = makeRunner();
    const { buffer } = new WebAssembly.Memory({ initial: 1 });
    const outcome = await runner
      .run('sizeOf', [buffer], { transfer: [buffer] })
      .catch((error: { code: string }) => error.code);
    expect(outcome).toBe(process.version.startsWith('v20.') ? 65_536 : 'ERR_GAMMALOOP_PAYLOAD');
    expect(buffer.byteLength).toBe(65_536);
  });

  test('a view or a buffer that has gone, without a list', async () => {
    const runner = makeRunner();
    const view = new Uint16Array(4);
    structuredClone(view, { transfer: [view.buffer] });
    for (const value of [view, view.buffer, { deep: view }]) {
      expect((await errorOf(runner.run('echo', [value]))).code).toBe('ERR_GAMMALOOP_PAYLOAD');
    }
  });

  test.each([100, 65_536, 300_000])('the same buffer of %i bytes twice, in either direction', async (size) => {
    const runner = makeRunner();
    const bytes = bytesOf(size);
    const twice = runner.run('echo', [bytes], { transfer: [bytes.buffer, bytes.buffer] });
    expect((await errorOf(twice)).code).toBe('ERR_GAMMALOOP_PAYLOAD');
    expectBytes(bytes, bytesOf(size));
    const returned = runner.run('moveTwice', [bytes], { transfer: [bytes.buffer] });
    expect((await errorOf(returned)).code).toBe('ERR_GAMMALOOP_TASK_RESULT');
    const again = runner.run('echo', [bytes], { transfer: [bytes.buffer] });
    expect((await errorOf(again)).code).toBe('ERR_GAMMALOOP_PAYLOAD');
  });
});

describe('memory', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;

  test('of moved buffers is bounded, there and here, whether they come back or not', async () => {
    const runner = makeRunner({ threads: 2, ...(isProcess() && { execArgv: ['--expose-gc'] }) });
    const before = process.memoryUsage().arrayBuffers;
    for (let round = 0; round < 100; round++) {
      const sent = Array.from({ length: 16 }, (_, i) => {
        const bytes = new Uint8Array(65_536).fill(i);
        return runner.run<Uint8Array | number>(i % 2 ? 'move' : 'sizeOf', [bytes], { transfer: [bytes.buffer] });
      });
      for (const [i, result] of (await Promise.all(sent)).entries()) {
        if (i % 2) expect((result as Uint8Array)[65_535]).toBe(i);
        else expect(result).toBe(65_536);
      }
    }
    for (let i = 0; i < 10; i++) {
      collectGarbage();
      await new Promise(setImmediate);
    }
    // The memory of the slots, and what the codecs and the spare buffer keep: far from the 100 MiB that went.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
    for (const bytes of await Promise.all([runner.run<number>('arrayBuffers'), runner.run<number>('arrayBuffers')])) {
      expect(bytes).toBeLessThan(4 << 20);
    }
  });
});

test("buffers of the size of node's pool are lent where node says which is the pool", () => {
  expect(canBeTaken(Buffer.from('pooled').buffer)).toBe(false);
  expect(canBeTaken(new ArrayBuffer(Buffer.poolSize + 8))).toBe(true);
  expect(canBeTaken(new ArrayBuffer(Buffer.poolSize))).toBe('isMarkedAsUntransferable' in workerThreads);
});
