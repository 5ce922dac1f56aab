// Notes, on Koa. Nothing here knows of gammaloop: `npm start` runs it with the hook, `npm run start:plain` without.
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { bodyParser } from '@koa/bodyparser';
import Router from '@koa/router';
import Koa from 'koa';
import files from 'koa-static';

const notes = new Map([['1', { id: '1', text: 'Buy milk' }]]);
const app = new Koa();
const router = new Router();

router.get('/', (ctx) => {
  ctx.body = '<h1>Notes on Koa</h1>';
});

router.get('/notes/:id', (ctx) => {
  const note = notes.get(ctx.params.id);
  if (!note) ctx.throw(404, `no note ${ctx.params.id}`);
  ctx.body = { ...note, fields: ctx.query.fields ?? 'all' };
});

router.post('/notes', (ctx) => {
  const text = ctx.request.body?.text;
  if (typeof text !== 'string') ctx.throw(422, 'text is missing');
  const note = { id: String(notes.size + 1), text };
  notes.set(note.id, note);
  ctx.status = 201;
  ctx.set('Location', `/notes/${note.id}`);
  ctx.body = note;
});

router.get('/visits', (ctx) => {
  const visits = Number(ctx.cookies.get('visits') ?? 0) + 1;
  ctx.cookies.set('visits', String(visits), { sameSite: 'lax' });
  ctx.cookies.set('seen', 'yes');
  ctx.body = `Visit ${visits}`;
});

router.get('/old', (ctx) => {
  ctx.redirect('/notes/1');
});

async function* lines() {
  for (let line = 1; line <= 5; line++) {
    yield `line ${line}\n`;
    await new Promise(setImmediate);
  }
}
router.get('/stream', (ctx) => {
  ctx.type = 'text/plain';
  ctx.body = Readable.from(lines(), { objectMode: false });
});

router.put('/upload', async (ctx) => {
  let bytes = 0;
  for await (const chunk of ctx.req) bytes += chunk.length;
  ctx.body = { bytes };
});

router.get('/error', () => {
  throw new Error('A handler that throws');
});

app.silent = true;
app.use(async (ctx, next) => {
  try {
    await next();
    if (ctx.status === 404) ctx.throw(404, `no ${ctx.method} ${ctx.path}`);
  } catch (error) {
    ctx.status = error.status ?? 500;
    ctx.body = { error: error.message };
    ctx.app.emit('error', error, ctx);
  }
});
app.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/files/')) return next();
  const path = ctx.path;
  ctx.path = path.slice('/files'.length);
  await serveFile(ctx, () => {
    ctx.path = path;
    return next();
  });
});
const serveFile = files(fileURLToPath(new URL('public', import.meta.url)));
app.use(bodyParser({ enableTypes: ['json'], jsonLimit: '10kb' }));
app.use(router.routes());
app.use(router.allowedMethods());

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
