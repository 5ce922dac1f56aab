import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ListenError, OptionError, Response, type ServeOptions, serve } from '../../lib/index.js';
import { backends, portOf, starter } from '../support/backends.js';
import { childArgs } from '../support/child.js';
import { RawClient } from '../support/raw-client.js';
import { UNRESOLVABLE } from '../support/unresolvable.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const run = promisify(execFile);
const handler = (): Response => new Response('ok');
const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((entry) => entry?.family === 'IPv6');

async function answers(to: Parameters<typeof RawClient.open>[0], host?: string): Promise<boolean> {
  const client = await RawClient.open(to, host);
  const response = await client.send(GET).response();
  client.socket.destroy();
  return response.body.toString() === 'ok';
}

describe.each(backends)('listen on %s', (backend) => {
  const start = starter(backend);

  it('port 0: any free port, in address() and url', async () => {
    const server = await start({ fetch: handler });
    expect(server.backend).toBe(backend);
    expect(server.stats().backend).toBe(backend);
    expect(server.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: portOf(server) });
    expect(server.url).toBe(`http://127.0.0.1:${portOf(server)}`);
    expect(await answers(server)).toBe(true);
  });

  it('no hostname: all addresses, shown as localhost', async () => {
    const server = await start({ fetch: handler, hostname: '' });
    expect(server.url).toBe(`http://localhost:${portOf(server)}`);
    expect(await answers(portOf(server), '127.0.0.1')).toBe(true);
    if (hasIpv6) expect(await answers(portOf(server), '::1')).toBe(true);
  });

  it('a name is resolved', async () => {
    const server = await start({ fetch: handler, hostname: 'localhost' });
    expect(server.url).toMatch(/^http:\/\/(127\.0\.0\.1|\[::1\]):\d+$/);
    expect(await answers(server)).toBe(true);
  });

  it('a name that does not resolve: a coded error', async () => {
    await expect(start({ fetch: handler, hostname: UNRESOLVABLE })).rejects.toSatisfy(
      (error) => error instanceof ListenError && error.code === 'ENOTFOUND',
    );
  });

  it('an address that is not of this machine: EADDRNOTAVAIL', async () => {
    await expect(start({ fetch: handler, hostname: '192.0.2.1' })).rejects.toMatchObject({
      name: 'ListenError',
      code: 'EADDRNOTAVAIL',
      address: '192.0.2.1',
    });
  });

  it.runIf(hasIpv6)('IPv6: brackets in the url, and ipv6Only', async () => {
    const server = await start({ fetch: handler, hostname: '::1' });
    expect(server.address()).toEqual({ address: '::1', family: 'IPv6', port: portOf(server) });
    expect(server.url).toBe(`http://[::1]:${portOf(server)}`);
    expect(await answers(server)).toBe(true);
    const only = await start({ fetch: handler, hostname: '::', ipv6Only: true });
    expect(await answers(portOf(only), '::1')).toBe(true);
    await expect(RawClient.open(portOf(only), '127.0.0.1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('EADDRINUSE, as node gives it', async () => {
    const server = await start({ fetch: handler });
    await expect(start({ fetch: handler, port: portOf(server) })).rejects.toMatchObject({
      name: 'ListenError',
      code: 'EADDRINUSE',
      syscall: 'listen',
      address: '127.0.0.1',
      port: portOf(server),
    });
    expect(await answers(server)).toBe(true);
  });

  it('EADDRINUSE against node:net', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await expect(start({ fetch: handler, port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'listen',
    });
    other.close();
  });

  it('unix: serves on the path, and removes it at close', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gammaloop-unix-'));
    try {
      const path = join(folder, 'socket');
      const server = await start({ fetch: handler, unix: path });
      expect(server.address()).toBe(path);
      expect(server.url).toBe(`unix:${path}`);
      expect(await answers(path)).toBe(true);
      await expect(start({ fetch: handler, unix: path })).rejects.toMatchObject({
        name: 'ListenError',
        code: 'EADDRINUSE',
        syscall: 'listen',
        address: path,
      });
      await server.close();
      expect(existsSync(path)).toBe(false);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('unix: EACCES or ENOENT for a place where no socket can be', async () => {
    await expect(start({ fetch: handler, unix: '/no/such/folder/socket' })).rejects.toSatisfy(
      (error) => error instanceof ListenError && (error.code === 'EACCES' || error.code === 'ENOENT'),
    );
  });

  it('EACCES for a folder that may not be written to', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gammaloop-unix-'));
    try {
      await chmod(folder, 0o555);
      // The superuser may write everywhere: the child becomes somebody else.
      const { stdout } = await run(
        process.execPath,
        childArgs(`
        if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
        await serve({ unix: ${JSON.stringify(join(folder, 'socket'))}, backend: ${JSON.stringify(backend)}, fetch: () => new Response('ok') })
          .then(() => console.log('served'), (error) => console.log(error.name, error.code, error.address));
      `),
      );
      expect(stdout.trim()).toBe(`ListenError EACCES ${join(folder, 'socket')}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('reusePort: two servers on one port, or a clear refusal', async () => {
    const first = await start({ fetch: handler, reusePort: true }).catch((error: unknown) => error);
    if (first instanceof Error) {
      expect(first).toBeInstanceOf(OptionError);
      expect(first).toMatchObject({ option: 'reusePort' });
      return;
    }
    const server = first as Awaited<ReturnType<typeof start>>;
    const second = await start({ fetch: handler, reusePort: true, port: portOf(server) });
    expect(portOf(second)).toBe(portOf(server));
  });

  it('fd: serves on a listening descriptor that it was handed', async () => {
    // Python binds and listens, and hands the descriptor to a node child, as socket activation does.
    const child = spawnPython(
      `
import socket, os, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(16)
os.dup2(s.fileno(), 9, inheritable=True)
print(s.getsockname()[1], flush=True)
os.execvp(sys.argv[1], sys.argv[1:])
`,
      [
        process.execPath,
        ...childArgs(`
      const server = await serve({ fd: 9, backend: ${JSON.stringify(backend)}, fetch: () => new Response('ok') });
      console.log(server.url);
      process.once('SIGTERM', () => server.close().then(() => console.log('closed')));
    `),
      ],
    );
    try {
      const port = Number(await child.line());
      expect(await child.line()).toBe(`http://127.0.0.1:${port}`);
      expect(await answers(port)).toBe(true);
      child.process.kill('SIGTERM');
      expect(await child.line()).toBe('closed');
      expect((await child.exited)[0]).toBe(0);
    } finally {
      child.process.kill('SIGKILL');
    }
  });

  it('fd: the path of a unix socket that it was handed is left to its owner', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gammaloop-'));
    const path = join(directory, 'handed.sock');
    const child = spawnPython(
      `
import socket, os, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(16)
os.dup2(s.fileno(), 9, inheritable=True)
os.execvp(sys.argv[2], sys.argv[2:])
`,
      [
        path,
        process.execPath,
        ...childArgs(`
      const server = await serve({ fd: 9, backend: ${JSON.stringify(backend)}, fetch: () => new Response('ok') });
      await server.close();
      console.log('closed');
    `),
      ],
    );
    try {
      expect(await child.line()).toBe('closed');
      expect(existsSync(path)).toBe(true);
    } finally {
      child.process.kill('SIGKILL');
      await rm(directory, { recursive: true });
    }
  });

  it('fd: a descriptor that is no socket is a coded error', async () => {
    const { stdout } = await run(
      process.execPath,
      childArgs(`
      const { openSync } = await import('node:fs');
      const fd = openSync(${JSON.stringify(new URL(import.meta.url).pathname)}, 'r');
      for (const bad of [fd, 987]) {
        await serve({ fd: bad, backend: ${JSON.stringify(backend)}, fetch: () => new Response('ok') })
          .then(() => console.log('served'), (error) => console.log(error.name, typeof error.code));
      }
    `),
    );
    expect(stdout.trim().split('\n')).toEqual(['ListenError string', 'ListenError string']);
  });

  it('unref: a process with an open, unreferenced server exits; with a closed one too; ref keeps it', async () => {
    const common = `const server = await serve({ port: 0, hostname: '127.0.0.1', backend: ${JSON.stringify(backend)}, fetch: () => new Response('ok') });`;
    for (const then of [
      'server.unref();',
      'await server.close();',
      `
      const response = await fetch(server.url); await response.text(); await server.close({ deadline: 0 });`,
    ]) {
      const { stdout } = await run(
        process.execPath,
        childArgs(`${common} ${then} process.on('exit', () => console.log('exit'));`),
        { timeout: 15_000 },
      );
      expect(stdout.trim(), then).toBe('exit');
    }
    const kept = spawnLines(
      process.execPath,
      childArgs(`${common} server.unref(); server.ref(); console.log(server.url);`),
    );
    try {
      expect(await (await fetch(await kept.line())).text()).toBe('ok');
      expect(kept.process.exitCode).toBe(null);
    } finally {
      kept.process.kill('SIGKILL');
      await kept.exited;
    }
  });
});

interface LineProcess {
  process: ChildProcess;
  line(): Promise<string>;
  exited: Promise<unknown[]>;
}

function spawnPython(code: string, args: string[]): LineProcess {
  return spawnLines('python3', ['-c', code, ...args]);
}

function spawnLines(command: string, args: string[]): LineProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  const waiting: Array<(line: string) => void> = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() as string;
    for (const line of parts) {
      const next = waiting.shift();
      if (next === undefined) lines.push(line);
      else next(line);
    }
  });
  const line = async (): Promise<string> => {
    const ready = lines.shift();
    if (ready !== undefined) return ready;
    return Promise.race([
      new Promise<string>((resolve) => waiting.push(resolve)),
      exited.then(([code]) => Promise.reject(new Error(`The process ended with ${code} before it said anything more`))),
    ]);
  };
  return { process: child, line, exited };
}

