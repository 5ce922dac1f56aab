import { AsyncLocalStorage } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { loop } from '../../../lib/index.js';
import { backends } from '../../support/backends.js';

const loopUrl = new URL('../../../lib/loop/index.ts', import.meta.url).href;
const loader = fileURLToPath(new URL('../../support/ts-loader.mjs', import.meta.url));

/** A thread whose program has `loop`, `workerData` and `parentPort`. */
function startWorker(program: string, workerData: unknown): Worker {
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    import * as loop from ${JSON.stringify(loopUrl)};
    ${program}`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  return new Worker(url, { execArgv: ['--import', loader], workerData });
}

describe.each(backends)('on the %s backend', (backend) => {
  const before = process.env['GAMMALOOP_BACKEND'];

  async function exposed<T>(body: () => Promise<T>): Promise<T> {
    process.env['GAMMALOOP_BACKEND'] = backend;
    try {
      return await body();
    } finally {
      if (before === undefined) delete process.env['GAMMALOOP_BACKEND'];
      else process.env['GAMMALOOP_BACKEND'] = before;
    }
  }

  test('calls of four threads all come, each thread in its order, in the context of the exposing call', () =>
    exposed(async () => {
      const count = 2000;
      const storage = new AsyncLocalStorage<string>();
      const last = new Map<number, number>();
      const errors: unknown[] = [];
      let received = 0;
      await new Promise<void>((resolve) => {
        const callback = storage.run('outer', () =>
          loop.threadsafe((from: number, index: number, extra: { bytes: Uint8Array; when: Date }) => {
            if (storage.getStore() !== 'outer') errors.push('context');
            if ((last.get(from) ?? -1) !== index - 1) errors.push([from, index]);
            if (extra.bytes[0] !== index % 256 || !(extra.when instanceof Date)) errors.push(extra);
            last.set(from, index);
            if (++received === 4 * count) {
              callback.close();
              resolve();
            }
          }),
        );
        for (let from = 0; from < 4; from++) {
          const worker = startWorker(
            `const { id, from, count } = workerData;
             for (let i = 0; i < count; i++) {
               loop.callSoonThreadsafe(id, from, i, { bytes: new Uint8Array([i]), when: new Date() });
             }`,
            { id: callback.id, from, count },
          );
          worker.on('error', (error) => errors.push(error));
        }
      });
      expect(errors).toEqual([]);
      expect(received).toBe(4 * count);
    }));

  test('a loop that sleeps is woken; from the main thread to a worker', () =>
    exposed(async () => {
      const worker = startWorker(
        `const callback = loop.threadsafe((text) => { parentPort.postMessage(text); callback.close(); });
         parentPort.postMessage(callback.id);`,
        null,
      );
      const [id] = await once(worker, 'message');
      // Both may come in one turn.
      const [answer, exited] = [once(worker, 'message'), once(worker, 'exit')];
      expect(loop.callSoonThreadsafe(id as string, 'wake up')).toBe(true);
      expect(await answer).toEqual(['wake up']);
      await exited; // closed: nothing holds it
    }));

  test('closed: what was sent is not called; an id stays what it was', () =>
    exposed(async () => {
      const calls: unknown[] = [];
      const callback = loop.threadsafe((value: unknown) => calls.push(value));
      const { id } = callback;
      loop.callSoonThreadsafe(id, 1);
      callback.close();
      callback.close();
      expect(callback.closed).toBe(true);
      expect(callback.ref().unref().id).toBe(id);
      if (backend === 'native') expect(loop.callSoonThreadsafe(id, 2)).toBe(false);
      await new Promise<void>((resolve) => loop.callLater(5, () => resolve()));
      expect(calls).toEqual([]);
    }));

  test('what throws is an uncaughtException, and the next call comes; an unref’d callback holds no process', async () => {
    const program = `
      import * as loop from ${JSON.stringify(loopUrl)};
      process.on('uncaughtException', (error) => console.log('uncaught', error.message));
      const callback = loop.threadsafe((value) => {
        if (value === 1) throw new Error('one');
        console.log(value);
        callback.unref();
      });
      loop.callSoonThreadsafe(callback.id, 1);
      loop.callSoonThreadsafe(callback.id, 2);`;
    const args = ['--import', loader, '--input-type=module', '--eval', program];
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      timeout: 15_000,
      env: { ...process.env, GAMMALOOP_BACKEND: backend },
    });
    expect(stdout.trim().split('\n')).toEqual(['uncaught one', '2']);
  });

  test('threads that end with an open callback leave nothing', () =>
    exposed(async () => {
      for (let round = 0; round < 5; round++) {
        const worker = startWorker(
          'const callback = loop.threadsafe(() => {}); parentPort.postMessage(callback.id);',
          null,
        );
        const [id] = await once(worker, 'message');
        await worker.terminate();
        if (backend === 'native') expect(loop.callSoonThreadsafe(id as string)).toBe(false);
      }
    }));
});

test('a function is called on this loop', async () => {
  const value = await new Promise((resolve) => expect(loop.callSoonThreadsafe(resolve, 5)).toBe(true));
  expect(value).toBe(5);
});

test('what cannot be cloned throws and is not sent', () => {
  const callback = loop.threadsafe(() => {});
  try {
    expect(() => loop.callSoonThreadsafe(callback.id, () => {})).toThrow(/could not be cloned/);
  } finally {
    callback.close();
  }
});
