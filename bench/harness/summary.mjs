// From runs to medians, ratios and the verdict on each target.

import { hooked } from './servers.mjs';

const sorted = (values) => [...values].sort((a, b) => a - b);

export function median(values) {
  const order = sorted(values);
  const middle = order.length >> 1;
  return order.length % 2 === 1 ? order[middle] : (order[middle - 1] + order[middle]) / 2;
}

const measures = [
  'rps',
  'cpuUs',
  'userUs',
  'systemUs',
  'p50',
  'p99',
  'p50Spinning',
  'kibEach',
  'kibEachSlope',
  'kibEachUncollected',
  'kibEachHeap',
  'foreign',
  'stolen',
  'interrupts',
];

/** One row for each (workload, server): { workload, server, kind, node, version, valid, voids, <measure>: { median, min, max } }. */
export function summarise(runs) {
  const rows = new Map();
  for (const run of runs) {
    const key = `${run.workload} ${run.server}`;
    if (!rows.has(key)) {
      const { workload, server, kind, node } = run;
      rows.set(key, { workload, server, kind, node, version: undefined, valid: 0, voids: [], results: [] });
    }
    const row = rows.get(key);
    row.version ??= run.version;
    if (run.result.void) row.voids.push(run.result.void);
    else row.results.push(run.result);
  }
  for (const row of rows.values()) {
    row.valid = row.results.length;
    for (const measure of measures) {
      const values = row.results.map((result) => result[measure]).filter((value) => Number.isFinite(value));
      if (values.length > 0)
        row[measure] = { median: median(values), min: Math.min(...values), max: Math.max(...values) };
    }
    delete row.results;
  }
  const all = [...rows.values()];
  for (const row of all) addRatios(row, all);
  return all;
}

const ratio = (a, b, measure) =>
  a?.[measure] && b?.[measure] && b[measure].median > 0 ? a[measure].median / b[measure].median : undefined;

/** To the limit, and to node:http of the same node version (for other runtimes: of the base node). */
function addRatios(row, all) {
  const other = (name) => all.find((candidate) => candidate.workload === row.workload && candidate.server === name);
  const limit = other('limit');
  const node = other(`node-http@${row.node}`);
  row.toLimit = { cpuUs: ratio(row, limit, 'cpuUs'), p50: ratio(row, limit, 'p50') };
  row.toNode = Object.fromEntries(
    ['cpuUs', 'rps', 'p50', 'p99', 'kibEach'].map((measure) => [measure, ratio(row, node, measure)]),
  );
  const ws = other(`ws@${row.node}`);
  row.toWs = Object.fromEntries(['cpuUs', 'rps', 'kibEach'].map((measure) => [measure, ratio(row, ws, measure)]));
  // With the drop-in: to the same program without it.
  const plain = row.server.startsWith(hooked) ? other(row.server.slice(hooked.length)) : undefined;
  row.toPlain = Object.fromEntries(['cpuUs', 'rps', 'p99'].map((measure) => [measure, ratio(row, plain, measure)]));
}

const outsideHeap = (workload, server) => (at) => {
  const row = at(workload, server);
  return row?.kibEach && row.kibEachHeap ? row.kibEach.median - row.kibEachHeap.median : undefined;
};

/** The project's targets; `value` from a lookup of rows, undefined where a server was not in the series. */
const targets = [
  ['hello, fetch: CPU to the limit', '<=', 1.3, (at) => at('hello', 'ours-fetch')?.toLimit.cpuUs],
  ['hello, fetch: CPU to Bun.serve', '<=', 1, (at) => ratio(at('hello', 'ours-fetch'), at('hello', 'bun'), 'cpuUs')],
  ['hello, fetch: CPU to node:http, node 20', '<=', 0.55, (at) => at('hello', 'ours-fetch', '20')?.toNode.cpuUs],
  ['hello, fetch: CPU to node:http, node 26', '<=', 0.7, (at) => at('hello', 'ours-fetch', '26')?.toNode.cpuUs],
  ['hello, ASGI: CPU to the limit', '<=', 1.5, (at) => at('hello', 'ours-asgi')?.toLimit.cpuUs],
  [
    'hello, ASGI: CPU to uvicorn + uvloop',
    '<=',
    0.6,
    (at) => ratio(at('hello', 'ours-asgi'), at('hello', 'uvicorn'), 'cpuUs'),
  ],
  ['pipelined, fetch: requests/s to node:http', '>=', 8, (at) => at('pipelined', 'ours-fetch')?.toNode.rps],
  ['POST 1 KiB echo, fetch: CPU to node:http', '<=', 0.6, (at) => at('echo', 'ours-fetch')?.toNode.cpuUs],
  ['16 KiB response, fetch: CPU to node:http', '<=', 0.75, (at) => at('16k', 'ours-fetch')?.toNode.cpuUs],
  // From the client with exact quantiles; wrk's are corrected.
  ['hello at 64 connections, fetch: p99 to node:http', '<=', 0.5, (at) => at('load-64', 'ours-fetch')?.toNode.p99],
  ['ping-pong, fetch: p50 to node:http', '<=', 1, (at) => at('pingpong', 'ours-fetch')?.toNode.p50],
  ['idle connection, fetch: memory to node:http', '<=', 0.25, (at) => at('idle', 'ours-fetch')?.toNode.kibEach],
  ['idle connection, fetch: KiB outside the JS heap', '<=', 1.5, outsideHeap('idle', 'ours-fetch')],
  [
    'load, fetch: CPU at 4096 connections to that at 64',
    '<=',
    1.3,
    (at) => ratio(at('load-4096', 'ours-fetch'), at('load-64', 'ours-fetch'), 'cpuUs'),
  ],
  ...webSocketTargets(),
  ...dropInTargets(),
];

