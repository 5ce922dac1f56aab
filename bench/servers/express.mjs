// Express 5 in production mode, with its defaults.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import express from 'express';
import { app, big, keepAliveMs, ready, text } from './common.mjs';

const server = express();
if (app === 'echo') {
  server.post('/echo', express.raw({ type: 'application/json' }), (req, res) =>
    res.type('application/json').send(req.body),
  );
} else if (app === 'json') {
  server.post('/echo', express.json(), (req, res) => res.json(req.body));
} else if (app === 'static') {
  const folder = mkdtempSync(`${tmpdir()}/gammaloop-bench-`);
  writeFileSync(`${folder}/16k.txt`, big);
  server.use(express.static(folder));
  process.on('exit', () => rmSync(folder, { recursive: true }));
} else {
  server.get('/', (_req, res) => res.type('text/plain').send(text));
}
const version = createRequire(import.meta.url)('express/package.json').version;
const http = server.listen(0, '127.0.0.1', () =>
  ready(http.address().port, `express ${version}, node ${process.version}`),
);
http.keepAliveTimeout = keepAliveMs;
