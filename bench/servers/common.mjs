// What every JavaScript server of the bench shares: which app to be, the answers' bytes, and the line to the harness.
//
// A server is started as `<runtime> <file> <app>` with app = hello, echo or 16k, answers that one request on every path (frameworks
// register the one route), prints `READY <port> <version>` once it listens, collects garbage and answers `GC <memoryUsage>` when told
// `gc` on its standard input, and ends when that ends.

import process from 'node:process';

export const app = process.argv[2] ?? 'hello';
export const hello = 'Hello, World!';
export const big = 'x'.repeat(16384);
/** The fixed answer of this server's app; echo has none. */
export const text = app === '16k' ? big : hello;
export const textLength = String(text.length);

/** As long as the idle workload holds its connections, so that no server closes them. */
export const keepAliveMs = 120_000;
export const backlog = 4096;

/** V8's young generation grows with what survives in it, and stays so: as it is in a server that has been up for a while, so that its growth is not counted as the connections'. */
function growYoungGeneration() {
  for (let round = 0; round < 8; round++) {
    const survivors = [];
    for (let i = 0; i < 500; i++) survivors.push(new Array(4000).fill(0.5));
  }
}

let isGrown = false;

async function collectGarbage() {
  if (typeof Bun !== 'undefined') return void Bun.gc(true);
  if (!isGrown) growYoungGeneration();
  isGrown = true;
  if (typeof globalThis.gc !== 'function') {
    const { setFlagsFromString } = await import('node:v8');
    const { runInNewContext } = await import('node:vm');
    setFlagsFromString('--expose-gc');
    globalThis.gc = runInNewContext('gc');
  }
  globalThis.gc();
}

export function ready(port, version) {
  console.log(`READY ${port} ${version}`);
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', async (line) => {
    if (line.trim() !== 'gc') return;
    await collectGarbage();
    console.log(`GC ${JSON.stringify(process.memoryUsage())}`);
  });
  process.stdin.on('end', () => process.exit(0));
}
