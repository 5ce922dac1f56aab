/** Workers and runners from their start to their end. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { threadId } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { errorOf, isProcess, library, makeGate, makeRunner, tasks } from './support.js';

/** Counts calls of `dispose`, and waits for them. */
class Disposals {
  readonly #gate = makeGate();
  readonly workerData = { disposed: this.#gate.token };

  get count(): number {
    return this.#gate.count;
  }

  first(): Promise<void> {
    return this.#gate.reached();
  }
}

describe('a worker', () => {
  test('is set up by init, with the workerData of the runner, and told apart from the caller', async () => {
    const runner = makeRunner({ workerData: { size: 3 } });
    expect(await runner.run('initialised')).toBe(true);
    expect(await runner.run('getWorkerData')).toEqual({ size: 3 });
    expect(await runner.run('worker')).not.toBe(`${process.pid} ${threadId}`);
  });

  test('gives way to the event loop by niceIncrement', async () => {
    const own = getPriority();
    expect(await makeRunner().run('priority')).toBe(own);
    const expected = process.platform === 'linux' || isProcess() ? Math.min(own + 5, 19) : own;
    expect(await makeRunner({ niceIncrement: 5 }).run('priority')).toBe(expected);
    expect(getPriority()).toBe(own);
  });

  test('is torn down by dispose, async, once each', async () => {
    const disposals = new Disposals();
    const runner = makeRunner({ threads: 3, workerData: disposals.workerData });
    await runner.start();
    expect(runner.stats().threads).toEqual({ starting: 0, ready: 3, started: 3, ended: 0 });
    await runner.close();
    expect(disposals.count).toBe(3);
    expect(runner.stats().threads).toEqual({ starting: 0, ready: 0, started: 3, ended: 3 });
  });

  test('is started when it is needed, and not before', async () => {
    const runner = makeRunner({ threads: 4 });
    expect(runner.stats().threads.started).toBe(0);
    await runner.run('add', [1, 2]);
    await runner.run('add', [1, 2]);
    expect(runner.stats().threads.started).toBe(1);
  });

  test('is replaced after so many tasks', async () => {
    const disposals = new Disposals();
    const runner = makeRunner({ recycle: { tasks: 3 }, workerData: disposals.workerData });
    const threads: unknown[] = [];
    for (let i = 0; i < 9; i++) threads.push(await runner.run('worker'));
    expect(new Set(threads).size).toBe(3);
    expect(threads[0]).toBe(threads[2]);
    expect(threads[2]).not.toBe(threads[3]);
    expect(await Promise.all(Array.from({ length: 50 }, (_, i) => runner.run('add', [i, 1])))).toHaveLength(50);
    await runner.close();
    const { ended, started } = runner.stats().threads;
    expect(ended).toBe(started);
    expect(disposals.count).toBe(started);
  });

  test.each([
    ['its age', { ageMs: 0 }],
    ['its heap', { heapBytes: 1 }],
  ])('is replaced for %s', async (_what, recycle) => {
    const runner = makeRunner({ recycle });
    const first = await runner.run('worker');
    expect(await runner.run('worker')).not.toBe(first);
  });

  test('ends when it is idle, and another begins when there is work', async () => {
    const disposals = new Disposals();
    const runner = makeRunner({ idleTimeout: 5, workerData: disposals.workerData });
    const first = await runner.run('worker');
    await disposals.first();
    expect(await runner.run('worker')).not.toBe(first);
  });
});

describe('close', () => {
  test('waits for what there is, and takes no more', async () => {
    const runner = makeRunner({ queue: { capacity: 2, whenFull: 'wait' } });
    const gate = makeGate();
    const running = runner.run('block', [gate.token]);
    await gate.reached();
    const others = Array.from({ length: 10 }, (_, i) => runner.run('echo', [i]));
    const closed = runner.close();
    expect(runner.close()).toBe(closed);
    for (const refused of [runner.run('add', [1, 2]), runner.call(() => 1), runner.start()]) {
      expect(await errorOf(refused)).toMatchObject({ code: 'ERR_GAMMALOOP_CLOSED' });
    }
    gate.open();
    expect(await closed).toEqual({ cancelled: 0 });
    expect(await running).toBe('unblocked');
    expect(await Promise.all(others)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('cancels what has not ended at the deadline', async () => {
    const runner = makeRunner({ graceMs: 10, queue: { capacity: 2, whenFull: 'wait' } });
    const gate = makeGate();
    const running = errorOf(runner.run('spinForever', [gate.token]));
    await gate.reached();
    const others = Array.from({ length: 5 }, (_, i) => errorOf(runner.run('echo', [i])));
    const closed = runner.close();
    void runner.close({ deadline: 20 });
    expect(await closed).toEqual({ cancelled: 6 });
    for (const error of await Promise.all([running, ...others])) {
      expect(error).toMatchObject({
        code: 'ERR_GAMMALOOP_CANCELLED',
        cause: expect.objectContaining({ code: 'ERR_GAMMALOOP_CLOSED' }),
      });
    }
    expect(runner.stats()).toMatchObject({ queued: 0, running: 0, waiting: 0, cancelled: 6 });
  });

  test('with a deadline ends, also where tasks have no grace to lose', async () => {
    const runner = makeRunner({ tasksPerThread: 2 });
    const gates = [makeGate(), makeGate()];
    const errors = [runner.run('pause', [gates[0]!.token])];
    await gates[0]!.reached();
    errors.push(runner.run('spinForever', [gates[1]!.token]));
    await gates[1]!.reached();
    const outcomes = errors.map(errorOf);
    expect(await runner.close({ deadline: 0 })).toEqual({ cancelled: 2 });
    expect(await Promise.all(outcomes)).toMatchObject(outcomes.map(() => ({ code: 'ERR_GAMMALOOP_CANCELLED' })));
  });

  test('while a worker starts, of an unused runner, and by asyncDispose', async () => {
    const starting = makeRunner();
    const started = errorOf(starting.start());
    await starting.close();
    expect(await started).toBeInstanceOf(Error);
    expect(await makeRunner().close()).toEqual({ cancelled: 0 });
    const runner = makeRunner();
    const last = runner.run('add', [1, 2]);
    await runner[Symbol.asyncDispose]();
    expect(await last).toBe(3);
    expect(await errorOf(runner.run('add', [1, 2]))).toMatchObject({ code: 'ERR_GAMMALOOP_CLOSED' });
  });
});

describe('the process', () => {
  const run = (program: string) => {
    const file = join(
      dirname(fileURLToPath(library)),
      `program-${createHash('sha1').update(program).digest('hex')}.mjs`,
    );
    writeFileSync(file, program);
    return promisify(execFile)(process.execPath, [file], { timeout: 15_000 });
  };
  const open = `
    import { Runner } from ${JSON.stringify(library)};
    const options = { module: ${JSON.stringify(tasks.href)}, workerData: { library: ${JSON.stringify(library)} } };
    const runner = new Runner({ ...options, threads: 2 });`;

  test('lives as long as there are tasks, and no longer, with a runner that nobody closes', async () => {
    const { stdout } = await run(`${open}
      runner.run('addLater', [1, 2]).then((sum) => console.log('sum', sum));`);
    expect(stdout).toBe('sum 3\n');
  });

  test('lives until start() and close() have ended, and no longer', async () => {
    const { stdout } = await run(`${open}
      await runner.start();
      console.log('started');
      if (runner.stats().threads.ready === 2) await runner.close();
      console.log('closed');
      await new Runner({ ...options, threads: 2 }).start();`);
    expect(stdout).toBe('started\nclosed\n');
  });

  test('can exit in the middle of everything', async () => {
    const { stdout } = await run(`${open}
      const words = new Int32Array(new SharedArrayBuffer(8));
      runner.run('spinForever', [words]).catch(() => {});
      for (let i = 0; i < 100; i++) runner.run('add', [i, i]);
      await Atomics.waitAsync(words, 0, 0).value;
      console.log('exits');
      process.exit(0);`);
    expect(stdout).toBe('exits\n');
  });
});
