/** gammaloop/ws beyond what the ws package's own tests say: its additions, and the server's options over a raw connection. On everything that carries it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createWebSocketStream, WebSocket, WebSocketServer } from '../../../lib/drop-in/ws/index.js';
import { carriers, connected, packageServers } from './package-servers.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { text, binary, ping } = opcodes;

describe.each(carriers)('gammaloop/ws on $name', (carrier) => {
  const { listen } = packageServers(carrier);

  test('messages by for await: in order, none lost, to the end', async () => {
    const { wss, port } = await listen();
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const socket = await connection;
    const messages = socket[Symbol.asyncIterator]();
    client.send(
      ...Array.from({ length: 100 }, (_, i) => frame(text, `m${i}`)),
      frame(binary, Buffer.from([1])),
      closeFrame(1000),
    );
    const over = client.closed();
    const seen: unknown[] = [];
    for await (const message of messages) {
      if (seen.length % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
      seen.push(message);
    }
    expect(seen).toEqual([...Array.from({ length: 100 }, (_, i) => `m${i}`), Buffer.from([1])]);
    expect(await over).toEqual({ code: 1000, reason: '' });
  });

  test('for await throws what error brings', async () => {
    const { wss, port } = await listen();
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const socket = await connection;
    const reading = (async () => {
      for await (const message of socket) expect(message).toBe('good');
    })();
    client.send(frame(text, 'good'), frame(5));
    await expect(reading).rejects.toMatchObject({
      code: 'WS_ERR_INVALID_OPCODE',
      message: 'Invalid WebSocket frame: invalid opcode 5',
    });
    expect((await client.closed())?.code).toBe(1002);
  });

  test('maxBufferedBytes, idleTimeout and pingInterval', async () => {
    const { wss, port } = await listen({ maxBufferedBytes: 2 ** 20, idleTimeout: 300, pingInterval: 80 });
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const socket = await connection;
    const codes: unknown[] = [];
    socket.on('error', (error) => codes.push((error as { code?: string }).code));
    expect((await client.next())?.opcode).toBe(ping);
    expect((await client.closed())?.code).toBe(1001);
    expect(codes).toEqual(['WS_ERR_IDLE_TIMEOUT']);
    const second = connected(wss);
    const slow = await WsClient.open(port);
    const other = await second;
    other.on('error', (error) => codes.push((error as { code?: string }).code));
    slow.socket.pause();
    for (let i = 0; i < 1000 && other.readyState === WebSocket.OPEN; i++) {
      other.send(Buffer.alloc(65536));
      expect(other.bufferedAmount).toBeLessThanOrEqual(2 ** 20 + 100);
    }
    while (codes.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(codes[1]).toBe('WS_ERR_BUFFERED_BYTES_EXCEEDED');
    slow.socket.destroy();
  });

  test('callbacks of send come in order, once all has left', async () => {
    const { wss, port } = await listen();
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const socket = await connection;
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      socket.send('one', () => order.push('one'));
      socket.send(Buffer.alloc(100_000), { compress: false }, () => order.push('two'));
      socket.ping('p', false, () => order.push('three'));
      socket.send(new Blob(['from a blob']), () => order.push('four'));
      socket.send('five', (error) => {
        order.push(`five ${error ?? ''}`);
        resolve();
      });
    });
    expect(order).toEqual(['one', 'two', 'three', 'four', 'five ']);
    expect(await client.text()).toBe('one');
    expect((await client.message()).data).toHaveLength(100_000);
    expect(await client.text()).toBe('from a blob');
    expect(await client.text()).toBe('five');
    client.socket.destroy();
  });

  test('a non-minimal length is refused', async () => {
    const { wss, port } = await listen();
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const error = new Promise<Error>((resolve) => void connection.then((socket) => socket.on('error', resolve)));
    await connection;
    client.send(frame(text, 'x', { lengthBytes: 2 }));
    expect(await error).toMatchObject({ code: 'WS_ERR_INVALID_PAYLOAD_LENGTH' });
    expect((await client.closed())?.code).toBe(1002);
  });

  test('an exception in a listener stops no other message', async () => {
    const { wss, port } = await listen();
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const socket = await connection;
    const thrown = new Promise((resolve) => {
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const other of others) process.on('uncaughtException', other);
        resolve(error);
      });
    });
    socket.on('message', (data) => {
      if (data.toString() === 'bad') throw new Error('a fault of the program');
      socket.send(data.toString());
    });
    client.send(frame(text, 'bad'), frame(text, 'good'));
    expect(await thrown).toMatchObject({ message: 'a fault of the program' });
    expect(await client.text()).toBe('good');
    client.socket.destroy();
  });
});

test("a server of node's own, its client and a stream over both", async () => {
  const http = createServer();
  const wss = new WebSocketServer({ server: http, path: '/echo', perMessageDeflate: { threshold: 0 } });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  wss.on('connection', (socket: WebSocket) => {
    const stream = createWebSocketStream(socket);
    stream.pipe(stream);
  });
  const stream = createWebSocketStream(new WebSocket(`ws://127.0.0.1:${port}/echo`), { encoding: 'utf8' });
  const sent = Array.from({ length: 50 }, (_, i) => `${i} ${'x'.repeat(5000)}`);
  let received = '';
  stream.on('data', (chunk: string) => {
    received += chunk;
    if (received.length === sent.join('').length) stream.end();
  });
  for (const chunk of sent) stream.write(chunk);
  await new Promise((resolve) => stream.on('close', resolve));
  expect(received).toBe(sent.join(''));
  const refused = new WebSocket(`ws://127.0.0.1:${port}/other`);
  await expect(new Promise((_resolve, reject) => refused.on('error', reject))).rejects.toThrow(
    'Unexpected server response: 400',
  );
  await new Promise((resolve) => http.close(resolve));
});
