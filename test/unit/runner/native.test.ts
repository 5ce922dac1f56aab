/** Native tasks, on threads: what goes in and comes out, errors, cancellation, and that nothing is left. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { beforeAll, describe, expect, test } from 'vitest';
import type { NativeTaskOptions, Runner } from '../../../lib/runner/index.js';
import { libraryOf, nativeTasks } from './native-library.js';
import { errorOf, liveBytes, makeRunner, library as module, scratch } from './support.js';

const TIMES = Number(process.env['GAMMALOOP_FAULT_TIMES'] ?? 5);

let library: string;
beforeAll(() => {
  library = nativeTasks(scratch);
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const bytesOf = (size: number) => Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8));

/** Flags that a task and a test share: it runs, it may go on. */
class NativeGate {
  readonly flags = new Uint8Array(new SharedArrayBuffer(4096));

  async is(state: number): Promise<void> {
    while (Atomics.load(this.flags, 0) !== state) await new Promise(setImmediate);
  }

  open(): void {
    Atomics.store(this.flags, 1, 1);
  }
}

async function started(runner: Runner, task: string, options?: NativeTaskOptions) {
  const gate = new NativeGate();
  const promise = runner.native(library, task, gate.flags, options);
  promise.catch(() => {});
  await gate.is(1);
  return { gate, promise };
}

describe('bytes', () => {
  test.each([0, 1, 216, 220, 221, 2048, 2049, 32_768, 32_769, 3_000_000])('%i there and back', async (size) => {
    const runner = makeRunner();
    const bytes = bytesOf(size);
    for (const task of ['echo', 'give']) {
      const back = await runner.native(library, task, bytes);
      expect(back).toBeInstanceOf(Uint8Array);
      expect(Buffer.compare(back, bytes), task).toBe(0);
    }
    expect((await runner.native(library, 'nothing', bytes)).byteLength).toBe(0);
  });

  test('in any kind of holder', async () => {
    const runner = makeRunner();
    const all = bytesOf(5000);
    const shared = new Uint8Array(new SharedArrayBuffer(5000));
    shared.set(all);
    for (const [given, expected] of [
      [all.buffer, all],
      [shared.buffer, all],
      [new Uint16Array(all.buffer, 2, 1000), all.subarray(2, 2002)],
      [new DataView(all.buffer, 7, 5), all.subarray(7, 12)],
      [Buffer.from('from the pool'), Buffer.from('from the pool')],
      [undefined, new Uint8Array(0)],
    ] as const) {
      expect(Buffer.compare(await runner.native(library, 'echo', given as Uint8Array), expected)).toBe(0);
    }
    for (const wrong of ['text', 5, {}, null, [1, 2]]) {
      expect(await errorOf(runner.native(library, 'echo', wrong as never))).toMatchObject({ option: 'bytes' });
    }
  });

  test.each([100, 5000])('later changes to %i bytes are not seen', async (size) => {
    const runner = makeRunner();
    const bytes = new Uint8Array(size);
    const sent = runner.native(library, 'echo', bytes);
    bytes.fill(1);
    expect((await sent).every((byte) => byte === 0)).toBe(true);
  });

  test.each([100, 5000, 3_000_000])('%i bytes are moved', async (size) => {
    const runner = makeRunner();
    const bytes = bytesOf(size);
    const sent = runner.native(library, 'echo', bytes.subarray(1), { transfer: [bytes.buffer] });
    expect(bytes.byteLength).toBe(0);
    expect(Buffer.compare(await sent, bytesOf(size).subarray(1))).toBe(0);
    const pooled = Buffer.from('small');
    for (const transfer of [[pooled.buffer as ArrayBuffer], [new ArrayBuffer(8)], []]) {
      expect(await errorOf(runner.native(library, 'echo', pooled, { transfer }))).toMatchObject({
        code: 'ERR_GAMMALOOP_PAYLOAD',
      });
    }
    expect(pooled.toString()).toBe('small');
  });

  test('thousands at a time come back each with its own', async () => {
    const runner = makeRunner({ threads: 2, queue: { capacity: 20_000 } });
    const results = await Promise.all(
      Array.from({ length: 20_000 }, (_, i) =>
        runner.native(library, i % 2 === 0 ? 'echo' : 'give', Buffer.from(`${i}`.repeat(1 + (i % 300)))),
      ),
    );
    expect(results.every((bytes, i) => text(bytes) === `${i}`.repeat(1 + (i % 300)))).toBe(true);
    const stats = runner.stats();
    expect(stats).toMatchObject({ done: 20_000, failed: 0, queued: 0, running: 0, waitTime: { count: 20_000 } });
    expect(stats.runTime.count).toBe(20_000);
    expect(stats.workers.map(({ lane }) => lane)).toEqual(['native', 'native']);
  });
});

