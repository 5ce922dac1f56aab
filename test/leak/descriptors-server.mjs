// A server in a process of its own, with few descriptors to spare.
import { serve } from '../../dist/index.js';

const server = await serve({ port: 0, hostname: '127.0.0.1', backend: 'native', fetch: () => new Response('alive') });
process.on('message', (message) => {
  if (message === 'stats') process.send({ stats: server.stats() });
});
process.send({ port: server.address().port });
