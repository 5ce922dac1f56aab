/** What goes to a worker and comes back, as structured cloning has it. */
import { createSecretKey } from 'node:crypto';
import { once } from 'node:events';
import { BlockList } from 'node:net';
import { MessageChannel, MessagePort } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import type { Runner } from '../../../lib/runner/index.js';
import { errorOf, isProcess, makeRunner } from './support.js';

const values: [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['booleans', [true, false]],
  ['an integer', -7],
  ['the largest integer', 2 ** 31 - 1],
  ['beyond integers', 2 ** 31],
  ['a double', 0.1],
  ['minus zero', -0],
  ['NaN', Number.NaN],
  ['infinity', Number.NEGATIVE_INFINITY],
  ['a bigint', 2n ** 70n],
  ['an empty string', ''],
  ['a string', 'hello'],
  ['latin-1', 'Grüße'],
  ['any character', 'zażółć 漢字 \u{1f600}'],
  ['a lone surrogate', 'x\ud800y'],
  ['a longer string', 'é'.repeat(100)],
  ['a long string', 'ab'.repeat(50_000)],
  ['a long string of any characters', '漢'.repeat(50_000)],
  ['an object', { a: 1, b: { c: 'x', d: [1, 2, null] } }],
  ['an object with undefined', { a: undefined }],
  ['an object with minus zero', { a: -0 }],
  // biome-ignore lint/suspicious/noSparseArray: a case
  ['an array with a hole', [1, , 3]],
  ['an array with a property', Object.assign([1, 2], { extra: 3 })],
  ['many objects', Array.from({ length: 500 }, (_, i) => ({ i, text: `item ${i}` }))],
  ['a key __proto__', JSON.parse('{"__proto__": {"x": 1}, "y": 2}')],
  ['a date', new Date(1234)],
  ['a regular expression', /a+/giu],
  ['a map', new Map<unknown, unknown>([['a', { b: 1 }]])],
  ['a set', new Set([1, 'two'])],
  ['boxed values', [Object(1), Object('s'), Object(true)]],
  ['an array buffer', new Uint8Array([1, 2, 3]).buffer],
  ['no bytes', new Uint8Array(0)],
  ['bytes', new Uint8Array([1, 2, 3])],
  ['many bytes', new Uint8Array(300_000).fill(9)],
  ['doubles', new Float64Array([0.5, -0])],
  ['bigints', new BigInt64Array([-5n])],
  ['clamped', new Uint8ClampedArray([255])],
  ['a data view', new DataView(new Uint8Array([7, 8]).buffer)],
  ['bytes in an object', { bytes: new Uint16Array([1, 500]) }],
];

