/**
 * `gammaloop/https`: everything that node:https exports. Its Server keeps node's TLS, and speaks HTTP as http.Server does: what TLS has decrypted
 * is fed to a session of the engine.
 */
import type http from 'node:http';
import nodeHttps from 'node:https';
import type { HttpSocket } from './connection-socket.js';
import {
  defineServerMethods,
  feedConnection,
  type Server as HttpServer,
  replaceListener,
  runNatively,
} from './server.js';

const NodeServer = nodeHttps.Server;

const OurServer = function Server(this: HttpServer | undefined, ...args: unknown[]): HttpServer {
  if (!(this instanceof OurServer)) return Reflect.construct(OurServer, args);
  Reflect.apply(NodeServer as unknown as () => void, this, args);
  const options = typeof args[0] === 'object' && args[0] !== null ? args[0] : {};
  if (runNatively(this, options, 'https')) replaceListener(this, 'secureConnection', onSecureConnection);
  return this;
} as unknown as { new (...args: unknown[]): HttpServer; readonly prototype: HttpServer };

Object.defineProperty(OurServer, 'length', { value: NodeServer.length, configurable: true });
Object.setPrototypeOf(OurServer, NodeServer);
Object.setPrototypeOf(OurServer.prototype, NodeServer.prototype);
defineServerMethods(OurServer.prototype, NodeServer.prototype);

function onSecureConnection(this: HttpServer, socket: HttpSocket): void {
  feedConnection(this, socket);
}

function createOurs(options?: object, requestListener?: http.RequestListener): object {
  return new OurServer(options, requestListener);
}
for (const property of ['name', 'length'] as const) {
  Object.defineProperty(createOurs, property, { value: nodeHttps.createServer[property], configurable: true });
}

type Requests = typeof http.IncomingMessage;
type Responses<Q extends Requests> = typeof http.ServerResponse<InstanceType<Q>>;

// To TypeScript they are node's.
export const Server = OurServer as unknown as typeof nodeHttps.Server;
export type Server<Q extends Requests = Requests, S extends Responses<Q> = Responses<Q>> = nodeHttps.Server<Q, S>;
export const createServer = createOurs as unknown as typeof nodeHttps.createServer;

/** What install() puts in the place of node's. */
export const httpsReplacements = { createServer, Server };

const https = Object.defineProperties({} as typeof nodeHttps, Object.getOwnPropertyDescriptors(nodeHttps));
for (const [name, value] of Object.entries(httpsReplacements)) {
  Object.defineProperty(https, name, { value, writable: true, enumerable: true, configurable: true });
}

export * from 'node:https';
export { https as default, https as 'module.exports' };