describe('errors', () => {
  test("a task's own, with its code and text", async () => {
    const runner = makeRunner();
    for (let i = 1; i <= TIMES; i++) {
      const long = 'ż'.repeat(i * 100);
      expect(await errorOf(runner.native(library, 'fail', Buffer.from(`-${i} ${long}`)))).toMatchObject({
        name: 'TaskError',
        code: 'ERR_GAMMALOOP_NATIVE_TASK',
        task: 'fail',
        taskCode: -i,
        message: `Native task fail returned error -${i}: ${long}`,
      });
    }
    expect(await errorOf(runner.native(library, 'fail', Buffer.from('3')))).toMatchObject({
      message: 'Native task fail returned error 3',
    });
    expect(runner.stats()).toMatchObject({ failed: TIMES + 1, threads: { ended: 0 } });
  });

  test('what is not there, or of another version', async () => {
    const runner = makeRunner();
    const foreign = libraryOf(scratch, 'foreign', 'int echo(void) { return 0; }');
    const later = libraryOf(scratch, 'later', 'unsigned gammaloop_task_abi(void) { return 2; }');
    const broken = join(scratch, 'foreign.c');
    for (const [path, symbol, code] of [
      [join(scratch, 'missing.so'), 'echo', 'ERR_GAMMALOOP_NATIVE_LIBRARY'],
      [broken, 'echo', 'ERR_GAMMALOOP_NATIVE_LIBRARY'],
      [library, 'missing', 'ERR_GAMMALOOP_NATIVE_SYMBOL'],
      [foreign, 'echo', 'ERR_GAMMALOOP_NATIVE_ABI'],
      [later, 'echo', 'ERR_GAMMALOOP_NATIVE_ABI'],
    ] as const) {
      for (let i = 0; i < 2; i++) {
        const error = await errorOf(runner.native(path, symbol));
        expect(error).toMatchObject({ name: 'TaskError', code, task: symbol });
        expect(error.message).toContain(path);
      }
    }
    expect(text(await runner.native(pathToFileURL(library), 'echo', Buffer.from('by URL')))).toBe('by URL');
    for (const [path, symbol, option] of [
      ['./relative.so', 'echo', 'path'],
      [5, 'echo', 'path'],
      [library, '', 'symbol'],
    ] as const) {
      expect(await errorOf(runner.native(path as string, symbol))).toMatchObject({ option });
    }
    const wrong = { onProgress: 1, lane: 'fiber', priority: 9 };
    for (const [option, value] of Object.entries(wrong)) {
      expect(await errorOf(runner.native(library, 'echo', undefined, { [option]: value }))).toMatchObject({ option });
    }
  });
});

describe('what a task is told and tells', () => {
  test('trace id and deadline', async () => {
    const runner = makeRunner();
    const traceId = 'Grüße 漢字'.padEnd(128, 'ż');
    for (const size of [3, 2000, 5000]) {
      const now = Number(process.hrtime.bigint() / 1_000_000n);
      const known = text(await runner.native(library, 'context', bytesOf(size), { traceId, timeout: 60_000 }));
      const [trace, deadline, seen, at] = known.replace('Grüße ', 'Grüße_').split(' ');
      expect([trace, deadline, seen]).toEqual([traceId.replace(' ', '_'), 'deadline', `${size}`]);
      expect(Number(at) - now).toBeGreaterThanOrEqual(60_000 - 1);
      expect(Number(at) - now).toBeLessThan(65_000);
    }
    expect(text(await runner.native(library, 'context'))).toBe('- none 0 0');
  });

  test('progress, where the caller wants to know, in its own context', async () => {
    const runner = makeRunner();
    const storage = new AsyncLocalStorage<string>();
    const heard: unknown[] = [];
    const gate = new NativeGate();
    const half = new Promise<void>((resolve) => {
      const onProgress = (done: number) => {
        heard.push(Math.round(done * 1000) / 1000, storage.getStore());
        resolve();
      };
      void storage.run('caller', () => runner.native(library, 'halves', gate.flags, { onProgress }));
    });
    await half;
    expect(heard).toEqual([0.5, 'caller']);
    gate.open();
    await runner.native(library, 'halves');
    expect(heard.length).toBeLessThanOrEqual(4);
  });
});

