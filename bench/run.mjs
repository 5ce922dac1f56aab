// The benchmark: plan, measure series by series, report. See README.md for what each number means.

import { mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadVersion, measure, verify } from './harness/clients.mjs';
import { benchDir, prepareHost } from './harness/host.mjs';
import { fail, readOptions } from './harness/options.mjs';
import { plot } from './harness/plot.mjs';
import { startServer } from './harness/processes.mjs';
import { report } from './harness/report.mjs';
import { expand, knownServers } from './harness/servers.mjs';
import { judgeTargets, summarise } from './harness/summary.mjs';
import { quickServers, quickWorkloads, workloads } from './harness/workloads.mjs';

const options = readOptions(process.argv.slice(2));
const host = prepareHost(options);
const known = knownServers(options);

function chosenWorkloads() {
  const asked = options.workloads ?? (options.quick ? quickWorkloads : Object.keys(workloads));
  const groups = {
    load: ['load-64', 'load-512', 'load-4096'],
    dropin: Object.keys(workloads).filter((id) => workloads[id].dropIn),
    ws: Object.keys(workloads).filter((id) => id.startsWith('ws-')),
  };
  const ids = asked.flatMap((name) => groups[name] ?? [name]);
  for (const id of ids) if (!workloads[id]) fail(`no workload '${id}'; there are ${Object.keys(workloads).join(', ')}`);
  return ids;
}

/** [{ runs, cells: [{ id, workload, server }] }]: the cells of one series are interleaved. */
function makePlan() {
  const series = new Map();
  const skipped = new Map();
  for (const id of chosenWorkloads()) {
    const workload = workloads[id];
    const names = options.servers ?? (options.quick ? quickServers : workload.servers);
    const key = workload.series ?? id;
    if (!series.has(key)) series.set(key, { runs: options.runs ?? (options.quick ? 2 : workload.runs), cells: [] });
    for (const server of expand(names, known)) {
      if (server.missing) skipped.set(server.name, server.missing);
      else series.get(key).cells.push({ id, workload, server });
    }
  }
  return { series: [...series.values()], skipped: [...skipped].map(([name, why]) => ({ name, why })) };
}

/** Start, check, warm-up and stop around the window, as seen on the machine that this was written on. */
const secondsOf = ({ workload }) =>
  ({
    wrk: options.seconds + 1.3,
    closed_loop: options.seconds + 1.6,
    websocket: options.seconds + 1.8,
    pingpong: options.seconds + 1.2,
    idle: 5,
  })[workload.client];

async function runCell({ id, workload, server }, run) {
  const record = {
    workload: id,
    server: server.name,
    kind: server.kind,
    node: server.node,
    run,
    version: undefined,
    result: undefined,
  };
  let started;
  try {
    started = await startServer(host, server, workload.app);
    record.version = started.version;
    await verify(started.port, workload);
    record.result = await measure({ host, workload, server: started, options });
  } catch (error) {
    record.result = { void: error.message };
  } finally {
    await started?.stop();
  }
  return record;
}

function progress({ workload, server, result }, done, total) {
  const figure = result.void
    ? `VOID: ${result.void}`
    : result.kibEach !== undefined
      ? `${result.kibEach.toFixed(2)} KiB each`
      : `${result.cpuUs.toFixed(2)} us, ${Math.round(result.rps)} req/s${result.p50 === undefined ? '' : `, p50 ${result.p50} p99 ${result.p99}`}`;
  console.error(`[${done}/${total}] ${workload} ${server}: ${figure}`);
}

const { series, skipped } = makePlan();
const total = series.reduce((sum, { runs, cells }) => sum + runs * cells.length, 0);
const estimate = series.reduce(
  (sum, { runs, cells }) => sum + runs * cells.reduce((s, cell) => s + secondsOf(cell), 0),
  0,
);
for (const { name, why } of skipped) console.error(`skipped ${name}: ${why}`);
for (const warning of host.warnings) console.error(`note: ${warning}`);
console.error(
  `${total} runs, about ${Math.ceil(estimate / 60)} min; server on core ${host.serverCore}, load (${host.load}) on core ${host.loadCore}`,
);
if (options.listOnly) {
  for (const { runs, cells } of series)
    for (const { id, server } of cells) console.log(`${id} ${server.name} x${runs}`);
  process.exit(0);
}
if (total === 0) fail('nothing to run');

const setting = {
  date: new Date().toISOString(),
  machine: host.description,
  serverCore: host.serverCore,
  loadCore: host.loadCore,
  load: await loadVersion(host),
  seconds: options.seconds,
  connections: options.connections,
  idle: options.idle,
  nodes: known.nodes,
  warnings: host.warnings,
};

const runs = [];
for (const { runs: count, cells } of series) {
  for (let run = 0; run < count; run++) {
    // Each round begins further on, so that no server always follows the same one or always has the same place.
    const offset = Math.floor((run * cells.length) / count);
    for (let i = 0; i < cells.length; i++) {
      runs.push(await runCell(cells[(i + offset) % cells.length], run));
      progress(runs[runs.length - 1], runs.length, total);
    }
  }
}

const rows = summarise(runs);
const busy = rows.filter((row) => (row.foreign?.median ?? 0) > 0.05).length;
if (busy > 0)
  setting.warnings.push(
    `in ${busy} of ${rows.length} rows other processes took over 5% of the server's core (column 'foreign'): do not quote those`,
  );
const targets = judgeTargets(rows, known.nodes[0].label);
const text = report({ setting, rows, targets, skipped });

const out = resolve(options.out ?? `${benchDir}results`, setting.date.replace(/[:.]/g, '-'));
mkdirSync(out, { recursive: true });
writeFileSync(`${out}/report.txt`, text);
writeFileSync(`${out}/results.json`, `${JSON.stringify({ setting, skipped, rows, targets, runs }, null, 2)}\n`);
writeFileSync(`${out}/plot.svg`, plot({ setting, rows }));
console.log(text);
console.log(`written to ${out}: report.txt, results.json, plot.svg`);
// A valid run of everything planned, or say so to whoever called.
process.exit(rows.some((row) => row.valid === 0) ? 1 : 0);
