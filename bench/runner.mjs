/**
 * The runner against piscina, tinypool and workerpool: `npm run build && npm run build:ts && node bench/runner.mjs`, after
 * `npm ci --ignore-scripts` in bench/. Prints a table for each part, with its targets. bench/README.md says what is measured, and how.
 *
 *   --quick              shorter and fewer rounds: a first impression
 *   --only lag,idle      some of the parts: tasks, lag, idle
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { gammaloop, piscina, tinypool, workerPool } from './runner-pools.mjs';

const { argv } = process;
const quick = argv.includes('--quick');
const only = argv.includes('--only') ? argv[argv.indexOf('--only') + 1].split(',') : ['tasks', 'lag', 'idle'];

const ROUNDS = quick ? 3 : 7;
const WINDOW_MS = quick ? 300 : 1000;
const IN_FLIGHT = 1000;
const ONE_AT_A_TIME = quick ? 2000 : 10_000;
const BYTES = 65_536;
const MOVES_IN_FLIGHT = 16;

const LAG_THREADS = 2;
const LAG_WINDOW_MS = quick ? 2000 : 10_000;
const LAG_IN_FLIGHT = 32;
/** 5 ms in the mean. */
const BURN_MS = [2.5, 5, 7.5];

const IDLE_THREADS = 4;
/** V8 collects garbage in each isolate of a process that has become idle, up to 15 s later; so it does without a pool. */
const IDLE_SETTLE_MS = 20_000;
const IDLE_WINDOW_MS = quick ? 2000 : 10_000;

const ratio = (a, b) => `${(a / b).toFixed(2)}x`;
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Calls until the window ends, so many at a time. Resolves to the ms that it took, and the number of calls. */
async function saturate(callers, windowMs, call) {
  const start = performance.now();
  const end = start + windowMs;
  let count = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, i) => {
      while (performance.now() < end) {
        await call(i, count++);
      }
    }),
  );
  return { ms: performance.now() - start, count };
}

async function rate(callers, call) {
  const { ms, count } = await saturate(callers, WINDOW_MS, call);
  return (count * 1000) / ms;
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
    const buffers = Array.from({ length: MOVES_IN_FLIGHT }, (_, i) => new Uint8Array(BYTES).fill(i));
    return rate(MOVES_IN_FLIGHT, async (i) => {
      const bytes = buffers[i];
      const back = await pool.bounce(bytes);
      if (bytes.byteLength !== 0 || back.byteLength !== BYTES || back[BYTES - 1] !== i) throw new Error('not moved');
      buffers[i] = back;
    });
  },
};

/** One thread; all pools in one process; each round measures each pool once; medians of the rounds. */
async function compareTasks() {
  const makers = {
    gammaloop: () => gammaloop(1),
    'gammaloop, spinUs 30': () => gammaloop(1, { spinUs: 30 }),
    piscina: () => piscina(1),
    'piscina, 64 tasks a worker': () => piscina(1, { concurrentTasksPerWorker: 64 }),
    tinypool: () => tinypool(1),
    'tinypool, 64 tasks a worker': () => tinypool(1, { concurrentTasksPerWorker: 64 }),
    workerpool: () => workerPool(1),
  };
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
  const table = rows.map(({ name, throughput, p50, p99, moved }) => [
    name,
    {
      'add, 1000 in flight, /s': Math.round(throughput),
      'one at a time p50, us': +p50.toFixed(1),
      'p99, us': +p99.toFixed(1),
      '64 KiB moved, /s': Math.round(moved),
    },
  ]);
  console.table(Object.fromEntries(table));
  const [plain, spinning, ...peers] = rows;
  const best = (key, pick) => pick(...peers.map((row) => row[key]));
  console.log(`add: ${Math.round(plain.throughput)}/s, ${ratio(plain.throughput, best('throughput', Math.max))} of the best peer
  (targets: 1,000,000/s and 10x)
one at a time: p50 ${ratio(plain.p50, best('p50', Math.min))}, p99 ${ratio(plain.p99, best('p99', Math.min))} of the best peer's
  (target: at most 1x); with spinUs 30 p50 ${spinning.p50.toFixed(1)} us (target: 10)
64 KiB moved: ${ratio(plain.moved, best('moved', Math.max))} of the best peer; with spinUs 30
  ${ratio(spinning.moved, best('moved', Math.max))} (target: 1.5x)`);
}

/** What `monitorEventLoopDelay` (every ms) sees of this loop while `work` goes on, in ms. */
async function lagDuring(work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const result = await work();
  histogram.disable();
  return { ...result, p50: histogram.percentile(50) / 1e6, p99: histogram.percentile(99) / 1e6 };
}

/**
 * Two threads that are never out of work, and the loop that feeds them. A task holds its thread for its time by the clock, so that the most
 * there can be is threads / task time, and what is missing was spent between tasks.
 */
async function compareLag() {
  const makers = { gammaloop, piscina, tinypool, workerpool: workerPool };
  const idle = await lagDuring(() => sleep(LAG_WINDOW_MS));
  const rows = { 'an idle loop': { 'lag p50, ms': idle.p50, 'lag p99, ms': idle.p99 } };
  let ours;
  for (const [name, make] of Object.entries(makers)) {
    const pool = make(LAG_THREADS);
    await Promise.all(Array.from({ length: LAG_IN_FLIGHT }, () => pool.burn(1)));
    const measured = await lagDuring(async () => {
      let burnt = 0;
      const { ms } = await saturate(LAG_IN_FLIGHT, LAG_WINDOW_MS, async (_, n) => {
        const duration = BURN_MS[n % BURN_MS.length];
        await pool.burn(duration);
        burnt += duration;
      });
      return { used: burnt / (LAG_THREADS * ms) };
    });
    await pool.close();
    ours ??= measured;
    rows[name] = {
      'lag p50, ms': measured.p50,
      'lag p99, ms': measured.p99,
      'of threads / task time, %': +(measured.used * 100).toFixed(2),
    };
  }
  console.table(rows);
  console.log(`lag p99: ${(ours.p99 - idle.p99).toFixed(2)} ms over that of the idle loop (target: at most 2)
throughput: ${(ours.used * 100).toFixed(2)} % of threads / task time (target: at least 97)`);
}

/** Processor time of this process, in which nothing else is. */
async function measureIdle() {
  const pool = gammaloop(IDLE_THREADS);
  await pool.start();
  await Promise.all(Array.from({ length: 1000 }, (_, i) => pool.add(i, 1)));
  await sleep(IDLE_SETTLE_MS);
  const before = process.cpuUsage();
  await sleep(IDLE_WINDOW_MS);
  const { user, system } = process.cpuUsage(before);
  await pool.close();
  const share = (user + system) / (IDLE_WINDOW_MS * 1000);
  console.log(`idle pool of ${IDLE_THREADS} threads: ${((user + system) / 1000).toFixed(2)} ms of processor time in ${IDLE_WINDOW_MS / 1000} s,
  ${(share * 100).toFixed(3)} % (target: less than 0.1 %)`);
}

// The quiet ones first, before other pools are there.
if (only.includes('idle')) await measureIdle();
if (only.includes('lag')) await compareLag();
if (only.includes('tasks')) await compareTasks();
