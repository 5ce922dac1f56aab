/** serve({ websocket }): the handshake, the hooks, topics, iteration, streams, scopes. On every backend. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, test } from 'vitest';
import { Response as LoopResponse, type ServerWebSocket } from '../../../lib/index.js';
import { sleep } from '../../../lib/scope/index.js';
import { backends, starter } from '../../support/backends.js';
import { closeFrame, type Frame, frame, opcodes, WsClient } from './wire.js';

const { continuation, text, binary, ping, pong } = opcodes;
const notFound = () => new LoopResponse('no page', { status: 404 });

const handshake = (fields: string, path = '/') => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);
const valid =
  'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

describe.each(backends)('serve({ websocket }) on %s', (backend) => {
  const start = starter(backend);
  const clients: WsClient[] = [];
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  async function open(...args: Parameters<typeof WsClient.open>): Promise<WsClient> {
    const client = await WsClient.open(...args);
    clients.push(client);
    return client;
  }

  async function answer(to: Parameters<typeof WsClient.connect>[0], wire: Buffer): Promise<string> {
    const client = await WsClient.connect(to);
    clients.push(client);
    return client.send(wire).readHead();
  }

  test('the handshake of RFC 6455 section 1.3, and frames in its own packet', async () => {
    const server = await start({ fetch: notFound, websocket: { message: (ws, data) => ws.send(data) } });
    const client = await WsClient.connect(server);
    clients.push(client);
    client.send(handshake(valid), frame(text, 'early'), frame(binary, Buffer.from([1, 2])));
    const head = await client.readHead();
    expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(head).toMatch(/^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/im);
    expect(head).toMatch(/^upgrade: websocket\r$/im);
    expect(head).toMatch(/^connection: upgrade\r$/im);
    expect(await client.text()).toBe('early');
    expect((await client.message()).data).toEqual(Buffer.from([1, 2]));
  });

  test.each([
    ['no key', valid.replace(/Sec-WebSocket-Key.*\r\n/, ''), 400],
    ['a short key', valid.replace('dGhlIHNhbXBsZSBub25jZQ==', 'c2hvcnQ='), 400],
    ['two keys', `${valid}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`, 400],
    ['no version', valid.replace('Sec-WebSocket-Version: 13\r\n', ''), 426],
    ['another version', valid.replace('Version: 13', 'Version: 7'), 426],
    ['a protocol twice', `${valid}Sec-WebSocket-Protocol: a, a\r\n`, 400],
    ['an empty protocol', `${valid}Sec-WebSocket-Protocol: a,,b\r\n`, 400],
  ])('a handshake with %s is refused', async (_name, fields, status) => {
    const server = await start({ fetch: notFound, websocket: {} });
    const head = await answer(server, handshake(fields));
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status === 426) expect(head).toMatch(/^sec-websocket-version: 13, 8\r$/im);
  });

  test('other requests go to the app, pipelined ones in order', async () => {
    const server = await start({
      fetch: () => new LoopResponse('page'),
      websocket: { message: (ws, data) => ws.send(data) },
    });
    const client = await WsClient.connect(server);
    clients.push(client);
    client.send(Buffer.from('GET / HTTP/1.1\r\nHost: test\r\n\r\n'), handshake(valid), frame(text, 'hello'));
    expect(await client.readHead()).toMatch(/^HTTP\/1\.1 200 [\s\S]*content-length: 4\r\n/i);
    expect(await client.readHead()).toMatch(/^pageHTTP\/1\.1 101 /);
    expect(await client.text()).toBe('hello');
  });

  test('the upgrade hook: data, protocol and headers', async () => {
    const seen: unknown[] = [];
    const server = await start({
      fetch: notFound,
      websocket: {
        protocols: ['v2', 'v1'],
        upgrade: async (request) => {
          await Promise.resolve();
          return { data: { path: new URL(request.url).pathname }, headers: { 'x-room': 'one' } };
        },
        open: (ws: ServerWebSocket<{ path: string }>) => void seen.push(ws.data, ws.protocol, ws.url, ws.remoteAddress),
      },
    });
    const client = await open(server, { path: '/room/1?x=2', protocols: 'v1, v2' });
    expect(client.field('sec-websocket-protocol')).toBe('v2');
    expect(client.field('x-room')).toBe('one');
    expect(seen).toEqual([{ path: '/room/1' }, 'v2', '/room/1?x=2', '127.0.0.1']);
  });

  test('the close hook still knows whose WebSocket it was', async () => {
    const seen: unknown[] = [];
    const server = await start({
      fetch: notFound,
      websocket: { close: (ws) => void seen.push(ws.url, ws.remoteAddress, ws.scope.traceparent) },
    });
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const client = await open(server, { path: '/room/1?x=2', headers: `traceparent: ${traceparent}\r\n` });
    client.socket.resetAndDestroy();
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual(['/room/1?x=2', '127.0.0.1', expect.stringContaining('4bf92f3577b34da6a3ce929d0e0e4736')]);
  });

  test.each([
    ['false', () => false, /^HTTP\/1\.1 403 /],
    [
      'a Response',
      () => new LoopResponse('pay first', { status: 402, headers: { 'x-why': 'money' } }),
      /^HTTP\/1\.1 402 [\s\S]*x-why: money/,
    ],
    ['a protocol that nobody offered', () => ({ protocol: 'other' }), /^HTTP\/1\.1 500 /],
    ['a number', () => 5 as never, /^HTTP\/1\.1 500 /],
    [
      'an error',
      () => {
        throw new Error('no');
      },
      /^HTTP\/1\.1 500 /,
    ],
    ['a rejection', () => Promise.reject(new Error('no')), /^HTTP\/1\.1 500 /],
    ['a forbidden header', () => ({ headers: { 'x-bad': 'a\r\nb' } }), /^HTTP\/1\.1 500 /],
  ])('the upgrade hook gives %s', async (_name, upgrade, expected) => {
    const server = await start({ fetch: notFound, websocket: { upgrade }, onError: () => undefined });
    expect(await answer(server, handshake(valid))).toMatch(expected);
  });

  test('what comes behind a handshake is not HTTP, nor taken for a request when it is refused', async () => {
    let requests = 0;
    const server = await start({
      fetch: () => {
        requests++;
        return notFound();
      },
      websocket: {
        upgrade: async () => {
          await sleep(20);
          return false;
        },
      },
    });
    const client = await WsClient.connect(server);
    clients.push(client);
    client.send(handshake(valid), Buffer.from('GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n'));
    expect(await client.readHead()).toMatch(/^HTTP\/1\.1 403 /);
    expect(requests).toBe(0);
  });

  test('text as string, binary as Buffer or ArrayBuffer', async () => {
    for (const binaryType of ['buffer', 'arraybuffer'] as const) {
      const seen: unknown[] = [];
      const server = await start({
        fetch: notFound,
        websocket: {
          binaryType,
          message: (ws, data, isBinary) => {
            seen.push(isBinary, data);
            ws.send('got it');
          },
        },
      });
      const client = await open(server);
      client.send(frame(text, 'ü'), frame(binary, Buffer.from([7])), frame(text, ''));
      for (let i = 0; i < 3; i++) await client.text();
      const bytes = binaryType === 'buffer' ? Buffer.from([7]) : new Uint8Array([7]).buffer;
      expect(seen).toEqual([false, 'ü', true, bytes, false, '']);
    }
  });

  test('everything that can be sent', async () => {
    const server = await start({
      fetch: notFound,
      websocket: {
        open(ws) {
          ws.send('text');
          ws.send('');
          ws.send(new Uint8Array([1, 2]).buffer);
          ws.send(new DataView(new Uint8Array([0, 3, 4, 0]).buffer, 1, 2));
          ws.send(new Uint16Array([0x0605]));
          ws.send('ü'.repeat(100_000));
          ws.ping('ping');
          ws.pong(Buffer.from('pong'));
        },
      },
    });
    const client = await open(server);
    const next = async () => (await client.next()) as Frame;
    for (const [opcode, payload] of [
      [text, 'text'],
      [text, ''],
      [binary, Buffer.from([1, 2])],
      [binary, Buffer.from([3, 4])],
      [binary, Buffer.from([5, 6])],
      [text, 'ü'.repeat(100_000)],
      [ping, 'ping'],
      [pong, 'pong'],
    ] as const)
      expect(await next()).toEqual({ fin: true, rsv: 0, opcode, payload: Buffer.from(payload as string) });
  });

  test('bytes may be changed once send has returned', async () => {
    const server = await start({
      fetch: notFound,
      websocket: {
        message(ws) {
          const bytes = Buffer.alloc(200_000, 1);
          ws.send(bytes);
          bytes.fill(2);
          ws.send(bytes);
        },
      },
    });
    const client = await open(server);
    client.send(frame(text, 'go'));
    expect((await client.message()).data.equals(Buffer.alloc(200_000, 1))).toBe(true);
    expect((await client.message()).data.equals(Buffer.alloc(200_000, 2))).toBe(true);
  });

  test('ping and pong hooks', async () => {
    const seen: string[] = [];
    const server = await start({
      fetch: notFound,
      websocket: {
        ping: (_ws, data) => void seen.push(`ping ${data}`),
        pong: (_ws, data) => void seen.push(`pong ${data}`),
      },
    });
    const client = await open(server);
    client.send(frame(ping, 'a'), frame(pong, 'b'), frame(ping, 'c'));
    expect((await client.next())?.payload.toString()).toBe('a');
    expect((await client.next())?.payload.toString()).toBe('c');
    expect(seen).toEqual(['ping a', 'pong b', 'ping c']);
  });

  test('topics: to all but oneself, from the server to all, no more after unsubscribe or the end', async () => {
    const server = await start({
      fetch: notFound,
      websocket: {
        perMessageDeflate: { threshold: 10 },
        open(ws) {
          ws.subscribe('news');
          ws.send('ready');
        },
        message(ws, data) {
          if (data === 'leave') {
            ws.unsubscribe('news');
            ws.send(`left, ${ws.isSubscribed('news')}, ${ws.topics.length}`);
          } else {
            ws.publish('news', data);
            ws.send('published');
          }
        },
      },
    });
    const [a, b, c] = [
      await open(server),
      await open(server, { extensions: 'permessage-deflate' }),
      await open(server),
    ];
    for (const client of [a, b, c]) expect(await client.text()).toBe('ready');
    expect(server.subscriberCount('news')).toBe(3);
    a.send(frame(text, 'from a to the others'));
    expect(await a.text()).toBe('published');
    const compressed = await b.message();
    expect([compressed.data.toString(), compressed.isCompressed]).toEqual(['from a to the others', true]);
    expect(await c.text()).toBe('from a to the others');
    c.send(frame(text, 'leave'));
    expect(await c.text()).toBe('left, false, 0');
    server.publish('news', Buffer.from([1, 2, 3]));
    server.publish('nobody', 'x');
    for (const client of [a, b])
      expect(await client.message()).toMatchObject({ isBinary: true, data: Buffer.from([1, 2, 3]) });
    b.send(closeFrame(1000));
    await b.closed();
    while (server.subscriberCount('news') > 1) await new Promise((resolve) => setImmediate(resolve));
    a.send(frame(text, 'anybody?'));
    expect(await a.text()).toBe('published');
  });

  test('async iteration: in order, to the end', async () => {
    const seen: unknown[] = [];
    let over: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      over = resolve;
    });
    const server = await start({
      fetch: notFound,
      websocket: {
        async open(ws) {
          for await (const message of ws) {
            if (seen.length % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
            seen.push(message);
          }
          over();
        },
      },
    });
    const client = await open(server);
    client.send(...Array.from({ length: 200 }, (_, i) => frame(text, `message ${i}`)), closeFrame(1000));
    expect((await client.closed())?.code).toBe(1000);
    await done;
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => `message ${i}`));
  });

  test('the stream hook: a message far larger than what is held', async () => {
    const size = 8 * 2 ** 20;
    let whole = 0;
    const pieces: number[] = [];
    const server = await start({
      fetch: notFound,
      websocket: {
        maxPayloadBytes: 2 * size,
        streamAboveBytes: 65536,
        message: (ws, data) => ws.send(`small ${data}`),
        async stream(ws, chunks, isBinary) {
          for await (const chunk of chunks) {
            whole += chunk.length;
            pieces.push(chunk.length);
          }
          ws.send(`large ${whole} ${isBinary}`);
        },
      },
    });
    const client = await open(server);
    client.send(frame(text, 'one'), frame(binary, Buffer.alloc(size)), frame(text, 'two'));
    const answers = [await client.text(), await client.text(), await client.text()].sort();
    expect(answers).toEqual([`large ${size} true`, 'small one', 'small two']);
    expect(Math.max(...pieces)).toBeLessThan(2 ** 20);
    whole = 0;
    const part = Buffer.alloc(50_000);
    client.send(
      frame(text, part, { fin: false }),
      frame(continuation, part, { fin: false }),
      frame(continuation, part),
    );
    expect(await client.text()).toBe('large 150000 false');
  });

  test('sendStream: one message in fragments', async () => {
    const server = await start({
      fetch: notFound,
      websocket: {
        async open(ws) {
          await ws.sendStream(
            (async function* () {
              for (let i = 0; i < 100; i++) {
                yield `${i},`.repeat(1000);
                if (i % 10 === 0) await Promise.resolve();
              }
            })(),
          );
          ws.send('behind');
        },
      },
    });
    const client = await open(server);
    const expected = Array.from({ length: 100 }, (_, i) => `${i},`.repeat(1000)).join('');
    expect(await client.text()).toBe(expected);
    expect(await client.text()).toBe('behind');
  });

  test('pause and resume', async () => {
    const seen: unknown[] = [];
    let socket: ServerWebSocket | null = null;
    const server = await start({
      fetch: notFound,
      websocket: {
        open: (ws) => {
          socket = ws;
        },
        message(ws, data) {
          seen.push(data);
          if (data === 'stop') ws.pause();
        },
      },
    });
    const client = await open(server);
    client.send(frame(text, 'stop'));
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 50; i++) client.send(frame(text, Buffer.alloc(60_000, 0x61)));
    await sleep(30);
    expect(seen).toHaveLength(1);
    (socket as ServerWebSocket | null)?.resume();
    while (seen.length < 51) await new Promise((resolve) => setImmediate(resolve));
  });

  test('hooks run in the async context of their handshake, and a WebSocket has a scope that ends with it', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    let ended = 0;
    const server = await start({
      fetch: notFound,
      websocket: {
        upgrade: (request) => {
          storage.enterWith(new URL(request.url).pathname);
          return true;
        },
        open: (ws) => {
          const wait = async (): Promise<void> => {
            try {
              await sleep(60_000);
            } finally {
              ended++;
            }
          };
          ws.scope.run(wait).catch(() => {});
        },
        message: (_ws, data) => void seen.push([storage.getStore(), data]),
        close: () => void seen.push([storage.getStore(), 'closed']),
      },
    });
    const [one, two] = [await open(server, { path: '/one' }), await open(server, { path: '/two' })];
    one.send(frame(text, '1'), closeFrame(1000));
    await one.closed();
    while (seen.length < 2) await new Promise((resolve) => setImmediate(resolve));
    two.send(frame(text, '2'), closeFrame(1000));
    await two.closed();
    while (seen.length < 4) await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([
      ['/one', '1'],
      ['/one', 'closed'],
      ['/two', '2'],
      ['/two', 'closed'],
    ]);
    while (ended < 2) await new Promise((resolve) => setImmediate(resolve));
  });

  test('misuse gets a coded error', async () => {
    const errors: unknown[] = [];
    const server = await start({
      fetch: notFound,
      websocket: {
        open(ws) {
          for (const misuse of [
            () => ws.send(5 as never),
            () => ws.ping('x'.repeat(126)),
            () => ws.close(1005),
            () => ws.close(999),
            () => ws.close(1000, 'x'.repeat(124)),
            () => ws.subscribe(5 as never),
          ]) {
            try {
              misuse();
              errors.push(null);
            } catch (error) {
              errors.push((error as { code?: string }).code);
            }
          }
          ws.send('done');
        },
      },
    });
    expect(await (await open(server)).text()).toBe('done');
    expect(errors).toEqual(Array(6).fill('ERR_GAMMALOOP_OPTION'));
  });
});
