// Bun.serve. No static routes: the other servers run a handler for each request, so this one does too.
import { app, keepAliveMs, ready, text } from './common.mjs';

const json = { headers: { 'content-type': 'application/json' } };
const plain = { headers: { 'content-type': 'text/plain' } };

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  idleTimeout: keepAliveMs / 1000,
  development: false,
  fetch: app === 'echo' ? async (req) => new Response(await req.arrayBuffer(), json) : () => new Response(text, plain),
});
ready(server.port, `bun ${Bun.version}`);