describe('values', () => {
  test('come back as structured cloning gives them', async () => {
    const runner = makeRunner();
    for (const [name, value] of values) {
      expect(await runner.run('echo', [value]), name).toStrictEqual(structuredClone(value));
    }
    expect(
      await runner.run(
        'echoAll',
        values.slice(0, 16).map(([, value]) => value),
      ),
    ).toStrictEqual(values.slice(0, 16).map(([, value]) => value));
    const many = Array.from({ length: 40 }, (_, i) => i / 3);
    expect(await runner.run('echoAll', many)).toEqual(many);
    const both = ['x'.repeat(300), new Uint8Array(500).fill(1), 1.5, 'y', { z: 1 }];
    expect(await runner.run('echoAll', both)).toEqual(both);
  });

  test('keep their identity, within and between arguments', async () => {
    const runner = makeRunner();
    const shared = { a: 1 };
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const [one, two] = (await runner.run('echoAll', [shared, shared])) as [object, object];
    expect(one).toBe(two);
    const [first, second] = (await runner.run('echoAll', [{ shared }, [shared]])) as [{ shared: object }, [object]];
    expect(first.shared).toBe(second[0]);
    const back = (await runner.run('echo', [cycle])) as typeof cycle;
    expect(back['self']).toBe(back);
    const buffer = new ArrayBuffer(8);
    const views = (await runner.run('echoAll', [new Uint8Array(buffer), new Uint16Array(buffer)])) as Uint8Array[];
    expect(views[0]!.buffer).toBe(views[1]!.buffer);
  });

  test('a Buffer arrives as a Uint8Array with the bytes that it shows', async () => {
    const runner = makeRunner();
    const back = (await runner.run('echo', [Buffer.from('from the pool')])) as Uint8Array;
    expect(Buffer.isBuffer(back)).toBe(false);
    expect(back).toStrictEqual(new Uint8Array(Buffer.from('from the pool')));
    expect(back.buffer.byteLength).toBe(13);
  });

  test('later changes to an argument are not seen', async () => {
    const runner = makeRunner();
    const value = { n: 1 };
    const bytes = new Uint8Array(100_000);
    const sent = runner.run('echoAll', [value, bytes]);
    value.n = 2;
    bytes.fill(1);
    expect(await sent).toEqual([{ n: 1 }, new Uint8Array(100_000)]);
  });

  test('errors keep class, message, stack, code, cause and properties, thrown or returned', async () => {
    const runner = makeRunner();
    for (const name of ['thrower', 'rejecter']) {
      const error = await errorOf(runner.run(name, ['error']));
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ message: 'the error', code: 'E_TASK', detail: { a: 1 } });
      expect(error.stack).toContain('tasks.mjs');
      expect(error.cause).toBeInstanceOf(RangeError);
      expect(error.cause).toMatchObject({ message: 'the cause', code: 'E_CAUSE' });
    }
    const sent = Object.assign(new RangeError('sent', { cause: 'a text' }), { code: 'E_SENT' });
    const returned = (await runner.run('echo', [sent])) as Error;
    expect(returned).toBeInstanceOf(RangeError);
    expect(returned).toMatchObject({ message: 'sent', code: 'E_SENT', cause: 'a text', stack: sent.stack });
    const aggregate = await errorOf(runner.run('thrower', ['aggregate']));
    expect(aggregate).toBeInstanceOf(AggregateError);
    expect(aggregate).toMatchObject({ message: 'several', errors: [{ message: 'one' }, 2] });
  });

  test('a DOMException stays one, with its cause, as an argument, thrown, and a cause', async () => {
    const runner = makeRunner();
    const came = await runner.run<DOMException>('echo', [new DOMException('one', 'DataCloneError')]);
    const { cause } = await errorOf(runner.run('throwAborted'));
    for (const [error, name, code] of [
      [came, 'DataCloneError', 25],
      [cause, 'AbortError', 20],
    ] as const) {
      expect(error).toBeInstanceOf(DOMException);
      expect(error).toMatchObject({ name, code });
    }
    expect((cause as DOMException & { cause: unknown }).cause).toBeInstanceOf(RangeError);
    expect((cause as DOMException).stack).toContain('tasks.mjs');
  });

  test('what is thrown and is no error arrives as it is; what cannot be cloned of an error stays behind', async () => {
    const runner = makeRunner();
    expect(await errorOf(runner.run('thrower', ['number']))).toBe(42);
    const error = await errorOf(runner.run('thrower', ['unclonable']));
    expect(error).toMatchObject({ message: 'has a function', size: 3 });
    expect(error).not.toHaveProperty('helper');
  });

  test("objects of node's own classes, at any depth: by message", async () => {
    const runner = makeRunner();
    const blocks = new BlockList();
    blocks.addAddress('127.0.0.1');
    for (const [object, name] of [
      [new Blob(['text']), 'Blob'],
      [blocks, 'BlockList'],
      [createSecretKey(Buffer.from('key')), 'SecretKeyObject'],
    ] as const) {
      class Holder {
        readonly held = [new Map([[1, object]])];
      }
      for (const value of [object, new Holder()]) {
        const came = runner.run<typeof value>('echo', [value]);
        if (isProcess()) {
          expect(await errorOf(came)).toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD' });
        } else {
          const it = await came;
          expect((it instanceof Object && 'held' in it ? it.held[0]!.get(1) : it)?.constructor.name).toBe(name);
        }
      }
    }
    // What only looks like one.
    class Point {
      readonly x = new Set([1n]);
    }
    const [point, holes] = await runner.run<[Point, unknown[]]>('echo', [[new Point(), new Array(2 ** 31)]]);
    expect(point).toEqual({ x: new Set([1n]) });
    expect([holes.length, Object.keys(holes)]).toEqual([2 ** 31, []]);
  });

  test('an argument or a result that cannot be cloned is a coded error, and harms nothing', async () => {
    const runner = makeRunner();
    for (const value of [() => {}, Symbol('s'), { deep: [() => {}] }, new WeakMap()]) {
      expect(await errorOf(runner.run('echo', [value]))).toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD' });
    }
    for (const name of ['unclonable', 'unclonableSymbol']) {
      expect(await errorOf(runner.run(name))).toMatchObject({ code: 'ERR_GAMMALOOP_TASK_RESULT', task: name });
    }
    expect(await runner.run('add', [1, 2])).toBe(3);
    expect(runner.stats().threads.ended).toBe(0);
  });
});

