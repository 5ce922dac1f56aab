/** What only child processes do: native tasks that crash alone, an end with their parent, nothing left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RunnerOptions } from '../../../lib/runner/index.js';
import { nativeTasks } from './native-library.js';
import { errorOf, makeGate, makeRunner, library as module, scratch, tasks, useLane } from './support.js';

/** In a row, on one runner. */
const TIMES = Number(process.env['GAMMALOOP_FAULT_TIMES'] ?? 5);

useLane('process');

let library: string;
beforeAll(() => {
  library = nativeTasks(scratch);
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const isAlive = (pid: number) => {
  // A zombie is dead, whether or not somebody has asked.
  const status = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : null;
  if (process.platform === 'linux') return status !== null && !/\) [ZX]/.test(status);
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
};

describe('a child', () => {
  test('has the environment, flags and arguments that it was given, and a process of its own', async () => {
    const options: RunnerOptions = {
      env: { ...process.env, RUNNER_TEST: 'set' },
      argv: ['one', 2],
      execArgv: ['--stack-trace-limit=7'],
      resourceLimits: { maxOldGenerationSizeMb: 77, stackSizeMb: 1 },
    };
    const runner = makeRunner(options);
    const seen = await runner.call(() => {
      process.chdir('/');
      const { argv, env, execArgv, pid } = process;
      return { argv: argv.slice(2), env: env['RUNNER_TEST'], execArgv, pid, cwd: process.cwd() };
    });
    expect(seen).toMatchObject({ argv: ['one', '2'], env: 'set', cwd: '/' });
    expect(seen.execArgv).toEqual(['--stack-trace-limit=7', '--max-old-space-size=77', '--stack-size=1024']);
    expect(seen.pid).not.toBe(process.pid);
    const [worker] = runner.stats().workers;
    expect(worker).toMatchObject({ lane: 'process', pid: seen.pid, phase: 'ready', runTime: { count: 1 } });
  });

  test('is told its lane by options that are checked', () => {
    expect(() => makeRunner({ lane: 'fiber' as never })).toThrow(expect.objectContaining({ option: 'lane' }));
  });

  test.each(['SIGKILL', 'SIGTERM', 'exit'])('ends with its parent, whatever it does: %s', async (how) => {
    mkdirSync(scratch, { recursive: true });
    const gate = makeGate();
    const options = { lane: 'process', module: tasks.href, threads: 2, workerData: { library: module } };
    const program = `
      import { Runner } from ${JSON.stringify(module)};
      const runner = new Runner(${JSON.stringify(options)});
      await runner.start();
      console.log(JSON.stringify(runner.stats().workers.map(({ pid }) => pid)));
      runner.run('spinForever', [${JSON.stringify(gate.token)}]).catch(() => {});
      process.stdin.once('data', () => process.exit(0));`;
    for (let i = 0; i < Math.min(TIMES, 10); i++) {
      const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const closed = once(parent, 'close');
      const [line] = (await once(createInterface(parent.stdout), 'line')) as [string];
      const pids = JSON.parse(line) as number[];
      expect(pids.map(isAlive)).toEqual([true, true]);
      await gate.reached(); // one of them holds its event loop
      if (how === 'exit') parent.stdin.end('go');
      else parent.kill(how as NodeJS.Signals);
      await closed;
      await until(() => !pids.some(isAlive));
    }
  });
});

describe('native tasks in a child', () => {
  test('give what they give on a thread', async () => {
    const runner = makeRunner({ lane: 'thread', tasksPerThread: 2 });
    const lane = 'process';
    const big = Uint8Array.from({ length: 300_000 }, (_, i) => i);
    expect(Buffer.compare(await runner.native(library, 'echo', big, { lane }), big)).toBe(0);
    const shared = new Uint8Array(new SharedArrayBuffer(8)).fill(3);
    expect(await runner.native(library, 'echo', shared, { lane })).toEqual(new Uint8Array(8).fill(3));
    const known = text(await runner.native(library, 'context', undefined, { lane, traceId: 'tr', timeout: 60_000 }));
    expect(known).toMatch(/^tr deadline 0 \d+$/);
    expect(await errorOf(runner.native(library, 'fail', Buffer.from('5 why'), { lane }))).toMatchObject({
      name: 'TaskError',
      code: 'ERR_GAMMALOOP_NATIVE_TASK',
      taskCode: 5,
      message: 'Native task fail returned error 5: why',
    });
    for (const [path, symbol, code] of [
      ['/no/such/file.so', 'echo', 'ERR_GAMMALOOP_NATIVE_LIBRARY'],
      [library, 'missing', 'ERR_GAMMALOOP_NATIVE_SYMBOL'],
    ] as const) {
      expect(await errorOf(runner.native(path, symbol, undefined, { lane }))).toMatchObject({ code, task: symbol });
    }
    const controller = new AbortController();
    let halves: Promise<unknown> | undefined;
    const progress = new Promise((resolve) => {
      const options = { lane, signal: controller.signal, onProgress: resolve } as const;
      halves = errorOf(runner.native(library, 'halves', new Uint8Array(16), options));
    });
    expect(await progress).toBeCloseTo(0.5);
    controller.abort();
    expect(await halves).toMatchObject({ code: 'ERR_GAMMALOOP_CANCELLED' });
    // It listened: its process lives on.
    expect(text(await runner.native(library, 'echo', Buffer.from('after'), { lane }))).toBe('after');
    expect(runner.stats()).toMatchObject({ threads: { started: 1, ended: 0 } });
  });
  test.each([
    ['segfault', { signal: 'SIGSEGV' }],
    ['abort_now', { signal: 'SIGABRT' }],
    ['exit_now', { exitCode: 9 }],
  ])('%s ends that one alone', async (task, how) => {
    const runner = makeRunner();
    for (let i = 0; i < TIMES; i++) {
      const crash = errorOf(runner.native(library, task));
      const behind = runner.native(library, 'echo', Buffer.from(`${i}`));
      expect(await crash).toMatchObject({ name: 'TaskError', code: 'ERR_GAMMALOOP_WORKER_EXIT', task, ...how });
      expect(text(await behind)).toBe(`${i}`);
      expect(await runner.run('add', [i, 1])).toBe(i + 1);
    }
    expect(runner.stats()).toMatchObject({ done: 2 * TIMES, failed: TIMES, threads: { started: TIMES + 1 } });
  });

  test('one that does not listen ends with its process', async () => {
    const runner = makeRunner({ graceMs: 10 });
    const flags = new Uint8Array(8);
    const stuck = errorOf(runner.native(library, 'block_at', flags, { timeout: 300 }));
    expect(await stuck).toMatchObject({ code: 'ERR_GAMMALOOP_TIMEOUT' });
    expect(text(await runner.native(library, 'echo', Buffer.from('on')))).toBe('on');
    expect(runner.stats()).toMatchObject({ timedOut: 1, done: 1 });
  });
});

test.runIf(process.platform === 'linux')('no process and no descriptor is left, however they ended', async () => {
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const round = async () => {
    const runner = makeRunner({ threads: 2, graceMs: 10 });
    const pids: number[] = [];
    for (const fault of ['exit', 'die', 'spinForever', 'add']) {
      await runner.start();
      pids.push(...runner.stats().workers.map(({ pid }) => pid!));
      const args = { exit: [1], die: ['SIGKILL'], spinForever: [makeGate().token], add: [1, 2] }[fault]!;
      await runner.run(fault, args, { timeout: 200 }).catch(() => {});
    }
    await runner.close();
    expect(pids.filter(isAlive)).toEqual([]);
  };
  await round();
  const before = descriptors();
  for (let i = 0; i < TIMES; i++) await round();
  expect(descriptors()).toBeLessThanOrEqual(before);
});
