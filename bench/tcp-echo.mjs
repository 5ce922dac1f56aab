// What a message costs that a TCP server sends back: gammaloop/net's protocols, streams and drop-in sockets, node:net, uvloop, Bun, and a C program at the limit.
//
//   npm run build && npm run build:ts && node bench/tcp-echo.mjs [--sizes 1024,10240,102400] [--runs 3] [--window 1000] [--only net] [--clients polling,sleeping]
//
// Three connections, one message in flight each (uvloop's own echo benchmark); the load is load/tcp_echo.c, on another core, and checks every byte. Linux.
// Once with a client that polls, once with one that sleeps when it has nothing to do, which the server pays for: see the load.
// uvloop is measured where the Debian package python3-uvloop is installed, Bun where `bun` is in the PATH or in bench/node_modules.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sizes: { type: 'string', default: '1024,10240,102400' },
    runs: { type: 'string', default: '3' },
    window: { type: 'string', default: '1000' },
    only: { type: 'string' },
    clients: { type: 'string', default: 'polling,sleeping' },
  },
});

async function sockets(createServer) {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {}).on('data', (data) => socket.write(data));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

/** How long a client of a kind waits when nothing has come. */
const WAIT_MS = { polling: '0', sleeping: '100' };

/** The servers that run in this file: `node bench/tcp-echo.mjs serve NAME`. */
const servers = {
  async protocol() {
    const { listen } = await import('../dist/net/index.js');
    const server = await listen({ hostname: '127.0.0.1', backend: 'native' }, () => ({
      connectionMade(transport) {
        this.transport = transport;
      },
      dataReceived(data) {
        this.transport.write(data);
      },
    }));
    return server.port;
  },
  async buffered() {
    const { listen } = await import('../dist/net/index.js');
    const memory = Buffer.alloc(256 * 1024);
    let received = memory;
    const server = await listen({ hostname: '127.0.0.1', backend: 'native' }, () => ({
      connectionMade(transport) {
        this.transport = transport;
      },
      getBuffer: () => memory,
      bufferUpdated(count) {
        if (received.length !== count) received = memory.subarray(0, count);
        this.transport.write(received);
      },
    }));
    return server.port;
  },
  async streams() {
    const { listenStreams } = await import('../dist/net/index.js');
    const server = await listenStreams({ hostname: '127.0.0.1', backend: 'native' }, async (stream) => {
      for (let piece = await stream.read(); piece !== null; piece = await stream.read()) stream.write(piece);
    });
    return server.port;
  },
  /** The drop-in. */
  net: async () => sockets((await import('../dist/net/index.js')).createServer),
  node: async () => sockets((await import('node:net')).createServer),
  async bun() {
    const listener = globalThis.Bun.listen({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        data(socket, data) {
          const left = socket.rest ? Buffer.concat([socket.rest, data]) : data;
          const written = socket.write(left);
          socket.rest = written < left.length ? Buffer.from(left.subarray(written)) : null;
        },
        drain(socket) {
          if (!socket.rest) return;
          const written = socket.write(socket.rest);
          socket.rest = written < socket.rest.length ? socket.rest.subarray(written) : null;
        },
      },
    });
    return listener.port;
  },
};

if (positionals[0] === 'serve') {
  console.log(`READY ${await servers[positionals[1]]()}`);
  process.stdin.resume().on('end', () => process.exit(0));
} else {
  await main();
}

async function main() {
  const { platformBinary } = await import('./harness/servers.mjs');
  if (availableParallelism() < 2) throw new Error('two cores are needed: one for the server, one for the load');
  const folder = mkdtempSync(join(tmpdir(), 'gammaloop-bench-'));
  const compile = (source, name) => {
    execFileSync(process.env.CC ?? 'cc', ['-O2', '-o', join(folder, name), here(source)]);
    return join(folder, name);
  };
  const client = compile('load/tcp_echo.c', 'client');
  const self = (name, runtime = process.execPath) => [runtime, fileURLToPath(import.meta.url), 'serve', name];
  const commands = {
    limit: [compile('limit/tcp_echo.c', 'limit')],
    protocol: self('protocol'),
    buffered: self('buffered'),
    streams: self('streams'),
    net: self('net'),
    'node:net': self('node'),
  };
  const python = '/usr/bin/python3';
  if (spawnSync(python, ['-c', 'import uvloop']).status === 0)
    commands.uvloop = [python, here('servers/uvloop_echo.py')];
  const bun = platformBinary('@oven', 'bun');
  if (bun) commands.bun = self('bun', bun);
  const only = values.only?.split(',');
  for (const name of Object.keys(commands)) {
    if (only && !['limit', 'node:net', ...only].includes(name)) delete commands[name];
  }
  try {
    const cases = values.sizes.split(',').flatMap((size) => values.clients.split(',').map((kind) => [size, kind]));
    for (const [size, kind] of cases) {
      const results = {};
      for (let run = 0; run < Number(values.runs); run++) {
        for (const [name, command] of Object.entries(commands)) {
          results[name] ??= [];
          results[name].push(await measure(command, client, size, WAIT_MS[kind]));
        }
      }
      console.log(`${size} bytes, ${kind} client: CPU us a message (median [min-max]), to the limit, to node:net`);
      const middle = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
      for (const [name, list] of Object.entries(results)) {
        const us = middle(list);
        const ratio = (other) => (us / middle(results[other])).toFixed(2);
        const spread = `[${Math.min(...list).toFixed(2)}-${Math.max(...list).toFixed(2)}]`;
        console.log(
          `  ${name.padEnd(10)} ${us.toFixed(2).padStart(8)} ${spread.padEnd(16)} ${ratio('limit')}  ${ratio('node:net')}`,
        );
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Microseconds of the server's processor time a message. */
async function measure(command, client, size, waitMs) {
  const server = spawn('taskset', ['-c', '0', ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: server.stdout }), 'line');
  const port = line.split(' ')[1];
  const load = spawn('taskset', ['-c', '1', client, port, size, '3', '500', values.window, `${server.pid}`, waitMs], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(load, 'exit');
  let output = '';
  for await (const chunk of load.stdout) output += chunk;
  const [code] = await exit;
  server.stdin.end();
  if (code !== 0) throw new Error(`${command.join(' ')}: the load ended with ${code}`);
  const [messages, , cpuNs] = output.trim().split(' ').map(Number);
  return cpuNs / 1000 / messages;
}
