/** openDatagram(): the options of a datagram endpoint, checked; names become addresses; the backend that carries it. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { BackendChoice } from '../backend/choose.js';
import { ConnectError, ListenError, OptionError } from '../errors.js';
import type { DatagramProtocol, DatagramTarget, DatagramTransport } from './datagram.js';
import { backendOf, checkKnown } from './options.js';

export interface DatagramOptions {
  /** Where to receive. Default 0: any free one. */
  port?: number;
  /** An address or a name. Default: all addresses, IPv6 and IPv4, or those of the family of `remote`. */
  hostname?: string;
  /** The one peer: only its datagrams come, `sendTo` needs no address, and its refusals are told to errorReceived. */
  remote?: { hostname: string; port: number };
  ipv6Only?: boolean;
  /** Several endpoints may have the port: each gets what is sent to a group or by broadcast, one of them the rest. */
  reuseAddr?: boolean;
  reusePort?: boolean;
  broadcast?: boolean;
  /** Of the system's. Default: the system's own. */
  receiveBufferBytes?: number;
  sendBufferBytes?: number;
  /** Of what waits to be sent, at most; one more throws a DatagramQueueError. Default 1 MiB. */
  maxQueueBytes?: number;
  backend?: BackendChoice;
}

const OPTIONS = [
  'port',
  'hostname',
  'remote',
  'ipv6Only',
  'reuseAddr',
  'reusePort',
  'broadcast',
  'receiveBufferBytes',
  'sendBufferBytes',
  'maxQueueBytes',
  'backend',
];
const DEFAULT_MAX_QUEUE_BYTES = 1024 * 1024;

/**
 * Opens a datagram endpoint, and makes its protocol of `factory`, whose connectionMade is called before this resolves. Rejects with a ListenError or, about
 * the `remote`, a ConnectError (codes as node gives them), an OptionError, or an AddonMissingError where `backend: 'native'` asks for what does not load.
 */
export async function openDatagram<P extends DatagramProtocol>(
  options: DatagramOptions,
  factory: () => P,
): Promise<{ transport: DatagramTransport; protocol: P }> {
  if (typeof factory !== 'function') throw new OptionError('factory', 'a function that returns a protocol', factory);
  checkKnown(options, OPTIONS);
  const maxQueueBytes = integer('maxQueueBytes', options.maxQueueBytes, DEFAULT_MAX_QUEUE_BYTES, 1);
  const target = await checkDatagram(options);
  const native = (await backendOf(options.backend)) === 'native';
  const transport = native
    ? new (await import('./native-datagram.js')).NativeDatagramTransport(target, maxQueueBytes)
    : await (await import('./node-datagram.js')).openNodeDatagram(target, maxQueueBytes);
  const protocol = transport.begin(factory) as P;
  return { transport, protocol };
}

async function checkDatagram(options: DatagramOptions): Promise<DatagramTarget> {
  const { remote, ipv6Only = false, reuseAddr = false, reusePort = false, broadcast = false } = options;
  const port = integer('port', options.port, 0, 0, 65_535);
  const remotePort = remote === undefined ? 0 : integer('remote.port', remote.port, -1, 1, 65_535);
  for (const [name, value] of Object.entries({ ipv6Only, reuseAddr, reusePort, broadcast })) {
    if (typeof value !== 'boolean') throw new OptionError(name, 'true or false', value);
  }
  const common = {
    ...{ port, remotePort, ipv6Only, reuseAddr, reusePort, broadcast },
    receiveBufferBytes: integer('receiveBufferBytes', options.receiveBufferBytes, 0, 0),
    sendBufferBytes: integer('sendBufferBytes', options.sendBufferBytes, 0, 0),
  };
  const remoteHostname =
    remote === undefined ? '' : await addressOf('remote.hostname', remote.hostname, remotePort, ConnectError, 0);
  // A name has addresses of both families: that of the peer's is wanted.
  const family = isIP(remoteHostname);
  const hostname =
    options.hostname === undefined ? '' : await addressOf('hostname', options.hostname, port, ListenError, family);
  return { ...common, hostname, remoteHostname };
}

async function addressOf(
  option: string,
  name: string,
  port: number,
  Failure: typeof ListenError | typeof ConnectError,
  family: number,
): Promise<string> {
  if (typeof name !== 'string' || name === '') throw new OptionError(option, 'a text that is not empty', name);
  if (isIP(name) !== 0) return name;
  try {
    return (await lookup(name, { family })).address;
  } catch (error) {
    const { code = 'ENOTFOUND', errno, syscall } = error as NodeJS.ErrnoException;
    throw new Failure({ code, errno, syscall, address: name, port, cause: error });
  }
}

function integer(name: string, value: number | undefined, fallback: number, min: number, max = 2 ** 31 - 1): number {
  const number = value ?? fallback;
  if (!Number.isInteger(number) || number < min || number > max) {
    throw new OptionError(name, `an integer from ${min} to ${max}`, value);
  }
  return number;
}
