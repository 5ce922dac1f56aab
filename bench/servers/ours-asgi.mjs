// serve({ app }): an ASGI application, the same as the one that uvicorn runs.
import { serve } from '../../dist/index.js';
import { app, text, textLength } from './common.mjs';
import { announce, options } from './ours.mjs';

const bytes = (string) => Buffer.from(string, 'latin1');
const body = bytes(text);
const plain = [
  [bytes('content-type'), bytes('text/plain')],
  [bytes('content-length'), bytes(textLength)],
];

// Lifespan is not this app's: by the specification, an exception tells the server so.
const onlyHttp = (scope) => {
  if (scope.type !== 'http') throw new Error(`no ${scope.type} here`);
};

const fixed = async (scope, _receive, send) => {
  onlyHttp(scope);
  await send({ type: 'http.response.start', status: 200, headers: plain });
  await send({ type: 'http.response.body', body });
};

const echo = async (scope, receive, send) => {
  onlyHttp(scope);
  const chunks = [];
  for (let more = true; more; ) {
    const message = await receive();
    if (message.type === 'http.disconnect') return;
    if (message.body) chunks.push(message.body);
    more = message.more_body ?? false;
  }
  const whole = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  const headers = [
    [bytes('content-type'), bytes('application/json')],
    [bytes('content-length'), bytes(String(whole.length))],
  ];
  await send({ type: 'http.response.start', status: 200, headers });
  await send({ type: 'http.response.body', body: whole });
};

announce(await serve({ ...options, app: app === 'echo' ? echo : fixed }));
