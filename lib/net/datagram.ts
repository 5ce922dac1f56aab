/**
 * UDP, asyncio's way: a datagram endpoint is a transport, which sends and receives, and a protocol, whose methods are called. The backends' halves
 * (native-datagram.ts, node-datagram.ts) carry out and report; the order of the calls, the queue's limits and pausing are decided here.
 */
import { AsyncResource } from 'node:async_hooks';
import { isIP } from 'node:net';
import { ClosedError, DatagramQueueError, OptionError } from '../errors.js';

/** Where a datagram came from, or goes to. */
export interface DatagramAddress {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

/** Called in this order: connectionMade, then any number of the middle ones, then connectionLost, once. */
export interface DatagramProtocol {
  connectionMade?(transport: DatagramTransport): void;
  /** `data` is the protocol's own. */
  datagramReceived?(data: Buffer, from: DatagramAddress): void;
  /** A datagram could not be sent or received (ECONNREFUSED, EMSGSIZE ...; code, errno and syscall as node's). The endpoint stays open. */
  errorReceived?(error: NodeJS.ErrnoException): void;
  /** More than the high watermark waits to be sent. */
  pauseWriting?(): void;
  /** Less than the low one does. */
  resumeWriting?(): void;
  /** Null: closed from here. */
  connectionLost?(error: Error | null): void;
}

/** What to open. Names are addresses, and an empty one is all of them. */
export interface DatagramTarget {
  readonly hostname: string;
  readonly port: number;
  readonly remoteHostname: string;
  readonly remotePort: number;
  readonly ipv6Only: boolean;
  readonly reuseAddr: boolean;
  readonly reusePort: boolean;
  readonly broadcast: boolean;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
}

/** What sets an option, by node:dgram's name; in the order of DatagramOption of native/sys/datagrams.h. */
export const datagramSetters = [
  'setTTL',
  'setMulticastTTL',
  'setMulticastLoopback',
  'setBroadcast',
  'setRecvBufferSize',
  'setSendBufferSize',
] as const;
export type DatagramSetter = (typeof datagramSetters)[number];

const DEFAULT_HIGH_WATER_BYTES = 64 * 1024;
/** What a datagram counts in the queue beside its bytes: the header of UDP. An empty one is not nothing. */
const HEADER_BYTES = 8;
/** The longest over IPv4; over IPv6 20 more would go. */
const MAX_DATAGRAM_BYTES = 65_507;

export abstract class DatagramTransport extends AsyncResource {
  abstract readonly backend: 'native' | 'node';
  abstract readonly local: DatagramAddress;
  /** Null: not connected to one peer. */
  abstract readonly remote: DatagramAddress | null;
  datagramsReceived = 0;
  datagramsSent = 0;
  /** Those that were lost here: cut ones, and on the `node` backend what came in a pause and did not fit. */
  datagramsDropped = 0;
  #protocol: DatagramProtocol = {};
  readonly #maxQueueBytes: number;
  #queuedBytes = 0;
  #high = DEFAULT_HIGH_WATER_BYTES;
  #low = DEFAULT_HIGH_WATER_BYTES / 4;
  #writingPaused = false;
  #closing = false;
  #lost = false;

  constructor(maxQueueBytes: number) {
    super('GammaloopDatagram');
    this.#maxQueueBytes = maxQueueBytes;
  }

  protected abstract send(data: Buffer, to: DatagramAddress | null): void;
  protected abstract setReading(on: boolean): void;
  // These throw as node:dgram's methods do; an empty interface is the system's choice, an empty source is anybody.
  protected abstract setOption(setter: DatagramSetter, value: number): void;
  protected abstract getOption(setter: DatagramSetter): number;
  protected abstract changeMembership(join: boolean, group: string, networkInterface: string, source: string): void;
  protected abstract chooseInterface(networkInterface: string): void;
  /** `drain`: after what waits was sent. closed() follows. */
  protected abstract shut(drain: boolean): void;
  abstract ref(): this;
  abstract unref(): this;

  get protocol(): DatagramProtocol {
    return this.#protocol;
  }

  get isClosing(): boolean {
    return this.#closing;
  }

