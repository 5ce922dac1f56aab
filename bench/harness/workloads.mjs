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

/** WebSockets: `size` bytes, `depth` messages in flight on each connection, or publications on the whole. */
const webSocket = (app, title, more) => ({
  app,
  client: 'websocket',
  metric: 'cpuUs',
  runs: 3,
  servers: ['ours-ws', 'ours-ws-package', 'ws', 'bun-ws', 'ours-ws@last', 'ws@last'],
  title,
  depth: 1,
  ...more,
});
const echoes = { mode: 'echo', connections: 64 };
const publishes = { mode: 'publish', connections: 1000, size: 20 };

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
    idle: 5_000,
  },
  'ws-echo-20': webSocket('ws-echo', 'WebSocket, 20 bytes of text echoed', { ...echoes, size: 20 }),
  'ws-echo-1k': webSocket('ws-echo', 'WebSocket, 1 KiB of JSON echoed', { ...echoes, size: 1024 }),
  'ws-deflate': webSocket('ws-deflate', 'the same with permessage-deflate', { ...echoes, size: 1024, deflated: true }),
  'ws-publish': webSocket('ws-publish', 'WebSocket, published, one at a time', publishes),
  'ws-publish-16': webSocket('ws-publish', 'the same, 16 at a time', { ...publishes, depth: 16 }),
  'ws-idle': webSocket('ws-echo', 'idle WebSockets', { client: 'idle', metric: 'kibEach', runs: 3, idle: 10_000 }),
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
