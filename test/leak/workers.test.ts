// 200 worker threads load the addon, serve a request and are terminated, idle and busy: descriptors, handles and memory come back.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';

const WORKERS = 200;
const AT_A_TIME = 4;
const MODES = ['idle', 'wait', 'spin'] as const;

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** One message that has `key`, or the worker's death. */
async function message<Key extends string>(worker: Worker, key: Key): Promise<Record<Key, unknown>> {
  for (;;) {
    const [received] = (await Promise.race([
      once(worker, 'message'),
      once(worker, 'exit').then(([code]) => Promise.reject(new Error(`the worker ended with ${String(code)}`))),
    ])) as [Record<Key, unknown>];
    if (key in received) return received;
  }
}

async function request(port: number, path: string): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`);
  return socket;
}

async function oneLife(number: number): Promise<void> {
  const text = `worker ${number}`;
  const worker = new Worker(new URL('./worker.mjs', import.meta.url), { workerData: { text } });
  const { port } = (await message(worker, 'port')) as { port: number };
  const socket = await request(port, '/');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toContain(text);
  const mode = MODES[number % MODES.length];
  let busy: net.Socket | null = null;
  if (mode !== 'idle') {
    const heard = message(worker, 'busy');
    busy = await request(port, `/${mode}`);
    await heard;
  }
  const ends = [socket, ...(busy === null ? [] : [busy])].map(async (client) => {
    client.on('error', () => {});
    client.resume();
    if (!client.destroyed) await once(client, 'close');
  });
  await worker.terminate();
  // Its sockets close with it: both clients see an end, and nobody listens any more.
  await Promise.all(ends);
  const late = net.connect(port, '127.0.0.1');
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNREFUSED');
}

async function lives(from: number, to: number): Promise<void> {
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) await oneLife(next++);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
}

describe.runIf(process.platform === 'linux')('worker threads', () => {
  it(`${WORKERS} load the addon, serve, and are terminated, idle and busy, with nothing left`, async () => {
    await lives(0, 40); // pools and caches fill
    const descriptors = openDescriptors();
    const memory = process.memoryUsage.rss();
    await lives(40, WORKERS);
    expect(openDescriptors()).toBeLessThanOrEqual(descriptors);
    // Each engine has 2 MiB of rings and buffers: 160 that were leaked would be 320 MiB.
    expect(process.memoryUsage.rss() - memory).toBeLessThan(96 * 1024 * 1024);
  }, 180_000);
});
