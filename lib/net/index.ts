/**
 * gammaloop/net: everything that node:net exports, sockets and servers on the engine; beside them transports and protocols, and streams to be awaited.
 * docs/net.md. By `require` it is an object of node's own properties.
 */
import nodeNet from 'node:net';
import {
  ConnectError,
  ConnectionError,
  DatagramQueueError,
  IncompleteReadError,
  ListenError,
  ReadLimitError,
} from '../errors.js';
import { connectProtocol } from './connect.js';
import { DatagramTransport } from './datagram.js';
import { netReplacements } from './drop-in/module.js';
import { listen, StreamServer } from './listen.js';
import { openDatagram } from './open-datagram.js';
import { connectStream, listenStreams, ProtocolStream } from './stream.js';
import { Transport } from './transport.js';

export * from 'node:net';
export {
  ConnectError,
  ConnectionError,
  DatagramQueueError,
  IncompleteReadError,
  ListenError,
  ReadLimitError,
} from '../errors.js';
export { connectProtocol } from './connect.js';
export { type DatagramAddress, type DatagramProtocol, DatagramTransport } from './datagram.js';
export { listen, StreamServer } from './listen.js';
export { type DatagramOptions, openDatagram } from './open-datagram.js';
export type { ConnectOptions, ListenOptions } from './options.js';
export type { AnyProtocol, BaseProtocol, BufferedProtocol, Protocol, ProtocolFactory } from './protocol.js';
export { connectStream, listenStreams, ProtocolStream, type ReadOptions } from './stream.js';
export { type Endpoint, Transport } from './transport.js';

export const { connect, createConnection, createServer, Server, Socket, Stream } = netReplacements;
export type Server = nodeNet.Server;
export type Socket = nodeNet.Socket;

const net = Object.defineProperties({} as typeof nodeNet & typeof ours, Object.getOwnPropertyDescriptors(nodeNet));
const ours = {
  ...{ ConnectError, ConnectionError, DatagramQueueError, IncompleteReadError, ListenError, ReadLimitError },
  ...{ DatagramTransport, openDatagram },
  ...{ connectProtocol, connectStream, listen, listenStreams, ProtocolStream, StreamServer, Transport },
};
for (const [name, value] of Object.entries({ ...netReplacements, ...ours })) {
  Object.defineProperty(net, name, { value, writable: true, enumerable: true, configurable: true });
}

export { net as default, net as 'module.exports' };
