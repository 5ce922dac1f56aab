/** Whatever a task or a worker dies of: its own code, and a pool that is whole after. */
import { describe, expect, test } from 'vitest';
import { PayloadError } from '../../../lib/errors.js';
import type { RunnerOptions } from '../../../lib/runner/index.js';
import { errorOf, isProcess, makeGate, makeRunner } from './support.js';

/** In a row, on one runner. `npm run test:runner` takes a hundred. */
const TIMES = Number(process.env['GAMMALOOP_FAULT_TIMES'] ?? 5);
const patience = { timeout: 20_000 + TIMES * 1000 };

describe('a fault of a task rejects that task alone', () => {
  const faults: [task: string, args: unknown[], expected: object, options?: RunnerOptions][] = [
    ['exit', [0], { code: 'ERR_GAMMALOOP_WORKER_EXIT', exitCode: 0 }],
    ['exit', [3], { code: 'ERR_GAMMALOOP_WORKER_EXIT', exitCode: 3 }],
    [
      'uncaught',
      [],
      {
        code: 'ERR_GAMMALOOP_WORKER_EXCEPTION',
        cause: expect.objectContaining({ name: 'TypeError', message: 'nobody catches', code: 'E_UNCAUGHT' }),
      },
    ],
    [
      'unhandled',
      [],
      {
        code: 'ERR_GAMMALOOP_WORKER_REJECTION',
        cause: expect.objectContaining({ name: 'RangeError', message: 'nobody handles' }),
      },
    ],
    [
      'outOfMemory',
      [],
      isProcess() ? { code: 'ERR_GAMMALOOP_WORKER_EXIT', signal: 'SIGABRT' } : { code: 'ERR_GAMMALOOP_WORKER_MEMORY' },
      { resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 } },
    ],
  ];
  if (isProcess()) {
    for (const signal of ['SIGSEGV', 'SIGABRT', 'SIGKILL', 'SIGTERM']) {
      faults.push(['die', [signal], { code: 'ERR_GAMMALOOP_WORKER_EXIT', signal, exitCode: undefined }]);
    }
  }
  test.each(faults)('%s %j', patience, async (task, args, expected, options) => {
    const runner = makeRunner(options);
    for (let i = 0; i < TIMES; i++) {
      const before = runner.run('add', [i, 0]);
      const faulty = errorOf(runner.run(task, args));
      const behind = [runner.run('add', [i, 1]), runner.run('addLater', [i, 2])];
      const error = await faulty;
      expect(error).toMatchObject({ name: 'TaskError', task, ...expected });
      expect(error.message).toContain(task);
      expect(await Promise.all([before, ...behind])).toEqual([i, i + 1, i + 2]);
    }
    const { done, failed, threads } = runner.stats();
    expect({ done, failed, started: threads.started }).toEqual({
      done: 3 * TIMES,
      failed: TIMES,
      started: TIMES + 1,
    });
  });

  test('or all that share its worker, where they asked to', async () => {
    const runner = makeRunner({ tasksPerThread: 2 });
    const gate = makeGate();
    const other = errorOf(runner.run('pause', [gate.token]));
    await gate.reached();
    expect(await errorOf(runner.run('exit', [1]))).toMatchObject({ code: 'ERR_GAMMALOOP_WORKER_EXIT', task: 'exit' });
    expect(await other).toMatchObject({ code: 'ERR_GAMMALOOP_WORKER_EXIT', task: 'pause' });
    expect(await runner.run('add', [1, 2])).toBe(3);
  });
});