function webSocketTargets() {
  const toBun = (workload) => (at) => ratio(at(workload, 'ours-ws'), at(workload, 'bun-ws'), 'cpuUs');
  const to = (workload, measure) => (at) => at(workload, 'ours-ws')?.toWs[measure];
  const ofWs = (workload) => (at) => ratio(at(workload, 'ws'), at(workload, 'ours-ws'), 'cpuUs');
  return [
    ['WebSocket echo, 20 bytes: CPU to Bun', '<=', 1.1, toBun('ws-echo-20')],
    ['WebSocket echo, 20 bytes: CPU to ws', '<=', 0.6, to('ws-echo-20', 'cpuUs')],
    ['WebSocket echo, 1 KiB: CPU to Bun', '<=', 1.1, toBun('ws-echo-1k')],
    ['WebSocket echo, 1 KiB: CPU to ws', '<=', 0.6, to('ws-echo-1k', 'cpuUs')],
    ["WebSocket echo, 1 KiB deflated: ws's CPU to ours", '>=', 1.5, ofWs('ws-deflate')],
    ["WebSocket, 16 publications to 1,000: ws's CPU to ours", '>=', 5, ofWs('ws-publish-16')],
    ['idle WebSocket: memory to ws', '<=', 0.25, to('ws-idle', 'kibEach')],
    ['idle WebSocket: KiB outside the JS heap', '<=', 2, outsideHeap('ws-idle', 'ours-ws')],
  ];
}

function dropInTargets() {
  const to = (workload, name, measure, node) => (at) => at(workload, `hooked-${name}`, node)?.toPlain[measure];
  const http = (workload, measure, node) => to(workload, 'node-http', measure, node);
  return [
    ['drop-in, (req, res) hello: CPU, node 20', '<=', 0.5, http('dropin-hello', 'cpuUs', '20')],
    ['drop-in, (req, res) hello: CPU, node 26', '<=', 0.65, http('dropin-hello', 'cpuUs', '26')],
    ['drop-in, (req, res) hello at 64 connections: p99', '<=', 0.5, http('dropin-p99', 'p99')],
    ['drop-in, pipelined: requests/s', '>=', 9, http('dropin-pipelined', 'rps')],
    ['drop-in, Express 5 hello: requests/s, node 20', '>=', 3, to('dropin-express', 'express', 'rps', '20')],
    ['drop-in, Fastify 5 hello: requests/s', '>=', 1.7, to('dropin-fastify', 'fastify', 'rps')],
    ['drop-in, Koa 3 hello: requests/s', '>=', 1.8, to('dropin-koa', 'koa', 'rps')],
    ['drop-in, Hono hello: requests/s', '>=', 1.8, to('dropin-hono', 'hono', 'rps')],
    ['drop-in, POST through express.json(): CPU', '<=', 1, to('dropin-json', 'express', 'cpuUs')],
    ['drop-in, file through express.static(): CPU', '<=', 1, to('dropin-static', 'express', 'cpuUs')],
    ['drop-in, 1 MiB upload to a hash: CPU', '<=', 1, http('dropin-upload', 'cpuUs')],
    ['drop-in, 1 ms a request: requests/s', '>=', 0.99, http('dropin-busy', 'rps')],
    ['drop-in, 1 ms a request: p99', '<=', 1, http('dropin-busy', 'p99')],
  ];
}

export function judgeTargets(rows, baseNode) {
  const at = (workload, server, node) => {
    const names = [server, `${server}@${node ?? baseNode}`];
    return rows.find((row) => row.workload === workload && names.includes(row.server) && row.valid > 0);
  };
  return targets.map(([name, sign, bound, read]) => {
    const value = read(at);
    const met = value === undefined ? undefined : sign === '<=' ? value <= bound : value >= bound;
    return { name, sign, bound, value, met };
  });
}
