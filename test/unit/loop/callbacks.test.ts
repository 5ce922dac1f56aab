import { AsyncLocalStorage } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { loop } from '../../../lib/index.js';

const run = promisify(execFile);
const loopUrl = new URL('../../../lib/loop/index.ts', import.meta.url).href;
const loader = fileURLToPath(new URL('../../support/ts-loader.mjs', import.meta.url));

/** What a program of its own prints; `loop` is there. */
async function output(code: string): Promise<string> {
  const program = `import * as loop from ${JSON.stringify(loopUrl)};\n${code}`;
  const args = ['--import', loader, '--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, args, { timeout: 15_000 });
  return stdout.trim();
}

afterEach(() => {
  const { created, run: ran, cancelled, waiting } = loop.stats().callbacks;
  expect(waiting).toBe(0);
  expect(ran + cancelled).toBe(created);
});

/** The next turn but one: everything that callSoon was given before has run. */
async function turn(): Promise<void> {
  await new Promise<void>((resolve) => loop.callSoon(() => resolve()));
}

test('callSoon: in the order of the calls, with arguments, not before this turn is over', async () => {
  const calls: unknown[] = [];
  loop.callSoon((a: number, b: string) => calls.push([a, b]), 1, 'x');
  loop.callSoon(() => {
    calls.push('second');
    loop.callSoon(() => calls.push('of the next turn'));
  });
  loop.callSoon(() => calls.push('third'));
  process.nextTick(() => calls.push('tick'));
  expect(calls).toEqual([]);
  await turn();
  expect(calls).toEqual(['tick', [1, 'x'], 'second', 'third']);
  await turn();
  expect(calls.at(-1)).toBe('of the next turn');
});

test('promise jobs and ticks run between two callbacks, also of timers of one millisecond', async () => {
  const calls: string[] = [];
  const both = (name: string) => () => {
    calls.push(name);
    process.nextTick(() => calls.push(`${name} tick`));
    void Promise.resolve().then(() => calls.push(`${name} job`));
  };
  loop.callSoon(both('a'));
  loop.callSoon(both('b'));
  await turn();
  const at = loop.time() + 3;
  loop.callAt(at, both('c'));
  loop.callAt(at, both('d'));
  await new Promise<void>((resolve) => loop.callAt(at + 1, () => resolve()));
  expect(calls).toEqual(['a', 'b', 'c', 'd'].flatMap((name) => [name, `${name} tick`, `${name} job`]));
});

test('cancel: what has not run does not; the second time it says so', async () => {
  const calls: string[] = [];
  const soon = loop.callSoon(() => calls.push('soon'));
  const later = loop.callLater(1, () => calls.push('later'));
  expect([soon.cancel(), later.cancel()]).toEqual([true, true]);
  expect([soon.cancel(), later.cancel()]).toEqual([false, false]);
  expect([soon.cancelled, later.cancelled]).toEqual([true, true]);
  await new Promise<void>((resolve) => loop.callLater(3, () => resolve()));
  expect(calls).toEqual([]);
});

test('a timer that is due can still be cancelled by the one before it; one that has run cannot', async () => {
  const calls: string[] = [];
  const at = loop.time() + 2;
  const first = loop.callAt(at, () => {
    calls.push('first');
    expect(second.cancel()).toBe(true);
    expect(first.cancel()).toBe(false);
  });
  const second = loop.callAt(at, () => calls.push('second'));
  await new Promise<void>((resolve) => loop.callAt(at + 2, () => resolve()));
  expect(calls).toEqual(['first']);
});

test('timers: by their instant, not before it, equals in the order of the calls', async () => {
  const order: ReturnType<typeof loop.callLater>[] = [];
  const begin = loop.time();
  const early: number[] = [];
  const handles: typeof order = [];
  await Promise.all(
    [8, 3, 5, 3, 0, -7].map(
      (delay, index) =>
        new Promise<void>((resolve) => {
          const handle = loop.callLater(delay, () => {
            order.push(handle);
            if (loop.time() < handle.when || loop.time() < begin + delay) early.push(index);
            resolve();
          });
          handles.push(handle);
        }),
    ),
  );
  expect(early).toEqual([]);
  // By their own instants: between two calls time may pass.
  expect(order).toEqual(handles.toSorted((one, other) => one.when - other.when));
});

test('the async context of the call is kept, each its own', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const look = () => seen.push(storage.getStore());
  storage.run('soon', () => loop.callSoon(look));
  storage.run('later', () => loop.callLater(1, look));
  storage.run('also', () => loop.callLater(1, look));
  loop.callLater(1, look);
  await new Promise<void>((resolve) => loop.callLater(4, () => resolve()));
  expect(seen).toEqual(['soon', 'later', 'also', undefined]);
});

