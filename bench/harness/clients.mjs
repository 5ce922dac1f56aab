// One measurement: the load on a started server, and what came of it.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { constants, deflateRawSync } from 'node:zlib';
import { benchDir, builtDir, coreTime, memoryOf } from './host.mjs';
import { conversation, output, start, stop } from './processes.mjs';

const big = 'x'.repeat(16384);
const body = `{"data":"${'x'.repeat(1024 - 11)}"}`;
const upload = 'x'.repeat(1024 * 1024);

/** What is asked of each app, and what it must answer. */
const plain = (text, path = '/') => ({ path, type: 'text/plain', text });
const checks = {
  hello: plain('Hello, World!'),
  plain: plain('Hello, World!'),
  busy: plain('Hello, World!'),
  '16k': plain(big),
  static: plain(big, '/16k.txt'),
  echo: { path: '/echo', type: 'application/json', text: body, post: body },
  json: { path: '/echo', type: 'application/json', text: body, post: body },
  upload: plain(createHash('sha1').update(upload).digest('hex'), '/upload'),
};
checks.upload.post = upload;

/** The right answer, before anything is measured. Throws what was wrong. */
export async function verify(port, workload) {
  if (workload.app.startsWith('ws-')) return verifyWebSocket(port, workload);
  const { app } = workload;
  const { path, type, text: expected, post } = checks[app];
  const init = post ? { method: 'POST', body: post, headers: { 'content-type': 'application/json' } } : {};
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, signal: AbortSignal.timeout(5000) });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`status ${response.status} instead of 200`);
  if (!response.headers.get('content-type')?.startsWith(type))
    throw new Error(`content-type ${response.headers.get('content-type')} instead of ${type}`);
  if (text !== expected) throw new Error(`a wrong body of ${text.length} characters`);
}

/** JSON of so many bytes, as an API gives it: records that resemble one another. */
function jsonOf(size) {
  const readings = [];
  const text = (rest) => JSON.stringify({ readings, rest });
  for (let i = 1; text('').length < size - 100; i++) {
    readings.push({
      id: 1000 + ((i * 7919) % 997),
      name: `sensor ${i}`,
      value: (i * 2654435761) % 1000,
      ok: i % 3 > 0,
    });
  }
  return text('x'.repeat(size - text('').length));
}

/** As the load program sends it. */
function webSocketPayload({ size, deflated }) {
  const text = Buffer.from(size === 1024 ? jsonOf(size) : 'twenty bytes of text');
  return deflated ? deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4) : text;
}

/** By the ws package's client: that what goes out comes back, compressed where that is the workload. */
async function verifyWebSocket(port, workload) {
  const { app, deflated = false } = workload;
  const text = webSocketPayload({ ...workload, deflated: false }).toString();
  const { default: WebSocket } = await import('ws');
  const clients = [];
  const open = async (path) => {
    const perMessageDeflate = deflated && { threshold: 1, clientNoContextTakeover: true };
    const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, { perMessageDeflate });
    clients.push(client);
    await once(client, 'open', { signal: AbortSignal.timeout(5000) });
    if (client.extensions.includes('permessage-deflate') !== deflated)
      throw new Error(`extensions '${client.extensions}'`);
    return client;
  };
  try {
    const sender = await open('/publish');
    const receiver = app === 'ws-publish' ? await open('/subscribe') : sender;
    sender.send(text);
    const [data] = await once(receiver, 'message', { signal: AbortSignal.timeout(5000) });
    if (String(data) !== text) throw new Error(`a wrong message of ${data.length} bytes`);
  } finally {
    for (const client of clients) client.terminate();
  }
}

const cpuTime = async (pids) => JSON.parse(await output([`${builtDir}/cpu_time`, ...pids.map(String)], 5000));

const microseconds = (text) => {
  const [, number, unit] = /([\d.]+)(us|ms|s|m)/.exec(text);
  return Math.round(Number(number) * { us: 1, ms: 1e3, s: 1e6, m: 6e7 }[unit] * 10) / 10;
};

