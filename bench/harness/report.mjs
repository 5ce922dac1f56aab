// The tables as text.

import { workloads } from './workloads.mjs';

function digits(value) {
  if (Math.abs(value) < 0.005) return '0.00'; // never -0.00
  if (value >= 1000) return String(Math.round(value));
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const number = (value) => (value === undefined ? '-' : digits(value));
const middle = (spread) => number(spread?.median);
const spread = (s) => (s ? `${digits(s.median)} [${digits(s.min)}-${digits(s.max)}]` : '-');
const factor = (value) => (value === undefined ? '-' : `${digits(value)}x`);
const percent = (s) => (s ? `${Math.round(s.median * 100)}%` : '-');

const cpu = [
  ['CPU us/req', (r) => spread(r.cpuUs)],
  ['user', (r) => middle(r.userUs)],
  ['system', (r) => middle(r.systemUs)],
  ['CPU/limit', (r) => factor(r.toLimit.cpuUs)],
  ['CPU/node', (r) => factor(r.toNode.cpuUs)],
];
const throughput = [
  ['req/s', (r) => spread(r.rps)],
  ['req/s / node', (r) => factor(r.toNode.rps)],
  ['p50 us', (r) => middle(r.p50)],
  ['p99 us', (r) => spread(r.p99)],
  ['p99/node', (r) => factor(r.toNode.p99)],
];
const dropIn = [
  ['CPU us/req', (r) => spread(r.cpuUs)],
  ['user', (r) => middle(r.userUs)],
  ['system', (r) => middle(r.systemUs)],
  ['CPU/plain', (r) => factor(r.toPlain.cpuUs)],
  ['req/s', (r) => spread(r.rps)],
  ['req/s / plain', (r) => factor(r.toPlain.rps)],
  ['p50 us', (r) => middle(r.p50)],
  ['p99 us', (r) => spread(r.p99)],
  ['p99/plain', (r) => factor(r.toPlain.p99)],
];
/** Where 'req' is a message that came back, or came to one subscriber. */
const webSocket = [
  ['CPU us/msg', (r) => spread(r.cpuUs)],
  ['user', (r) => middle(r.userUs)],
  ['system', (r) => middle(r.systemUs)],
  ['CPU/ws', (r) => factor(r.toWs.cpuUs)],
  ['msg/s', (r) => spread(r.rps)],
  ['msg/s / ws', (r) => factor(r.toWs.rps)],
  ['p50 us', (r) => middle(r.p50)],
  ['p99 us', (r) => spread(r.p99)],
];
const others = [['foreign', (r) => percent(r.foreign)]];
const latency = [
  ['p50 us', (r) => spread(r.p50)],
  ['p50/limit', (r) => factor(r.toLimit.p50)],
  ['p50/node', (r) => factor(r.toNode.p50)],
  ['p99 us', (r) => spread(r.p99)],
  ['p50 spinning', (r) => spread(r.p50Spinning)],
];
const memory = (to, ratio) => [
  ['KiB each', (r) => spread(r.kibEach)],
  [to, (r) => factor(ratio(r))],
  ['of it JS heap', (r) => middle(r.kibEachHeap)],
  ['slope', (r) => middle(r.kibEachSlope)],
  ['before GC', (r) => middle(r.kibEachUncollected)],
];
const columnsOf = (workload) => {
  if (workload.dropIn) return [...dropIn, ...others];
  if (workload.client === 'websocket') return [...webSocket, ...others];
  if (workload.client === 'idle') {
    const toPeer = workload.app === 'ws-echo' ? ['to ws', (r) => r.toWs.kibEach] : ['to node', (r) => r.toNode.kibEach];
    return [...memory(...toPeer), ...others];
  }
  return workload.client === 'pingpong' ? [...latency, ...cpu, ...others] : [...cpu, ...throughput, ...others];
};

function table(head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const line = (row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)].join('\n');
}

/** Best first; servers without a valid run last. */
export function rank(rows, metric) {
  return [...rows].sort(
    (a, b) => (a[metric]?.median ?? Number.POSITIVE_INFINITY) - (b[metric]?.median ?? Number.POSITIVE_INFINITY),
  );
}

export function report({ setting, rows, targets, skipped }) {
  const parts = [
    `${setting.date}  ${setting.machine.cpu}, ${setting.machine.cores} cores, Linux ${setting.machine.kernel}, load average at start ${setting.machine.loadavgAtStart.map((n) => n.toFixed(2)).join(' ')}`,
    `server on core ${setting.serverCore}, load on core ${setting.loadCore}: ${setting.load}; ${setting.seconds} s windows; median [min-max] of the valid runs`,
    ...setting.warnings.map((warning) => `NOTE: ${warning}`),
    ...skipped.map(({ name, why }) => `SKIPPED ${name}: ${why}`),
  ];
  for (const id of Object.keys(workloads)) {
    const own = rows.filter((row) => row.workload === id);
    if (own.length === 0) continue;
    const { title, metric, client, idle, connections } = workloads[id];
    const columns = columnsOf(workloads[id]);
    const line = (row) => [row.server, ...columns.map(([, cell]) => cell(row)), String(row.valid)];
    const size =
      client === 'wrk'
        ? `, ${setting.connections} connections`
        : client === 'idle'
          ? `, ${setting.idle ?? idle}`
          : client === 'websocket'
            ? `, ${connections} connections`
            : '';
    parts.push(
      '',
      `## ${id}: ${title}${size}`,
      table(['server', ...columns.map(([name]) => name), 'runs'], rank(own, metric).map(line)),
    );
    for (const row of own) for (const why of row.voids) parts.push(`VOID ${row.server}: ${why}`);
  }
  const judged = targets.filter((target) => target.value !== undefined);
  if (judged.length > 0) {
    const line = ({ name, sign, bound, value, met }) => [
      name,
      `${sign} ${bound}`,
      value.toFixed(2),
      met ? 'met' : 'MISSED',
    ];
    parts.push('', '## Targets', table(['', 'target', 'measured', ''], judged.map(line)));
  }
  const versions = new Map(rows.filter((row) => row.version).map((row) => [row.server, row.version]));
  parts.push('', ...[...versions].map(([name, version]) => `${name}: ${version}`));
  return `${parts.join('\n')}\n`;
}
