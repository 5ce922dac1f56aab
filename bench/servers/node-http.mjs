// node:http as its documentation has it.
import { createServer } from 'node:http';
import { app, backlog, keepAliveMs, ready, text, textLength } from './common.mjs';

const fixed = (_req, res) => {
  res.writeHead(200, { 'content-type': 'text/plain', 'content-length': textLength });
  res.end(text);
};

const echo = (req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    res.end(body);
  });
};

const server = createServer({ keepAliveTimeout: keepAliveMs }, app === 'echo' ? echo : fixed);
server.listen({ port: 0, host: '127.0.0.1', backlog }, () => ready(server.address().port, `node ${process.version}`));
