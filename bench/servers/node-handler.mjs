// The (req, res) handler of node-http.mjs and ours-node.mjs: the same for both, as node:http's documentation has it.
import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { app, text, textLength } from './common.mjs';

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

const plain = (_req, res) => {
  res.setHeader('Content-Type', 'text/plain');
  res.end(text);
};

const upload = async (req, res) => {
  const hash = createHash('sha1');
  await pipeline(req, hash);
  res.setHeader('Content-Type', 'text/plain');
  res.end(hash.digest('hex'));
};

const busy = (_req, res) => {
  const until = performance.now() + 1;
  while (performance.now() < until);
  res.setHeader('Content-Type', 'text/plain');
  res.end(text);
};

export const handler = { echo, plain, upload, busy }[app] ?? fixed;
