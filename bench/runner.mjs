/**
 * The runner against piscina, tinypool and workerpool: `npm run build && npm run build:ts && node bench/runner.mjs [--quick]`, after
 * `npm ci --ignore-scripts` in bench/. One thread each, all in one process, interleaved rounds, medians. Prints a table with the targets.
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Piscina } from 'piscina';
import { Tinypool } from 'tinypool';
import workerpool from 'workerpool';

const quick = process.argv.includes('--quick');
const dist = process.env.GAMMALOOP_DIST
  ? `${pathToFileURL(process.env.GAMMALOOP_DIST).href}/`
  : new URL('../dist/', import.meta.url).href;
const runnerModule = new URL('runner/index.js', dist).href;
const { Runner } = await import(runnerModule);

const ROUNDS = quick ? 3 : 7;
const WINDOW_MS = quick ? 300 : 1000;
const IN_FLIGHT = 1000;
const ONE_AT_A_TIME = quick ? 2000 : 10_000;
const BYTES = 65_536;
const MOVES_IN_FLIGHT = 16;

const tasks = new URL('runner-tasks.mjs', import.meta.url);
const envOf = (name) => ({ ...process.env, BENCH_POOL: name, BENCH_RUNNER: runnerModule });

/** Each: add(a, b), bounce(bytes), close(). */
const makers = {
  gammaloop: () => ours({}),
  'gammaloop, spinUs 30': () => ours({ spinUs: 30 }),
  piscina: () => piscina(1),
  'piscina, 64 tasks a worker': () => piscina(64),
  tinypool: () => tinypool(1),
  'tinypool, 64 tasks a worker': () => tinypool(64),
  workerpool: () => {
    const pool = workerpool.pool(fileURLToPath(tasks), {
      minWorkers: 1,
      maxWorkers: 1,
      workerType: 'thread',
      workerThreadOpts: { env: envOf('workerpool') },
    });
    return {
      add: (a, b) => pool.exec('add', [a, b]),
      bounce: (bytes) => pool.exec('bounce', [bytes], { transfer: [bytes.buffer] }),
      close: () => pool.terminate(),
    };
  },
};

function ours(options) {
  const runner = new Runner({ module: tasks, threads: 1, env: envOf('ours'), queue: { capacity: 2000 }, ...options });
  return {
    add: (a, b) => runner.run('add', [a, b]),
    bounce: (bytes) => runner.run('bounce', [bytes], { transfer: [bytes.buffer] }),
    close: () => runner.close(),
  };
}

function piscina(concurrentTasksPerWorker) {
  const pool = new Piscina({
    filename: tasks.href,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker,
    env: envOf('piscina'),
  });
  return {
    add: (a, b) => pool.run([a, b], { name: 'add' }),
    bounce: (bytes) => pool.run(bytes, { name: 'bounce', transferList: [bytes.buffer] }),
    close: () => pool.destroy(),
  };
}

function tinypool(concurrentTasksPerWorker) {
  const pool = new Tinypool({
    filename: tasks.href,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker,
    env: envOf('tinypool'),
  });
  return {
    add: (a, b) => pool.run([a, b], { name: 'add' }),
    bounce: (bytes) => pool.run(bytes, { name: 'bounce', transferList: [bytes.buffer] }),
    close: () => pool.destroy(),
  };
}

/** Results a second, while so many callers each await one after the other. */
async function rate(callers, call) {
  const end = performance.now() + WINDOW_MS;
  let count = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async (_, i) => {
      while (performance.now() < end) {
        await call(i);
        count++;
      }
    }),
  );
  return (count * 1000) / (performance.now() - start);
}

const measures = {
  throughput: (pool) =>
    rate(IN_FLIGHT, async (i) => {
      if ((await pool.add(i, 1)) !== i + 1) throw new Error('a wrong sum');
    }),
  latency: async (pool) => {
    const times = new Float64Array(ONE_AT_A_TIME);
    for (let i = 0; i < ONE_AT_A_TIME; i++) {
      const start = performance.now();
      await pool.add(i, 1);
      times[i] = performance.now() - start;
    }
    times.sort();
    return { p50: times[times.length >> 1] * 1000, p99: times[Math.floor(times.length * 0.99)] * 1000 };
  },
  moved: (pool) => {
    const buffers = Array.from({ length: MOVES_IN_FLIGHT }, () => new Uint8Array(BYTES));
    return rate(MOVES_IN_FLIGHT, async (i) => {
      buffers[i] = await pool.bounce(buffers[i]);
      if (buffers[i].byteLength !== BYTES) throw new Error('bytes were lost');
    });
  },
};

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const pools = Object.entries(makers).map(([name, make]) => ({ name, pool: make(), results: [] }));
for (let round = 0; round <= ROUNDS; round++) {
  for (const { pool, results } of pools) {
    const throughput = await measures.throughput(pool);
    const { p50, p99 } = await measures.latency(pool);
    const moved = await measures.moved(pool);
    if (round > 0) results.push({ throughput, p50, p99, moved }); // the first warms up
  }
}
await Promise.all(pools.map(({ pool }) => pool.close()));

const rows = pools.map(({ name, results }) => {
  const of = (key) => median(results.map((result) => result[key]));
  return { name, throughput: of('throughput'), p50: of('p50'), p99: of('p99'), moved: of('moved') };
});
console.table(
  Object.fromEntries(
    rows.map(({ name, throughput, p50, p99, moved }) => [
      name,
      {
        'add, 1000 in flight, /s': Math.round(throughput),
        'one at a time p50, us': +p50.toFixed(1),
        'p99, us': +p99.toFixed(1),
        '64 KiB moved, /s': Math.round(moved),
      },
    ]),
  ),
);

const [plain, spinning, ...peers] = rows;
const best = (key, pick) => pick(...peers.map((row) => row[key]));
const ratio = (a, b) => `${(a / b).toFixed(2)}x`;
console.log(`add: ${Math.round(plain.throughput)}/s, ${ratio(plain.throughput, best('throughput', Math.max))} of the best peer
  (targets: 1,000,000/s and 10x)`);
console.log(`one at a time: p50 ${ratio(plain.p50, best('p50', Math.min))}, p99 ${ratio(plain.p99, best('p99', Math.min))} of the best peer's
  (target: at most 1x); with spinUs 30 p50 ${spinning.p50.toFixed(1)} us (target: 10)`);
console.log(`64 KiB moved: ${ratio(plain.moved, best('moved', Math.max))} of the best peer (target: 1.5x)`);
