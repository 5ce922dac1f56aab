// The ports to brokers beside their bare clients: requests and replies between two processes through a local broker. After npm run build:ts:
//
//   node bench/ports.mjs nats=nats://127.0.0.1:4222 amqp=amqp://127.0.0.1:5672 redis=redis://127.0.0.1:6379
//
// Rounds of both alternate; medians. CPU is that of both processes, without the broker's.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { bare, ported } from './ports-bare.mjs';

const ROUNDS = 7;
const REQUESTS = 6000;
const LATENCY_REQUESTS = 400;
const IN_FLIGHT = 128;
const PAYLOAD = { id: 17, name: 'resize', width: 640, tags: ['a', 'b'] };

const open = (side, kind, url) => (side === 'bare' ? bare[kind](url) : ported(kind, url));

async function responder([side, kind, url]) {
  const end = await open(side, kind, url);
  await end.respond((payload) => payload);
  process.send('ready');
  process.on('message', () => process.send(process.cpuUsage()));
  process.on('disconnect', () => process.exit());
}

async function cpuOf(child) {
  child.send('cpu');
  const [{ user, system }] = await once(child, 'message');
  return user + system;
}

async function start(side, kind, url) {
  const child = fork(fileURLToPath(import.meta.url), ['--responder', side, kind, url]);
  await once(child, 'message');
  const client = await open(side, kind, url);
  await client.request(PAYLOAD);
  return { side, child, client, rates: [], cpus: [], latencies: [] };
}

async function round({ child, client, rates, cpus, latencies }) {
  const cpuBefore = process.cpuUsage();
  const childBefore = await cpuOf(child);
  let left = REQUESTS;
  const began = performance.now();
  const run = async () => {
    while (left-- > 0) await client.request(PAYLOAD);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, run));
  rates.push(REQUESTS / ((performance.now() - began) / 1000));
  const { user, system } = process.cpuUsage(cpuBefore);
  cpus.push((user + system + (await cpuOf(child)) - childBefore) / REQUESTS);
  for (let i = 0; i < LATENCY_REQUESTS; i++) {
    const sent = performance.now();
    await client.request(PAYLOAD);
    latencies.push((performance.now() - sent) * 1000);
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

async function compare(kind, url) {
  const sides = [await start('bare', kind, url), await start('port', kind, url)];
  // The first round of each warms up.
  for (const side of sides) await round(side);
  for (const side of sides) for (const list of [side.rates, side.cpus, side.latencies]) list.length = 0;
  for (let i = 0; i < ROUNDS; i++) for (const side of sides) await round(side);
  for (const { side, child, client, rates, cpus, latencies } of sides) {
    const spread = `${Math.round(Math.min(...rates))}-${Math.round(Math.max(...rates))}`;
    const figures = `${Math.round(median(rates))} requests/s (${spread}), ${median(cpus).toFixed(1)} us CPU a request`;
    console.log(`${kind} ${side}: ${figures}, one at a time p50 ${median(latencies).toFixed(0)} us`);
    await client.close();
    child.disconnect();
  }
  const ratio = (key) => (median(sides[1][key]) / median(sides[0][key])).toFixed(2);
  console.log(`${kind} port/bare: rate ${ratio('rates')}, CPU ${ratio('cpus')}, latency ${ratio('latencies')}`);
}

const args = process.argv.slice(2);
if (args[0] === '--responder') {
  await responder(args.slice(1));
} else {
  for (const arg of args) {
    const at = arg.indexOf('=');
    await compare(arg.slice(0, at), arg.slice(at + 1));
  }
  process.exit();
}
