/**
 * One test body, every way in which `gammaloop/ws` carries a WebSocket: `describe.each(carriers)('... $name', (carrier) => { const { listen } =
 * packageServers(carrier); ... })`. After each test every server is closed, and nothing of it may be left.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect } from 'vitest';
import { nativeLoop } from '../../../lib/backend/native-loop.js';
import { type ServerOptions, type WebSocket, WebSocketServer } from '../../../lib/drop-in/ws/index.js';
import { type BackendName, backends } from '../../support/backends.js';

export interface Carrier {
  readonly name: string;
  readonly backend: BackendName;
  /** The session is the engine's. */
  readonly isNative: boolean;
}

export const carriers: readonly Carrier[] = (
  [
    { name: "the session in TypeScript on node's sockets", backend: 'node', isNative: false },
    { name: "the session in TypeScript on the engine's sockets", backend: 'native', isNative: false },
    { name: "the engine's session", backend: 'native', isNative: true },
  ] as const
).filter(({ backend }) => backends.includes(backend));

export interface PackageServers {
  /** With `port: 0` where `options` has no other place. */
  listen(options?: ServerOptions): Promise<{ wss: WebSocketServer; port: number }>;
  /** Closes it after the test, with its clients. */
  track(wss: WebSocketServer): WebSocketServer;
}

export function packageServers({ backend, isNative }: Carrier): PackageServers {
  let servers: WebSocketServer[] = [];
  let before: string | undefined;
  let nativeSessions = 0;
  beforeEach(() => {
    before = process.env['GAMMALOOP_BACKEND'];
    process.env['GAMMALOOP_BACKEND'] = backend;
    nativeSessions = 0;
  });
  afterEach(async () => {
    if (before === undefined) delete process.env['GAMMALOOP_BACKEND'];
    else process.env['GAMMALOOP_BACKEND'] = before;
    const mine = servers;
    servers = [];
    for (const server of mine) {
      for (const socket of server.clients ?? []) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    }
    expect(nativeSessions > 0).toBe(isNative);
    if (backend !== 'native') return;
    const { wire, webSockets } = nativeLoop();
    await expect.poll(() => [wire.liveCount, webSockets.liveCount]).toEqual([0, 0]);
  });
  const track = (wss: WebSocketServer): WebSocketServer => {
    servers.push(wss);
    if (backend === 'native')
      wss.on('connection', () => {
        nativeSessions = Math.max(nativeSessions, nativeLoop().webSockets.liveCount);
      });
    // A program that puts a `write` of its own on a socket is to see what is written.
    const seesWrites = (_request: unknown, socket: Duplex): void => {
      socket.write = socket.write.bind(socket);
    };
    if (!isNative) (wss._server as Server | null)?.prependListener('upgrade', seesWrites);
    return wss;
  };
  return {
    track,
    async listen(options = {}) {
      const wss = track(new WebSocketServer({ port: 0, host: '127.0.0.1', ...options }));
      await new Promise((resolve) => wss.once('listening', resolve));
      return { wss, port: (wss.address() as AddressInfo).port };
    },
  };
}

export const connected = (wss: WebSocketServer): Promise<WebSocket> =>
  new Promise((resolve) => wss.once('connection', (socket: WebSocket) => resolve(socket)));