test.runIf(process.platform === 'linux')('its threads give way to the event loop by niceIncrement', async () => {
  const priority = async (runner: Runner) => Number(Buffer.from(await runner.native(library, 'priority')));
  const own = getPriority();
  expect(await priority(makeRunner())).toBe(own);
  expect(await priority(makeRunner({ niceIncrement: 5 }))).toBe(Math.min(own + 5, 19));
  expect(getPriority()).toBe(own);
});

test('progress that comes while the caller looks for results by spinning', async () => {
  const runner = makeRunner({ spinUs: 10_000 });
  await runner.native(library, 'echo'); // the thread runs
  const gate = new NativeGate();
  let task!: Promise<unknown>;
  const half = new Promise((onProgress) => {
    task = runner.native(library, 'halves', gate.flags, { onProgress });
  });
  expect(await half).toBeCloseTo(0.5);
  gate.open();
  await task;
});

describe('cancellation', () => {
  test('of a running task: it is told, and its thread lives on', async () => {
    const runner = makeRunner();
    for (let i = 0; i < 5; i++) {
      const controller = new AbortController();
      const { gate, promise } = await started(runner, 'pause_at', { signal: controller.signal });
      controller.abort(`reason ${i}`);
      expect(await errorOf(promise)).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED', cause: `reason ${i}` });
      await gate.is(2);
    }
    expect(await errorOf(runner.native(library, 'until_cancelled', undefined, { timeout: 5 }))).toMatchObject({
      code: 'ERR_GAMMALOOP_TIMEOUT',
    });
    expect(text(await runner.native(library, 'echo', Buffer.from('after')))).toBe('after');
    expect(runner.stats()).toMatchObject({ cancelled: 5, timedOut: 1, done: 1, threads: { started: 1, ended: 0 } });
  });

  test('of one that does not listen: after graceMs another thread takes its place', async () => {
    const runner = makeRunner({ graceMs: 5 });
    const controller = new AbortController();
    const { gate, promise } = await started(runner, 'block_at', { signal: controller.signal });
    controller.abort();
    expect(await errorOf(promise)).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    // While it still runs.
    expect(text(await runner.native(library, 'echo', Buffer.from('elsewhere')))).toBe('elsewhere');
    expect(runner.stats()).toMatchObject({ running: 1, threads: { started: 2, ended: 0 } });
    gate.open();
    while (runner.stats().threads.ended === 0) await new Promise(setImmediate);
    expect(runner.stats()).toMatchObject({ running: 0, done: 1, cancelled: 1 });
  });

  test('of queued tasks, which leave at once, and in order of urgency', async () => {
    const runner = makeRunner({ queue: { capacity: 3, agingMs: 3_600_000 } });
    const { gate, promise } = await started(runner, 'pause_at');
    const controller = new AbortController();
    const gone = errorOf(runner.native(library, 'echo', undefined, { signal: controller.signal }));
    const order: string[] = [];
    const queued = [1, 7].map((priority) =>
      runner.native(library, 'echo', Buffer.from(`${priority}`), { priority }).then((bytes) => order.push(text(bytes))),
    );
    expect(await errorOf(runner.native(library, 'echo'))).toMatchObject({ code: 'ERR_GAMMALOOP_QUEUE_FULL' });
    controller.abort();
    expect(await gone).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    expect(runner.stats()).toMatchObject({ queued: 2, running: 1, refused: 1 });
    gate.open();
    await Promise.all([promise, ...queued]);
    expect(order).toEqual(['7', '1']);
  });

  test('in a mix of everything each promise settles once, and what was cancelled first is cancelled', async () => {
    // Without spinning, in the turn that made a task no result is collected: then the cancellation is first.
    const runner = makeRunner({ threads: 2, spinUs: 0, queue: { capacity: 4000 } });
    let seed = 11;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const counts = { value: 0, cancelled: 0, wrong: 0 };
    const tasks: Promise<void>[] = [];
    for (let i = 0; i < 3000; i++) {
      const controller = new AbortController();
      const how = random(3);
      const bytes = Buffer.from(`${i}`.repeat(1 + random(1000)));
      const options = { signal: controller.signal, priority: i % 8 };
      const task = runner.native(library, random(2) === 0 ? 'echo' : 'give', bytes, options);
      if (how === 0) queueMicrotask(() => controller.abort());
      if (how === 1) setImmediate(() => controller.abort());
      tasks.push(
        task.then(
          (back) => void counts[Buffer.compare(back, bytes) === 0 && how !== 0 ? 'value' : 'wrong']++,
          (error) => void counts[error.code === 'ERR_GAMMALOOP_CANCELLED' && how !== 2 ? 'cancelled' : 'wrong']++,
        ),
      );
      if (random(50) === 0) await new Promise(setImmediate);
    }
    await Promise.all(tasks);
    expect(counts.wrong).toBe(0);
    expect(counts.value + counts.cancelled).toBe(3000);
    expect(runner.stats()).toMatchObject({ done: counts.value, cancelled: counts.cancelled, failed: 0 });
  });
});

