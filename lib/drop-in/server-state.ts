/**
 * The native side of one server: the engine's server behind it while it is needed (it listens, or has connections), its limits and timeouts there,
 * and its connections.
 */
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import { isIP } from 'node:net';
import { getDefaultHighWaterMark } from 'node:stream';
import { type NativeLoop, nativeLoop } from '../backend/native-loop.js';
import type { WireConnection, WireListener, WireServer } from '../backend/wire.js';
import { ApplicationPrototypes } from './application-prototypes.js';
import { HttpConnection } from './connection.js';
import type { HttpSocket } from './connection-socket.js';
import { FedTransport } from './fed-transport.js';
import type { IncomingMessage } from './incoming-message.js';
import { refusesExcessFields } from './node-version.js';
import type { Server } from './server.js';
import { requestTimeoutError } from './wire-errors.js';

/** Fields of a head, where a program's own `maxHeadersCount` does not ask for more. */
const MAX_HEADERS = 2000;
/** Where node refuses what is above the limit: its own. */
const DEFAULT_HEADERS = 1000;
const MOST_HEADERS = 10_000;
/** What the engine can hold of a head. */
const MOST_HEADER_BYTES = 262_144;
/** Of one connection, unanswered; further ones wait unread. Node has no bound but memory. */
const PIPELINED_REQUESTS = 256;
/** How long the engine reads on after the last answer of a connection. */
const LINGER_MS = 2000;
/** Node's buffer before `keepAliveTimeoutBuffer` became an option. */
const KEEP_ALIVE_BUFFER_MS = 1000;

const socketChannel = diagnostics.channel('net.server.socket');

export class ServerState implements WireServer {
  readonly server: Server;
  readonly optimizesEmptyRequests: boolean;
  readonly highWaterMark: number;
  /** Those that speak HTTP. */
  readonly connections = new Set<HttpConnection>();
  readonly #prototypes = new ApplicationPrototypes();
  /** As the engine knows them. */
  #known: Settings;
  #loop: NativeLoop | null = null;
  #index = -1;
  #isListening = false;
  /** Connections of the engine, upgraded ones included. */
  #liveCount = 0;
  #feeding: FedTransport | null = null;
  #checker: NodeJS.Timeout | null = null;
  #forgetting: NodeJS.Timeout | null = null;
  readonly #onConnection: (socket: HttpSocket) => void;

  /** `onConnection`: the server's own listener for 'connection'. */
  constructor(server: Server, optimizesEmptyRequests: boolean, onConnection: (socket: HttpSocket) => void) {
    this.server = server;
    this.optimizesEmptyRequests = optimizesEmptyRequests;
    this.highWaterMark = server.highWaterMark ?? getDefaultHighWaterMark(false);
    this.#onConnection = onConnection;
    this.#known = settingsOf(server);
  }

  /** Before a request is made: what it and its response are made with. */
  prepare(): ApplicationPrototypes {
    this.refresh();
    this.#prototypes.update(this.server);
    return this.#prototypes;
  }

