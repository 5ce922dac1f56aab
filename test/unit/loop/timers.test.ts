import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { loop } from '../../../lib/index.js';

const run = promisify(execFile);
const loopUrl = new URL('../../../lib/loop/index.ts', import.meta.url).href;
const loader = fileURLToPath(new URL('../../support/ts-loader.mjs', import.meta.url));

/** What a program of its own prints, as JSON: there nothing has used an async context before. */
async function result(code: string): Promise<unknown> {
  const program = `
    import { AsyncLocalStorage, createHook, executionAsyncResource } from 'node:async_hooks';
    import * as loop from ${JSON.stringify(loopUrl)};
    const nothing = () => {};
    ${code}`;
  const args = ['--import', loader, '--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, args, { timeout: 15_000 });
  return JSON.parse(stdout);
}

const hold = (ms: number): void => {
  for (const end = loop.time() + ms; loop.time() < end; );
};

test('a burst of timers, held up in the middle and at its end: none early, all in order', async () => {
  const early: number[] = [];
  const order: number[] = [];
  const timers = Array.from({ length: 600 }, (_, i) => {
    if (i % 199 === 198) hold(2);
    const before = loop.time();
    const timer = loop.callLater(4, () => {
      order.push(i);
      if (loop.time() < before + 4 || loop.time() < timer.when || timer.when < before + 4) early.push(i);
    });
    return timer;
  });
  hold(6);
  await new Promise<void>((resolve) => loop.callLater(20, () => resolve()));
  expect(order).toEqual(timers.map((_, i) => i));
  expect(early).toEqual([]);
});

test('the handle of a timer that has run cancels no other, and keeps its instant', async () => {
  for (let round = 0; round < 3; round++) {
    const ran: string[] = [];
    const old = Array.from({ length: 50 }, () => loop.callLater(0, () => ran.push('old')));
    const whens = old.map((timer) => timer.when);
    await new Promise<void>((resolve) => loop.callLater(2, () => resolve()));
    const young = old.map(() => loop.callLater(1, () => ran.push('young')));
    expect(old.map((timer) => timer.cancel())).toEqual(old.map(() => false));
    expect(old.map((timer) => timer.when)).toEqual(whens);
    await new Promise<void>((resolve) => loop.callLater(4, () => resolve()));
    expect(young.map((timer) => timer.cancelled)).toEqual(young.map(() => false));
    expect(ran).toEqual([...old.map(() => 'old'), ...young.map(() => 'young')]);
  }
});

test('a timer taken from the process and given back, and cancelled meanwhile', async () => {
  const calls: string[] = [];
  const kept = loop.callLater(2, () => calls.push('kept'));
  const gone = loop.callLater(2, () => calls.push('gone'));
  for (const timer of [kept, gone]) expect([timer.unref().hasRef(), timer.ref().hasRef()]).toEqual([false, true]);
  expect([gone.unref().cancel(), gone.cancel(), gone.cancelled]).toEqual([true, false, true]);
  expect(gone.ref().cancelled).toBe(true);
  await new Promise<void>((resolve) => loop.callLater(6, () => resolve()));
  expect(calls).toEqual(['kept']);
});

test('instants that have passed, and those beyond the reach of a wheel', async () => {
  const calls: string[] = [];
  const far = loop.callLater(400 * 86_400_000, () => calls.push('far'));
  expect(far.when - loop.time()).toBeGreaterThan(399 * 86_400_000);
  loop.callAt(-5, () => calls.push('past'));
  await new Promise<void>((resolve) => loop.callLater(4, () => resolve()));
  expect(calls).toEqual(['past']);
  expect([far.cancel(), far.cancel()]).toEqual([true, false]);
});

test('the first async context of a process, among many timers without one', async () => {
  const code = `
    const storage = new AsyncLocalStorage();
    const seen = [];
    for (let i = 0; i < 200; i++) loop.callLater(1, () => seen.push(storage.getStore()));
    for (let i = 0; i < 100; i++) {
      loop.callLater(1, nothing);
      storage.run(i, () => loop.callLater(2, (more) => seen.push(storage.getStore() + more), 1000));
    }
    for (let i = 0; i < 3000; i++) loop.callLater(3, nothing);
    storage.run('late', () => loop.callLater(4, () => seen.push(storage.getStore())));
    process.on('exit', () => console.log(JSON.stringify(seen.map((store) => store ?? null))));`;
  const none = Array.from({ length: 200 }, () => null);
  expect(await result(code)).toEqual([...none, ...Array.from({ length: 100 }, (_, i) => i + 1000), 'late']);
});

test('a context entered in one timer is not that of others', async () => {
  const code = `
    const storage = new AsyncLocalStorage();
    const seen = [];
    for (let i = 0; i < 3; i++) {
      loop.callLater(1, () => {
        seen.push(storage.getStore() ?? null);
        storage.enterWith(i);
        loop.callLater(1, () => seen.push(storage.getStore() ?? null));
      });
    }
    process.on('exit', () => console.log(JSON.stringify(seen)));`;
  expect(await result(code)).toEqual([null, null, null, 0, 1, 2]);
});

test('hooks of async_hooks see the timers, from when they are enabled on', async () => {
  const code = `
    const types = [];
    loop.callLater(1, nothing);
    const hook = createHook({
      init: (id, type) => type === 'GammaloopTimer' && types.push(['init', id]),
      before: (id) => types.some(([, known]) => known === id) && types.push(['before', id]),
      destroy: (id) => types.some(([, known]) => known === id) && types.push(['destroy', id]),
    }).enable();
    loop.callLater(1, nothing);
    loop.callLater(1, nothing).cancel();
    process.on('exit', () => console.log(JSON.stringify(types.map(([event]) => event))));`;
  expect(await result(code)).toEqual(['init', 'init', 'destroy', 'before', 'destroy']);
});

test('a process is held by a timer again after the last one was cancelled, and let go when that is', async () => {
  const code = `
    const order = [];
    loop.callLater(60_000, nothing).cancel();
    loop.callLater(20, () => order.push('same turn')).unref().ref();
    setTimeout(() => {
      loop.callLater(60_000, nothing).cancel();
      setImmediate(() => loop.callLater(20, () => {
        order.push('later');
        loop.callLater(60_000, nothing).cancel();
      }));
    }, 40);
    process.on('exit', () => console.log(JSON.stringify(order)));`;
  expect(await result(code)).toEqual(['same turn', 'later']);
});
