/** What one peer may make a server hold: sizes, fragments, what is inflated, what waits to be sent, silence. On every backend. */
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { ServerWebSocket, WebSocketError } from '../../../lib/index.js';
import { backends, starter } from '../../support/backends.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { continuation, text, binary, ping, pong } = opcodes;
const notFound = () => new Response(null, { status: 404 });

/** Of buffers that are in use, or have not been swept since. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().arrayBuffers;
}

/** Of a message, without the tail. */
function compressed(data: Buffer): Buffer {
  const bytes = deflateRawSync(data, { finishFlush: 2 });
  return bytes.subarray(0, bytes.length - 4);
}

describe.each(backends)('limits of WebSockets on %s', (backend) => {
  const start = starter(backend);
  const clients: WsClient[] = [];
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  async function open(options: object, extensions?: string) {
    const failures: string[] = [];
    const messages: Array<string | Buffer> = [];
    const sockets: ServerWebSocket[] = [];
    const server = await start({
      fetch: notFound,
      websocket: {
        open: (ws) => void sockets.push(ws),
        message: (_ws, data) => void messages.push(data as Buffer),
        error: (_ws, error) => void failures.push((error as WebSocketError).code),
        ...options,
      },
    });
    const client = await WsClient.open(server, extensions === undefined ? {} : { extensions });
    clients.push(client);
    while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve));
    return { server, client, failures, messages, ws: sockets[0] as ServerWebSocket };
  }

  test('maxPayloadBytes: the limit is taken, one byte more is 1009, at once and in fragments', async () => {
    const first = await open({ maxPayloadBytes: 1000 });
    first.client.send(
      frame(binary, Buffer.alloc(1000)),
      frame(binary, Buffer.alloc(500), { fin: false }),
      frame(continuation, Buffer.alloc(500)),
    );
    first.client.send(frame(binary, '', { length: 1001n }));
    expect(await first.client.closed()).toEqual({ code: 1009, reason: '' });
    expect(first.messages.map((message) => message.length)).toEqual([1000, 1000]);
    const second = await open({ maxPayloadBytes: 1000 });
    second.client.send(frame(text, Buffer.alloc(600), { fin: false }), frame(continuation, '', { length: 401n }));
    expect(await second.client.closed()).toEqual({ code: 1009, reason: '' });
    expect(second.failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_UNSUPPORTED_MESSAGE_LENGTH']);
  });

  test('a length that is only claimed costs nothing', async () => {
    const { client, server } = await open({ maxPayloadBytes: 0x7fffffff });
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 20; i++) {
      const other = await WsClient.open(server);
      clients.push(other);
      other.send(frame(binary, 'x', { length: 0x7fffffffn }));
    }
    client.send(frame(ping));
    expect((await client.next())?.opcode).toBe(pong);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
  });

  test('maxFragments: one more is 1008, empty ones count', async () => {
    const { client, failures, messages } = await open({ maxFragments: 10 });
    const fragments = (count: number): Buffer[] =>
      Array.from({ length: count }, (_, i) => frame(i === 0 ? text : continuation, '', { fin: i === count - 1 }));
    client.send(...fragments(10), ...fragments(11));
    expect(await client.closed()).toEqual({ code: 1008, reason: '' });
    expect(messages).toEqual(['']);
    expect(failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_TOO_MANY_BUFFERED_PARTS']);
  });

  test('a flood of fragments of one byte between pongs ends at 1024, and keeps little', async () => {
    const { client, failures } = await open({});
    const padding = Buffer.concat(Array.from({ length: 400 }, () => frame(pong, Buffer.alloc(125))));
    const beforeBytes = heldBytes();
    for (let i = 0; i < 1024; i++) {
      client.send(padding, frame(i === 0 ? binary : continuation, 'x', { fin: false }));
      if (client.socket.writableNeedDrain) await once(client.socket, 'drain');
    }
    client.send(frame(ping));
    expect((await client.next())?.opcode).toBe(pong);
    // Fragments that kept their reads of 52 KiB would keep 53 MiB.
    await expect.poll(() => heldBytes() - beforeBytes).toBeLessThan(8 * 2 ** 20);
    expect(failures).toEqual([]);
    client.send(frame(continuation, 'x', { fin: false }));
    expect((await client.closed())?.code).toBe(1008);
  });

  test('a deflate bomb is 1009: its inflated size counts', async () => {
    const bomb = compressed(Buffer.alloc(64 * 2 ** 20));
    expect(bomb.length).toBeLessThan(70_000);
    for (const wire of [
      [frame(binary, bomb, { rsv: 4 })],
      [frame(binary, bomb.subarray(0, 1000), { rsv: 4, fin: false }), frame(continuation, bomb.subarray(1000))],
    ]) {
      const { client, failures, messages } = await open({ perMessageDeflate: true }, 'permessage-deflate');
      client.send(...wire);
      expect(await client.closed()).toEqual({ code: 1009, reason: '' });
      expect(failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_UNSUPPORTED_MESSAGE_LENGTH']);
      expect(messages).toEqual([]);
    }
  });

  test('what is inflated may have exactly maxPayloadBytes', async () => {
    const { client, messages } = await open(
      { perMessageDeflate: true, maxPayloadBytes: 100_000 },
      'permessage-deflate',
    );
    client.send(
      frame(binary, compressed(Buffer.alloc(100_000)), { rsv: 4 }),
      frame(binary, compressed(Buffer.alloc(100_001)), { rsv: 4 }),
    );
    expect(await client.closed()).toEqual({ code: 1009, reason: '' });
    expect(messages.map((message) => message.length)).toEqual([100_000]);
  });

  test.each([
    ['no deflate', Buffer.from([0xff, 0xff, 0xff])],
    ['a wrong distance', Buffer.from([0x4b, 0x04, 0x91, 0x00])],
  ])('%s is 1007', async (_name, payload) => {
    const { client, failures } = await open({ perMessageDeflate: true }, 'permessage-deflate');
    client.send(frame(binary, payload, { rsv: 4 }), frame(binary, payload, { rsv: 4 }));
    expect((await client.closed())?.code).toBe(1007);
    expect(failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_INVALID_COMPRESSED_DATA']);
    // Nobody else is harmed by it.
    const other = await open({ perMessageDeflate: true }, 'permessage-deflate');
    other.client.send(frame(text, compressed(Buffer.from('good')), { rsv: 4 }), closeFrame(1000));
    expect((await other.client.closed())?.code).toBe(1000);
    expect(other.messages).toEqual(['good']);
  });

  test('compressed text that is not UTF-8 is 1007', async () => {
    const { client, failures } = await open({ perMessageDeflate: true }, 'permessage-deflate');
    client.send(frame(text, compressed(Buffer.from([0x61, 0xc3, 0x28])), { rsv: 4 }));
    expect((await client.closed())?.code).toBe(1007);
    expect(failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_INVALID_UTF8']);
  });

  test('final blocks, several blocks and an empty message are inflated', async () => {
    const { client, messages } = await open({ perMessageDeflate: true }, 'permessage-deflate');
    const final = deflateRawSync('final block');
    const two = Buffer.concat([deflateRawSync('two ', { finishFlush: 2 }), compressed(Buffer.from('blocks'))]);
    client.send(
      frame(text, Buffer.concat([final, Buffer.from([0])]), { rsv: 4 }),
      frame(text, two, { rsv: 4 }),
      frame(text, Buffer.from([0]), { rsv: 4 }),
      closeFrame(1000),
    );
    expect((await client.closed())?.code).toBe(1000);
    expect(messages).toEqual(['final block', 'two blocks', '']);
  });

  test('maxBufferedBytes: a peer that does not read is closed with 1013, and memory stays at the limit', async () => {
    const { client, failures, ws } = await open({ maxBufferedBytes: 2 ** 20, closeTimeout: 500 });
    client.socket.pause();
    const message = Buffer.alloc(64 * 1024);
    let largest = 0;
    for (let i = 0; i < 2000 && ws.readyState === 1; i++) {
      ws.send(message);
      largest = Math.max(largest, ws.bufferedAmount);
      if (i % 4 === 3) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(ws.readyState).not.toBe(1);
    expect(largest).toBeLessThanOrEqual(2 ** 20 + 100);
    while (failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_BUFFERED_BYTES_EXCEEDED']);
    client.socket.resume();
    expect((await client.closed())?.code).toBe(1013);
  });

  test('pings of a peer that does not read its pongs keep no more than the last', async () => {
    const { client, ws, messages } = await open({ maxBufferedBytes: 2 ** 20 });
    client.socket.pause();
    // Fills what the kernel holds.
    while (ws.bufferedAmount < 200_000) {
      ws.send(Buffer.alloc(64 * 1024));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const before = ws.bufferedAmount;
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(ping, Buffer.alloc(125))));
    for (let i = 0; i < 20; i++) {
      client.send(pings);
      if (client.socket.writableNeedDrain) await once(client.socket, 'drain');
    }
    client.send(frame(text, 'over'));
    while (messages.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(ws.bufferedAmount - before).toBeLessThan(16_384 + 1000);
    expect(ws.readyState).toBe(1);
  });

  test('send says when to wait, and drain when to go on', async () => {
    let drained = 0;
    const { client, ws } = await open({ maxBufferedBytes: 0, drain: () => void drained++ });
    client.socket.pause();
    let count = 0;
    while (ws.send(Buffer.alloc(64 * 1024))) {
      count++;
      await new Promise((resolve) => setImmediate(resolve));
      expect(count).toBeLessThan(2000);
    }
    expect(ws.bufferedAmount).toBeGreaterThan(0);
    expect(drained).toBe(0);
    client.socket.resume();
    for (let i = 0; i <= count; i++) await client.message();
    while (drained === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(drained).toBe(1);
    expect(ws.send('on')).toBe(true);
    expect(await client.text()).toBe('on');
  });

  test('idleTimeout: silence is 1001, and pongs are no silence', async () => {
    const { client, failures } = await open({ idleTimeout: 1000, pingInterval: 0 });
    const until = performance.now() + 2000;
    let silentFrom = 0;
    while (performance.now() < until) {
      silentFrom = performance.now();
      client.send(frame(pong));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(failures).toEqual([]);
    expect(await client.closed()).toEqual({ code: 1001, reason: '' });
    expect(performance.now() - silentFrom).toBeGreaterThan(900);
    expect(failures).toEqual(['ERR_GAMMALOOP_WEBSOCKET_IDLE_TIMEOUT']);
  });

  test('pingInterval: a silent peer is asked', async () => {
    const { client } = await open({ pingInterval: 60, idleTimeout: 0 });
    for (let i = 0; i < 3; i++) expect(await client.next()).toMatchObject({ opcode: ping, fin: true });
    client.send(closeFrame(1000));
    expect((await client.closed())?.code).toBe(1000);
  });
});
