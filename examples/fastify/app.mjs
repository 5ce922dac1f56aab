// Notes, on Fastify. Nothing here knows of gammaloop: `npm start` runs it with the hook, `npm run start:plain` without.
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import cookie from '@fastify/cookie';
import files from '@fastify/static';
import Fastify from 'fastify';

const notes = new Map([['1', { id: '1', text: 'Buy milk' }]]);
const app = Fastify({ bodyLimit: 10 * 1024 });

await app.register(cookie);
await app.register(files, { root: fileURLToPath(new URL('public', import.meta.url)), prefix: '/files/' });

app.get('/', (_request, reply) => {
  reply.type('text/html').send('<h1>Notes on Fastify</h1>');
});

app.get('/notes/:id', (request, reply) => {
  const note = notes.get(request.params.id);
  if (!note) return reply.code(404).send({ error: `no note ${request.params.id}` });
  return reply.send({ ...note, fields: request.query.fields ?? 'all' });
});

const newNote = { type: 'object', required: ['text'], properties: { text: { type: 'string' } } };
app.post('/notes', { schema: { body: newNote } }, async (request, reply) => {
  const note = { id: String(notes.size + 1), text: request.body.text };
  notes.set(note.id, note);
  reply.code(201).header('location', `/notes/${note.id}`);
  return note;
});

app.get('/visits', async (request, reply) => {
  const visits = Number(request.cookies.visits ?? 0) + 1;
  reply.setCookie('visits', String(visits), { httpOnly: true, sameSite: 'lax' });
  reply.setCookie('seen', 'yes');
  return `Visit ${visits}`;
});

app.get('/old', (_request, reply) => {
  reply.redirect('/notes/1');
});

async function* lines() {
  for (let line = 1; line <= 5; line++) {
    yield `line ${line}\n`;
    await new Promise(setImmediate);
  }
}
app.get('/stream', (_request, reply) => {
  reply.type('text/plain').send(Readable.from(lines(), { objectMode: false }));
});

app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
app.put('/upload', async (request) => {
  let bytes = 0;
  for await (const chunk of request.body) bytes += chunk.length;
  return { bytes };
});

app.get('/error', async () => {
  throw new Error('A handler that throws');
});

app.setNotFoundHandler((request, reply) => {
  reply.code(404).send({ error: `no ${request.method} ${request.url}` });
});

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }));
