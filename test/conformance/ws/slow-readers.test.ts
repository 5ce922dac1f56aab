/** A topic of which most subscribers do not read, in a server process of its own whose memory is measured. On every backend. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { backends } from '../../support/backends.js';
import { childArgs } from '../../support/child.js';
import { WsClient } from './wire.js';

const SLOW = 100;
const FAST = 5;
const LIMIT_BYTES = 1024 * 1024;
const MESSAGE_BYTES = 16 * 1024;
/** Node's own ups and downs. */
const SLACK_BYTES = 24 * 1024 * 1024;

/** Publishes, at the pace of those who read, until only they are left, and then on; prints what came of it. */
const server = (backend: string) => `
  const failures = {};
  const fast = [];
  const server = await serve({
    port: 0, hostname: '127.0.0.1', backend: ${JSON.stringify(backend)},
    fetch: () => new Response('no page', { status: 404 }),
    websocket: {
      maxBufferedBytes: ${LIMIT_BYTES}, closeTimeout: 100,
      open: (ws) => { ws.subscribe('news'); if (ws.url === '/fast') fast.push(ws); },
      error: (ws, { code }) => { failures[code] = (failures[code] ?? 0) + 1; },
    },
  });
  const turn = () => new Promise(setImmediate);
  console.log(server.address().port);
  while (server.subscriberCount('news') < ${SLOW + FAST}) await turn();
  const message = Buffer.alloc(${MESSAGE_BYTES}, 'x');
  const before = process.memoryUsage.rss();
  let most = before, published = 0;
  const publish = async () => {
    server.publish('news', message);
    published++;
    do await turn(); while (fast.some((ws) => ws.bufferedAmount > ${LIMIT_BYTES / 4}));
    most = Math.max(most, process.memoryUsage.rss());
  };
  while (server.subscriberCount('news') > ${FAST}) await publish();
  for (let i = 0; i < 100; i++) await publish();
  server.publish('news', 'the end');
  console.log(JSON.stringify({ grown: most - before, published, failures }));
`;

describe.each(backends)('slow readers on %s', (backend) => {
  const clients: WsClient[] = [];
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  test('a topic whose subscribers do not read: they keep one copy between them, are closed with 1013, and the others get all', async () => {
    const child = spawn(process.execPath, childArgs(server(backend)), { stdio: ['ignore', 'pipe', 'inherit'] });
    const gone = once(child, 'exit');
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const line = async () => (await lines.next()).value as string;
      const port = Number(await line());
      for (let i = 0; i < SLOW + FAST; i++) {
        const client = await WsClient.open(port, { path: i < SLOW ? '/slow' : '/fast' });
        clients.push(client);
        if (i < SLOW) client.socket.pause();
      }
      const counts = clients.slice(SLOW).map(async (client) => {
        let count = 0;
        while ((await client.message()).data.length === MESSAGE_BYTES) count++;
        return count;
      });
      const { grown, published, failures } = JSON.parse(await line());
      expect(failures).toEqual({ ERR_GAMMALOOP_WEBSOCKET_BUFFERED_BYTES_EXCEEDED: SLOW });
      expect(grown).toBeLessThan(LIMIT_BYTES + SLACK_BYTES); // one each would be 100 MiB
      expect(await Promise.all(counts)).toEqual(Array(FAST).fill(published));
    } finally {
      child.kill('SIGKILL');
      await gone;
    }
  }, 60_000);
});
