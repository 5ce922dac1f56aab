// The command line. Every option has a default; a wrong one ends the run with a message before anything is started.

import { parseArgs } from 'node:util';

const usage = `usage: npm run bench -- [options]
  --quick             the essential servers and workloads, short runs: under 3 minutes, for a first impression only
  --workloads a,b     of: hello, pipelined, echo, 16k, pingpong, load (or load-64, load-512, load-4096), idle; of the drop-in: dropin (all of
                      them), or dropin-hello, -pipelined, -p99, -express, -fastify, -koa, -hono, -json, -static, -upload, -busy; of
                      WebSockets: ws (all of them), or ws-echo-20, ws-echo-1k, ws-deflate, ws-publish, ws-publish-16, ws-idle
  --servers x,y       as named in the tables: ours-fetch, node-http, bun ...; ours-fetch@26 for another node, ours-fetch@* for all
  --runs N            runs of each cell (default: 4 of hello, 3 of the rest)
  --seconds S         length of the measured window, whole seconds (default 3)
  --connections C     of hello, pipelined, echo and 16k (default 64)
  --idle N            idle connections (default 5000; ws-idle 10000)
  --node BIN[,BIN]    node binaries; the first is the base that frameworks run on (default: 20, 22, 24 and 26)
  --server-core N     core of the server (default: the first that this process may use)
  --load-core N       core of the load generator (default: the last)
  --out DIR           where to write (default bench/results)
  --list              print the plan and its estimated duration, run nothing`;

export function fail(message) {
  console.error(`bench: ${message}`);
  process.exit(2);
}

function whole(value, name, minimum) {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isInteger(number) || number < minimum)
    fail(`--${name} must be a whole number of at least ${minimum}, not '${value}'`);
  return number;
}

const list = (value) =>
  value
    ?.split(',')
    .map((item) => item.trim())
    .filter(Boolean);

export function readOptions(argv) {
  const string = { type: 'string' };
  const boolean = { type: 'boolean' };
  const known = {
    quick: boolean,
    list: boolean,
    help: boolean,
    workloads: string,
    servers: string,
    runs: string,
    seconds: string,
    connections: string,
    idle: string,
    node: string,
    'server-core': string,
    'load-core': string,
    out: string,
  };
  let values;
  try {
    ({ values } = parseArgs({ args: argv, options: known }));
  } catch (error) {
    fail(`${error.message}\n${usage}`);
  }
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  return {
    quick: values.quick ?? false,
    listOnly: values.list ?? false,
    workloads: list(values.workloads),
    servers: list(values.servers),
    runs: whole(values.runs, 'runs', 1),
    seconds: whole(values.seconds, 'seconds', 1) ?? (values.quick ? 1 : 3),
    connections: whole(values.connections, 'connections', 1) ?? 64,
    idle: whole(values.idle, 'idle', 10),
    nodes: list(values.node),
    serverCore: whole(values['server-core'], 'server-core', 0),
    loadCore: whole(values['load-core'], 'load-core', 0),
    out: values.out,
  };
}
