/** A synchronous app: what it does is named by the path. */
import { workerData } from 'node:worker_threads';

const { library, gate } = workerData;
const { Response, Headers } = await import(library);

/** Says that it is here, and holds the thread until it is let go. */
function waitAtGate() {
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  Atomics.wait(gate, 1, 0);
}

function spin(until) {
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  while (!until());
  Atomics.store(gate, 1, 2);
  Atomics.notify(gate, 1);
}

let calls = 0;
let initialised;

export function init(context) {
  initialised = { ...context.workerData, gate: undefined, library: undefined };
}

export function dispose() {
  if (workerData.disposed !== undefined) Atomics.add(workerData.disposed, 0, 1);
}

const routes = {
  '/': () => ({ body: 'fine' }),
  '/calls': () => ({ body: String(calls) }),
  '/seen': (request) =>
    Response.json({
      method: request.method,
      url: request.url,
      headers: [...request.headers],
      isHeaders: request.headers instanceof Headers,
      text: request.text(),
      bytes: [...request.body.subarray(0, 4)],
      length: request.body.length,
      remoteAddress: request.remoteAddress,
      traceId: request.traceId,
      left: request.deadline === Infinity ? null : request.deadline - performance.now(),
      cancelled: request.isCancelled(),
      aborted: request.signal.aborted,
      initialised,
    }),
  '/json': (request) => ({
    body: JSON.stringify({ got: request.json() }),
    headers: { 'content-type': 'application/json' },
  }),
  '/echo': (request) => ({ body: request.body }),

  '/text': () => new Response('h\u00e9llo'),
  '/bytes': () => ({ body: new Uint8Array([0, 1, 254, 255]) }),
  '/buffer': () => ({ body: new Uint8Array([7, 8]).buffer }),
  '/pooled': () => ({ body: Buffer.from('pooled') }),
  '/generator': () => ({
    body: (function* () {
      yield 'one, ';
      yield Buffer.from('two, ');
      yield new Uint8Array(0);
      yield 'thr\u00e9e';
    })(),
  }),
  '/array': () => ({ body: ['a', 'b', Buffer.from('c')], headers: [['x-from', 'array']] }),
  '/params': () => ({ body: new URLSearchParams({ a: 'b c' }) }),
  '/blob': () => new Response(new Blob(['blob'], { type: 'text/x-blob' })),
  '/stream': () => new Response(new Blob(['stream']).stream()),
  '/foreign': () => new globalThis.Response('foreign', { status: 201, headers: { 'x-foreign': 'yes' } }),
  '/async': async () => ({ body: 'later' }),
  '/large-text': () => ({ body: '\u00e4'.repeat(1_500_000) }),
  '/large-bytes': () => ({ body: new Uint8Array(3_000_000).fill(7) }),
  '/empty': () => ({}),
  '/announced': () => ({ headers: { 'content-length': '5' } }),
  '/no-content': () => new Response(null, { status: 204 }),
  '/not-modified': () => ({ status: 304, headers: { etag: '"x"' } }),
  '/cookies': () => ({
    status: 404,
    statusText: 'Nothing Here',
    headers: [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ],
  }),

  '/throw': () => {
    throw Object.assign(new RangeError('secret'), { code: 'E_APP' });
  },
  '/reject': async () => Promise.reject(new Error('secret')),
  '/undefined': () => undefined,
  '/number': () => 5,
  '/unknown': () => ({ statusCode: 200 }),
  '/status': () => ({ status: 99 }),
  '/used': async () => {
    const response = new Response('secret');
    await response.text();
    return response;
  },
  '/split': () => ({ headers: { 'x-a': 'secret\r\nx-b: c' } }),
  '/chunk': () => ({ body: ['a', 5] }),
  '/exit': () => process.exit(3),
  '/uncaught': () => {
    setImmediate(() => {
      throw new Error('secret');
    });
    return new Promise(() => {});
  },

  '/gate': () => {
    waitAtGate();
    return { body: 'through the gate' };
  },
  '/cancelled': (request) => {
    spin(() => request.isCancelled());
    return { body: request.signal.reason.code };
  },
  '/forever': () => spin(() => false),
};

export default function app(request) {
  calls++;
  return routes[new URL(request.url).pathname](request);
}
