/**
 * The timeout of a connection's socket: `server.timeout`, or what the program sets on the socket or a message. Between requests node's keep-alive
 * timeout stands in for it, which the engine keeps by itself; the next request brings back `server.timeout`, as on node.
 */
import type { WireConnection } from '../backend/wire.js';
import type { HttpConnection } from './connection.js';
import type { HttpSocket } from './connection-socket.js';
import type { IncomingMessage } from './incoming-message.js';
import type { Server } from './server.js';

export class ConnectionTimeout {
  readonly #server: Server;
  readonly #wire: WireConnection;
  /** The foreign socket, which times itself. */
  readonly #fedBy: HttpSocket | null;
  #timeoutMs = 0;
  #isKeptAlive = false;

  constructor(server: Server, wire: WireConnection, fedBy: HttpSocket | null) {
    this.#server = server;
    this.#wire = wire;
    this.#fedBy = fedBy;
    if (server.timeout) this.set(server.timeout);
  }

  /** 0: none. */
  set(timeoutMs: number): void {
    this.#isKeptAlive = false;
    this.#timeoutMs = timeoutMs;
    if (this.#fedBy === null) this.#wire.setInactivity(timeoutMs);
    else this.#fedBy.setTimeout?.(timeoutMs);
  }

  get isSet(): boolean {
    return this.#timeoutMs !== 0;
  }

  /** No response is owed. */
  onIdle(): void {
    if (!this.isSet || !(this.#server.keepAliveTimeout > 0)) return;
    this.set(0);
    this.#isKeptAlive = true;
  }

  onRequest(): void {
    if (!this.#isKeptAlive) return;
    this.#isKeptAlive = false;
    if (this.#server.timeout) this.set(this.#server.timeout);
  }
}

/** To the request that is being read, the response whose turn it is, and the server; false: none of them listens. */
export function tellTimeout(connection: HttpConnection, request: IncomingMessage | null): boolean {
  const { server, currentResponse: response } = connection;
  const isHeard = [request, response, server].some((emitter) => (emitter?.listenerCount('timeout') ?? 0) > 0);
  if (!isHeard) return false;
  const { socket } = connection;
  const byRequest = request?.emit('timeout', socket) ?? false;
  const byResponse = response?.emit('timeout', socket) ?? false;
  const byServer = server.emit('timeout', socket);
  return byRequest || byResponse || byServer;
}
