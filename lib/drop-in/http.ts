/**
 * `gammaloop/http`: everything that node:http exports, the server's side being ours. The client's side, agents and tables are node's own.
 *
 * By `require` it is an object of node's own properties, getters included, so that `http.globalAgent = agent` reaches node's module.
 */
import nodeHttp from 'node:http';
import { IncomingMessage as OurIncomingMessage } from './incoming-message.js';
import { Server as OurServer } from './server.js';
import { ServerResponse as OurServerResponse } from './server-response.js';

type Requests = typeof nodeHttp.IncomingMessage;
type Responses<Q extends Requests> = typeof nodeHttp.ServerResponse<InstanceType<Q>>;

// To TypeScript they are node's classes.
export const Server = OurServer as unknown as typeof nodeHttp.Server;
export type Server<Q extends Requests = Requests, S extends Responses<Q> = Responses<Q>> = nodeHttp.Server<Q, S>;
export const IncomingMessage = OurIncomingMessage as unknown as typeof nodeHttp.IncomingMessage;
export type IncomingMessage = nodeHttp.IncomingMessage;
export const ServerResponse = OurServerResponse as unknown as typeof nodeHttp.ServerResponse;
export type ServerResponse<Q extends IncomingMessage = IncomingMessage> = nodeHttp.ServerResponse<Q>;

function createOurs(options?: object, requestListener?: nodeHttp.RequestListener): object {
  return new OurServer(options, requestListener);
}
// As node's: programs look at them, and wrappers copy them.
for (const property of ['name', 'length'] as const) {
  Object.defineProperty(createOurs, property, { value: nodeHttp.createServer[property], configurable: true });
}
export const createServer = createOurs as unknown as typeof nodeHttp.createServer;

/** What install() puts in the place of node's. */
export const httpReplacements = { createServer, Server, IncomingMessage, ServerResponse };

const http = Object.defineProperties({} as typeof nodeHttp, Object.getOwnPropertyDescriptors(nodeHttp));
for (const [name, value] of Object.entries(httpReplacements)) {
  Object.defineProperty(http, name, { value, writable: true, enumerable: true, configurable: true });
}

export * from 'node:http';
export { http as default, http as 'module.exports' };
