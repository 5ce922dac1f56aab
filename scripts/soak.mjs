// npm run soak -- [--seconds 60] [--clients 24] [--seed 1] [--plain]
//
// Mixed traffic against an unchanged app with the register hook (--plain: without), in a process of its own: keep-alive, pipelining, uploads,
// slow readers, aborts, upgrades, handlers that throw, bad input. Holds that memory is flat once it is warm, that no descriptor is left, and
// that every request is accounted for. Prints a sample every few seconds; ends with 1 where something does not hold.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from './node-headers.mjs';
import { pick, randomFrom } from './soak/traffic.mjs';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '24' },
    seed: { type: 'string', default: '1' },
    plain: { type: 'boolean', default: false },
  },
});
const seconds = Number(options.seconds);
const MIB = 1 << 20;
/** What samples may differ by without a leak: the allocator's and the collector's whims. */
const RSS_SLACK = 24 * MIB;
const HEAP_SLACK = 4 * MIB;

const hook = pathToFileURL(join(root, 'dist/register.js')).href;
const server = fork(join(root, 'scripts/soak/server.mjs'), {
  execArgv: ['--expose-gc', ...(options.plain ? [] : ['--import', hook])],
  env: { ...process.env, GAMMALOOP_DEBUG: options.plain ? '' : '1' },
  stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
});
let isNative = false;
server.stderr.setEncoding('utf8').on('data', (text) => {
  isNative ||= text.includes('http server: native');
  if (!text.startsWith('gammaloop ')) process.stderr.write(text);
});
let isOver = false;
server.once('exit', (code, signal) => {
  if (isOver) return;
  console.error(`the server ended: ${code} ${signal}`);
  process.exit(1);
});
const [{ port }] = await once(server, 'message');

async function sample() {
  server.send('sample');
  const [answer] = await once(server, 'message');
  return answer;
}

const failures = [];
const done = {};
const until = performance.now() + seconds * 1000;
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(options.clients) });

async function client(random) {
  while (performance.now() < until && failures.length === 0) {
    const { name, run } = pick(random);
    try {
      await run({ port, agent, random });
      done[name] = (done[name] ?? 0) + 1;
    } catch (error) {
      failures.push(`${name}: ${error.stack}`);
    }
  }
}

const baseline = await sample();
const clients = Array.from({ length: Number(options.clients) }, (_, i) =>
  client(randomFrom(Number(options.seed) * 1000 + i)),
);
const samples = [];
const every = Math.max(1000, (seconds * 1000) / 60);
const sampling = (async () => {
  while (performance.now() + every < until && failures.length === 0) {
    await new Promise((next) => setTimeout(next, every));
    const { rss, heapUsed, counts } = await sample();
    samples.push({ rss, heapUsed });
    if (samples.length % 5 === 0) {
      console.log(
        `${counts.requests} requests, rss ${(rss / MIB).toFixed(1)} MiB, heap ${(heapUsed / MIB).toFixed(2)} MiB`,
      );
    }
  }
})();
await Promise.all([...clients, sampling]);
agent.destroy();

/** The connections that the clients have closed are the server's to notice. */
let last = await sample();
for (let i = 0; i < 100 && (last.connections > 0 || last.counts.requests !== last.counts.closed); i++)
  last = await sample();

const { counts } = last;
const hold = (condition, what) => {
  if (!condition) failures.push(what);
};
hold(options.plain || isNative, 'the server does not run natively');
hold(counts.requests === counts.closed, `${counts.requests} requests, ${counts.closed} responses closed`);
hold(counts.upgrades === counts.upgradesClosed, `${counts.upgrades} upgrades, ${counts.upgradesClosed} closed`);
hold(counts.upgrades === (done.upgrade ?? 0), `${done.upgrade} upgrades done, ${counts.upgrades} seen`);
hold(counts.thrown === (done.thrown ?? 0), `${done.thrown} handlers should have thrown, ${counts.thrown} did`);
hold(last.connections === 0, `${last.connections} connections left`);
hold(last.descriptors <= baseline.descriptors, `${last.descriptors} descriptors, ${baseline.descriptors} before`);

// The first third is warm-up; then the middle against the end.
const third = Math.floor(samples.length / 3);
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const growth = (key) => {
  const values = samples.map((one) => one[key]);
  return median(values.slice(-third)) - median(values.slice(third, 2 * third));
};
if (third > 0) {
  hold(growth('rss') < RSS_SLACK, `rss grew by ${(growth('rss') / MIB).toFixed(1)} MiB`);
  hold(growth('heapUsed') < HEAP_SLACK, `the heap grew by ${(growth('heapUsed') / MIB).toFixed(2)} MiB`);
  console.log(`growth: rss ${(growth('rss') / MIB).toFixed(2)} MiB, heap ${(growth('heapUsed') / MIB).toFixed(2)} MiB`);
}
console.log(JSON.stringify({ done, counts, descriptors: last.descriptors }));
isOver = true;
server.send('close');
const [code, signal] = await once(server, 'exit');
hold(code === 0, `the server ended with ${code ?? signal}`);
for (const failure of failures) console.error(`FAILED: ${failure}`);
console.log(failures.length === 0 ? 'soak: holds' : 'soak: does not hold');
process.exitCode = failures.length === 0 ? 0 : 1;