/** Reads what wrk prints with --latency. */
function readWrk(text, depth) {
  const [, requests, seconds] = /(\d+) requests in ([\d.]+(?:us|ms|s|m))/.exec(text) ?? [];
  if (requests === undefined) throw new Error(`wrk said: ${text.trim()}`);
  const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? [];
  // Before it prints, wrk fills in answers that it thinks it missed, from the mean interval of one answer a connection. Pipelined answers
  // come many to an interval: its quantiles are then wrong, often 0, and not read. Otherwise they lean to the high side; see README.md.
  const quantile = (q) => microseconds(new RegExp(`^\\s+${q}%\\s+(\\S+)`, 'm').exec(text)?.[1] ?? '0us');
  return {
    requests: Number(requests),
    seconds: microseconds(seconds) / 1e6,
    errors: socket.reduce((sum, n) => sum + Number(n), 0),
    non2xx: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
    ...(depth ? {} : { p50: quantile(50), p90: quantile(90), p99: quantile(99) }),
  };
}

function readAutocannon(text) {
  const { requests, duration, errors, timeouts, non2xx, latency } = JSON.parse(text);
  const us = (ms) => ms * 1000;
  return {
    requests: requests.total,
    seconds: duration,
    errors: errors + timeouts,
    non2xx,
    p50: us(latency.p50),
    p90: us(latency.p90),
    p99: us(latency.p99),
  };
}

function externalLoad(host, workload, port, connections, seconds) {
  const { path, post: payload } = checks[workload.app];
  const url = `http://127.0.0.1:${port}${path}`;
  if (host.wrk) {
    const script = workload.script ? ['-s', `${benchDir}load/${workload.script}`] : [];
    const depth = workload.depth ? ['--', String(workload.depth)] : [];
    return [
      host.wrk,
      '-t1',
      `-c${connections}`,
      `-d${seconds}s`,
      '--timeout',
      '10s',
      '--latency',
      ...script,
      url,
      ...depth,
    ];
  }
  const post = payload ? ['-m', 'POST', '-H', 'content-type=application/json', '-b', payload] : [];
  return [
    process.execPath,
    host.autocannon,
    '--json',
    '-c',
    connections,
    '-d',
    seconds,
    '-p',
    workload.depth ?? 1,
    ...post,
    url,
  ].map(String);
}

const perRequest = (result, cpu) => {
  const us = cpu.cpuNs / 1000 / result.requests;
  const ticks = cpu.userTicks + cpu.systemTicks;
  const user = ticks > 0 ? cpu.userTicks / ticks : 0;
  return { rps: result.requests / result.seconds, cpuUs: us, userUs: us * user, systemUs: us * (1 - user) };
};

const difference = (a, b) => ({
  cpuNs: b.cpuNs - a.cpuNs,
  userTicks: b.userTicks - a.userTicks,
  systemTicks: b.systemTicks - a.systemTicks,
});

