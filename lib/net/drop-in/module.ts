/**
 * What install() puts in the place of node:net's, and `gammaloop/net` exports: to TypeScript they are node's. The rest (BlockList, SocketAddress, isIP ...) is
 * node's own.
 */
import nodeNet from 'node:net';
import { Server as OurServer } from './server.js';
import { Socket as OurSocket, connect as ourConnect } from './socket.js';

const Server = OurServer as unknown as typeof nodeNet.Server;
const Socket = OurSocket as unknown as typeof nodeNet.Socket;
const connect = ourConnect as unknown as typeof nodeNet.connect;

function createOurs(options?: object, connectionListener?: (socket: nodeNet.Socket) => void): object {
  return new OurServer(options, connectionListener);
}
// As node's: programs look at them, and wrappers copy them.
for (const [ours, nodes] of [
  [createOurs, nodeNet.createServer],
  [ourConnect, nodeNet.connect],
] as const) {
  for (const property of ['name', 'length'] as const) {
    Object.defineProperty(ours, property, { value: nodes[property], configurable: true });
  }
}
const createServer = createOurs as unknown as typeof nodeNet.createServer;

export const netReplacements = {
  connect,
  createConnection: connect,
  createServer,
  Server,
  Socket,
  /** The name that it had once. */
  Stream: Socket,
};
