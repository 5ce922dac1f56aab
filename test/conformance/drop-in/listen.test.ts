import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EventLog, harness, implementations, listen } from '../../support/drop-in.js';
import { RawClient } from '../../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

describe.each(implementations)('listen on $name', (implementation) => {
  const on = harness(implementation);
  const directories: string[] = [];
  afterEach(() => {
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
  });

  const create = (): Server => on.track(on.http.createServer((_req, res) => res.end('served')));
  const listening = (server: Server, ...args: unknown[]): Promise<Server> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.once('listening', () => resolve(server));
      Reflect.apply(server.listen, server, args);
    });
  async function answer(to: number | string, host?: string): Promise<string> {
    const client = await RawClient.open(to, host);
    const text = await client.send(GET).rest();
    return text.slice(text.indexOf('\r\n\r\n') + 4);
  }
  const socketPath = (): string => {
    const directory = mkdtempSync(join(tmpdir(), 'gammaloop-listen-'));
    directories.push(directory);
    return join(directory, 'http.sock');
  };

  it.each([
    ['(0)', [0], '127.0.0.1'],
    ['()', [], '127.0.0.1'],
    ["(0, '127.0.0.1')", [0, '127.0.0.1'], '127.0.0.1'],
    ["(0, 'localhost', 100)", [0, 'localhost', 100], 'localhost'],
    ["(0, '::1')", [0, '::1'], '::1'],
    ["({ port: 0, host: '::', ipv6Only: true })", [{ port: 0, host: '::', ipv6Only: true }], '::1'],
    ["({ port: '0', host: '0.0.0.0', backlog: 5 })", [{ port: '0', host: '0.0.0.0', backlog: 5 }], '127.0.0.1'],
  ])('%s', async (_form, args, host) => {
    const server = await listening(create(), ...args);
    const { port, address, family } = server.address() as AddressInfo;
    expect(port).toBeGreaterThan(0);
    expect(family).toBe(address.includes(':') ? 'IPv6' : 'IPv4');
    expect(await answer(port, host)).toBe('served');
  });

  it('both stacks where no host is given', async () => {
    const server = await listening(create(), 0);
    const { port, address } = server.address() as AddressInfo;
    expect(await answer(port, '127.0.0.1')).toBe('served');
    if (address === '::') expect(await answer(port, '::1')).toBe('served');
  });

  it('ipv6Only leaves IPv4 out', async () => {
    const server = await listening(create(), { port: 0, host: '::', ipv6Only: true });
    await expect(RawClient.open((server.address() as AddressInfo).port, '127.0.0.1')).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    });
  });

  it('a path: served, and removed by close', async () => {
    const path = socketPath();
    const server = await listening(create(), path);
    expect(server.address()).toBe(path);
    expect(await answer(path)).toBe('served');
    await new Promise((resolve) => server.close(resolve));
    expect(existsSync(path)).toBe(false);
  });

  it('a path: sockets have no addresses', async () => {
    const path = socketPath();
    const seen: unknown[] = [];
    const server = on.track(
      on.http.createServer((req, res) => {
        seen.push(req.socket.remoteAddress, req.socket.remotePort, req.socket.localPort);
        res.end();
      }),
    );
    await listening(server, { path });
    await (await RawClient.open(path)).send(GET).rest();
    expect(seen).toEqual([undefined, undefined, undefined]);
  });

  it('EADDRINUSE as node says it', async () => {
    const first = await listening(create(), 0, '127.0.0.1');
    const { port } = first.address() as AddressInfo;
    const second = create();
    const error = await listening(second, port, '127.0.0.1').then(
      () => null,
      (cause) => cause,
    );
    expect(error).toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'listen',
      address: '127.0.0.1',
      port,
      message: `listen EADDRINUSE: address already in use 127.0.0.1:${port}`,
    });
    expect(typeof error.errno).toBe('number');
    expect(second.listening).toBe(false);
    expect(second.address()).toBeNull();
    await listening(second, 0, '127.0.0.1');
    expect(await answer((second.address() as AddressInfo).port)).toBe('served');
  });

  it('EADDRINUSE for a path, ENOENT for one without a directory', async () => {
    const path = socketPath();
    await listening(create(), path);
    await expect(listening(create(), path)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'listen',
      address: path,
    });
    // As node has it: what the system says of bind is reported for listen.
    await expect(listening(create(), `${path}-none/x.sock`)).rejects.toMatchObject({ syscall: 'listen' });
  });

  it('misuse throws at once', async () => {
    const server = create();
    expect(() => server.listen(70000)).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_BAD_PORT' }));
    expect(() => server.listen({} as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
    await listen(server);
    expect(() => server.listen(0)).toThrow(expect.objectContaining({ code: 'ERR_SERVER_ALREADY_LISTEN' }));
  });

  it('a signal closes', async () => {
    const controller = new AbortController();
    const server = create();
    await listening(server, { port: 0, host: '127.0.0.1', signal: controller.signal });
    const closed = new Promise<void>((resolve) => server.once('close', resolve));
    controller.abort();
    await closed;
    expect(server.listening).toBe(false);
  });

  it('close before it listens: nothing is left', async () => {
    const log = new EventLog();
    const server = create();
    log.watch('server', server, ['listening', 'close', 'error']);
    server.listen(0, '127.0.0.1');
    server.close();
    await log.until('server close');
    expect(log.entries).toEqual(['server close']);
  });

  it("another server's handle", async () => {
    const donor = createNetServer();
    await new Promise<void>((resolve) => donor.listen(0, '127.0.0.1', resolve));
    const { port } = donor.address() as AddressInfo;
    const server = await listening(create(), donor);
    expect((server.address() as AddressInfo).port).toBe(port);
    expect(await answer(port)).toBe('served');
    await new Promise((resolve) => server.close(resolve));
    donor.close();
  });

  it('unref and ref give the server back', async () => {
    const server = await listening(create(), 0, '127.0.0.1');
    expect(server.unref()).toBe(server);
    expect(server.ref()).toBe(server);
    expect(await answer((server.address() as AddressInfo).port)).toBe('served');
  });
});
