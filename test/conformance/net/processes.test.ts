/** node:net in programs of their own, plain and with the hook: sockets that go to another process, and what has left when a process ends. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { netModule, nodeNetArgs, wantedHooks } from '../../support/drop-in-child.js';

const folder = mkdtempSync(join(tmpdir(), 'gammaloop-net-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(wantedHooks)('node:net, %s', (hook) => {
  /** The lines that a program prints, which must end by itself. */
  const run = async (code: string) => {
    const file = join(folder, `${hook}.mjs`);
    writeFileSync(file, code);
    const env = { ...process.env, GAMMALOOP_BACKEND: hook === 'plain' ? '' : hook };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...nodeNetArgs(hook), file], { env });
    expect(stderr).toBe('');
    return stdout.trim().split('\n');
  };

  test('a connection goes to a child, with its server, by way of messages', async () => {
    const lines = await run(`
      import { fork } from 'node:child_process';
      import net, { connect } from 'node:net';
      import { fileURLToPath } from 'node:url';
      if (process.argv[2] === 'child') {
        process.on('message', (text, socket) => {
          socket.resume().end(text + ' from the child').on('close', () => process.disconnect());
        });
      } else {
      const child = fork(fileURLToPath(import.meta.url), ['child']);
      const server = net.createServer({ pauseOnConnect: true }, (socket) => child.send('hello', socket));
      server.listen(0, '127.0.0.1', () => {
        const client = connect(server.address().port, '127.0.0.1');
        client.setEncoding('utf8').on('data', (text) => console.log(text)).on('end', () => server.close());
      });
      }
    `);
    expect(lines).toEqual(['hello from the child']);
  });

  test("where node hands a socket's handle to its own C++: stdio of a child, messages, a parser of HTTP that reads by itself", async () => {
    const lines = await run(`
      import { fork, spawn } from 'node:child_process';
      import { once } from 'node:events';
      import net from 'node:net';
      import { fileURLToPath } from 'node:url';
      import { createRequire } from 'node:module';
      import { text } from 'node:stream/consumers';
      if (process.argv[2] === 'child') {
        process.once('message', (text, handle) => {
          new net.Socket({ handle }).end(text + ' by its handle').on('close', () => process.disconnect());
        });
      } else {
      const server = net.createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const pair = async () => {
        const near = net.connect(server.address().port, '127.0.0.1');
        const [[far]] = await Promise.all([once(server, 'connection'), once(near, 'connect')]);
        return [near, far];
      };

      let [near, far] = await pair();
      far.pause();
      near.end('from the socket');
      const child = spawn('cat', [], { stdio: [far, 'pipe', 'inherit'] });
      console.log(await text(child.stdout));
      far.destroy();

      [near, far] = await pair();
      far.pause();
      const worker = fork(fileURLToPath(import.meta.url), ['child']);
      const exited = once(worker, 'exit');
      worker.send('sent', far._handle);
      console.log(await text(near));
      far.destroy();
      await exited;

      const { HTTPParser } = createRequire(import.meta.url)('_http_common');
      const heads = [];
      const kept = [];
      for (const isConnected of [true, false]) {
        [near, far] = isConnected ? await pair() : [net.connect(server.address().port, '127.0.0.1'), null];
        const parser = new HTTPParser();
        parser.initialize(HTTPParser.RESPONSE, {}, 0, 0);
        parser[HTTPParser.kOnExecute | 0] = () => {};
        parser[HTTPParser.kOnMessageComplete | 0] = () => {};
        const head = new Promise((resolve) => { parser[HTTPParser.kOnHeadersComplete | 0] = (...args) => resolve(args); });
        parser.consume(near._handle);
        far ??= (await once(server, 'connection'))[0];
        far.write('HTTP/1.1 204 x\\r\\n\\r\\n');
        heads.push(await head);
        kept.push(parser, near, far);
      }
      console.log(...heads.map(({ length }) => length));
      process.exit();
      }
    `);
    expect(lines).toEqual(['from the socket', 'sent by its handle', '9 9']);
  });

  test('the handle of a socket that was destroyed is refused there, and ends no process', async () => {
    const lines = await run(`
      import { spawn } from 'node:child_process';
      import { once } from 'node:events';
      import { createRequire } from 'node:module';
      import net from 'node:net';
      const server = net.createServer().listen(0, '127.0.0.1');
      const near = net.connect((await once(server, 'listening'), server.address().port), '127.0.0.1');
      const handle = near._handle;
      near.destroy();
      const { HTTPParser } = createRequire(import.meta.url)('_http_common');
      const parser = new HTTPParser();
      parser.initialize(HTTPParser.RESPONSE, {}, 0, 0);
      try { parser.consume(handle); } catch (error) { if (error.code !== 'ERR_GAMMALOOP_CLOSED') throw error; }
      try { spawn('true', { stdio: [near] }); } catch (error) { console.log(error.code); }
      setImmediate(() => process.exit());
    `);
    expect(lines).toEqual(['ERR_INVALID_ARG_VALUE']);
  });

  test('what was written has left when the process exits, and servers in the cluster module share a port', async () => {
    const lines = await run(`
      import cluster from 'node:cluster';
      import { connect, createServer } from 'node:net';
      if (cluster.isPrimary) {
        const worker = cluster.fork();
        worker.on('listening', ({ port }) => {
          connect(port, '127.0.0.1').setEncoding('utf8').on('data', (text) => console.log(text)).on('error', (e) => console.log(e.message));
        });
        worker.on('exit', (code) => console.log('exit', code));
      } else {
        createServer((socket) => {
          socket.write('last');
          process.exit(7);
        }).listen(0, '127.0.0.1');
      }
    `);
    expect(lines.sort()).toEqual(['exit 7', 'last']);
  });

  test('a socket that neither reads nor writes keeps no process alive; one that is closed does not either', async () => {
    const lines = await run(`
      import { connect, createServer } from 'node:net';
      const server = createServer({ pauseOnConnect: true }, () => {});
      server.unref().listen(0, '127.0.0.1', () => {
        connect(server.address().port, '127.0.0.1').pause();
        const idle = connect(server.address().port, '127.0.0.1', () => idle.unref());
      });
      process.on('exit', () => console.log('over'));
    `);
    expect(lines).toEqual(['over']);
  });

  test('what a handler throws is an uncaughtException, and stops no other connection', async () => {
    const lines = await run(`
      import { connect, createServer } from 'node:net';
      process.on('uncaughtException', (error) => console.log(error.message));
      const server = createServer((socket) => {
        socket.on('data', (data) => {
          if (String(data) === 'bad') throw new Error('mine');
          socket.end('fine');
        });
      });
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address();
        const bad = connect(port, '127.0.0.1', () => bad.write('bad'));
        const good = connect(port, '127.0.0.1', () => setImmediate(() => good.write('good')));
        good.setEncoding('utf8').on('data', (text) => console.log(text)).on('close', () => { bad.destroy(); server.close(); });
      });
    `);
    expect(lines).toEqual(['mine', 'fine']);
  });
});

test('a child that was forked before gammaloop was loaded is sent its sockets', async () => {
  const file = join(folder, 'late.mjs');
  writeFileSync(
    file,
    `
      import { fork } from 'node:child_process';
      import { once } from 'node:events';
      import { fileURLToPath } from 'node:url';
      import { text } from 'node:stream/consumers';
      if (process.argv[2] === 'child') {
        process.once('message', (text, socket) => socket.end(text).on('close', () => process.disconnect()));
      } else {
        const child = fork(fileURLToPath(import.meta.url), ['child']);
        const net = await import(${JSON.stringify(netModule)});
        const server = net.createServer({ pauseOnConnect: true }, (socket) => child.send('late', socket));
        await once(server.listen(0, '127.0.0.1'), 'listening');
        console.log(await text(net.connect(server.address().port, '127.0.0.1')));
        server.close();
      }
    `,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [...nodeNetArgs('plain'), file]);
  expect(stdout.trim()).toBe('late');
});
