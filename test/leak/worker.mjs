// A worker that loads the addon, serves, and waits to be terminated. `mode`: idle, waiting (a request in flight), spinning (JavaScript never returns).
import { parentPort, workerData } from 'node:worker_threads';
import { serve } from '../../dist/index.js';

const server = await serve({
  port: 0,
  hostname: '127.0.0.1',
  backend: 'native',
  fetch: (request) => {
    if (request.url.endsWith('/wait')) {
      parentPort.postMessage({ busy: true });
      return new Promise(() => {});
    }
    if (request.url.endsWith('/spin')) {
      parentPort.postMessage({ busy: true });
      for (;;);
    }
    return new Response(workerData.text);
  },
});
parentPort.postMessage({ port: server.address().port });