  /** Programs set the server's properties at any time, and the engine has to know. They stay plain ones: an object with accessors put in their place is slow. */
  refresh(): void {
    const { server } = this;
    const known = this.#known;
    if (
      known.headersTimeout === server.headersTimeout &&
      known.requestTimeout === server.requestTimeout &&
      known.keepAliveTimeout === server.keepAliveTimeout &&
      known.keepAliveTimeoutBuffer === server.keepAliveTimeoutBuffer &&
      known.maxHeaderSize === server.maxHeaderSize &&
      known.maxHeadersCount === server.maxHeadersCount
    ) {
      return;
    }
    this.#known = settingsOf(server);
    if (this.#index !== -1) this.#loop?.engine.configure(this.#index, this.#limits(), this.#timeouts());
  }

  // Listening (listen.ts).

  /** Throws as NativeEngine.listenOn. */
  listenOn(fd: number, backlog: number): void {
    const { engine } = this.#open();
    try {
      engine.listenOn(this.#index, { fd, bound: true, backlog });
    } catch (error) {
      this.#forgetIfUnused();
      throw error;
    }
    this.#isListening = true;
  }

  stopListening(): void {
    if (!this.#isListening) return;
    this.#isListening = false;
    this.#loop?.engine.stopListening(this.#index);
    this.#forgetIfUnused();
  }

  setReferenced(on: boolean): void {
    if (this.#isListening) this.#loop?.engine.setReferenced(this.#index, on);
  }

  /** A connection that somebody else has accepted: a duplicate of its descriptor is ours. */
  adopt(fd: number): void {
    this.#open().engine.adopt(this.#index, fd);
  }

  /** Speaks HTTP over a TLS socket or a Duplex. */
  feed(duplex: HttpSocket): void {
    const loop = this.#open();
    const fed = new FedTransport(duplex);
    const [index, generation] = loop.engine.openFed(this.#index);
    this.#feeding = fed;
    try {
      const connection = loop.wire.open(this.#index, index, generation) as HttpConnection;
      fed.open(connection.wire, (position) => connection.onSent(position));
    } finally {
      this.#feeding = null;
    }
  }

  // Connections.

  onConnection(wire: WireConnection): WireListener {
    this.refresh();
    const fed = this.#feeding;
    this.#liveCount++;
    if (fed === null && !this.#admits(wire)) {
      wire.destroy();
      return new Refused(this);
    }
    const connection = new HttpConnection(this, wire, fed);
    this.connections.add(connection);
    if (fed === null) this.#introduce(connection);
    return connection;
  }

  remove(connection: HttpConnection): void {
    this.connections.delete(connection);
    this.onGone();
  }

  onGone(): void {
    this.#liveCount--;
    this.#forgetIfUnused();
  }

  /** Upgraded: it is not among those that close() and its like are about. */
  leaveHttp(connection: HttpConnection): void {
    this.connections.delete(connection);
    connection.gate.leaveHttp();
  }

  shouldUpgrade(request: IncomingMessage): boolean {
    const { server } = this;
    if (typeof server.shouldUpgradeCallback === 'function') return Boolean(server.shouldUpgradeCallback(request));
    return server.listenerCount('upgrade') > 0;
  }

  /** `maxConnections` and `blockList`, as net.Server keeps them. */
  #admits(wire: WireConnection): boolean {
    const { server } = this;
    const isFull = server.maxConnections != null && server._connections >= server.maxConnections;
    if (!isFull && server.blockList === undefined) return true;
    const [remote, local] = wire.loop.engine.peer(wire.index, wire.generation) ?? [];
    if (isFull) {
      server.emit('drop', {
        __proto__: null,
        localAddress: local?.address,
        localPort: local?.port,
        localFamily: local?.family,
        remoteAddress: remote?.address,
        remotePort: remote?.port,
        remoteFamily: remote?.family,
      });
      return false;
    }
    const family = isIP(remote?.address ?? '');
    return family === 0 || !server.blockList?.check(remote?.address as string, family === 4 ? 'ipv4' : 'ipv6');
  }

  /** The options of net.Server; and 'connection', where somebody besides us listens. */
  #introduce(connection: HttpConnection): void {
    const { server } = this;
    const { index, generation, loop } = connection.wire;
    if (!server.noDelay) loop.engine.setNoDelay(index, generation, false);
    if (server.keepAlive) loop.engine.setKeepAlive(index, generation, true, server.keepAliveInitialDelay ?? 0);
    if (server.listenerCount('connection') > 1 || server.listenerCount('connection', this.#onConnection) === 0) {
      server.emit('connection', connection.socket);
    }
    if (socketChannel.hasSubscribers) socketChannel.publish({ socket: connection.socket });
  }

  // Timeouts and limits.

  /** From 'listening' to close(): node's look at the connections that have sent nothing yet; all others the engine times. */
  startChecking(): void {
    this.stopChecking();
    this.#checker = setInterval(() => this.#expireSilent(), this.server.connectionsCheckingInterval ?? 30_000);
    this.#checker.unref();
  }

  stopChecking(): void {
    if (this.#checker !== null) clearInterval(this.#checker);
    this.#checker = null;
  }

  #expireSilent(): void {
    this.refresh();
    const { server } = this;
    const limits = [durationOf(server.headersTimeout), durationOf(server.requestTimeout)].filter((limit) => limit > 0);
    if (limits.length === 0) return;
    const latestMs = performance.now() - Math.min(...limits);
    for (const connection of this.connections) {
      if (connection.isSilent && connection.openedAtMs < latestMs) connection.fail(requestTimeoutError());
    }
  }

  #open(): NativeLoop {
    this.#loop ??= nativeLoop();
    if (this.#index === -1) {
      this.#known = settingsOf(this.server);
      this.#index = this.#loop.engine.openServer(this.#limits(), this.#timeouts(), 'wire');
      this.#loop.wire.addServer(this.#index, this);
    }
    return this.#loop;
  }

  get #isUnused(): boolean {
    return this.#index !== -1 && !this.#isListening && this.#liveCount === 0;
  }

  /** Not at once: connections that are gone for us linger there, so that their clients get the last answer. */
  #forgetIfUnused(): void {
    if (!this.#isUnused || this.#forgetting !== null) return;
    this.#forgetting = setTimeout(() => this.#forget(), 2 * LINGER_MS);
    this.#forgetting.unref();
  }

  #forget(): void {
    this.#forgetting = null;
    if (!this.#isUnused || this.#loop === null) return;
    this.#loop.wire.removeServer(this.#index);
    this.#loop.engine.forgetServer(this.#index);
    this.#index = -1;
  }

  #limits(): object {
    const { server } = this;
    return {
      headerBytes: Math.min(server.maxHeaderSize || http.maxHeaderSize, MOST_HEADER_BYTES),
      headerCount: mostFields(server.maxHeadersCount),
      bodyBytes: 0,
      // Node bounds the extensions of each chunk; without a bound on the whole, a body could be nothing else.
      chunkOverheadBytes: 16 * 1024 * 1024,
      chunkExtensionBytes: 16_384,
      connections: 0,
      requestsPerConnection: 0,
      pipelinedRequests: PIPELINED_REQUESTS,
      writeBufferBytes: 0,
      // Judged by the connection: an upgrade may go without, as on node.
      requireHost: false,
      nodeRules: true,
    };
  }

  #timeouts(): object {
    const { server } = this;
    const headers = durationOf(server.headersTimeout);
    const request = durationOf(server.requestTimeout);
    const keepAlive = durationOf(server.keepAliveTimeout);
    return {
      // Node's requestTimeout is about the head as well.
      headers: headers === 0 || (request > 0 && request < headers) ? request : headers,
      request,
      keepAlive: keepAlive > 0 ? keepAlive + (server.keepAliveTimeoutBuffer ?? KEEP_ALIVE_BUFFER_MS) : 0,
      handler: 0,
      bodyRateWindow: 0,
      minBodyBytesPerSecond: 0,
      linger: LINGER_MS,
    };
  }
}

/** A connection over `maxConnections`, or of a blocked address: destroyed; nothing that it sends is heard. */
class Refused implements WireListener {
  readonly #state: ServerState;

