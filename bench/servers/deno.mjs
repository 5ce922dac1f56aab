// Deno.serve.
import { app, ready, text } from './common.mjs';

const json = { headers: { 'content-type': 'application/json' } };
const plain = { headers: { 'content-type': 'text/plain' } };

Deno.serve(
  { port: 0, hostname: '127.0.0.1', onListen: ({ port }) => ready(port, `deno ${Deno.version.deno}`) },
  app === 'echo' ? async (req) => new Response(await req.arrayBuffer(), json) : () => new Response(text, plain),
);
