// Running out of descriptors: what cannot be served is closed and counted, and the server goes on when there is room again.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ServerStats } from '../../lib/backend/contract.js';

const LIMIT = 64;
const CLIENTS = 100;

async function ask<Key extends string>(child: ChildProcess, key: Key): Promise<Record<Key, unknown>> {
  const [received] = (await once(child, 'message')) as [Record<Key, unknown>];
  expect(received).toHaveProperty(key);
  return received;
}

describe.runIf(process.platform === 'linux')('out of descriptors', () => {
  it('sheds connections with a close, counts them, and recovers', async () => {
    const program = fileURLToPath(new URL('./descriptors-server.mjs', import.meta.url));
    const child = spawn('sh', ['-c', `ulimit -n ${LIMIT}; exec "$0" "$1"`, process.execPath, program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    try {
      const { port } = (await ask(child, 'port')) as { port: number };
      const clients = Array.from({ length: CLIENTS }, () => net.connect(port, '127.0.0.1'));
      const closed = clients.map(
        (client) =>
          new Promise<net.Socket>((resolve) => {
            client.on('error', () => {});
            client.resume();
            client.once('close', () => resolve(client));
          }),
      );
      await Promise.race(closed); // the first one that is shed
      child.send('stats');
      const { stats } = (await ask(child, 'stats')) as { stats: ServerStats };
      expect(stats.connections.shed).toBeGreaterThan(0);
      expect(stats.connections.open).toBeLessThan(LIMIT);
      for (const client of clients) client.destroy();

      const late = net.connect(port, '127.0.0.1');
      late.write('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');
      let answer = '';
      late.setEncoding('utf8').on('data', (text: string) => {
        answer += text;
      });
      await once(late, 'close');
      expect(answer).toContain('alive');
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
});