/** By a process, which shares nothing, in either direction. */
async function expectRefusal(runner: Runner, value: object): Promise<void> {
  const transfer = value instanceof MessagePort ? [value] : [];
  for (const args of [[value], [{ in: [value] }]]) {
    expect(await errorOf(runner.run('echo', args, { transfer }))).toMatchObject({
      code: 'ERR_GAMMALOOP_PAYLOAD',
      message: expect.stringContaining('another process'),
    });
  }
  const back = errorOf(runner.run(value instanceof MessagePort ? 'makePort' : 'makeShared'));
  expect(await back).toMatchObject({ code: 'ERR_GAMMALOOP_TASK_RESULT' });
  expect(await runner.run('add', [1, 2])).toBe(3);
  if (value instanceof MessagePort) value.close(); // it was not taken
}

describe('moving and sharing', () => {
  test.each([100, 30_000, 65_536, 3_000_000])('a buffer of %i bytes is moved there and back', async (size) => {
    const runner = makeRunner();
    const bytes = new Uint8Array(size).fill(5);
    const moved = runner.run<Uint8Array>('move', [bytes], { transfer: [bytes.buffer] });
    expect(bytes.byteLength).toBe(0);
    const back = await moved;
    expect(back.byteLength).toBe(size);
    expect(back.every((byte) => byte === 5)).toBe(true);
    // What came can be moved on.
    structuredClone(back, { transfer: [back.buffer] });
  });

  test("node's pool is never taken", async () => {
    const runner = makeRunner();
    const pooled = Buffer.from('small');
    const outcome: unknown = await runner
      .run('echo', [pooled], { transfer: [pooled.buffer as ArrayBuffer] })
      .catch((error: unknown) => error);
    expect(pooled.toString()).toBe('small');
    expect(outcome instanceof Error ? outcome : Buffer.from(outcome as Uint8Array).toString()).toSatisfy(
      (it) => it === 'small' || (it as { code: string }).code === 'ERR_GAMMALOOP_PAYLOAD',
    );
  });

  test('a port is moved there and back', async () => {
    const runner = makeRunner();
    if (isProcess()) return expectRefusal(runner, new MessageChannel().port1);
    const { port1, port2 } = new MessageChannel();
    const heard = once(port2, 'message');
    const { port } = (await runner.run('movePort', [port1], { transfer: [port1] })) as { port: typeof port1 };
    expect((await heard)[0]).toBe('from the worker');
    port.postMessage('and from here');
    expect((await once(port2, 'message'))[0]).toBe('and from here');
    port.close();
  });

  test('a SharedArrayBuffer is the same memory on both sides', async () => {
    const runner = makeRunner();
    if (isProcess()) return expectRefusal(runner, new SharedArrayBuffer(8));
    const words = new Int32Array(new SharedArrayBuffer(4));
    const back = await Promise.all(Array.from({ length: 20 }, () => runner.run<Int32Array>('addShared', [words])));
    expect(words[0]).toBe(20);
    Atomics.store(back[7]!, 0, 99);
    expect(words[0]).toBe(99);
  });

  test('something that cannot be moved is refused', async () => {
    const runner = makeRunner();
    const options = { transfer: [{}] };
    expect(await errorOf(runner.run('echo', [1], options))).toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD' });
    expect(await errorOf(runner.run('echo', [1], { transfer: [1] as never }))).toMatchObject({ option: 'transfer' });
  });
});
