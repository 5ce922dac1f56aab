/**
 * Native tasks of the runner: `npm run build && npm run build:ts && make -C examples/native-task && node bench/runner-native.mjs [--quick]`.
 * A CRC-32 of 1 KiB on one native thread, many in flight and one at a time, and the processor time of an idle pool of four.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { crc32 } from 'node:zlib';

const quick = process.argv.includes('--quick');
const dist = process.env.GAMMALOOP_DIST
  ? `${pathToFileURL(process.env.GAMMALOOP_DIST).href}/`
  : new URL('../dist/', import.meta.url).href;
const { Runner } = await import(new URL('runner/index.js', dist).href);
const library = fileURLToPath(new URL('../examples/native-task/build/crc32.so', import.meta.url));

const ROUNDS = quick ? 3 : 7;
const WINDOW_MS = quick ? 300 : 1000;
const IN_FLIGHT = 1000;
const ONE_AT_A_TIME = quick ? 2000 : 20_000;
const BURSTS = quick ? 10 : 40;
const BURST_LENGTH = 20;
const BURST_PAUSE_MS = 50;
const IDLE_MS = quick ? 2000 : 10_000;

const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i * 31);
const expected = crc32(bytes);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function check(result) {
  if (Buffer.from(result.buffer, result.byteOffset, 4).readUInt32BE() !== expected) throw new Error('a wrong sum');
}

async function rate(runner) {
  const end = performance.now() + WINDOW_MS;
  const start = performance.now();
  let count = 0;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (performance.now() < end) {
        const result = await runner.native(library, 'crc32', bytes);
        count++;
        if (count % 64 === 0) check(result);
      }
    }),
  );
  return (count * 1000) / (performance.now() - start);
}

async function timed(runner) {
  const start = performance.now();
  check(await runner.native(library, 'crc32', bytes));
  return (performance.now() - start) * 1000;
}

async function latency(runner) {
  const times = new Float64Array(ONE_AT_A_TIME);
  for (let i = 0; i < ONE_AT_A_TIME; i++) times[i] = await timed(runner);
  times.sort();
  return { p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)] };
}

/** One at a time again, but few in a row, and the pool asleep before them. */
async function latencyAfterIdleness(runner) {
  const times = [];
  const firsts = [];
  for (let burst = 0; burst < BURSTS; burst++) {
    await sleep(BURST_PAUSE_MS);
    for (let i = 0; i < BURST_LENGTH; i++) times.push(await timed(runner));
    firsts.push(times.at(-BURST_LENGTH));
  }
  return { p50: median(times), first: median(firsts) };
}

/** Percent of one processor that the whole process uses while four threads have nothing to do. */
async function idle() {
  const runner = new Runner({ threads: 4 });
  // All four start: each holds its task until there are four.
  const slow = new Uint8Array(64 << 20);
  await Promise.all([1, 2, 3, 4].map(() => runner.native(library, 'crc32', slow)));
  const threads = runner.stats().threads.ready;
  await sleep(200);
  const before = process.cpuUsage();
  const start = performance.now();
  await sleep(IDLE_MS);
  const { user, system } = process.cpuUsage(before);
  await runner.close();
  return { threads, percent: (user + system) / 10 / (performance.now() - start) };
}

const runner = new Runner({ threads: 1, queue: { capacity: 2000 } });
const rates = [];
const latencies = [];
const afterIdleness = [];
for (let round = 0; round <= ROUNDS; round++) {
  const perSecond = await rate(runner);
  const times = await latency(runner);
  const bursts = await latencyAfterIdleness(runner);
  if (round === 0) continue; // it warms up
  rates.push(perSecond);
  latencies.push(times);
  afterIdleness.push(bursts);
}
await runner.close();
const { threads, percent } = await idle();
console.log(`crc32 of 1 KiB, one thread, ${IN_FLIGHT} in flight: ${Math.round(median(rates))}/s (target: 500,000/s)
one at a time: p50 ${median(latencies.map(({ p50 }) => p50)).toFixed(1)} us, p99 ${median(latencies.map(({ p99 }) => p99)).toFixed(1)} us (target: p50 at most 30 us)
the same in bursts of ${BURST_LENGTH} after ${BURST_PAUSE_MS} ms of nothing: p50 ${median(afterIdleness.map(({ p50 }) => p50)).toFixed(1)} us, of the first ones ${median(afterIdleness.map(({ first }) => first)).toFixed(1)} us
${threads} idle threads: ${percent.toFixed(3)} % of a processor over ${IDLE_MS / 1000} s (target: less than 0.1 %)`);