const clients = {
  async wrk({ host, workload, server, options, onLoad }) {
    const run = async (seconds) => {
      const text = await output(
        onLoad(externalLoad(host, workload, server.port, options.connections, seconds)),
        (seconds + 20) * 1000,
      );
      return host.wrk ? readWrk(text, workload.depth) : readAutocannon(text);
    };
    await run(1);
    const pids = server.pids();
    const before = await cpuTime(pids);
    const result = await run(options.seconds);
    return { ...result, ...perRequest(result, difference(before, await cpuTime(pids))) };
  },

  async closed_loop({ workload, server, options, onLoad }) {
    const args = [server.port, workload.connections, 1000, options.seconds * 1000, ...server.pids()].map(String);
    const result = JSON.parse(
      await output(onLoad([`${builtDir}/closed_loop`, ...args]), (options.seconds + 60) * 1000),
    );
    return { ...result, ...perRequest(result, result) };
  },

  async websocket({ workload, server, options, onLoad }) {
    const { mode, connections, depth, deflated } = workload;
    const payload = webSocketPayload(workload).toString('hex');
    const shape = [mode, connections, depth, deflated ? 'deflated' : 'text', payload];
    const args = [server.port, ...shape, 1000, options.seconds * 1000, ...server.pids()].map(String);
    const result = JSON.parse(await output(onLoad([`${builtDir}/websocket`, ...args]), (options.seconds + 60) * 1000));
    return { ...result, ...perRequest(result, result) };
  },

  async pingpong({ server, options, onLoad }) {
    const args = [server.port, 500, options.seconds * 500, ...server.pids()].map(String);
    const text = await output(onLoad([`${builtDir}/pingpong`, ...args]), (options.seconds + 20) * 1000);
    const [blocking, spinning] = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const errors = blocking.errors + spinning.errors;
    return {
      ...blocking,
      errors,
      non2xx: blocking.non2xx + spinning.non2xx,
      p50Spinning: spinning.p50,
      ...perRequest(blocking, blocking),
    };
  },

  async idle({ host, workload, server, options, onLoad }) {
    const connections = options.idle ?? workload.idle;
    if (connections + 200 > host.fileLimit)
      throw new Error(`the limit of ${host.fileLimit} open files does not allow ${connections} connections`);
    // Code compiled and the heap at its working size before the first reading.
    const isWebSocket = workload.app === 'ws-echo';
    const warmUp = isWebSocket
      ? ['websocket', server.port, 'echo', 64, 1, 'text', '6869']
      : ['closed_loop', server.port, 64];
    const [program, ...args] = [...warmUp, 0, 700, process.pid].map(String);
    await output(onLoad([`${builtDir}/${program}`, ...args]), 10_000);
    const reading = async () => {
      await sleep(300);
      const raw = memoryOf(server.pids());
      const usage = await server.collectGarbage();
      await sleep(300);
      return { raw, live: memoryOf(server.pids()), heap: usage?.heapUsed };
    };
    const protocol = isWebSocket ? ['websocket'] : [];
    const client = start(onLoad([`${builtDir}/idle`, String(server.port), ...protocol]));
    try {
      const talk = conversation(client);
      const ask = async (line) => JSON.parse(await talk.ask(line, 60_000));
      const first = Math.floor(connections / 5);
      const none = await reading();
      const { errors } = await ask(`open ${first}`);
      const some = await reading();
      const { errors: more } = await ask(`open ${connections - first}`);
      const all = await reading();
      const { closed } = await ask('check');
      const each = (from, to, count) => (to - from) / 1024 / count;
      return {
        connections,
        errors: errors + more + closed,
        non2xx: 0,
        kibEach: each(none.live, all.live, connections),
        kibEachSlope: each(some.live, all.live, connections - first),
        kibEachUncollected: each(none.live, all.raw, connections),
        kibEachHeap: all.heap === undefined ? undefined : each(none.heap, all.heap, connections),
      };
    } finally {
      await stop(client);
    }
  },
};

/**
 * A measured run. `void` says why it does not count: any error or answer outside 2xx, or no request at all. `foreign`: the share of the
 * server's core that other processes took meanwhile (warm-up included), and `stolen` what the hypervisor did; neither makes a run void.
 */
export async function measure(context) {
  const { host, workload, server } = context;
  const onLoad = (command) => [...host.launcher(host.loadCore), ...command];
  const pids = server.pids();
  const before = { core: coreTime(host.serverCore), cpu: await cpuTime(pids), at: process.hrtime.bigint() };
  const result = await clients[workload.client]({ ...context, onLoad });
  const after = { core: coreTime(host.serverCore), cpu: await cpuTime(pids), at: process.hrtime.bigint() };
  const span = Number(after.at - before.at);
  const tasks = after.core.tasks - before.core.tasks;
  result.foreign = Math.max(0, (tasks - (after.cpu.cpuNs - before.cpu.cpuNs)) / span);
  result.interrupts = (after.core.interrupts - before.core.interrupts) / span;
  result.stolen = (after.core.steal - before.core.steal) / span;
  if (result.errors > 0 || result.non2xx > 0)
    result.void = `${result.errors} errors, ${result.non2xx} answers outside 2xx`;
  else if (result.requests === 0) result.void = 'no request was answered';
  return result;
}

/** For the report: the generator's version line. */
export async function loadVersion(host) {
  if (!host.wrk)
    return `autocannon ${JSON.parse(readFileSync(host.autocannon.replace('autocannon.js', 'package.json'), 'utf8')).version}`;
  const child = start([host.wrk, '-v']); // prints its version and ends with 1
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  await child.ended;
  return text.split('\n')[0].replace(/\s*\[.*/, '') || 'wrk';
}
