/** The engine's side of one net.Server that listens: accepts its connections, and gives node's class a handle for each. */
import { AsyncResource } from 'node:async_hooks';
import diagnostics from 'node:diagnostics_channel';
import { isIP } from 'node:net';
import { nativeLoop } from '../../backend/native-loop.js';
import type { ByteListener, WireConnection, WireServer } from '../../backend/wire.js';
import { openRawServer } from '../raw-connections.js';
import { guardNode } from './guards.js';
import { EngineHandle } from './handle.js';
import type { EngineListener } from './listen.js';
import type { ServerWithParts } from './node-parts.js';
import { zeroConnectionsIsALimit } from './node-version.js';
import { Socket } from './socket.js';

/** Longer than the engine lingers (raw-connections.ts). */
const FORGET_AFTER_MS = 4000;
const socketChannel = diagnostics.channel('net.server.socket');

export class ServerListener implements WireServer, EngineListener {
  readonly yields = true;
  readonly #server: ServerWithParts;
  readonly #loop = nativeLoop();
  /** -1: the engine has no server for it. */
  #index = -1;
  #isListening = false;
  #connectionCount = 0;
  #forgetting: NodeJS.Timeout | null = null;
  /** In the context of the call to listen(). */
  #scope = new AsyncResource('TCPSERVERWRAP');

  constructor(server: ServerWithParts) {
    this.#server = server;
  }

  listenOn(fd: number, backlog: number): void {
    this.#scope = new AsyncResource('TCPSERVERWRAP');
    this.#open();
    try {
      this.#loop.engine.listenOn(this.#index, { fd, bound: true, backlog });
    } catch (error) {
      this.#forgetIfUnused();
      throw error;
    }
    this.#isListening = true;
  }

  stopListening(): void {
    if (this.#isListening) this.#loop.engine.stopListening(this.#index);
    this.#isListening = false;
    this.#forgetIfUnused();
  }

  setReferenced(on: boolean): void {
    if (this.#isListening) this.#loop.engine.setReferenced(this.#index, on);
  }

  adopt(fd: number): void {
    this.#open();
    this.#loop.engine.adopt(this.#index, fd);
  }

  onConnection(wire: WireConnection): ByteListener {
    this.#connectionCount++;
    return this.#scope.runInAsyncScope(this.#accept, this, wire);
  }

  /** As node's own, which makes sockets of node's class. */
  #accept(wire: WireConnection): EngineHandle {
    const server = this.#server;
    const handle = new EngineHandle(wire);
    handle.isUnix = typeof (server as unknown as { _pipeName?: string })._pipeName === 'string';
    handle.onGone = () => {
      this.#connectionCount--;
      this.#forgetIfUnused();
    };
    // Closed meanwhile, or full.
    if (server._handle === null || !this.#admits(handle)) {
      handle.close();
      return handle;
    }
    const socket = new Socket({
      handle,
      allowHalfOpen: server.allowHalfOpen,
      pauseOnCreate: server.pauseOnConnect,
      readable: true,
      writable: true,
      readableHighWaterMark: server.highWaterMark,
      writableHighWaterMark: server.highWaterMark,
    });
    if (server.noDelay) socket.setNoDelay(true);
    if (server.keepAlive) socket.setKeepAlive(true, server.keepAliveInitialDelay * 1000);
    server._connections++;
    socket.server = socket._server = server;
    // What a listener throws is its own: the connection stays, as on node.
    try {
      server.emit('connection', socket as never);
      if (socketChannel.hasSubscribers) socketChannel.publish({ socket });
    } catch (error) {
      process.nextTick(rethrow, error);
    }
    return handle;
  }

  /** `maxConnections` and `blockList`. */
  #admits(handle: EngineHandle): boolean {
    const server = this.#server;
    const limit = zeroConnectionsIsALimit ? server.maxConnections : server.maxConnections || null;
    const isFull = limit != null && server._connections >= limit;
    if (!isFull && server.blockList === undefined) return true;
    const local: { address?: string; port?: number; family?: string } = {};
    const remote: typeof local = {};
    handle.getsockname(local);
    handle.getpeername(remote);
    if (!isFull) {
      const family = isIP(remote.address ?? '');
      return family === 0 || !server.blockList?.check(remote.address as string, family === 4 ? 'ipv4' : 'ipv6');
    }
    if (handle.isUnix) server.emit('drop');
    else {
      server.emit('drop', {
        __proto__: null,
        localAddress: local.address,
        localPort: local.port,
        localFamily: local.family,
        remoteAddress: remote.address,
        remotePort: remote.port,
        remoteFamily: remote.family,
      } as never);
    }
    return false;
  }

  #open(): void {
    if (this.#index !== -1) return;
    guardNode();
    this.#index = openRawServer(0);
    this.#loop.wire.addServer(this.#index, this);
  }

  get #isUnused(): boolean {
    return this.#index !== -1 && !this.#isListening && this.#connectionCount === 0;
  }

  /** Not at once: what is gone for us may linger there, so that the peer gets the last bytes. */
  #forgetIfUnused(): void {
    if (!this.#isUnused || this.#forgetting !== null) return;
    this.#forgetting = setTimeout(() => {
      this.#forgetting = null;
      if (!this.#isUnused) return;
      const index = this.#index;
      this.#index = -1;
      this.#loop.wire.removeServer(index);
      this.#loop.engine.forgetServer(index);
    }, FORGET_AFTER_MS);
    this.#forgetting.unref();
  }
}

function rethrow(error: unknown): never {
  throw error;
}
