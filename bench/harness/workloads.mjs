// What is measured, on which servers by default. Workloads of one series are interleaved with one another.

const everyone = [
  'limit',
  'ours-fetch@*',
  'ours-asgi',
  'ours-node',
  'node-http@*',
  'fastify',
  'hono',
  'express',
  'bun',
  'deno',
  'uvicorn',
];
const most = [
  'limit',
  'ours-fetch',
  'ours-asgi',
  'ours-node',
  'ours-fetch@last',
  'node-http',
  'node-http@last',
  'fastify',
  'bun',
  'deno',
  'uvicorn',
];
const lone = ['limit', 'ours-fetch', 'ours-asgi', 'ours-node', 'node-http', 'bun', 'deno'];
const few = ['limit', 'ours-fetch', 'node-http', 'bun'];

const wrk = (app, more = {}) => ({ app, client: 'wrk', metric: 'cpuUs', runs: 3, servers: most, ...more });
const load = (connections) => ({
  app: 'hello',
  client: 'closed_loop',
  metric: 'cpuUs',
  runs: 3,
  servers: few,
  series: 'load',
  connections,
  title: `hello, ${connections} connections`,
});

/** The same program on node alone and with the drop-in, on the oldest and the newest node. */
const pair = (app, title, more = {}) =>
  wrk(app, {
    title,
    dropIn: true,
    servers: ['node-http', 'hooked-node-http', 'node-http@last', 'hooked-node-http@last'],
    ...more,
  });
const framework = (name) =>
  pair('hello', `${name}, hello`, { servers: [name, `hooked-${name}`, `${name}@last`, `hooked-${name}@last`] });
const onExpress = { servers: ['express', 'hooked-express'] };

/** metric: what the plot shows and ratios are of. */
export const workloads = {
  hello: wrk('hello', { title: 'hello', runs: 4, servers: everyone }),
  pipelined: wrk('hello', { title: 'hello, pipelined 16 deep', script: 'pipeline.lua', depth: 16 }),
  echo: wrk('echo', { title: 'POST 1 KiB JSON, echoed', script: 'post.lua' }),
  '16k': wrk('16k', { title: '16 KiB response' }),
  pingpong: {
    app: 'hello',
    client: 'pingpong',
    metric: 'p50',
    runs: 3,
    servers: lone,
    title: 'one connection, ping-pong',
  },
  'load-64': load(64),
  'load-512': load(512),
  'load-4096': load(4096),
  idle: {
    app: 'hello',
    client: 'idle',
    metric: 'kibEach',
    runs: 3,
    servers: [...lone, 'uvicorn'],
    title: 'idle connections',
  },
  'dropin-hello': pair('plain', '(req, res): setHeader, end'),
  'dropin-pipelined': pair('plain', 'the same, pipelined 16 deep', { script: 'pipeline.lua', depth: 16 }),
  'dropin-p99': pair('plain', 'the same, exact quantiles', { client: 'closed_loop', connections: 64 }),
  'dropin-express': framework('express'),
  'dropin-fastify': framework('fastify'),
  'dropin-koa': framework('koa'),
  'dropin-hono': framework('hono'),
  'dropin-json': pair('json', 'POST 1 KiB through express.json()', { script: 'post.lua', ...onExpress }),
  'dropin-static': pair('static', 'a file of 16 KiB through express.static()', onExpress),
  'dropin-upload': pair('upload', '1 MiB upload piped to a hash', { script: 'upload.lua' }),
  'dropin-busy': pair('busy', '1 ms of JavaScript a request', { client: 'closed_loop', connections: 64 }),
};

export const quickWorkloads = ['hello', 'pipelined', 'echo', 'pingpong', 'idle'];
export const quickServers = ['limit', 'ours-fetch', 'ours-node', 'node-http', 'bun'];
