// Notes, on Hono and its node-server. Nothing here knows of gammaloop: `npm start` runs it with the hook, `npm run start:plain` without.
import { fileURLToPath } from 'node:url';
import { serve } from '@hono/node-server';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { getCookie, setCookie } from 'hono/cookie';
import { HTTPException } from 'hono/http-exception';
import { streamText } from 'hono/streaming';

const notes = new Map([['1', { id: '1', text: 'Buy milk' }]]);
const app = new Hono();

app.use(
  '/files/*',
  serveStatic({
    root: fileURLToPath(new URL('public', import.meta.url)),
    rewriteRequestPath: (path) => path.slice('/files'.length),
  }),
);

app.get('/', (c) => c.html('<h1>Notes on Hono</h1>'));

app.get('/notes/:id', (c) => {
  const note = notes.get(c.req.param('id'));
  if (!note) return c.json({ error: `no note ${c.req.param('id')}` }, 404);
  return c.json({ ...note, fields: c.req.query('fields') ?? 'all' });
});

app.post('/notes', bodyLimit({ maxSize: 10 * 1024 }), async (c) => {
  const body = await c.req.json().catch(() => {
    throw new HTTPException(400, { message: 'not JSON' });
  });
  if (typeof body.text !== 'string') return c.json({ error: 'text is missing' }, 422);
  const note = { id: String(notes.size + 1), text: body.text };
  notes.set(note.id, note);
  return c.json(note, 201, { Location: `/notes/${note.id}` });
});

app.get('/visits', (c) => {
  const visits = Number(getCookie(c, 'visits') ?? 0) + 1;
  setCookie(c, 'visits', String(visits), { httpOnly: true, sameSite: 'Lax' });
  setCookie(c, 'seen', 'yes');
  return c.text(`Visit ${visits}`);
});

app.get('/old', (c) => c.redirect('/notes/1'));

app.get('/stream', (c) =>
  streamText(c, async (stream) => {
    for (let line = 1; line <= 5; line++) {
      await stream.writeln(`line ${line}`);
      await new Promise(setImmediate);
    }
  }),
);

app.put('/upload', async (c) => {
  let bytes = 0;
  for await (const chunk of c.req.raw.body ?? []) bytes += chunk.length;
  return c.json({ bytes });
});

app.get('/error', () => {
  throw new Error('A handler that throws');
});

app.notFound((c) => c.json({ error: `no ${c.req.method} ${c.req.path}` }, 404));

app.onError((error, c) => {
  const status = error instanceof HTTPException ? error.status : 500;
  return c.json({ error: error.message }, status);
});

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' }, ({ port }) => {
  console.log(`http://127.0.0.1:${port}`);
});
