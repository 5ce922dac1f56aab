/** serve({ sync }): the app of sync-app.mjs, in worker threads, behind either backend. */
import { describe, expect, it } from 'vitest';
import type { SyncOptions } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { compiledUrl } from '../support/compiled-library.js';
import { errorOf, Gate } from '../support/gate.js';
import { RawClient } from '../support/raw-client.js';

const module = new URL('./sync-app.mjs', import.meta.url);
const library = compiledUrl('index.js').href;
const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;

/** One thread, unless told otherwise. */
function app(options: Partial<SyncOptions> & { gate?: Gate } = {}): SyncOptions {
  const { gate = new Gate(), workerData, ...others } = options;
  return { module, threads: 1, ...others, workerData: { library, gate: gate.words, ...(workerData as object) } };
}

describe.each(backends)('sync apps on %s', (backend) => {
  const start = starter(backend);

  it('a request is there in whole', async () => {
    const server = await start({ sync: app({ workerData: { mark: 'm' } }), timeouts: { handler: 60_000 } });
    const client = await RawClient.open(server);
    const trace = '0af7651916cd43dd8448eb211c80319c';
    client.send(
      `POST /seen?q=1 HTTP/1.1\r\nHost: Example.org\r\nX-A: 1\r\nTraceparent: 00-${trace}-b7ad6b7169203331-01\r\nX-a: 2\r\n` +
        'Transfer-Encoding: chunked\r\n\r\n3\r\nh\xc3\xa9\r\n',
    );
    client.send('2\r\nll\r\n');
    client.send('1\r\no\r\n0\r\n\r\n');
    const seen = JSON.parse((await client.response()).body.toString());
    expect(seen).toMatchObject({
      method: 'POST',
      url: 'http://example.org/seen?q=1',
      isHeaders: true,
      text: 'h\u00e9llo',
      bytes: [0x68, 0xc3, 0xa9, 0x6c],
      length: 6,
      remoteAddress: '127.0.0.1',
      traceId: trace,
      cancelled: false,
      aborted: false,
      initialised: { mark: 'm' },
    });
    expect(new Map(seen.headers).get('x-a')).toBe('1, 2');
    expect(seen.left).toBeGreaterThan(10_000);
    expect(seen.left).toBeLessThanOrEqual(60_000);
    const bare = JSON.parse((await client.send(get('/seen')).response()).body.toString());
    expect(bare).toMatchObject({ method: 'GET', text: '', length: 0 });
    expect(bare.traceId).toMatch(/^[0-9a-f]{32}$/);
    client.socket.destroy();
  });

  it('bodies in', async () => {
    const server = await start({ sync: app() });
    const post = (path: string, body: BodyInit) => fetch(`${server.url}${path}`, { method: 'POST', body });
    expect(await (await post('/json', '{"a":[1]}')).json()).toEqual({ got: { a: [1] } });
    for (const size of [1, 300, 40_000, 1_000_000]) {
      const bytes = Buffer.alloc(size, 'any text');
      expect(bytes.equals(Buffer.from(await (await post('/echo', bytes)).arrayBuffer()))).toBe(true);
    }
    const client = await RawClient.open(server);
    client.send('POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
    expect((await client.response()).status).toBe(100);
    expect((await client.send('body').response()).body.toString()).toBe('body');
    client.socket.destroy();
  });

  it('bodies of all kinds out', async () => {
    const server = await start({ sync: app() });
    const bodies: [path: string, body: string | number[], type: string | null][] = [
      ['/text', 'h\u00e9llo', 'text/plain;charset=UTF-8'],
      ['/bytes', [0, 1, 254, 255], null],
      ['/buffer', [7, 8], null],
      ['/pooled', 'pooled', null],
      ['/generator', 'one, two, thr\u00e9e', null],
      ['/array', 'abc', null],
      ['/params', 'a=b+c', 'application/x-www-form-urlencoded;charset=UTF-8'],
      ['/blob', 'blob', 'text/x-blob'],
      ['/stream', 'stream', null],
      ['/async', 'later', 'text/plain;charset=UTF-8'],
      ['/empty', '', null],
    ];
    for (const [path, body, type] of bodies) {
      const response = await fetch(`${server.url}${path}`);
      const bytes = Buffer.from(await response.arrayBuffer());
      expect([response.status, typeof body === 'string' ? bytes.toString() : [...bytes]], path).toEqual([200, body]);
      expect(response.headers.get('content-type'), path).toBe(type);
      expect(response.headers.get('content-length'), path).toBe(String(bytes.length));
    }
    const foreign = await fetch(`${server.url}/foreign`);
    expect([foreign.status, await foreign.text(), foreign.headers.get('x-foreign')]).toEqual([201, 'foreign', 'yes']);
    expect(await (await fetch(`${server.url}/large-text`)).text()).toBe('\u00e4'.repeat(1_500_000));
    const large = new Uint8Array(await (await fetch(`${server.url}/large-bytes`)).arrayBuffer());
    expect([large.length, large.every((byte) => byte === 7)]).toEqual([3_000_000, true]);
  });

  it('heads', async () => {
    const server = await start({ sync: app() });
    const client = await RawClient.open(server);
    const cookies = await client.send(get('/cookies')).response();
    expect([cookies.status, cookies.reason, cookies.headers['set-cookie'], cookies.headers['content-length']]).toEqual([
      404,
      'Nothing Here',
      ['a=1', 'b=2'],
      ['0'],
    ]);
    expect((await client.send(get('/no-content')).response()).headers['content-length']).toBeUndefined();
    const notModified = await client.send(get('/not-modified')).response();
    expect([notModified.status, notModified.headers['etag']]).toEqual([304, ['"x"']]);
    for (const [path, length] of [
      ['/text', '6'],
      ['/large-bytes', '3000000'],
      ['/announced', '5'],
    ] as const) {
      const head = await client.send(get(path).replace('GET', 'HEAD')).response({ bodiless: true });
      expect([head.status, head.headers['content-length']], path).toEqual([200, [length]]);
    }
    client.socket.destroy();
  });

  it('pipelined requests are answered in their order, whichever is done first', async () => {
    const gate = new Gate();
    const server = await start({ sync: app({ gate, threads: 2 }) });
    const client = await RawClient.open(server);
    client.send(get('/gate') + get('/text') + get('/array'));
    await gate.reached();
    expect((await fetch(`${server.url}/`)).status).toBe(200);
    gate.open();
    const bodies = (await client.responses(3)).map((response) => response.body.toString());
    expect(bodies).toEqual(['through the gate', 'h\u00e9llo', 'abc']);
    client.socket.destroy();
  });

  it('an app that throws, or gives nonsense, is answered 500 without detail, and the connection is usable', async () => {
    const errors: Array<[Error, string]> = [];
    const server = await start({ sync: app(), onError: (error, info) => errors.push([error as Error, info.url]) });
    const client = await RawClient.open(server);
    const paths = ['/throw', '/reject', '/undefined', '/number', '/unknown', '/status', '/used', '/split', '/chunk'];
    for (const path of [...paths, '/exit', '/uncaught']) {
      const response = await client.send(get(path)).response();
      expect(response.status, path).toBe(500);
      expect(response.body.toString() + response.rawHeaders.join()).not.toContain('secret');
    }
    expect((await client.send(get('/')).response()).body.toString()).toBe('fine');
    expect(errors.map(([, url]) => new URL(url).pathname)).toEqual([...paths, '/exit', '/uncaught']);
    expect(errors[0]?.[0]).toBeInstanceOf(RangeError);
    expect(errors[0]?.[0].stack).toContain('sync-app.mjs');
    expect(errors.map(([error]) => (error as { code?: unknown }).code)).toEqual([
      'E_APP',
      undefined,
      'ERR_GAMMALOOP_RESPONSE',
      'ERR_GAMMALOOP_RESPONSE',
      'ERR_GAMMALOOP_RESPONSE',
      undefined, // RangeError of the class Response
      'ERR_GAMMALOOP_RESPONSE',
      'ERR_GAMMALOOP_HEADER',
      undefined, // TypeError
      'ERR_GAMMALOOP_WORKER_EXIT',
      'ERR_GAMMALOOP_WORKER_EXCEPTION',
    ]);
    expect(server.stats().handlerErrors).toBe(11);
    expect(server.stats().connections.accepted).toBe(1);
    client.socket.destroy();
  });

  it('a body over the limit is answered 413, and the app does not see it', async () => {
    const server = await start({ sync: app(), limits: { bodyBytes: 10 }, onError: () => {} });
    const announced = await RawClient.open(server);
    announced.send('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n');
    expect((await announced.response()).status).toBe(413);
    const chunked = await RawClient.open(server);
    chunked.send(
      'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n3\r\n123\r\n0\r\n\r\n',
    );
    expect((await chunked.response()).status).toBe(413);
    expect(await (await fetch(`${server.url}/calls`)).text()).toBe('1');
    expect(server.stats().handlerErrors).toBe(0);
    announced.socket.destroy();
    chunked.socket.destroy();
  });

  it('a full queue is answered 503 with retry-after, which is no error of the app', async () => {
    const gate = new Gate();
    const server = await start({ sync: app({ gate, queue: { capacity: 1 } }) });
    const blocked = fetch(`${server.url}/gate`);
    await gate.reached();
    const queued = await RawClient.open(server);
    queued.send(get('/'));
    await expect.poll(() => server.stats().runner?.queued).toBe(1);
    const refused = await fetch(`${server.url}/`);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    gate.open();
    expect(await (await blocked).text()).toBe('through the gate');
    expect((await queued.response()).status).toBe(200);
    expect(server.stats()).toMatchObject({ handlerErrors: 0, runner: { refused: 1, done: 2 } });
    queued.socket.destroy();
  });

  it('timeouts.handler: 503, and the task hears it; one that does not ends with its worker', async () => {
    for (const path of ['/cancelled', '/forever']) {
      const gate = new Gate();
      const server = await start({ sync: app({ gate, graceMs: 50 }), timeouts: { handler: 150 } });
      const response = await fetch(`${server.url}${path}`);
      expect(response.status).toBe(503);
      if (path === '/cancelled') expect(await gate.left()).toBe(2);
      await expect.poll(async () => (await fetch(`${server.url}/`)).status, { timeout: 10_000 }).toBe(200);
      const { handlerErrors, runner } = server.stats();
      expect([handlerErrors, runner?.threads.started]).toEqual([0, path === '/forever' ? 2 : 1]);
    }
  });

  it('timeouts.handler counts while a request is queued', async () => {
    const gate = new Gate();
    const server = await start({ sync: app({ gate, graceMs: Number.POSITIVE_INFINITY }), timeouts: { handler: 150 } });
    const running = fetch(`${server.url}/gate`);
    await gate.reached();
    expect((await fetch(`${server.url}/calls`)).status).toBe(503);
    expect((await running).status).toBe(503);
    gate.open();
    expect(await (await fetch(`${server.url}/calls`)).text()).toBe('2'); // the queued one was never run
  });

  it.each(['reset', 'end'] as const)(
    'a client that goes (%s) takes its task with it, queued or running',
    async (how) => {
      const gate = new Gate();
      const server = await start({ sync: app({ gate }) });
      const running = await RawClient.open(server);
      running.send(get('/cancelled'));
      await gate.reached();
      const queued = await RawClient.open(server);
      queued.send(get('/'));
      await expect.poll(() => server.stats().runner?.queued).toBe(1);
      queued[how]();
      await expect.poll(() => server.stats().runner?.queued).toBe(0);
      running[how]();
      expect(await gate.left()).toBe(2);
      expect(await (await fetch(`${server.url}/calls`)).text()).toBe('2');
      expect(server.stats()).toMatchObject({ handlerErrors: 0, runner: { cancelled: 2, threads: { started: 1 } } });
      queued.socket.destroy();
      running.socket.destroy();
    },
  );

  it('a slow request delays no other, also where all were quick before', async () => {
    const gate = new Gate();
    const server = await start({ sync: app({ gate, threads: 2, queue: { capacity: 5000 } }) });
    const client = await RawClient.open(server);
    const ask = async (count: number) => {
      const pipelined = Array.from({ length: count }, () => get('/')).join('');
      const answers = await client.send(pipelined).responses(count);
      expect(answers.every(({ status }) => status === 200)).toBe(true);
    };
    for (let i = 0; i < 20; i++) await ask(50);
    const slow = await RawClient.open(server);
    slow.send(get('/gate'));
    await gate.reached();
    for (let i = 0; i < 20; i++) await ask(50);
    gate.open();
    expect((await slow.response()).body.toString()).toBe('through the gate');
    client.socket.destroy();
    slow.socket.destroy();
  });

  it('close() waits for what runs and what is queued, then disposes of the app', async () => {
    const gate = new Gate();
    const disposed = new Int32Array(new SharedArrayBuffer(4));
    const server = await start({ sync: app({ gate, workerData: { disposed } }) });
    const clients = [await RawClient.open(server), await RawClient.open(server)];
    clients[0]?.send(get('/gate'));
    await gate.reached();
    clients[1]?.send(get('/'));
    await expect.poll(() => server.stats().runner?.queued).toBe(1);
    const closed = server.close();
    gate.open();
    const bodies = await Promise.all(clients.map(async (client) => (await client.response()).body.toString()));
    expect(bodies).toEqual(['through the gate', 'fine']);
    for (const { socket } of clients) socket.destroy();
    expect(await closed).toMatchObject({ drained: 2, cut: 0 });
    expect(disposed[0]).toBe(1);
    expect(server.stats().runner?.threads).toMatchObject({ started: 1, ended: 1 });
  });

  it('close({ deadline }) cuts what is left, also what never ends', async () => {
    const gate = new Gate();
    const server = await start({ sync: app({ gate, graceMs: Number.POSITIVE_INFINITY }) });
    const client = await RawClient.open(server);
    client.send(get('/forever') + get('/'));
    await gate.reached();
    expect(await server.close({ deadline: 50 })).toMatchObject({ cut: 2 });
    await client.closed;
    expect(server.stats().runner).toMatchObject({ queued: 0, running: 0, threads: { started: 1, ended: 1 } });
  });

  it('an app that cannot be loaded is not served', async () => {
    const cases: [sync: string | URL | SyncOptions, expected: object][] = [
      [
        "data:text/javascript,throw Object.assign(new Error('on load'), { code: 'E_LOAD' })",
        { code: 'ERR_GAMMALOOP_WORKER_START', cause: expect.objectContaining({ code: 'E_LOAD' }) },
      ],
      [
        'data:text/javascript,export default 5',
        { code: 'ERR_GAMMALOOP_WORKER_START', cause: expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }) },
      ],
      [new URL('./no-such-file.mjs', import.meta.url), { code: 'ERR_GAMMALOOP_WORKER_START' }],
      [{ threads: 1 } as SyncOptions, { option: 'sync.module' }],
      [{ module, threads: 0 }, { option: 'sync.threads' }],
      [{ module, treads: 1 } as SyncOptions, { option: 'sync.treads' }],
      ['relative.mjs', { option: 'sync.module' }],
      [(() => {}) as never, { option: 'sync' }],
    ];
    for (const [sync, expected] of cases) {
      expect(await errorOf(start({ sync })), String(sync)).toMatchObject(expected);
    }
    expect(await errorOf(start({ sync: module, fetch: () => new Response() }))).toMatchObject({ option: 'sync' });
  });

  it('a module alone, and one of CommonJS', async () => {
    const source = "export default ({ method }) => ({ status: 201, body: 'by ' + method })";
    const server = await start({ sync: `data:text/javascript,${source}` });
    const response = await fetch(server.url, { method: 'PUT' });
    expect([response.status, await response.text()]).toEqual([201, 'by PUT']);
    const common = await start({ sync: { module: new URL('./sync-app.cjs', import.meta.url), threads: 1 } });
    expect(await (await fetch(common.url)).text()).toBe('from CommonJS');
  });
});
