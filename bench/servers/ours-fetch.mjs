// serve({ fetch }).
import { Response, serve } from '../../dist/index.js';
import { app, text } from './common.mjs';
import { announce, options } from './ours.mjs';

const json = { headers: { 'content-type': 'application/json' } };
const plain = { headers: { 'content-type': 'text/plain' } };

announce(
  await serve({
    ...options,
    fetch:
      app === 'echo' ? async (req) => new Response(await req.arrayBuffer(), json) : () => new Response(text, plain),
  }),
);