describe('bad options', () => {
  const good = { fetch: handler, port: 0 };
  const cases: Array<[name: string, options: unknown, option: string]> = [
    ['no object', 5, 'options'],
    ['no handler', { port: 0 }, 'fetch'],
    ['two handlers', { ...good, app: () => {} }, 'app'],
    ['a handler that is no function', { port: 0, fetch: 'x' }, 'fetch'],
    ['an unknown option', { ...good, prot: 3000 }, 'prot'],
    ['a port that is a string', { ...good, port: '3000' }, 'port'],
    ['a negative port', { ...good, port: -1 }, 'port'],
    ['a port above 65535', { ...good, port: 65536 }, 'port'],
    ['a fractional port', { ...good, port: 1.5 }, 'port'],
    ['port and unix', { ...good, unix: '/x' }, 'unix'],
    ['unix and fd', { fetch: handler, unix: '/x', fd: 3 }, 'fd'],
    ['hostname with unix', { fetch: handler, unix: '/x', hostname: 'x' }, 'hostname'],
    ['an empty unix path', { fetch: handler, unix: '' }, 'unix'],
    ['a negative fd', { fetch: handler, fd: -1 }, 'fd'],
    ['a hostname that is no string', { ...good, hostname: 5 }, 'hostname'],
    ['a hostname with NUL', { ...good, hostname: 'a\0b' }, 'hostname'],
    ['backlog 0', { ...good, backlog: 0 }, 'backlog'],
    ['ipv6Only that is no boolean', { ...good, ipv6Only: 1 }, 'ipv6Only'],
    ['limits that are no object', { ...good, limits: 5 }, 'limits'],
    ['an unknown limit', { ...good, limits: { headerByte: 1 } }, 'limits.headerByte'],
    ['an inherited name as a limit', { ...good, limits: { toString: 1 } }, 'limits.toString'],
    ['a negative limit', { ...good, limits: { headerBytes: -1 } }, 'limits.headerBytes'],
    ['a head without a bound', { ...good, limits: { headerBytes: 0 } }, 'limits.headerBytes'],
    ['a head larger than the ring carries', { ...good, limits: { headerBytes: 262145 } }, 'limits.headerBytes'],
    ['no request at a time', { ...good, limits: { pipelinedRequests: 0 } }, 'limits.pipelinedRequests'],
    ['a limit that is NaN', { ...good, limits: { bodyBytes: Number.NaN } }, 'limits.bodyBytes'],
    ['a limit that is a string', { ...good, limits: { bodyBytes: '1mb' } }, 'limits.bodyBytes'],
    ['an unknown timeout', { ...good, timeouts: { idle: 5 } }, 'timeouts.idle'],
    ['an infinite timeout', { ...good, timeouts: { headers: Number.POSITIVE_INFINITY } }, 'timeouts.headers'],
    ['an unknown backend', { ...good, backend: 'uv' }, 'backend'],
    ['an onError that is no function', { ...good, onError: 5 }, 'onError'],
    ['a signal that is none', { ...good, signal: {} }, 'signal'],
  ];

  it.each(cases)('%s', async (_name, options, option) => {
    const error: unknown = await serve(options as ServeOptions).then(
      async (server) => {
        await server.close();
        return null;
      },
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(OptionError);
    expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_OPTION', option, name: 'OptionError' });
    expect((error as Error).message).toContain(`'${option}'`);
  });

  it('GAMMALOOP_BACKEND is checked', async () => {
    const before = process.env['GAMMALOOP_BACKEND'];
    process.env['GAMMALOOP_BACKEND'] = 'uv';
    try {
      await expect(serve(good)).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_OPTION' });
      process.env['GAMMALOOP_BACKEND'] = 'node';
      const server = await serve(good);
      expect(server.backend).toBe('node');
      await server.close();
    } finally {
      if (before === undefined) delete process.env['GAMMALOOP_BACKEND'];
      else process.env['GAMMALOOP_BACKEND'] = before;
    }
  });
});
