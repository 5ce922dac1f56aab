// Notes, on Express. Nothing here knows of gammaloop: `npm start` runs it with the hook, `npm run start:plain` without.
import { fileURLToPath } from 'node:url';
import cookieParser from 'cookie-parser';
import express from 'express';

const notes = new Map([['1', { id: '1', text: 'Buy milk' }]]);
const app = express();

app.use(express.json({ limit: '10kb' }));
app.use(cookieParser());
app.use('/files', express.static(fileURLToPath(new URL('public', import.meta.url))));

app.get('/', (_req, res) => {
  res.send('<h1>Notes on Express</h1>');
});

app.get('/notes/:id', (req, res) => {
  const note = notes.get(req.params.id);
  if (!note) return res.status(404).json({ error: `no note ${req.params.id}` });
  res.json({ ...note, fields: req.query.fields ?? 'all' });
});

app.post('/notes', (req, res) => {
  const text = req.body?.text;
  if (typeof text !== 'string') return res.status(422).json({ error: 'text is missing' });
  const note = { id: String(notes.size + 1), text };
  notes.set(note.id, note);
  res.status(201).location(`/notes/${note.id}`).json(note);
});

app.get('/visits', (req, res) => {
  const visits = Number(req.cookies.visits ?? 0) + 1;
  res.cookie('visits', String(visits), { httpOnly: true, sameSite: 'lax' });
  res.cookie('seen', 'yes');
  res.send(`Visit ${visits}`);
});

app.get('/old', (_req, res) => {
  res.redirect('/notes/1');
});

app.get('/stream', async (_req, res) => {
  res.type('text/plain');
  for (let line = 1; line <= 5; line++) {
    res.write(`line ${line}\n`);
    await new Promise(setImmediate);
  }
  res.end();
});

app.put('/upload', async (req, res) => {
  let bytes = 0;
  for await (const chunk of req) bytes += chunk.length;
  res.json({ bytes });
});

app.get('/error', () => {
  throw new Error('A handler that throws');
});

app.use((req, res) => {
  res.status(404).json({ error: `no ${req.method} ${req.path}` });
});

app.use((error, _req, res, next) => {
  if (res.headersSent) return next(error);
  res.status(error.status ?? 500).json({ error: error.message });
});

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
