// The clients of the soak. Each kind does one thing and checks what it got; `pick` chooses by weight, from a seed.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';

const source = randomBytes(1 << 20);
const MIB = 1 << 20;

function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Sends a request, and gives the response; `body` may be cut short by `abortAfter` bytes. */
function ask(port, agent, path, body = null) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, agent, path, method: body === null ? 'GET' : 'POST' });
    request.on('response', resolve);
    request.on('error', reject);
    request.end(body ?? undefined);
  });
}

async function textOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function open(port) {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Reads until `done(text)`; the socket is destroyed by whoever called. */
async function until(socket, done) {
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk.toString('latin1');
    if (done(text)) return text;
  }
  return text;
}

const closed = (socket) => (socket.closed ? null : once(socket, 'close').catch(() => {}));

/** name -> [weight, what it does, how many requests reach a handler]. */
export const kinds = {
  hello: [
    30,
    async ({ port, agent }) =>
      check((await textOf(await ask(port, agent, '/hello'))).equals(Buffer.from('hello')), 'hello'),
  ],
  later: [
    10,
    async ({ port, agent }) => check(String(await textOf(await ask(port, agent, '/later'))) === 'later', 'later'),
  ],
  pipelined: [
    10,
    async ({ port }) => {
      const socket = await open(port);
      socket.write('GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(16));
      const text = await until(socket, (soFar) => soFar.split('hello').length === 17);
      check(text.split('HTTP/1.1 200 OK').length === 17, 'sixteen answers');
      socket.end();
      await closed(socket);
    },
  ],
  upload: [
    10,
    async ({ port, agent, random }) => {
      const body = source.subarray(0, Math.floor(random() * MIB));
      const answer = await textOf(await ask(port, agent, '/hash', body));
      check(String(answer) === createHash('sha1').update(body).digest('hex'), 'the hash of the upload');
    },
  ],
  abortedUpload: [
    5,
    async ({ port }) => {
      const socket = await open(port);
      socket.write('POST /hash HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
      socket.write(source.subarray(0, 100_000), () => socket.destroy());
      await closed(socket);
    },
  ],
  slowReader: [
    3,
    async ({ port, agent }) => {
      const response = await ask(port, agent, '/large');
      let length = 0;
      for await (const chunk of response) {
        length += chunk.length;
        await new Promise((next) => setTimeout(next, 1));
      }
      check(length === MIB, 'all of the download');
    },
  ],
  abortedDownload: [
    5,
    async ({ port }) => {
      const socket = await open(port);
      socket.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(socket, 'data');
      socket.resetAndDestroy();
      await closed(socket);
    },
  ],
  upgrade: [
    5,
    async ({ port, random }) => {
      const socket = await open(port);
      socket.write('GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly');
      const message = source.toString('hex', 0, Math.floor(random() * 50_000));
      socket.write(message);
      const text = await until(socket, (soFar) => soFar.length >= soFar.indexOf('\r\n\r\n') + 9 + message.length);
      check(text.endsWith(`early${message}`), 'the echo');
      if (random() < 0.5) socket.end();
      else socket.resetAndDestroy();
      await closed(socket);
    },
  ],
  thrown: [
    2,
    async ({ port }) => {
      const error = await ask(port, false, '/throw').catch((cause) => cause);
      check(error.code === 'ECONNRESET', `the connection of a handler that throws: ${error}`);
    },
  ],
  destroyed: [
    2,
    async ({ port }) => {
      const error = await ask(port, false, '/destroy')
        .then(textOf)
        .catch((cause) => cause);
      check(error.code === 'ECONNRESET', `the connection of a response that is destroyed: ${error}`);
    },
  ],
  bad: [
    2,
    async ({ port }) => {
      const socket = await open(port);
      socket.write('GET / HTTP/1.1\r\nHo st: a\r\n\r\n');
      check((await until(socket, () => false)).startsWith('HTTP/1.1 400 '), '400');
      await closed(socket);
    },
  ],
  silent: [
    1,
    async ({ port }) => {
      const socket = await open(port);
      socket.destroy();
      await closed(socket);
    },
  ],
};

const total = Object.values(kinds).reduce((sum, [weight]) => sum + weight, 0);

export function pick(random) {
  let at = random() * total;
  for (const [name, [weight, run]] of Object.entries(kinds)) {
    at -= weight;
    if (at < 0) return { name, run };
  }
  throw new Error('not reached');
}

/** mulberry32: the same traffic for the same seed. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
