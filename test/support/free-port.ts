/**
 * A port for a server that is started later, or again: nobody gets it by chance meanwhile. Ports that the system gives away, to whoever listens on
 * port 0 and to each connection, begin at 32768 (Linux) or above; test files that run side by side draw from ports of their own.
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

const FIRST = 22_000;
const ROWS = 625;
const WORKERS = 16;

const given = new Set<number>();

export async function freePort(): Promise<number> {
  const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % WORKERS;
  for (;;) {
    const port = FIRST + randomInt(ROWS) * WORKERS + worker;
    if (given.has(port)) continue;
    const server = createServer();
    server.listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    given.add(port);
    return port;
  }
}
