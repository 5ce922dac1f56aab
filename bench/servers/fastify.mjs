// Fastify, no logger (its default); the body reaches the handler as a Buffer, since echo needs no parsing.
import Fastify from 'fastify';
import { app, backlog, keepAliveMs, ready, text } from './common.mjs';

const fastify = Fastify({ logger: false, keepAliveTimeout: keepAliveMs });
if (app === 'echo') {
  fastify.removeContentTypeParser('application/json');
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_req, body, done) => done(null, body));
  fastify.post('/echo', (req, reply) => reply.type('application/json').send(req.body));
} else {
  fastify.get('/', (_req, reply) => reply.type('text/plain').send(text));
}
await fastify.listen({ port: 0, host: '127.0.0.1', backlog });
ready(fastify.server.address().port, `fastify ${fastify.version}, node ${process.version}`);
