/** What takes a process of its own: uncaught exceptions, exit, cluster, inherited descriptors, worker threads. */
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type Hook, type Program, runProgram, wantedHooks } from '../../support/drop-in-child.js';
import { RawClient } from '../../support/raw-client.js';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

describe.each(wantedHooks)('processes, %s', (hook: Hook) => {
  let programs: Program[] = [];
  afterEach(async () => {
    for (const program of programs) await program.stop();
    programs = [];
  });
  const run = (code: string, options?: Parameters<typeof runProgram>[2]): Program => {
    const program = runProgram(code, hook, options);
    programs.push(program);
    return program;
  };

  it('a throw in a handler is an uncaught exception; the other requests are served', async () => {
    const program = run(`
      import http from 'node:http';
      process.on('uncaughtException', (error, origin) => console.log(origin + ' ' + error.message));
      const server = http.createServer((req, res) => {
        if (req.url === '/throw') throw new Error('thrown by the handler');
        res.end('served ' + req.url);
      });
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    `);
    const port = Number(await program.line());
    const first = await RawClient.open(port);
    const second = await RawClient.open(port);
    first.send(get('/throw'));
    expect(await program.line()).toBe('uncaughtException thrown by the handler');
    expect((await second.send(get('/other')).response()).body.toString()).toBe('served /other');
    first.socket.destroy();
    second.socket.destroy();
  });

  it('a throw in a handler ends a process that does not catch it, as any other', async () => {
    const program = run(`
      import http from 'node:http';
      const server = http.createServer(() => { throw new Error('thrown by the handler'); });
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    `);
    const client = await RawClient.open(Number(await program.line()));
    client.send(get('/'));
    const { code, stderr } = await program.end();
    expect(code).toBe(1);
    expect(stderr).toContain('Error: thrown by the handler');
    client.socket.destroy();
  });

  it('an unhandled rejection of an async handler is one', async () => {
    const program = run(`
      import http from 'node:http';
      process.on('unhandledRejection', (error) => console.log('unhandledRejection ' + error.message));
      const server = http.createServer(async () => { throw new Error('rejected'); });
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    `);
    const client = await RawClient.open(Number(await program.line()));
    client.send(get('/'));
    expect(await program.line()).toBe('unhandledRejection rejected');
    client.socket.destroy();
  });

  it('the process ends when its server is closed, and when it is unreferenced', async () => {
    const closing = run(`
      import http from 'node:http';
      const server = http.createServer((req, res) => { res.end('last'); server.close(); });
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    `);
    const client = await RawClient.open(Number(await closing.line()));
    await client.send(get('/').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')).rest();
    expect(await closing.end()).toMatchObject({ code: 0, stderr: '' });
    const unreferenced = run(`
      import http from 'node:http';
      http.createServer().listen(0, '127.0.0.1', function () { this.unref(); });
    `);
    expect(await unreferenced.end()).toMatchObject({ code: 0, stderr: '' });
  });

  it('a descriptor that was inherited is listened on', async () => {
    const donor = createServer();
    await new Promise<void>((resolve) => donor.listen(0, '127.0.0.1', resolve));
    const { port } = donor.address() as { port: number };
    const { fd } = (donor as unknown as { _handle: { fd: number } })._handle;
    const program = run(
      `
      import http from 'node:http';
      const server = http.createServer((req, res) => res.end('inherited'));
      server.listen({ fd: 3 }, () => console.log(JSON.stringify(server.address())));
    `,
      { stdio: [fd] },
    );
    expect(JSON.parse(await program.line())).toEqual({ address: '127.0.0.1', family: 'IPv4', port });
    await new Promise((resolve) => donor.close(resolve));
    const client = await RawClient.open(port);
    expect((await client.send(get('/')).response()).body.toString()).toBe('inherited');
    client.socket.destroy();
  });

  it.each(['rr', 'none'])('cluster workers share a port, scheduling %s', async (policy) => {
    const program = run(
      `
      import cluster from 'node:cluster';
      cluster.setupPrimary({ exec: process.env.WORKER_FILE, args: [], execArgv: process.execArgv.slice(0, -3) });
      let listening = 0;
      let exited = 0;
      const workers = [cluster.fork(), cluster.fork()];
      cluster.on('listening', (worker, address) => {
        if (++listening === 2) console.log(address.port);
      });
      cluster.on('exit', (worker, code, signal) => {
        console.log('exit ' + code + ' ' + signal + ' ' + worker.exitedAfterDisconnect);
        if (++exited === 2) process.exit(0);
      });
      process.on('SIGTERM', () => { for (const worker of workers) worker.disconnect(); });
    `,
      {
        env: {
          NODE_CLUSTER_SCHED_POLICY: policy,
          WORKER_FILE: new URL('../../support/cluster-worker.mjs', import.meta.url).pathname,
        },
      },
    );
    const port = Number(await program.line());
    const pids = new Set<string>();
    const requests = 40;
    for (let i = 0; i < requests; i++) {
      const client = await RawClient.open(port);
      const text = await client.send(get('/').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')).rest();
      expect(text).toContain('worker ');
      pids.add(text.slice(text.indexOf('worker ')));
      client.socket.destroy();
    }
    // Round robin gives both their share; without it the kernel decides, and one may get all of so few.
    if (policy === 'rr') expect(pids.size).toBe(2);
    program.child.kill('SIGTERM');
    expect([await program.line(), await program.line()]).toEqual(['exit 0 null true', 'exit 0 null true']);
    expect(await program.end()).toMatchObject({ code: 0, stderr: '' });
  });

  it('worker threads have servers of their own, and may be terminated', async () => {
    const program = run(`
      import { Worker } from 'node:worker_threads';
      const code = \`
        import http from 'node:http';
        import { parentPort } from 'node:worker_threads';
        const server = http.createServer((req, res) => res.end('from a thread'));
        server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
      \`;
      const worker = new Worker(code, { eval: true });
      worker.on('message', (port) => console.log(port));
      worker.on('error', (error) => console.log('error ' + error.stack));
      worker.on('exit', (code) => console.log('exit ' + code));
      process.on('SIGTERM', () => worker.terminate());
    `);
    const client = await RawClient.open(Number(await program.line()));
    expect((await client.send(get('/')).response()).body.toString()).toBe('from a thread');
    program.child.kill('SIGTERM');
    expect(await program.line()).toBe('exit 1');
    client.socket.destroy();
    // The handler of SIGTERM keeps the process: it ends by the test.
  });
});