describe('a worker that cannot start', () => {
  const gate = makeGate();
  const starts: [what: string, options: RunnerOptions, expected: object][] = [
    [
      'a module that throws',
      { module: "data:text/javascript,throw Object.assign(new RangeError('on load'), { code: 'E_LOAD' })" },
      {
        code: 'ERR_GAMMALOOP_WORKER_START',
        cause: expect.objectContaining({ name: 'RangeError', message: 'on load', code: 'E_LOAD' }),
      },
    ],
    [
      'a module that is not there',
      { module: new URL('./no-such-file.mjs', import.meta.url) },
      { code: 'ERR_GAMMALOOP_WORKER_START', cause: expect.objectContaining({ code: 'ERR_MODULE_NOT_FOUND' }) },
    ],
    [
      'an init that throws',
      { workerData: { failInit: true } },
      { code: 'ERR_GAMMALOOP_WORKER_START', cause: expect.objectContaining({ message: 'init failed' }) },
    ],
    [
      'a module that waits for nothing',
      { module: 'data:text/javascript,await new Promise(() => {})' },
      { code: 'ERR_GAMMALOOP_WORKER_START' },
    ],
    [
      'a module that exits',
      { module: 'data:text/javascript,process.exit(4)' },
      { code: 'ERR_GAMMALOOP_WORKER_START', exitCode: 4 },
    ],
    [
      'an init that hangs',
      { workerData: { initGate: gate.token }, startTimeout: 100 },
      { code: 'ERR_GAMMALOOP_WORKER_HANG' },
    ],
    [
      'workerData that cannot be cloned',
      { workerData: { fn: () => {} } },
      {
        code: 'ERR_GAMMALOOP_WORKER_START',
        cause: expect.objectContaining({ message: expect.stringContaining('could not be cloned') }),
      },
    ],
    [
      'execArgv that node refuses',
      { execArgv: ['--no-such-flag'] },
      isProcess()
        ? { code: 'ERR_GAMMALOOP_WORKER_START', exitCode: 9 }
        : {
            code: 'ERR_GAMMALOOP_WORKER_START',
            cause: expect.objectContaining({ code: 'ERR_WORKER_INVALID_EXEC_ARGV' }),
          },
    ],
  ];
  test.each(starts)('%s', patience, async (_what, options, expected) => {
    const runner = makeRunner(options);
    for (let i = 0; i < TIMES; i++) {
      const errors = await Promise.all([errorOf(runner.run('add', [1, 2])), errorOf(runner.run('echo', [1]))]);
      expect(errors[0]).toMatchObject({ name: 'TaskError', task: 'add', ...expected });
      expect(errors[1]).toMatchObject({ task: 'echo', ...expected });
    }
    expect(await errorOf(runner.start())).toMatchObject({ name: 'TaskError', ...expected });
    expect(runner.stats()).toMatchObject({ queued: 0, running: 0, failed: 2 * TIMES });
  });

  // Told by shared memory, which processes have not.
  if (!isProcess()) {
    test('fails only as long as its reason lasts', patience, async () => {
      // What the next worker does while it loads its module.
      const fault = new Int32Array(new SharedArrayBuffer(8));
      const module = `data:text/javascript,
      import { workerData } from 'node:worker_threads';
      const fault = Atomics.load(workerData.fault, 0);
      if (fault === 1) throw new Error('on load');
      if (fault === 2) process.exit(4);
      if (fault === 3) Atomics.wait(workerData.fault, 1, 0);
      export const add = (a, b) => a + b;
      export const exit = () => process.exit(0);`;
      // Hanging is the longer wait: each fault is a runner's own.
      const codes = ['', 'ERR_GAMMALOOP_WORKER_START', 'ERR_GAMMALOOP_WORKER_START', 'ERR_GAMMALOOP_WORKER_HANG'];
      for (const kind of [1, 2, 3]) {
        const options = kind === 3 ? { startTimeout: 2000 } : {};
        const runner = makeRunner({ module, workerData: { fault }, ...options });
        for (let i = 0; i < (kind === 3 ? Math.ceil(TIMES / 10) : TIMES); i++) {
          Atomics.store(fault, 0, kind);
          expect(await errorOf(runner.run('add', [i, 1]))).toMatchObject({ code: codes[kind], task: 'add' });
          Atomics.store(fault, 0, 0);
          expect(await runner.run('add', [i, 1])).toBe(i + 1);
          expect(await errorOf(runner.run('exit'))).toMatchObject({ code: 'ERR_GAMMALOOP_WORKER_EXIT' });
        }
        await runner.close();
      }
    });
  }

  test('one of several does not fail what the others can run, and is not tried again and again', async () => {
    const starts = makeGate(); // the second worker's init throws
    const runner = makeRunner({ threads: 2, workerData: { starts: starts.token } });
    const gate = makeGate();
    const blocked = runner.run('block', [gate.token]);
    await gate.reached();
    const waiting = runner.run('echo', ['ran']);
    while (runner.stats().threads.ended === 0) await new Promise(setImmediate);
    gate.open();
    await blocked;
    expect(await waiting).toBe('ran');
    expect(starts.count).toBe(2);
  });
});

test('what cannot be cloned harms nothing, however often', patience, async () => {
  const runner = makeRunner();
  for (let i = 0; i < TIMES; i++) {
    const bad = [
      runner.run('echo', [() => {}]),
      runner.run('unclonable'),
      runner.run('unclonableSymbol'),
      runner.call(Math.max, [1, 2]),
    ].map(errorOf);
    const good = runner.run('add', [i, 1]);
    expect((await Promise.all(bad)).map(({ code }) => code)).toEqual([
      'ERR_GAMMALOOP_PAYLOAD',
      'ERR_GAMMALOOP_TASK_RESULT',
      'ERR_GAMMALOOP_TASK_RESULT',
      'ERR_GAMMALOOP_TASK_FUNCTION',
    ]);
    expect(await good).toBe(i + 1);
  }
  expect(runner.stats()).toMatchObject({ done: TIMES, threads: { started: 1, ended: 0 } });
});

test('a port that its peer has closed on the way is a coded error', async () => {
  const runner = makeRunner();
  const gate = makeGate();
  const blocked = runner.run('block', [gate.token]);
  await gate.reached();
  const { port1, port2 } = new MessageChannel();
  const outcome = runner.run('echo', [port1], { transfer: [port1] }).catch((error: unknown) => error);
  port2.close();
  await new Promise(setImmediate);
  gate.open();
  await blocked;
  expect(await outcome).toBeInstanceOf(PayloadError);
  expect(await runner.run('add', [1, 2])).toBe(3);
});
