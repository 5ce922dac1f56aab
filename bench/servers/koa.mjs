// Koa 3.
import { createRequire } from 'node:module';
import Koa from 'koa';
import { app, keepAliveMs, ready, text } from './common.mjs';

if (app !== 'hello' && app !== '16k') throw new Error(`koa has no app '${app}'`);
const koa = new Koa();
koa.use((ctx) => {
  ctx.type = 'text/plain';
  ctx.body = text;
});
const { version } = createRequire(import.meta.url)('koa/package.json');
const http = koa.listen({ port: 0, host: '127.0.0.1' }, () =>
  ready(http.address().port, `koa ${version}, node ${process.version}`),
);
http.keepAliveTimeout = keepAliveMs;