describe('nothing is left', () => {
  test('of bytes: what was made was given back', async () => {
    const runner = makeRunner();
    const big = bytesOf(100_000);
    for (let i = 0; i < 10 * TIMES; i++) {
      await Promise.all([
        runner.native(library, 'give', big),
        runner.native(library, 'echo', big),
        errorOf(runner.native(library, 'give_and_fail')),
        errorOf(runner.native(library, 'give', big, { signal: AbortSignal.timeout(0) })).catch(() => {}),
      ]);
    }
    await runner.native(library, 'nothing'); // the promise made last is remembered
    await runner.close();
    expect(await liveBytes()).toBe(0);
    const after = makeRunner();
    expect(text(await after.native(library, 'given_now'))).toBe('0');
  });

  test('of threads: idle ones end, and others begin', async () => {
    const runner = makeRunner({ idleTimeout: 2 });
    for (let i = 1; i <= TIMES; i++) {
      expect(text(await runner.native(library, 'echo', Buffer.from('a')))).toBe('a');
      while (runner.stats().threads.ended < i) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(runner.stats()).toMatchObject({ done: TIMES, threads: { started: TIMES, ended: TIMES } });
  });

  test('a runner that is closed waits for its tasks, and takes no more', async () => {
    const runner = makeRunner();
    const { gate, promise } = await started(runner, 'block_at');
    const queued = runner.native(library, 'echo', Buffer.from('queued'));
    const closed = runner.close();
    expect(await errorOf(runner.native(library, 'echo'))).toMatchObject({ code: 'ERR_GAMMALOOP_CLOSED' });
    gate.open();
    expect(text(await promise)).toBe('unblocked');
    expect(text(await queued)).toBe('queued');
    expect(await closed).toEqual({ cancelled: 0 });
  });

  test('the process ends as node does, also with tasks in the middle', async () => {
    const program = `
      import { Runner } from ${JSON.stringify(module)};
      const library = ${JSON.stringify(library)};
      const runner = new Runner({ threads: 2 });
      console.log('' + Buffer.from(await runner.native(library, 'echo', Buffer.from('ran'))));
      if (process.argv[1] === 'exit') {
        for (let i = 0; i < 5; i++) runner.native(library, 'until_cancelled').catch(() => {});
        setTimeout(() => process.exit(3), 20);
      }`;
    const run = (mode: string) =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, mode], { timeout: 15_000 });
    expect((await run('idle')).stdout).toBe('ran\n');
    const outcome = await run('exit').catch((error: unknown) => error);
    expect(outcome).toMatchObject({ code: 3, stdout: 'ran\n', stderr: '' });
  });

  test('of a worker thread that is terminated with tasks in the middle', async () => {
    for (let i = 0; i < TIMES; i++) {
      const gate = new NativeGate();
      const worker = new Worker(
        `import(${JSON.stringify(module)}).then(({ Runner }) => {
          const { library, flags } = require('node:worker_threads').workerData;
          const runner = new Runner({ threads: 2 });
          runner.native(library, 'pause_at', flags).catch(() => {});
          runner.native(library, 'until_cancelled').catch(() => {});
        });`,
        { eval: true, workerData: { library, flags: gate.flags } },
      );
      const exited = once(worker, 'exit');
      await gate.is(1);
      await worker.terminate();
      await exited;
      expect(gate.flags[0]).toBe(2); // it was told, and waited for
    }
  });
});
