// A chat on the ws package. Nothing here knows of gammaloop: `npm start` runs it with the hook, `npm run start:plain` without.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const page = readFileSync(new URL('public/chat.html', import.meta.url));

const server = createServer((req, res) => {
  if (req.url !== '/') {
    res.writeHead(404, { 'Content-Type': 'text/plain' });
    res.end('Not found\n');
    return;
  }
  res.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Length': page.length });
  res.end(req.method === 'HEAD' ? undefined : page);
});

const chat = new WebSocketServer({ server, path: '/chat', maxPayload: 4096 });
let guests = 0;

function tellAll(text) {
  for (const client of chat.clients) if (client.readyState === client.OPEN) client.send(text);
}

chat.on('connection', (socket) => {
  const name = `guest ${++guests}`;
  tellAll(`${name} has come`);
  socket.on('message', (data, isBinary) => {
    if (isBinary) socket.close(1003, 'text only');
    else tellAll(`${name}: ${data}`);
  });
  socket.on('close', () => tellAll(`${name} has left`));
  // A frame that breaks the protocol: ws closes the connection itself.
  socket.on('error', () => {});
});

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
