// Hono on its adapter for Node.
import { readFileSync } from 'node:fs';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { app, keepAliveMs, ready, text } from './common.mjs';

const hono = new Hono();
if (app === 'echo')
  hono.post('/echo', async (c) => c.body(await c.req.arrayBuffer(), 200, { 'content-type': 'application/json' }));
else hono.get('/', (c) => c.text(text));

// hono does not export its package.json.
const { version } = JSON.parse(readFileSync(new URL('../node_modules/hono/package.json', import.meta.url), 'utf8'));
const serverOptions = { keepAliveTimeout: keepAliveMs };
serve({ fetch: hono.fetch, port: 0, hostname: '127.0.0.1', serverOptions }, ({ port }) =>
  ready(port, `hono ${version}, node ${process.version}`),
);
