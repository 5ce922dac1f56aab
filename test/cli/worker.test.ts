/** The command `gammaloop worker`, as users run it: a process of its own, a real NATS server, signals. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { Requester } from '../../lib/correlation/index.js';
import { NatsPort } from '../../lib/ports/nats.js';
import { useBroker } from '../support/use-broker.js';

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const tasks = fileURLToPath(new URL('tasks.mjs', import.meta.url));
const running: { kill(signal: NodeJS.Signals): void }[] = [];

function gammaloop(...args: string[]) {
  const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let onOutput = (): void => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      onOutput();
    });
  }
  running.push({ kill: (signal) => child.kill(signal) });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const printed = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      onOutput = () => {
        if (pattern.test(output)) resolve();
      };
      void ended.then(() => reject(new Error(`it ended: ${output}`)));
      onOutput();
    });
  return { ended, printed, kill: (signal: NodeJS.Signals) => child.kill(signal), output: () => output };
}

afterEach(() => {
  for (const { kill } of running.splice(0)) kill('SIGKILL');
});

test('without arguments, and with wrong ones, it says what it takes', async () => {
  const plain = gammaloop();
  expect(await plain.ended).toBe(0);
  expect(plain.output()).toContain('worker');
  const help = gammaloop('worker', '--help');
  expect(await help.ended).toBe(0);
  expect(help.output()).toContain('--concurrency');
  for (const [args, text] of [
    [['nothing'], "no command 'nothing'"],
    [['worker'], 'name one module'],
    [['worker', tasks], '--port is missing'],
    [['worker', tasks, '--port', 'http://x'], "not 'http://x'"],
    [['worker', tasks, '--port', 'nats://x', '--threads', 'many'], '--threads takes a whole number'],
    [['worker', tasks, '--port', 'nats://x', '--prefix', 'a b'], 'prefix'],
    [['worker', tasks, '--unknown'], 'Unknown option'],
  ] as const) {
    const wrong = gammaloop(...args);
    expect(await wrong.ended).toBe(2);
    expect(wrong.output()).toContain(text);
  }
});

test('a worker that waits for its broker ends on SIGTERM', async () => {
  const away = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(away, 'listening');
  const worker = gammaloop('worker', tasks, '--port', `nats://127.0.0.1:${(away.address() as AddressInfo).port}`);
  await worker.printed(/waiting for the broker/);
  worker.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(worker.output().split('\n').slice(1)).toEqual([
    'gammaloop: SIGTERM: draining',
    'gammaloop: 0 answered, 0 cut',
    '',
  ]);
  away.close();
});

describe('over NATS', () => {
  const nats = useBroker('nats');

  test('runs tasks, gives their errors, and drains on SIGTERM', async () => {
    const worker = gammaloop('worker', tasks, '--port', nats.url, '--threads', '2');
    await worker.printed(/answers 'tasks' through nats/);
    const port = new NatsPort({ servers: nats.url });
    const requester = new Requester(port, { timeout: 10_000 });
    const ask = (task: string, ...args: unknown[]) => requester.request('tasks', { task, args });
    expect(await ask('add', 2, 3)).toBe(5);
    await expect(ask('fail')).rejects.toMatchObject({ code: 'ENOTHING', message: 'no such thing' });
    await expect(ask('unknown')).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_TASK_UNKNOWN' });
    await expect(requester.request('tasks', 5)).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_PAYLOAD' });
    const last = ask('slow', 300);
    await ask('add', 1, 1);
    worker.kill('SIGTERM');
    await worker.printed(/SIGTERM: draining/);
    expect(await last).toBe('slept');
    expect(await worker.ended).toBe(0);
    expect(worker.output()).toContain('1 answered, 0 cut');
    await expect(ask('add', 1, 1)).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_NO_RESPONDER' });
    await port.close();
  });

  test('durable: a worker takes no more than it runs, and leaves the rest to others', async () => {
    const start = async () => {
      const worker = gammaloop('worker', tasks, '--port', nats.url, '--prefix', 'cli', '--durable', '--threads', '1');
      await worker.printed(/answers 'tasks' through nats/);
    };
    await start();
    const port = new NatsPort({ servers: nats.url, prefix: 'cli', durable: true });
    const requester = new Requester(port, { timeout: 15_000 });
    const asked = Array.from({ length: 8 }, () => requester.request('tasks', { task: 'pid', args: [500] }));
    await start();
    expect(new Set(await Promise.all(asked)).size).toBe(2);
    await port.close();
  });
});
