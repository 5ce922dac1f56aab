/**
 * http.Server on the engine. Node's own constructor runs first, so that options, fields and private symbols are node's; then its listeners for
 * 'connection' and 'listening' make room for ours. A server that cannot run natively is left as node made it.
 */
import http from 'node:http';
import type { BlockList } from 'node:net';
import { probeNative } from '../backend/native-backend.js';
import { listen } from '../net/drop-in/listen.js';
import { type ListenArguments, type NodeHandle, nodeListen } from '../net/drop-in/node-parts.js';
import { type HttpSocket, isSocketOfConnection } from './connection-socket.js';
import { kRequestClass, kResponseClass } from './contract.js';
import { IncomingMessage } from './incoming-message.js';
import { ServerResponse } from './server-response.js';
import { ServerState } from './server-state.js';
import { type FallbackReason, recordServer } from './stats.js';

const NodeServer = http.Server;
const nodePrototype = NodeServer.prototype;

/** Node's private parts that the drop-in reads. */
interface ServerParts {
  _connections: number;
  _handle: NodeHandle | null;
  _emitCloseIfDrained(): void;
  noDelay: boolean;
  keepAlive: boolean;
  keepAliveInitialDelay?: number;
  highWaterMark?: number;
  blockList?: BlockList;
  maxHeaderSize?: number;
  requireHostHeader?: boolean;
  connectionsCheckingInterval?: number;
  keepAliveTimeoutBuffer?: number;
  httpAllowHalfOpen?: boolean;
  insecureHTTPParser?: boolean;
  httpValidation?: string;
  shouldUpgradeCallback?(request: http.IncomingMessage): boolean;
  /** Null: node's own server. */
  [kState]: ServerState | null;
  [kRequestClass]?: typeof IncomingMessage;
  [kResponseClass]?: typeof ServerResponse;
}

export type Server = Omit<http.Server, keyof ServerParts> & ServerParts;

type Options = http.ServerOptions & { optimizeEmptyRequests?: boolean };

const kState = Symbol('gammaloop.state');

export const Server = function Server(this: Server | undefined, ...args: [Options?, http.RequestListener?]): Server {
  if (!(this instanceof Server)) return Reflect.construct(Server, args);
  Reflect.apply(NodeServer as unknown as () => void, this, args);
  const options = typeof args[0] === 'object' && args[0] !== null ? args[0] : {};
  if (runNatively(this, options, 'http')) replaceListener(this, 'connection', connectionListener);
  return this;
} as unknown as { new (...args: unknown[]): Server; (...args: unknown[]): Server; readonly prototype: Server };

Object.defineProperty(Server, 'length', { value: NodeServer.length, configurable: true });
Object.setPrototypeOf(Server, NodeServer);
Object.setPrototypeOf(Server.prototype, nodePrototype);

/** Gives a server that node has made its native side, or records why not. The caller sees to the listener that brings the connections. */
export function runNatively(server: Server, options: Options, protocol: 'http' | 'https'): boolean {
  const reason = reasonAgainst(server, options);
  recordServer(protocol, reason);
  if (reason !== null) {
    server[kState] = null;
    return false;
  }
  if (options.IncomingMessage) server[kRequestClass] = options.IncomingMessage as unknown as typeof IncomingMessage;
  if (options.ServerResponse) server[kResponseClass] = options.ServerResponse as unknown as typeof ServerResponse;
  const state = new ServerState(server, options.optimizeEmptyRequests === true, connectionListener);
  Object.defineProperty(server, kState, { value: state });
  trackConnections = replaceListener(server, 'listening', startChecking);
  return true;
}

/** Speaks HTTP over a TLS socket or a foreign Duplex, as node's connection listener does. */
export function feedConnection(server: Server, duplex: HttpSocket): void {
  server[kState]?.feed(duplex);
}

/** Node's one listener, which its constructor has added, becomes ours; the program's stay. Returns node's. */
export function replaceListener(server: Server, event: string, listener: (...args: never[]) => void): () => void {
  const emitter = server as unknown as NodeJS.EventEmitter;
  const own = emitter.listeners(event)[0] as () => void;
  emitter.removeListener(event, own);
  emitter.prependListener(event, listener as () => void);
  return own;
}

function connectionListener(this: Server, socket: HttpSocket): void {
  if (!isSocketOfConnection(socket)) feedConnection(this, socket);
}

/** Node's listener for 'listening': the look at connections that it starts finds none, but programs may look at what it leaves on the server. */
let trackConnections: () => void;

function startChecking(this: Server): void {
  trackConnections.call(this);
  this[kState]?.startChecking();
}

function reasonAgainst(server: Server, options: Options): FallbackReason | null {
  if (process.env['GAMMALOOP_BACKEND'] === 'node') return 'backend';
  const isLenient = server.insecureHTTPParser ?? process.execArgv.includes('--insecure-http-parser');
  if (isLenient || (server.httpValidation !== undefined && server.httpValidation !== 'strict')) {
    return 'insecureHTTPParser';
  }
  if (!derives(options.IncomingMessage, IncomingMessage)) return 'IncomingMessage';
  if (!derives(options.ServerResponse, ServerResponse)) return 'ServerResponse';
  return probeNative().ok ? null : 'addon';
}

function derives(given: unknown, ours: { prototype: object }): boolean {
  if (!given) return true;
  if (typeof given !== 'function') return false;
  return given === ours || Object.prototype.isPrototypeOf.call(ours.prototype, given.prototype ?? {});
}

/** What a native server does in its own way; `nodes`: the prototype of node's class that `prototype` stands before (http.Server's or https.Server's). */
export function defineServerMethods(prototype: object, nodes: object): void {
  const node = nodes as Record<
    'close' | 'closeAllConnections' | 'closeIdleConnections',
    (...args: unknown[]) => unknown
  >;
  const { close, closeAllConnections, closeIdleConnections } = node;
  const methods = {
    close(this: Server, ...args: unknown[]): unknown {
      this[kState]?.stopChecking();
      return Reflect.apply(close, this, args);
    },
    closeAllConnections(this: Server): unknown {
      const state = this[kState];
      if (!state) return Reflect.apply(closeAllConnections, this, []);
      for (const connection of state.connections) connection.destroy(null);
      return undefined;
    },
    closeIdleConnections(this: Server): unknown {
      const state = this[kState];
      if (!state) return Reflect.apply(closeIdleConnections, this, []);
      for (const connection of state.connections) if (connection.isIdle) connection.destroyIdle();
      return undefined;
    },
  };
  for (const [name, value] of Object.entries(methods)) {
    // Node's take what their callers give, and say so: close.length is 0.
    Object.defineProperty(value, 'length', { value: 0, configurable: true });
    Object.defineProperty(prototype, name, { value, writable: true, enumerable: true, configurable: true });
  }
}

defineServerMethods(Server.prototype, nodePrototype);
Object.defineProperty(Server.prototype, '_listen2', {
  value: function setupListenHandle(this: Server, ...args: ListenArguments): void {
    const state = this[kState];
    // Without our listener for connections nobody speaks HTTP on them, as on node: they are the program's.
    const isHttp = this.listeners('connection').includes(connectionListener as () => void);
    if (state && isHttp) listen(this, state, ...args);
    else Reflect.apply(nodeListen, this, args);
  },
  writable: true,
  enumerable: true,
  configurable: true,
});
