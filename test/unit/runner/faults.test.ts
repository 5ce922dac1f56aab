/** Whatever a task or a worker dies of: its own code, and a pool that is whole after. */
import { describe, expect, test } from 'vitest';
import { PayloadError } from '../../../lib/errors.js';
import type { RunnerOptions } from '../../../lib/runner/index.js';
import { errorOf, isProcess, makeGate, makeRunner } from './support.js';

/** In a row, on one runner. */
const TIMES = Number(process.env['GAMMALOOP_FAULT_TIMES'] ?? 5);

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
  test.each(faults)('%s %j', async (task, args, expected, options) => {
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
      { workerData: { initGate: gate.token }, startTimeout: 300 },
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
  test.each(starts)('%s', async (_what, options, expected) => {
    const runner = makeRunner(options);
    for (let i = 0; i < 3; i++) {
      const errors = await Promise.all([errorOf(runner.run('add', [1, 2])), errorOf(runner.run('echo', [1]))]);
      expect(errors[0]).toMatchObject({ name: 'TaskError', task: 'add', ...expected });
      expect(errors[1]).toMatchObject({ task: 'echo', ...expected });
    }
    expect(await errorOf(runner.start())).toMatchObject({ name: 'TaskError', ...expected });
    expect(runner.stats()).toMatchObject({ queued: 0, running: 0, failed: 6 });
  });

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
