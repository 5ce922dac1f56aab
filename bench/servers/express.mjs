// Express 5 in production mode, with its defaults.
import { createRequire } from 'node:module';
import express from 'express';
import { app, keepAliveMs, ready, text } from './common.mjs';

const server = express();
if (app === 'echo') {
  server.post('/echo', express.raw({ type: 'application/json' }), (req, res) =>
    res.type('application/json').send(req.body),
  );
} else {
  server.get('/', (_req, res) => res.type('text/plain').send(text));
}
const version = createRequire(import.meta.url)('express/package.json').version;
const http = server.listen(0, '127.0.0.1', () =>
  ready(http.address().port, `express ${version}, node ${process.version}`),
);
http.keepAliveTimeout = keepAliveMs;
