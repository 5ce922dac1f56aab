/** permessage-deflate where the process has no zlib that the addon finds: node's does it, and what cannot be done is not offered. */
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadBinding } from '../../../lib/bridge/binding.js';
import { type WebSocket, WebSocketServer } from '../../../lib/drop-in/ws/index.js';
import { Response, type Server, serve } from '../../../lib/index.js';
import { backends } from '../../support/backends.js';
import { PeerDeflate } from './peer-deflate.js';
import { frame, opcodes, WsClient } from './wire.js';

const { text } = opcodes;
const extensions = 'permessage-deflate; client_no_context_takeover';

describe.runIf(backends.includes('native'))('without a zlib', () => {
  const outer = process.env['GAMMALOOP_BACKEND'];
  let server: Server | null = null;
  beforeEach(() => {
    loadBinding().hasZlib = false;
    delete process.env['GAMMALOOP_BACKEND'];
  });
  afterEach(async () => {
    loadBinding().hasZlib = true;
    if (outer !== undefined) process.env['GAMMALOOP_BACKEND'] = outer;
    await server?.close({ deadline: 0 });
    server = null;
  });

  const start = async (options: { backend?: 'native'; perMessageDeflate: boolean }): Promise<Server> => {
    const { perMessageDeflate, ...backend } = options;
    server = await serve({
      port: 0,
      hostname: '127.0.0.1',
      ...backend,
      fetch: () => new Response('no page', { status: 404 }),
      websocket: { perMessageDeflate, message: (ws, data) => ws.send(data) },
    });
    return server;
  };

  const echo = async (to: Server | number, isCompressed: boolean): Promise<void> => {
    const client = await WsClient.open(to, { extensions });
    expect(client.field('sec-websocket-extensions') !== null).toBe(isCompressed);
    const data = 'to and fro '.repeat(200);
    const deflated = await new PeerDeflate(extensions).compress(Buffer.from(data));
    client.send(isCompressed ? frame(text, deflated, { rsv: 4 }) : frame(text, data));
    const answer = await client.message();
    expect(answer.data.toString()).toBe(data);
    expect(answer.isCompressed).toBe(isCompressed);
    client.socket.destroy();
  };

  test('serve: the node backend, where compression is asked for and no backend is', async () => {
    const compressing = await start({ perMessageDeflate: true });
    expect(compressing.backend).toBe('node');
    await echo(compressing, true);
    await compressing.close({ deadline: 0 });
    expect((await start({ perMessageDeflate: false })).backend).toBe('native');
  });

  test("serve with backend 'native': uncompressed", async () => {
    await echo(await start({ backend: 'native', perMessageDeflate: true }), false);
  });

  test("gammaloop/ws on the engine's sockets: compressed by node's zlib", async () => {
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 0 } });
    await new Promise((resolve) => wss.once('listening', resolve));
    wss.on('connection', (socket: WebSocket) => socket.on('message', (data: Buffer) => socket.send(data.toString())));
    await echo((wss.address() as AddressInfo).port, true);
    for (const socket of wss.clients ?? []) socket.terminate();
    await new Promise((resolve) => wss.close(resolve));
  });
});