  /**
   * Sends one datagram: strings as UTF-8, bytes copied. `to` has a literal address; it is left out where the endpoint has a `remote`, and only there. What is
   * sent in one turn of the loop leaves in as few system calls as the system allows. Failures are told to errorReceived. Throws DatagramQueueError where
   * more than `maxQueueBytes` would wait, ClosedError after close.
   */
  sendTo(data: string | Uint8Array, to?: { address: string; port: number }): void {
    this.#checkOpen();
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new OptionError('data', 'a string or a Uint8Array', data);
    }
    const target = this.#targetOf(to);
    const bytes = Buffer.from(data as string);
    if (bytes.length > MAX_DATAGRAM_BYTES) {
      throw new OptionError('data', `at most ${MAX_DATAGRAM_BYTES} bytes`, bytes.length);
    }
    const cost = bytes.length + HEADER_BYTES;
    if (this.#queuedBytes + cost > this.#maxQueueBytes) throw new DatagramQueueError(this.#maxQueueBytes);
    this.#queuedBytes += cost;
    this.send(bytes, target);
    if (this.#queuedBytes <= this.#high || this.#writingPaused) return;
    this.#writingPaused = true;
    this.#call(() => this.#protocol.pauseWriting?.());
  }

  /** With the 8 bytes of each one's header. */
  writeBufferSize(): number {
    return this.#queuedBytes;
  }

  /** Default: `high` 65536, `low` a quarter of it. */
  setWriteBufferLimits({
    high = DEFAULT_HIGH_WATER_BYTES,
    low = Math.floor(high / 4),
  }: {
    high?: number;
    low?: number;
  }): void {
    if (!(Number.isInteger(high) && Number.isInteger(low) && high >= low && low >= 0)) {
      throw new OptionError('limits', 'integers with high >= low >= 0', { high, low });
    }
    this.#high = high;
    this.#low = low;
  }

  /** Nothing is received until resumeReading: the system keeps what comes, as far as its buffer goes. */
  pauseReading(): void {
    if (!this.#closing) this.setReading(false);
  }

  resumeReading(): void {
    if (!this.#closing) this.setReading(true);
  }

  // As node:dgram's methods of these names: what the system refuses is an error with its code, errno and syscall.

  /** Hops of what is sent to one address, 1 to 255. */
  setTTL(hops: number): void {
    this.#set('setTTL', 'hops', hops, 1, 255);
  }

  /** Hops of what is sent to groups, 0 (this machine) to 255. The system's default is 1. */
  setMulticastTTL(hops: number): void {
    this.#set('setMulticastTTL', 'hops', hops, 0, 255);
  }

  /** Whether this machine gets what it sends to groups. The system's default is true. */
  setMulticastLoopback(on: boolean): void {
    this.#switch('setMulticastLoopback', on);
  }

  /** Whether broadcast addresses may be sent to. */
  setBroadcast(on: boolean): void {
    this.#switch('setBroadcast', on);
  }

  /** The system's own buffer, in bytes; Linux doubles what it is given. */
  setRecvBufferSize(bytes: number): void {
    this.#set('setRecvBufferSize', 'bytes', bytes, 1, 2 ** 31 - 1);
  }

  setSendBufferSize(bytes: number): void {
    this.#set('setSendBufferSize', 'bytes', bytes, 1, 2 ** 31 - 1);
  }

  getRecvBufferSize(): number {
    this.#checkOpen();
    return this.getOption('setRecvBufferSize');
  }

  getSendBufferSize(): number {
    this.#checkOpen();
    return this.getOption('setSendBufferSize');
  }

  /** Where what is sent to groups leaves: an IPv4 address of the interface, or for an IPv6 endpoint `::%eth0`. */
  setMulticastInterface(networkInterface: string): void {
    this.#checkOpen();
    checkLiteral('networkInterface', networkInterface);
    this.chooseInterface(networkInterface);
  }

  /** Receives what is sent to `group`, on an interface (as above) or on the one that the system chooses. */
  addMembership(group: string, networkInterface?: string): void {
    this.#change(true, group, networkInterface);
  }

  dropMembership(group: string, networkInterface?: string): void {
    this.#change(false, group, networkInterface);
  }

  /** The same, of what `source` sends. */
  addSourceSpecificMembership(source: string, group: string, networkInterface?: string): void {
    checkLiteral('source', source);
    this.#change(true, group, networkInterface, source);
  }

  dropSourceSpecificMembership(source: string, group: string, networkInterface?: string): void {
    checkLiteral('source', source);
    this.#change(false, group, networkInterface, source);
  }

  #checkOpen(): void {
    if (this.#closing) throw new ClosedError('The datagram endpoint');
  }

  #set(setter: DatagramSetter, name: string, value: number, min: number, max: number): void {
    this.#checkOpen();
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new OptionError(name, `an integer from ${min} to ${max}`, value);
    }
    this.setOption(setter, value);
  }

  #switch(setter: DatagramSetter, on: boolean): void {
    this.#checkOpen();
    if (typeof on !== 'boolean') throw new OptionError('on', 'true or false', on);
    this.setOption(setter, on ? 1 : 0);
  }

