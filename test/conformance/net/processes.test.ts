/** node:net in programs of their own, plain and with the hook: sockets that go to another process, and what has left when a process ends. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { nodeNetArgs, wantedHooks } from '../../support/drop-in-child.js';

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
