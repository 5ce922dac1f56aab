// Bun.serve({ websocket }). It compresses with its one shared compressor, which keeps nothing from message to message.
import { app, ready } from './websocket-common.mjs';

const deflated = app === 'ws-deflate';
const publishes = app === 'ws-publish';

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  development: false,
  fetch(request, server) {
    const subscribes = new URL(request.url).pathname === '/subscribe';
    return server.upgrade(request, { data: { subscribes } })
      ? undefined
      : new Response('no WebSocket', { status: 404 });
  },
  websocket: {
    perMessageDeflate: deflated && { compress: 'shared', decompress: 'shared' },
    open(ws) {
      if (ws.data.subscribes) ws.subscribe('room');
    },
    message: publishes ? (ws, data) => ws.publish('room', data) : (ws, data) => ws.send(data, deflated),
  },
});
ready(server.port, `bun ${Bun.version}`);
