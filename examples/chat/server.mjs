// The chat: node examples/chat/server.mjs, after npm run build && npm run build:ts. The rooms are in rooms.mjs, the page is page.html.
//
//   PORT               default 3000; 0 takes any free port
//   HOST               default 127.0.0.1; 0.0.0.0 or :: to be reached from other machines
//   GAMMALOOP_BACKEND  native, node or auto (the default)
import { readFileSync } from 'node:fs';
import { Response, serve } from 'gammaloop';
import { Rooms } from './rooms.mjs';

/** Guests have so long to say goodbye after Ctrl-C; then they are cut. */
const CLOSE_MS = 2000;

const page = readFileSync(new URL('page.html', import.meta.url));

const rooms = new Rooms((topic, message) => server.publish(topic, message));

const server = await serve({
  port: Number(process.env.PORT || 3000),
  hostname: process.env.HOST || '127.0.0.1',
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname !== '/') return new Response('Nothing is here; the chat is at /\n', { status: 404 });
    return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache' } });
  },
  websocket: {
    maxPayloadBytes: 4096,
    // A guest who does not read is let go with 1013, and costs no more than this until then.
    maxBufferedBytes: 256 * 1024,
    upgrade: (request) => rooms.admit(request),
    open: (ws) => rooms.open(ws),
    message: (ws, data, isBinary) => (isBinary ? ws.close(1003, 'text only') : rooms.hear(ws, data)),
    close: (ws) => rooms.close(ws),
    error() {}, // a guest who breaks the protocol: the connection is being closed already
  },
}).catch((error) => {
  console.error(error.message);
  process.exit(1);
});

console.log(`gammaloop chat: ${server.url}
Backend: ${server.backend}

Open it in two browser windows. Ctrl-C says goodbye to all guests and exits, a second one exits at once.`);

// Only once: the second signal does what signals do by default.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => server.close({ deadline: CLOSE_MS }));
}
