// node:http as its documentation has it.
import { createServer } from 'node:http';
import { backlog, keepAliveMs, ready } from './common.mjs';
import { handler } from './node-handler.mjs';

const server = createServer({ keepAliveTimeout: keepAliveMs }, handler);
server.listen({ port: 0, host: '127.0.0.1', backlog }, () => ready(server.address().port, `node ${process.version}`));
