// The (req, res) handler of node-http.mjs and ours-node.mjs: the same for both, as node:http's documentation has it.
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

export const handler = app === 'echo' ? echo : fixed;
