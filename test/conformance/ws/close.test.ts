/** The closing handshake in every order, and ends without one. On every backend. */
import { describe, expect, test } from 'vitest';
import type { ServerWebSocket } from '../../../lib/index.js';
import { backends, starter } from '../../support/backends.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { text, binary } = opcodes;
const notFound = () => new Response(null, { status: 404 });

describe.each(backends)('the end of a WebSocket on %s', (backend) => {
  const start = starter(backend);

  async function open(hooks: object = {}) {
    const events: unknown[][] = [];
    const sockets: ServerWebSocket[] = [];
    const waiting: Array<() => void> = [];
    const server = await start({
      fetch: notFound,
      websocket: {
        open: (ws) => void sockets.push(ws),
        message: (_ws, data) => void events.push(['message', data]),
        error: (_ws, error) => void events.push(['error', (error as { code?: string }).code]),
        close(_ws, code, reason) {
          events.push(['close', code, reason]);
          for (const resolve of waiting) resolve();
        },
        ...hooks,
      },
    });
    const client = await WsClient.open(server);
    while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const closed = new Promise<void>((resolve) => waiting.push(resolve));
    return { server, client, events, closed, ws: sockets[0] as ServerWebSocket };
  }

  test('the peer begins: its code and reason come back, and the server ends first', async () => {
    const { client, events, closed, ws } = await open();
    client.send(closeFrame(3001, 'going'));
    expect(await client.closed()).toEqual({ code: 3001, reason: 'going' });
    await closed;
    expect(events).toEqual([['close', 3001, 'going']]);
    expect(ws.readyState).toBe(3);
  });

  test('the peer begins without a code', async () => {
    const { client, events, closed } = await open();
    client.send(closeFrame());
    expect(await client.closed()).toEqual({ code: 1005, reason: '' });
    await closed;
    expect(events).toEqual([['close', 1005, '']]);
  });

  test('the server begins: messages still come until the peer answers', async () => {
    const { client, events, closed, ws } = await open();
    ws.send('last words');
    ws.close(4000, 'bye');
    expect(ws.readyState).toBe(2);
    ws.send('too late');
    expect(await client.text()).toBe('last words');
    client.send(frame(text, 'still talking'), closeFrame(4000));
    expect(await client.closed()).toEqual({ code: 4000, reason: 'bye' });
    await closed;
    expect(events).toEqual([
      ['message', 'still talking'],
      ['close', 4000, ''],
    ]);
  });

  test('both begin at once', async () => {
    const { client, events, closed, ws } = await open();
    client.send(closeFrame(1000, 'peer'));
    ws.close(1001, 'server');
    const frames = await client.closed();
    expect([1000, 1001]).toContain(frames?.code);
    await closed;
    expect(events).toEqual([['close', 1000, 'peer']]);
  });

  test('a peer that never answers is cut off after closeTimeout', async () => {
    const { client, events, closed, ws } = await open({ closeTimeout: 150 });
    const from = performance.now();
    ws.close(1000, 'anybody?');
    await closed;
    expect(performance.now() - from).toBeGreaterThan(100);
    expect(events).toEqual([['close', 1006, '']]);
    client.socket.destroy();
  });

  test('a peer that answers but never ends is cut off, too', async () => {
    const { client, events, closed } = await open({ closeTimeout: 150 });
    client.send(closeFrame(1000));
    await closed;
    expect(events).toEqual([['close', 1000, '']]);
    client.socket.destroy();
  });

  test('a FIN without a close frame is 1006', async () => {
    const { client, events, closed } = await open();
    client.send(frame(text, 'then nothing'));
    client.socket.end();
    expect(await client.closed()).toBe(null);
    await closed;
    expect(events).toEqual([
      ['message', 'then nothing'],
      ['close', 1006, ''],
    ]);
  });

  test('a FIN within a frame is 1006, and its message never comes', async () => {
    const { client, events, closed } = await open();
    client.send(frame(binary, Buffer.alloc(1000)).subarray(0, 500));
    client.socket.end();
    expect(await client.closed()).toBe(null);
    await closed;
    expect(events).toEqual([['close', 1006, '']]);
  });

  test('a reset is 1006', async () => {
    const { client, events, closed } = await open();
    client.socket.resetAndDestroy();
    await closed;
    expect(events).toEqual([['close', 1006, '']]);
  });

  test('terminate ends it at once, without a frame', async () => {
    const { client, events, closed, ws } = await open();
    ws.terminate();
    ws.terminate();
    expect(await client.closed()).toBe(null);
    await closed;
    expect(events).toEqual([['close', 1006, '']]);
  });

  test('what is asked of a closed WebSocket is ignored', async () => {
    const { client, closed, ws } = await open();
    client.send(closeFrame(1000));
    await client.closed();
    await closed;
    expect(ws.send('x')).toBe(true);
    ws.ping();
    ws.pong();
    ws.close();
    ws.terminate();
    ws.pause();
    ws.resume();
    ws.subscribe('topic');
    expect(ws.topics).toEqual([]);
    expect(ws.bufferedAmount).toBe(0);
  });

  test('the server closes: 1001, and it waits for the answer', async () => {
    const { server, client, events } = await open();
    const report = server.close({ deadline: 5000 });
    expect((await client.next())?.payload.readUInt16BE(0)).toBe(1001);
    client.send(frame(text, 'one more'), closeFrame(1001));
    expect(await client.closed()).toBe(null);
    await report;
    expect(events).toEqual([
      ['message', 'one more'],
      ['close', 1001, ''],
    ]);
  });

  test('the server closes: at the deadline it cuts', async () => {
    const { server, client, events } = await open();
    const from = performance.now();
    await server.close({ deadline: 150 });
    expect(performance.now() - from).toBeGreaterThan(100);
    expect(events).toEqual([['close', 1006, '']]);
    client.socket.destroy();
  });

  test('a hook that throws closes its own WebSocket with 1011, and no other', async () => {
    const errors: unknown[] = [];
    const server = await start({
      fetch: notFound,
      onError: (error) => void errors.push((error as Error).message),
      websocket: {
        message(ws, data) {
          if (data === 'throw') throw new Error('thrown by a hook');
          if (data === 'reject') return Promise.reject(new Error('rejected by a hook'));
          ws.send(data);
        },
      },
    });
    const good = await WsClient.open(server);
    for (const word of ['throw', 'reject']) {
      const client = await WsClient.open(server);
      client.send(frame(text, word));
      expect((await client.closed({ answers: true }))?.code).toBe(1011);
    }
    good.send(frame(text, 'still here'));
    expect(await good.text()).toBe('still here');
    expect(errors).toEqual(['thrown by a hook', 'rejected by a hook']);
    good.socket.destroy();
  });
});
