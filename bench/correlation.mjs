// Correlation: the registry against a Map with a setTimeout each, and request/reply over each port.
//
//   npm run build:ts && node --expose-gc bench/correlation.mjs [registry|expiry|memory|thread|process ...] [--dist DIR] [--seconds 3]
//
// Each case of the registry runs in a process of its own, for heaps remember. "each" is wall-clock time divided by the number.
import { execFileSync, fork } from 'node:child_process';
import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const { values, positionals } = parseArgs({
  args: isMainThread ? process.argv.slice(2) : [],
  allowPositionals: true,
  options: {
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
    seconds: { type: 'string', default: '3' },
    // A case of its own process: registry-ours, registry-map, expiry.
    case: { type: 'string' },
    peer: { type: 'boolean', default: false },
  },
});
const self = fileURLToPath(import.meta.url);
const dist = process.env.GAMMALOOP_BENCH_DIST ?? resolve(values.dist);
const load = (path) => import(pathToFileURL(`${dist}/${path}.js`).href);

const WAITERS = 1_000_000;
const gc = () => {
  if (!globalThis.gc) throw new Error('run with --expose-gc');
  for (let i = 0; i < 3; i++) globalThis.gc();
};
const heap = () => {
  gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
/** Random deadlines from 10 to 70 s, the same in each run. */
function delays() {
  let state = 1;
  const list = new Float64Array(WAITERS);
  for (let i = 0; i < WAITERS; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    list[i] = 10_000 + (state % 60_000);
  }
  return list;
}

async function registryOurs() {
  const { WaiterRegistry } = await load('correlation/waiter-registry');
  const registry = new WaiterRegistry();
  const waits = delays();
  const held = new Array(WAITERS).fill(null);
  warm(() => {
    const warmed = new WaiterRegistry();
    for (let i = 0; i < 20_000; i++) warmed.resolve(warmed.open({ timeout: 5000 }).id, i);
  });
  const before = heap();
  const begin = performance.now();
  for (let i = 0; i < WAITERS; i++) held[i] = registry.open({ timeout: waits[i] });
  const created = performance.now();
  const bytes = heap() - before;
  const settleBegin = performance.now();
  for (let i = 0; i < WAITERS; i++) registry.resolve(held[i].id, i);
  await held[WAITERS - 1].promise;
  const settled = performance.now();
  return {
    createUs: us(created - begin),
    settleUs: us(settled - settleBegin),
    bytesEach: bytes / WAITERS,
    left: await timersLeft(),
  };
}

async function registryMap() {
  const waits = delays();
  const map = new Map();
  const held = new Array(WAITERS).fill(null);
  const open = (id, timeout) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        map.delete(id);
        reject(new Error('timeout'));
      }, timeout);
      map.set(id, { resolve, reject, timer });
    });
  const settle = (id, value) => {
    const entry = map.get(id);
    map.delete(id);
    clearTimeout(entry.timer);
    entry.resolve(value);
  };
  warm(() => {
    for (let i = 0; i < 20_000; i++) {
      void open(i, 5000);
      settle(i, i);
    }
  });
  const before = heap();
  const begin = performance.now();
  for (let i = 0; i < WAITERS; i++) held[i] = open(i, waits[i]);
  const created = performance.now();
  const bytes = heap() - before;
  const settleBegin = performance.now();
  for (let i = 0; i < WAITERS; i++) settle(i, i);
  await held[WAITERS - 1];
  const settled = performance.now();
  return {
    createUs: us(created - begin),
    settleUs: us(settled - settleBegin),
    bytesEach: bytes / WAITERS,
    left: await timersLeft(),
  };
}

/** 100,000 waiters whose deadlines pass within two seconds: how late each rejects. */
async function expiry() {
  const { WaiterRegistry } = await load('correlation/waiter-registry');
  const registry = new WaiterRegistry();
  const count = 100_000;
  let late = 0;
  let most = 0;
  let left = count;
  await new Promise((done) => {
    for (let i = 0; i < count; i++) {
      const timeout = 500 + ((i * 7919) % 2000);
      const at = performance.now() + timeout;
      registry.open({ timeout }).promise.catch(() => {
        const by = performance.now() - at;
        late += by;
        most = Math.max(most, by);
        if (--left === 0) done();
      });
    }
  });
  return { meanLateMs: late / count, mostLateMs: most, left: await timersLeft() };
}

