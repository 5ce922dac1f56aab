// What a blocking section does to everybody else, and what the runner makes of it: measures one server three times, prints the figures, and
// draws the distributions.
//
//   node examples/blocking/demo.mjs [--seconds 6] [--block 100] [--out examples/blocking/latency.svg] [--json]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawChart } from './chart.mjs';
import { measure, percentile } from './load.mjs';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '6' },
    block: { type: 'string', default: '100' },
    out: { type: 'string', default: fileURLToPath(new URL('latency.svg', import.meta.url)) },
    json: { type: 'boolean', default: false },
  },
});
const seconds = Number(options.seconds);
const blockMs = Number(options.block);
if (!(seconds > 0 && blockMs > 0)) throw new Error('--seconds and --block take numbers above 0');

const scenarios = [
  { name: 'idle', title: 'Idle server', runner: false, reportMs: 0 },
  { name: 'runner', title: `${blockMs} ms of work, in the runner`, runner: true, reportMs: blockMs },
  { name: 'loop', title: `${blockMs} ms of work, in the handler`, runner: false, reportMs: blockMs },
];

async function run({ name, title, runner, reportMs }) {
  const env = { ...process.env, RUNNER: runner ? '1' : '' };
  const child = fork(new URL('server.mjs', import.meta.url), { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  try {
    const [{ url, backend }] = await Promise.race([once(child, 'message'), exited.then(endedEarly)]);
    const { others, reports } = await measure(url, seconds, reportMs);
    const summary = {
      requests: others.length,
      p50: percentile(others, 0.5),
      p99: percentile(others, 0.99),
      max: others.at(-1),
    };
    return { name, title, backend, others, summary, reportP50: reports.length > 0 ? percentile(reports, 0.5) : null };
  } finally {
    if (child.connected) child.disconnect();
    await exited;
  }
}

function endedEarly([code]) {
  throw new Error(`the server ended with ${code}`);
}

const results = [];
for (const scenario of scenarios) results.push(await run(scenario));
writeFileSync(options.out, drawChart(results, { blockMs, seconds }));

if (options.json) {
  console.log(JSON.stringify(Object.fromEntries(results.map(({ name, summary }) => [name, summary]))));
} else {
  const ms = (value) => (value === null ? '' : value.toFixed(2)).padStart(9);
  console.log(`Latency of quick requests in ms (backend ${results[0].backend}, ${seconds} s each):\n`);
  console.log(`${''.padEnd(32)}requests      p50      p99      max   reports' p50`);
  for (const { title, summary, reportP50 } of results) {
    const { requests, p50, p99, max } = summary;
    console.log(
      title.padEnd(32) + String(requests).padStart(8) + ms(p50) + ms(p99) + ms(max) + ms(reportP50).padStart(15),
    );
  }
  const [idle, runner, loop] = results.map(({ summary }) => summary.p99);
  console.log(
    `\np99 beside the work: ${(loop / idle).toFixed(0)} times that of the idle server, in the runner ${(runner / idle).toFixed(2)} times.`,
  );
  console.log(`Drawn in ${relative('', options.out)}`);
}
