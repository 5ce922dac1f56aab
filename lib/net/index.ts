/** gammaloop/net: transports and protocols. docs/net.md. */
export { ConnectError, ConnectionError, IncompleteReadError, ListenError, ReadLimitError } from '../errors.js';
export { connect } from './connect.js';
export { listen, StreamServer } from './listen.js';
export type { ConnectOptions, ListenOptions } from './options.js';
export type { AnyProtocol, BaseProtocol, BufferedProtocol, Protocol, ProtocolFactory } from './protocol.js';
export { connectStream, listenStreams, type ReadOptions, Stream } from './stream.js';
export { type Endpoint, Transport } from './transport.js';