  constructor(state: ServerState) {
    this.#state = state;
  }

  onClosed(): void {
    this.#state.onGone();
  }

  onRequest(): void {}
  onBody(): void {}
  onBodyEnd(): void {}
  onData(): void {}
  onEnd(): void {}
  onError(): void {}
  onFlushed(): void {}
  onIdle(): void {}
  onOutput(): void {}
  onTransport(): void {}
}

/** Properties of a server that are the engine's matter. */
type Settings = ReturnType<typeof settingsOf>;

function settingsOf(server: Server) {
  const { headersTimeout, requestTimeout, keepAliveTimeout, keepAliveTimeoutBuffer, maxHeaderSize, maxHeadersCount } =
    server;
  return { headersTimeout, requestTimeout, keepAliveTimeout, keepAliveTimeoutBuffer, maxHeaderSize, maxHeadersCount };
}

/** What node takes for "none" is none: anything that is no duration. */
function durationOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.min(Math.ceil(value), 0x7fff_ffff) : 0;
}

/** `most`: server.maxHeadersCount; null for the default, 0 for no limit. Where node drops what is above it, so do the maps (request-headers.ts). */
function mostFields(most: number | null | undefined): number {
  if (typeof most === 'number' && most <= 0) return MOST_HEADERS;
  if (refusesExcessFields) return Math.min(most ?? DEFAULT_HEADERS, MOST_HEADERS);
  return (most ?? 0) > MAX_HEADERS ? MOST_HEADERS : MAX_HEADERS;
}
