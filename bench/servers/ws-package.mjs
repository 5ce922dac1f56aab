// The ws package's API, whoever it comes from: as the package's documentation has it, with broadcasting in a loop.
import { app, deflate, ready } from './websocket-common.mjs';

export function serveWebSockets({ WebSocketServer, WebSocket }, version) {
  const perMessageDeflate = app === 'ws-deflate' && deflate;
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', backlog: 4096, perMessageDeflate });
  const subscribers = new Set();

  const broadcast = (data, isBinary) => {
    for (const client of subscribers) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: isBinary });
    }
  };

  server.on('connection', (ws, request) => {
    if (request.url === '/subscribe') {
      subscribers.add(ws);
      ws.on('close', () => subscribers.delete(ws));
    }
    ws.on('error', console.error);
    ws.on('message', app === 'ws-publish' ? broadcast : (data, isBinary) => ws.send(data, { binary: isBinary }));
  });
  server.on('listening', () => ready(server.address().port, `${version}, node ${process.version}`));
}
