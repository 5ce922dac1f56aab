/** What a batch costs: messages that come together cross into JavaScript together, and what is sent in one turn leaves in one system call. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { Response } from '../../../lib/index.js';
import { backends, starter } from '../../support/backends.js';
import { childArgs } from '../../support/child.js';
import { carriers, packageServers } from './package-servers.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { text } = opcodes;
const COUNT = 100;
const wire = Array.from({ length: COUNT }, (_, i) => frame(text, `m${i}`));

/** Node empties its queue of ticks whenever native code's call into JavaScript returns: so one tick for all is one crossing for all. */
class Crossings {
  readonly messages: string[] = [];
  count = 0;
  #isCounted = false;

  note(message: string): void {
    this.messages.push(message);
    if (this.#isCounted) return;
    this.#isCounted = true;
    this.count++;
    process.nextTick(() => {
      this.#isCounted = false;
    });
  }
}

async function sendAll(to: Parameters<typeof WsClient.open>[0], seen: Crossings): Promise<void> {
  const client = await WsClient.open(to);
  // In one segment: it is much smaller than loopback's.
  client.send(...wire);
  for (let i = 0; i < COUNT; i++) expect(await client.text()).toBe(`m${i}`);
  expect(seen.messages).toHaveLength(COUNT);
  expect(seen.count).toBe(1);
  client.send(closeFrame(1000));
  expect((await client.closed())?.code).toBe(1000);
}

describe.each(backends)('serve({ websocket }) on %s', (backend) => {
  const start = starter(backend);

  test('messages of one read come by one call', async () => {
    const seen = new Crossings();
    const server = await start({
      fetch: () => new Response(''),
      websocket: {
        message: (ws, data) => {
          seen.note(data as string);
          ws.send(data);
        },
      },
    });
    await sendAll(server, seen);
  });
});

describe.each(carriers)('gammaloop/ws on $name', (carrier) => {
  const { listen } = packageServers(carrier);

  test('messages of one read come by one call', async () => {
    const seen = new Crossings();
    const { wss, port } = await listen();
    wss.on('connection', (socket) =>
      socket.on('message', (data: Buffer) => {
        seen.note(data.toString());
        socket.send(data.toString());
      }),
    );
    await sendAll(port, seen);
  });
});

const hasStrace = spawnSync('strace', ['-c', 'true']).status === 0;
if (!hasStrace && process.platform === 'linux') {
  console.warn('Not run: the count of system calls needs strace (apt-get install strace), and leave to trace');
}

describe.runIf(hasStrace || process.env['CI'] !== undefined)('under strace', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  const packageUrl = JSON.stringify(new URL('../../../lib/drop-in/ws/index.ts', import.meta.url).href);
  const served = `
    const server = await serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response(''), websocket: {
      message(ws, data) { for (let i = 0; i < ${COUNT}; i++) ws.send(data + i); },
      close() { server.close(); },
    } });
    console.log(server.address().port);`;
  const packaged = `
    const { WebSocketServer } = await import(${packageUrl});
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.log(wss.address().port));
    wss.on('connection', (socket) => {
      socket.on('message', (data) => { for (let i = 0; i < ${COUNT}; i++) socket.send(data.toString() + i); });
      socket.on('close', () => wss.close());
    });`;

  test.each(
    backends.flatMap((backend) => [
      { name: 'serve', backend, code: served },
      { name: 'gammaloop/ws', backend, code: packaged },
    ]),
  )('$name on $backend: what is sent in one turn leaves in one write', async ({ backend, code }) => {
    const folder = mkdtempSync(join(tmpdir(), 'gammaloop-turns-'));
    folders.push(folder);
    const trace = join(folder, 'trace');
    const child = spawn(
      'strace',
      [
        '-f',
        '--seccomp-bpf',
        '-s',
        '8',
        '-e',
        'trace=write,writev,sendto,sendmsg',
        '-o',
        trace,
        process.execPath,
        ...childArgs(code),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, GAMMALOOP_BACKEND: backend } },
    );
    const exited = once(child, 'exit');
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const client = await WsClient.open(Number(line));
    for (const message of ['a', 'b', 'c']) {
      client.send(frame(text, message));
      for (let i = 0; i < COUNT; i++) expect(await client.text()).toBe(message + i);
    }
    client.send(closeFrame(1000));
    expect((await client.closed())?.code).toBe(1000);
    await exited;
    expect(existsSync(trace)).toBe(true);
    // A text frame of two bytes ("a0"), the first of its turn.
    const writes = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((call) => /"\\201\\[23]/.test(call));
    expect(writes.map((call) => /\\201\\2(.)/.exec(call)?.[1])).toEqual(['a', 'b', 'c']);
  });
});
