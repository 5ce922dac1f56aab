// serve({ websocket }).
import { serve } from '../../dist/index.js';
import { announce, options } from './ours.mjs';
import { app, deflate } from './websocket-common.mjs';

const publishes = app === 'ws-publish';

const server = await serve({
  ...options,
  fetch: () => new Response('no WebSocket', { status: 404 }),
  websocket: {
    perMessageDeflate: app === 'ws-deflate' && deflate,
    open(ws) {
      if (ws.url === '/subscribe') ws.subscribe('room');
    },
    message: publishes ? (ws, data) => ws.publish('room', data) : (ws, data) => ws.send(data),
  },
});
announce(server);
