// An app that knows nothing of gammaloop, and both modules. Run with the register hook by --import and by -r. Prints what it saw as JSON.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { loop } from 'gammaloop';
import http, { createServer as createOurs, METHODS } from 'gammaloop/http';
import https from 'gammaloop/https';

const require = createRequire(import.meta.url);
const server = createServer((req, res) => res.end(`app ${req.url}`));
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const response = await fetch(`http://127.0.0.1:${server.address().port}/path`, { headers: { connection: 'close' } });
const text = await response.text();
await new Promise((closed) => server.close(closed));

const required = require('gammaloop/http');
console.log(
  JSON.stringify({
    text,
    isSameFunction: createServer === createOurs && http.createServer === createOurs && required === http,
    isNodes: require('node:http').request === http.request && METHODS === http.METHODS,
    https: require('node:https').Server === https.Server && require('gammaloop/https') === https,
    dropIn: loop.stats().dropIn,
  }),
);