  #change(join: boolean, group: string, networkInterface: string | undefined, source = ''): void {
    this.#checkOpen();
    checkLiteral('group', group);
    if (networkInterface !== undefined) checkLiteral('networkInterface', networkInterface);
    this.changeMembership(join, group, networkInterface ?? '', source);
  }

  /** Closes after what was sent; nothing is received any more. connectionLost(null) follows. May be called again. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.shut(true);
  }

  /** Closes at once; what waits is lost. connectionLost follows, with `error`. */
  abort(error: Error | null = null): void {
    if (this.#lost) return;
    this.#closing = true;
    this.shut(false);
    this.lose(error);
  }

  // What the backend's half reports.

  /** @internal Throws what the factory throws. */
  begin(factory: () => DatagramProtocol): DatagramProtocol {
    let protocol: DatagramProtocol;
    try {
      protocol = this.runInAsyncScope(factory);
      if (typeof protocol !== 'object' || protocol === null) throw new OptionError('protocol', 'an object', protocol);
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#protocol = protocol;
    this.#call(() => protocol.connectionMade?.(this));
    return protocol;
  }

  protected received(data: Buffer, from: DatagramAddress): void {
    if (this.#closing) return;
    this.datagramsReceived++;
    const protocol = this.#protocol;
    if (protocol.datagramReceived === undefined) return;
    try {
      this.runInAsyncScope(protocol.datagramReceived, protocol, data, from);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A datagram of `byteCount` bytes has left, or will not; `error`: why not. */
  protected settled(byteCount: number, error: NodeJS.ErrnoException | null): void {
    this.#queuedBytes -= byteCount + HEADER_BYTES;
    if (error === null) this.datagramsSent++;
    else this.failed(error);
    if (!this.#writingPaused || this.#queuedBytes > this.#low || this.#lost) return;
    this.#writingPaused = false;
    this.#call(() => this.#protocol.resumeWriting?.());
  }

  protected failed(error: NodeJS.ErrnoException): void {
    if (!this.#lost) this.#call(() => this.#protocol.errorReceived?.(error));
  }

  /** It is over. */
  protected lose(error: Error | null): void {
    if (this.#lost) return;
    this.#lost = this.#closing = true;
    process.nextTick(() => {
      this.#call(() => this.#protocol.connectionLost?.(error));
      this.emitDestroy();
    });
  }

  #targetOf(to: { address: string; port: number } | undefined): DatagramAddress | null {
    if (this.remote !== null) {
      if (to !== undefined) throw new OptionError('to', 'nothing: the endpoint has one peer', to);
      return null;
    }
    const { address, port } = to ?? {};
    const family = typeof address === 'string' ? isIP(address) : 0;
    if (family === 0 || !Number.isInteger(port) || (port as number) < 1 || (port as number) > 65_535) {
      throw new OptionError('to', 'a literal address and a port from 1 to 65535', to);
    }
    return { address: address as string, port: port as number, family: family === 4 ? 'IPv4' : 'IPv6' };
  }

  #call(callback: () => void): void {
    try {
      this.runInAsyncScope(callback);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.abort(error instanceof Error ? error : new Error(String(error)));
    process.nextTick(() => {
      throw error;
    });
  }
}

function checkLiteral(name: string, address: string): void {
  if (typeof address !== 'string' || isIP(address) === 0) throw new OptionError(name, 'a literal address', address);
}
