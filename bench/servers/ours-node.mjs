// serve({ node }): the handler of servers/node-http.mjs, word for word.
import { serve } from '../../dist/index.js';
import { app, text, textLength } from './common.mjs';
import { announce, options } from './ours.mjs';

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

announce(await serve({ ...options, node: app === 'echo' ? echo : fixed }));
