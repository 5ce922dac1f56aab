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
import type { NodeHandle, ServerWithParts } from './node-parts.js';
import { zeroConnectionsIsALimit } from './node-version.js';
import { Socket } from './socket.js';

const socketChannel = diagnostics.channel('net.server.socket');

export class ServerListener implements WireServer, EngineListener {
  readonly #server: ServerWithParts;
  readonly #loop = nativeLoop();
  /** -1: the engine has no server for it. */
  #index = -1;
  /** The cluster's primary accepts. */
  #isAdopting = false;
  /** In the context of the call to listen(). */
  #scope = new AsyncResource('TCPSERVERWRAP');

  constructor(server: ServerWithParts) {
    this.#server = server;
  }

  listenOn(fd: number, backlog: number): void {
    this.#scope = new AsyncResource('TCPSERVERWRAP');
    this.#isAdopting = false;
    this.#open();
    try {
      this.#loop.engine.listenOn(this.#index, { fd, bound: true, backlog });
    } catch (error) {
      this.stopListening();
      throw error;
    }
  }

  /** The engine keeps its server until the last connection of it is gone. */
  stopListening(): void {
    const index = this.#index;
    if (index === -1) return;
    this.#index = -1;
    this.#loop.addServer(index, {
      onClosed: () => {
        this.#loop.wire.removeServer(index);
        this.#loop.engine.forgetServer(index);
      },
    });
    this.#loop.engine.closeServer(index);
  }

  setReferenced(on: boolean): void {
    if (this.#index !== -1) this.#loop.engine.setReferenced(this.#index, on);
  }

  adopt(fd: number): void {
    this.#isAdopting = true;
    this.#open();
    this.#loop.engine.adopt(this.#index, fd);
  }

  onConnection(wire: WireConnection): ByteListener {
    return this.#scope.runInAsyncScope(this.#receive, this, wire);
  }

  #receive(wire: WireConnection): EngineHandle {
    const handle = new EngineHandle(wire);
    handle.isUnix = typeof (this.#server as unknown as { _pipeName?: string })._pipeName === 'string';
    const listening = this.#server._handle;
    // Closed meanwhile.
    if (listening === null) handle.close();
    else if (this.#isAdopting) this.#accept(handle);
    else callSafely(() => listening.onconnection?.(0, handle as unknown as NodeHandle));
    return handle;
  }

  readonly onconnection = (_error: number, client?: NodeHandle): void => {
    this.#accept(client as unknown as EngineHandle);
  };

  /** As node's own, which makes sockets of node's class. */
  #accept(handle: EngineHandle): void {
    const server = this.#server;
    if (!this.#admits(handle)) {
      handle.close();
      return;
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
    callSafely(() => {
      server.emit('connection', socket as never);
      if (socketChannel.hasSubscribers) socketChannel.publish({ socket });
    });
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
}

function callSafely(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    process.nextTick(rethrow, error);
  }
}

function rethrow(error: unknown): never {
  throw error;
}
