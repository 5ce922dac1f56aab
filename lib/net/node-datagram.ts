/** Datagram endpoints on node:dgram: the `node` backend. */
import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { ConnectError, ListenError } from '../errors.js';
import { type DatagramAddress, type DatagramSetter, type DatagramTarget, DatagramTransport } from './datagram.js';

/** What came while reading was paused: node's sockets cannot stop. More is dropped, as the system would. */
const HELD_BYTES = 256 * 1024;

export class NodeDatagramTransport extends DatagramTransport {
  readonly backend = 'node';
  readonly local: DatagramAddress;
  readonly remote: DatagramAddress | null;
  readonly #socket: Socket;
  readonly #isV6: boolean;
  #held: [data: Buffer, from: DatagramAddress][] = [];
  #heldBytes = 0;
  #isReading = true;
  #unsent = 0;
  #isDraining = false;

  /** `socket` is bound, and connected where there is a peer. */
  constructor(socket: Socket, isConnected: boolean, maxQueueBytes: number) {
    super(maxQueueBytes);
    this.#socket = socket;
    this.local = addressOf(socket.address());
    this.remote = isConnected ? addressOf(socket.remoteAddress()) : null;
    this.#isV6 = this.local.family === 'IPv6';
    socket.on('message', (data, from) => this.#onMessage(data, addressOf(from)));
    socket.on('error', (error: NodeJS.ErrnoException) => this.failed(error));
  }

  ref(): this {
    this.#socket.ref();
    return this;
  }

  unref(): this {
    this.#socket.unref();
    return this;
  }

  #onMessage(data: Buffer, from: DatagramAddress): void {
    if (this.#isReading && this.#held.length === 0) {
      this.received(data, from);
    } else if (this.#heldBytes + data.length > HELD_BYTES) {
      this.datagramsDropped++;
    } else {
      this.#held.push([data, from]);
      this.#heldBytes += data.length;
    }
  }

  protected setReading(on: boolean): void {
    this.#isReading = on;
    if (on && this.#held.length > 0) process.nextTick(() => this.#deliverHeld());
  }

  #deliverHeld(): void {
    while (this.#isReading && this.#held.length > 0) {
      const [data, from] = this.#held.shift() as [Buffer, DatagramAddress];
      this.#heldBytes -= data.length;
      this.received(data, from);
    }
  }

  protected setOption(setter: DatagramSetter, value: number): void {
    this.#socket[setter](value as never);
  }

  protected getOption(setter: DatagramSetter): number {
    return setter === 'setRecvBufferSize' ? this.#socket.getRecvBufferSize() : this.#socket.getSendBufferSize();
  }

  protected changeMembership(join: boolean, group: string, networkInterface: string, source: string): void {
    const socket = this.#socket;
    const at = networkInterface === '' ? undefined : networkInterface;
    if (source === '') socket[join ? 'addMembership' : 'dropMembership'](group, at);
    else socket[join ? 'addSourceSpecificMembership' : 'dropSourceSpecificMembership'](source, group, at);
  }

  protected chooseInterface(networkInterface: string): void {
    this.#socket.setMulticastInterface(networkInterface);
  }

  protected send(data: Buffer, to: DatagramAddress | null): void {
    this.#unsent++;
    const done = (error: Error | null): void => {
      this.#unsent--;
      this.settled(data.length, error);
      if (this.#isDraining && this.#unsent === 0) this.#finish();
    };
    if (to === null) this.#socket.send(data, done);
    else {
      const address = this.#isV6 && to.family === 'IPv4' ? `::ffff:${to.address}` : to.address;
      this.#socket.send(data, to.port, address, done);
    }
  }

  protected shut(drain: boolean): void {
    this.#held = [];
    if (!drain) this.#socket.close();
    else if (this.#unsent === 0) this.#finish();
    else this.#isDraining = true;
  }

  #finish(): void {
    this.#isDraining = false;
    this.#socket.close();
    this.lose(null);
  }
}

/** Rejects with a ListenError or a ConnectError. */
export async function openNodeDatagram(target: DatagramTarget, maxQueueBytes: number): Promise<NodeDatagramTransport> {
  const { hostname, port, remoteHostname, remotePort, ipv6Only, reuseAddr, reusePort, broadcast } = target;
  const isV4 = isIP(hostname || remoteHostname) === 4;
  const options: SocketOptions & { reusePort?: boolean } = { type: isV4 ? 'udp4' : 'udp6', ipv6Only, reuseAddr };
  if (reusePort) options.reusePort = true;
  if (target.receiveBufferBytes !== 0) options.recvBufferSize = target.receiveBufferBytes;
  if (target.sendBufferBytes !== 0) options.sendBufferSize = target.sendBufferBytes;
  const socket = createSocket(options);
  try {
    socket.bind({ port, exclusive: true, ...(hostname !== '' && { address: hostname }) });
    await once(socket, 'listening');
    if (broadcast) socket.setBroadcast(true);
  } catch (error) {
    socket.close();
    throw new ListenError({ ...detailsOf(error), address: hostname, port });
  }
  if (remoteHostname === '') return new NodeDatagramTransport(socket, false, maxQueueBytes);
  try {
    socket.connect(remotePort, remoteHostname);
    await once(socket, 'connect');
    return new NodeDatagramTransport(socket, true, maxQueueBytes);
  } catch (error) {
    socket.close();
    throw new ConnectError({ ...detailsOf(error), address: remoteHostname, port: remotePort });
  }
}

function detailsOf(error: unknown): { code: string; errno: number | undefined; syscall: string | undefined } {
  const { code = 'UNKNOWN', errno, syscall } = error as NodeJS.ErrnoException;
  return { code, errno, syscall };
}

function addressOf({
  address,
  port,
  family,
}: Pick<RemoteInfo, 'address' | 'port'> & { family: string }): DatagramAddress {
  return Object.freeze({ address, port, family: family === 'IPv6' ? 'IPv6' : 'IPv4' });
}
