/**
 * What users of piscina rely on, by its own test files, and where it is tested here:
 *
 * abort-task: cancel.test.ts and below (no listener stays, nothing is moved); abortable tasks never share a worker here unless `tasksPerThread` says
 * so, and then `graceMs` is refused. async-context: run.test.ts. console-log, option-validation, nice, simple-test (env, argv, execArgv,
 * workerData, modules), histogram, issue-513, thread-count: below and lifecycle.test.ts. move-test, post-task, test-is-buffer-transferred:
 * moving.test.ts, values.test.ts. idle-timeout, pool-close, pool-destroy: lifecycle.test.ts. task-queue: queue.test.ts. resourcelimits, uncaught
 * exceptions, exits: faults.test.ts, and after the task's end below. generics: test/package (consumer.ts.txt).
 *
 * Does not apply: atomics-optimization (workers wait in their event loop, see lifecycle.test.ts), fixed-queue and custom queues (the queue is
 * native), messages and the events 'error' and 'drain' (every outcome is a promise's; who waits for room says whenFull: 'wait'), `move()` on the
 * caller's side and `isWorkerThread` (`transfer` lists), minThreads (`start()`).
 */
import { execFile } from 'node:child_process';
import { EventEmitter, getEventListeners } from 'node:events';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Runner, type RunnerOptions } from '../../../lib/runner/index.js';
import { errorOf, library, makeRunner, tasks } from './support.js';

const seen = `data:text/javascript,
  import { resourceLimits, workerData } from 'node:worker_threads';
  export const seen = () => ({
    env: process.env.GAMMALOOP_SEEN, argv: process.argv.slice(2), execArgv: process.execArgv,
    heap: resourceLimits.maxOldGenerationSizeMb, mark: workerData.mark,
  });
  export const leaves = (what) => {
    setImmediate(() => { if (what === 'exit') process.exit(5); else throw new Error('left behind'); });
    return what;
  };`;

describe('options', () => {
  const wrong: [option: string, options: object][] = [
    ['options', 5 as never],
    ['module', { module: 5 }],
    ['module', { module: 'relative.mjs' }],
    ['threads', { threads: 0 }],
    ['threads', { threads: 1.5 }],
    ['tasksPerThread', { tasksPerThread: 0 }],
    ['batchSize', { batchSize: 0 }],
    ['graceMs', { tasksPerThread: 2, graceMs: 10 }],
    ['queue', { queue: 5 }],
    ['queue.capacity', { queue: { capacity: -1 } }],
    ['queue.whenFull', { queue: { whenFull: 'drop' } }],
    ['queue.size', { queue: { size: 1 } }],
    ['idleTimeout', { idleTimeout: -1 }],
    ['startTimeout', { startTimeout: Number.NaN }],
    ['spinUs', { spinUs: -1 }],
    ['niceIncrement', { niceIncrement: -1 }],
    ['recycle.tasks', { recycle: { tasks: 0 } }],
    ['lane', { lane: 'fibre' }],
    ['maxThreads', { maxThreads: 2 }],
  ];
  test.each(wrong)('%s of %j is refused', (option, options) => {
    expect(() => new Runner(options as RunnerOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION', option }),
    );
  });

  test('of a task, too', async () => {
    const runner = makeRunner();
    const cases: [option: string, options: object][] = [
      ['signal', { signal: new EventEmitter() }],
      ['timeout', { timeout: -1 }],
      ['priority', { priority: 8 }],
      ['transfer', { transfer: 5 }],
      ['traceId', { traceId: 5 }],
    ];
    for (const [option, options] of cases) {
      expect(await errorOf(runner.run('add', [1, 2], options))).toMatchObject({ code: 'ERR_GAMMALOOP_OPTION', option });
    }
    expect(await errorOf(runner.run(5 as never))).toMatchObject({ option: 'name' });
    expect(await errorOf(runner.run('add', 5 as never))).toMatchObject({ option: 'args' });
    expect(runner.stats().threads.started).toBe(0);
  });

  test('env, argv, execArgv, resourceLimits and workerData are those of the workers', async () => {
    const runner = makeRunner({
      module: seen,
      env: { GAMMALOOP_SEEN: 'yes' },
      argv: ['a', 2],
      execArgv: ['--no-warnings'],
      resourceLimits: { maxOldGenerationSizeMb: 64 },
      workerData: { mark: 'm' },
    });
    expect(await runner.run('seen')).toEqual({
      env: 'yes',
      argv: ['a', '2'],
      execArgv: ['--no-warnings'],
      heap: 64,
      mark: 'm',
    });
  });
});

test('no listener stays at a signal, and a task that is cancelled already takes nothing with it', async () => {
  const runner = makeRunner();
  const controller = new AbortController();
  const tasks = Array.from({ length: 20 }, () => runner.run('add', [1, 2], { signal: controller.signal }));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1); // node warns of more than ten
  await Promise.all(tasks);
  await errorOf(runner.run('thrower', [], { signal: controller.signal }));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  controller.abort();
  const bytes = new Uint8Array(10);
  const options = { signal: controller.signal, transfer: [bytes.buffer] };
  expect(await errorOf(runner.run('echo', [bytes], options))).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
  expect(bytes.byteLength).toBe(10);
});

test.each(['exit', 'throw'])(
  'what a task leaves behind (%s) ends its worker, not its result; the pool is whole after',
  async (what) => {
    const runner = makeRunner({ module: seen });
    for (let i = 0; i < 5; i++) {
      expect(await runner.run('leaves', [what])).toBe(what);
      while (runner.stats().threads.ended === i) await new Promise(setImmediate);
    }
    expect(await runner.run('seen')).toMatchObject({ argv: [] });
    expect(runner.stats()).toMatchObject({ done: 6, failed: 0, threads: { started: 6, ended: 5 } });
  },
);

test('stats() counts what has waited and run', async () => {
  const runner = makeRunner({ threads: 2 });
  await Promise.all(Array.from({ length: 50 }, (_, i) => runner.run('add', [i, 1])));
  const { waitTime, runTime, workers, threads } = runner.stats();
  expect([waitTime.count, runTime.count]).toEqual([50, 50]);
  for (const { p50, p99 } of [waitTime, runTime]) expect(p50).toBeLessThanOrEqual(p99);
  expect(workers.reduce((sum, worker) => sum + worker.runTime.count, 0)).toBe(50);
  expect(threads.started).toBeLessThanOrEqual(2);
});

test('console.log of a task comes through, while the worker waits for the next', async () => {
  const options = `{ module: ${JSON.stringify(tasks.href)}, threads: 1, execArgv: [], workerData: { library: ${JSON.stringify(library)} } }`;
  const program = `
    import { Runner } from ${JSON.stringify(library)};
    const runner = new Runner(${options});
    await runner.call((text) => console.log(text), ['from the worker']);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await runner.close();`;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 15_000 });
  expect(stdout).toBe('from the worker\n');
});