test('what a callback throws is an uncaughtException, and stops no other', async () => {
  const code = `
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    const at = loop.time() + 5;
    for (const name of ['a', 'b']) {
      loop.callSoon(() => { throw new Error('soon ' + name); });
      loop.callAt(at, () => { throw new Error('timer ' + name); });
    }
    loop.callLater(20, () => console.log(JSON.stringify(loop.callbackStats())));`;
  expect((await output(code)).split('\n')).toEqual([
    'uncaught soon a',
    'uncaught soon b',
    'uncaught timer a',
    'uncaught timer b',
    '{"created":5,"run":5,"cancelled":0,"waiting":0}',
  ]);
});

test('timers hold the process, unless unref says otherwise', async () => {
  expect(await output(`loop.callLater(30, () => console.log('held'));`)).toBe('held');
  expect(await output(`loop.callLater(5000, () => console.log('held')).unref();`)).toBe('');
  const code = `const timer = loop.callLater(30, () => console.log(timer.hasRef())).unref(); timer.ref();`;
  expect(await output(code)).toBe('true');
  expect(await output(`loop.callLater(5, () => console.log('ran')).unref(); setTimeout(() => {}, 200);`)).toBe('ran');
});

test('a million timers: one of node, none left', async () => {
  const timers = [];
  const before = process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length;
  for (let i = 0; i < 1_000_000; i++) timers.push(loop.callLater(60_000 + (i % 5000), () => {}));
  const during = process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length;
  expect(during - before).toBeLessThanOrEqual(1);
  expect(loop.stats().callbacks.waiting).toBe(1_000_000);
  for (const timer of timers) timer.cancel();
  expect(loop.stats().callbacks.waiting).toBe(0);
});

test('misuse throws an OptionError and changes nothing', () => {
  const before = loop.stats().callbacks.created;
  const wrong: (() => unknown)[] = [
    () => loop.callSoon(undefined as never),
    () => loop.callLater(1, 'text' as never),
    () => loop.callLater(Number.NaN, () => {}),
    () => loop.callLater('5' as never, () => {}),
    () => loop.callAt(Number.POSITIVE_INFINITY, () => {}),
    () => loop.threadsafe(null as never),
    () => loop.callSoonThreadsafe(7 as never),
    () => loop.callSoonThreadsafe('nonsense'),
    () => loop.startMeasuring({ lagResolution: 0.5 }),
    () => loop.detectSlowCallbacks({ threshold: -1 }),
    () => loop.detectSlowCallbacks({ report: 'console' as never }),
  ];
  for (const call of wrong) expect(call).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }));
  expect(loop.stats().callbacks.created).toBe(before);
});

test('in a worker thread, too', async () => {
  const { Worker } = await import('node:worker_threads');
  const program = `
    import { parentPort } from 'node:worker_threads';
    import * as loop from ${JSON.stringify(loopUrl)};
    const cancelled = loop.callLater(1, () => parentPort.postMessage('not to be'));
    loop.callSoon(() => cancelled.cancel());
    loop.callLater(5, () => parentPort.postMessage(loop.callbackStats()));`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  const worker = new Worker(url, { execArgv: ['--import', loader] });
  // Both may come in one turn.
  const [[message]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
  expect(message).toEqual({ created: 3, run: 2, cancelled: 1, waiting: 0 });
});