function warm(work) {
  for (let i = 0; i < 5; i++) work();
}
function us(ms) {
  return (ms * 1000) / WAITERS;
}
/** After the turn, at the end of which a timer is cleared that nobody needs any more. */
async function timersLeft() {
  await new Promise((resolve) => setImmediate(resolve));
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

/** Requests for some seconds, so many at a time. */
async function drive(requester, concurrency, seconds) {
  const end = performance.now() + seconds * 1000;
  let done = 0;
  const latencies = [];
  const one = async () => {
    while (performance.now() < end) {
      if (concurrency === 1) {
        const at = performance.now();
        await requester.request('echo', 1);
        latencies.push(performance.now() - at);
      } else {
        await requester.request('echo', 1);
      }
      done++;
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: concurrency }, one));
  const perSecond = done / ((performance.now() - begin) / 1000);
  latencies.sort((a, b) => a - b);
  return { perSecond, p50: latencies[latencies.length >> 1], p99: latencies[Math.floor(latencies.length * 0.99)] };
}

async function port(kind) {
  const { Requester } = await load('correlation/requester');
  const { Responder } = await load('correlation/responder');
  let link;
  let stop = () => {};
  if (kind === 'memory') {
    const { MemoryPort } = await load('ports/memory');
    link = new MemoryPort();
    new Responder(link, 'echo', ({ payload }) => payload, { concurrency: 512 });
  } else if (kind === 'thread') {
    const { ThreadPort } = await load('ports/thread');
    const worker = new Worker(self, { env: { ...process.env, GAMMALOOP_BENCH_DIST: dist } });
    link = new ThreadPort(worker);
    stop = () => worker.terminate();
  } else {
    const { ProcessPort } = await load('ports/process');
    const child = fork(self, ['--peer', '--dist', dist], { serialization: 'advanced' });
    link = new ProcessPort(child);
    stop = () => child.kill();
  }
  const requester = new Requester(link, { timeout: 60_000 });
  const seconds = Number(values.seconds);
  await drive(requester, 256, 1);
  const many = await drive(requester, 256, seconds);
  const alone = await drive(requester, 1, seconds);
  requester.close();
  await link.close();
  await stop();
  return { many, alone };
}

async function peer(channel, Port) {
  const { Responder } = await load('correlation/responder');
  new Responder(new Port(channel), 'echo', ({ payload }) => payload, { concurrency: 512 });
}

const report = (what, measured, target = '') =>
  console.log(`${what.padEnd(38)} ${measured}${target === '' ? '' : `   [${target}]`}`);
const round = (value, digits = 2) => Number(value.toFixed(digits));
const inOwnProcess = (name) =>
  JSON.parse(
    execFileSync(process.execPath, ['--expose-gc', self, '--case', name, '--dist', dist], { encoding: 'utf8' }),
  );

if (!isMainThread) {
  const { ThreadPort } = await load('ports/thread');
  await peer(parentPort, ThreadPort);
} else if (values.peer) {
  const { ProcessPort } = await load('ports/process');
  await peer(process, ProcessPort);
} else if (values.case !== undefined) {
  const cases = { 'registry-ours': registryOurs, 'registry-map': registryMap, expiry };
  console.log(JSON.stringify(await cases[values.case]()));
} else {
  const asked = positionals.length > 0 ? positionals : ['registry', 'expiry', 'memory', 'thread', 'process'];
  for (const name of asked) {
    if (name === 'registry') {
      const map = inOwnProcess('registry-map');
      const ours = inOwnProcess('registry-ours');
      const sum = ({ createUs, settleUs }) => createUs + settleUs;
      const each = (row) =>
        `create ${round(row.createUs)} + settle ${round(row.settleUs)} = ${round(sum(row))} us, ${round(row.bytesEach, 0)} B each, ${row.left} timers left`;
      report('Map + setTimeout, 1,000,000 waiters', each(map));
      report('WaiterRegistry, 1,000,000 waiters', each(ours), 'at most 2.5 us, 320 B, 0 timers');
      report('... cheaper than Map + setTimeout', `${round(sum(map) / sum(ours), 1)}x`, 'at least 3x');
    } else if (name === 'expiry') {
      const { meanLateMs, mostLateMs, left } = inOwnProcess('expiry');
      report(
        'expiry',
        `${round(meanLateMs)} ms late on average, ${round(mostLateMs)} ms at most, ${left} timers left`,
        'at most 2 ms on average, 0 timers',
      );
    } else {
      const { many, alone } = await port(name);
      const target = { memory: '500,000/s', thread: '150,000/s', process: '40,000/s' }[name];
      report(`${name} port, 256 in flight`, `${round(many.perSecond, 0)}/s`, `at least ${target}`);
      report(
        '... one at a time',
        `${round(alone.perSecond, 0)}/s, p50 ${round(alone.p50 * 1000, 1)} us, p99 ${round(alone.p99 * 1000, 1)} us`,
        name === 'thread' ? 'p50 at most 120 us' : '',
      );
    }
  }
}
