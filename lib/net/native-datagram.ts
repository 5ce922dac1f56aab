/** Datagram endpoints on native sockets, watched by a selector: batches of datagrams in both directions. */
import { getSystemErrorName } from 'node:util';
import {
  DATAGRAM_COUNT_BITS,
  DATAGRAM_TRUNCATED_BIT,
  DATAGRAM_WORDS,
  loadBinding,
  MAX_DATAGRAMS,
  type NativeDatagram,
  type NativeEndpoint,
} from '../bridge/binding.js';
import { ConnectError, ListenError } from '../errors.js';
import { Interest, Readiness, Selector } from '../selector/selector.js';
import {
  type DatagramAddress,
  type DatagramSetter,
  type DatagramTarget,
  DatagramTransport,
  datagramSetters,
} from './datagram.js';
import { systemError } from './system-error.js';

/** Room for any datagram. */
const PART_BYTES = 64 * 1024;
/** Batches that are received before others get their turn. */
const ROUNDS = 4;
/** The same for sending: what is left goes on with the next turn. */
const SEND_ROUNDS = 32;
/** Peers whose words and texts are remembered. */
const MAX_KNOWN = 1024;

const COUNT_MASK = (1 << DATAGRAM_COUNT_BITS) - 1;

interface Waiting {
  readonly data: Buffer;
  readonly to: DatagramAddress | null;
}

/** Memory that all endpoints of this environment receive into and send from: nothing stays in it between two calls. */
interface Scratch {
  readonly memory: Buffer;
  readonly words: Uint32Array;
}

let incoming: Scratch | null = null;
let outgoing: Scratch | null = null;

function scratch(): Scratch {
  return {
    memory: Buffer.allocUnsafeSlow(MAX_DATAGRAMS * PART_BYTES),
    words: new Uint32Array(MAX_DATAGRAMS * DATAGRAM_WORDS),
  };
}

export class NativeDatagramTransport extends DatagramTransport {
  readonly backend = 'native';
  readonly local: DatagramAddress;
  readonly remote: DatagramAddress | null;
  readonly #socket: NativeDatagram;
  readonly #fd: number;
  readonly #selector = new Selector<null>({ batch: 1 });
  readonly #isV6: boolean;
  #interest: Interest = Interest.Read;
  #queue: Waiting[] = [];
  /** What came with a batch in which reading was paused. */
  #held: [data: Buffer, from: DatagramAddress][] = [];
  #isReading = true;
  #isFlushing = false;
  #isDraining = false;
  #isShut = false;
  readonly #texts = new Map<string, DatagramAddress>();
  readonly #parsed = new Map<string, Uint32Array>();

  /** Throws a ListenError or a ConnectError. */
  constructor(target: DatagramTarget, maxQueueBytes: number) {
    super(maxQueueBytes);
    try {
      this.#socket = new (loadBinding().Datagram)(target);
    } catch (error) {
      this.#selector.close();
      throw failureOf(error, target);
    }
    const [remote, local] = this.#socket.ends();
    this.local = addressOf(local) as DatagramAddress;
    this.remote = addressOf(remote);
    this.#isV6 = this.local.family === 'IPv6';
    this.#fd = this.#socket.fd();
    this.#selector.register(this.#fd, Interest.Read, null);
    this.#selector.onBatch((events) => {
      if (events !== null && events.length > 0) this.#onReady(events[0]?.readiness ?? 0);
    });
    this.#selector.arm(true);
  }

  ref(): this {
    if (!this.#isShut) this.#selector.ref();
    return this;
  }

  unref(): this {
    if (!this.#isShut) this.#selector.unref();
    return this;
  }

  #onReady(readiness: number): void {
    if (readiness === Readiness.Closed) {
      this.#release();
      this.lose(systemError(9, 'poll'));
      return;
    }
    // Errors wait in the socket, and come with the next call.
    if ((readiness & ~Readiness.Writable) !== 0) this.#receive();
    if (!this.#isShut) this.#flush();
  }

  // Receiving.

  protected setReading(on: boolean): void {
    if (this.#isReading === on) return;
    this.#isReading = on;
    if (on && this.#held.length > 0) process.nextTick(() => this.#deliverHeld());
    this.#watch();
  }

  #deliverHeld(): void {
    while (this.#isReading && this.#held.length > 0)
      this.received(...(this.#held.shift() as [Buffer, DatagramAddress]));
  }

  #receive(): void {
    incoming ??= scratch();
    const { memory, words } = incoming;
    for (let round = 0; round < ROUNDS && !this.#isShut; round++) {
      const moved = this.#socket.receive(memory, words);
      const count = moved & COUNT_MASK;
      const errno = moved >>> DATAGRAM_COUNT_BITS;
      // Taken out before any of them is told: a handler may open an endpoint of its own.
      const batch = Array.from({ length: count }, (_, index) => this.#take(index));
      for (const datagram of batch) {
        if (datagram === null) this.datagramsDropped++;
        else if (this.#isReading && this.#held.length === 0) this.received(...datagram);
        else this.#held.push(datagram);
      }
      if (errno !== 0) {
        if (!this.#isShut) this.failed(systemError(errno, 'recvmsg'));
        return;
      }
      if (count < MAX_DATAGRAMS || !this.#isReading) return;
    }
  }

  /** Null: it was cut. */
  #take(index: number): [Buffer, DatagramAddress] | null {
    const { memory, words } = incoming as Scratch;
    const at = index * DATAGRAM_WORDS;
    const start = words[at] as number;
    const length = words[at + 1] as number;
    if (length >= DATAGRAM_TRUNCATED_BIT) return null;
    const data = Buffer.allocUnsafe(length);
    memory.copy(data, 0, start, start + length);
    return [data, this.remote ?? this.#peerAt(words, index)];
  }

  #peerAt(words: Uint32Array, index: number): DatagramAddress {
    const at = index * DATAGRAM_WORDS + 2;
    const key = `${words[at]} ${words[at + 1]} ${words[at + 2]} ${words[at + 3]} ${words[at + 4]} ${words[at + 5]}`;
    let peer = this.#texts.get(key);
    if (peer === undefined) {
      const head = words[at] as number;
      peer = Object.freeze({
        address: loadBinding().Datagram.text(words, index),
        port: head & 0xffff,
        family: head >>> 16 === 4 ? 'IPv4' : 'IPv6',
      } as const);
      if (this.#texts.size >= MAX_KNOWN) this.#texts.clear();
      this.#texts.set(key, peer);
    }
    return peer;
  }

  // Sending.

  protected send(data: Buffer, to: DatagramAddress | null): void {
    this.#queue.push({ data, to });
    if (this.#isFlushing || this.#queue.length > 1) return;
    process.nextTick(() => this.#flush());
  }

  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    for (let round = 0; round < SEND_ROUNDS && this.#queue.length > 0 && !this.#isShut; round++) {
      const count = this.#pack();
      const moved = this.#socket.send((outgoing as Scratch).memory, (outgoing as Scratch).words, count);
      if (moved === 0) break;
      const errno = moved >>> DATAGRAM_COUNT_BITS;
      const sent = this.#queue.splice(0, moved & COUNT_MASK);
      // It would be refused again.
      const refused = errno === 0 ? undefined : this.#queue.shift();
      for (const { data } of sent) this.settled(data.length, null);
      if (refused !== undefined) this.settled(refused.data.length, systemError(errno, 'sendmsg'));
    }
    this.#isFlushing = false;
    if (this.#isShut) return;
    this.#watch();
    if (this.#isDraining && this.#queue.length === 0) this.#finish();
  }

  /** As many as one call takes. */
  #pack(): number {
    outgoing ??= scratch();
    const { memory, words } = outgoing;
    const count = Math.min(this.#queue.length, MAX_DATAGRAMS);
    let offset = 0;
    for (let i = 0; i < count; i++) {
      const { data, to } = this.#queue[i] as Waiting;
      const at = i * DATAGRAM_WORDS;
      if (to === null) words[at + 2] = 0;
      else words.set(this.#wordsOf(to).subarray(2), at + 2);
      words[at] = offset;
      words[at + 1] = data.length;
      offset += data.copy(memory, offset);
    }
    return count;
  }

  /** On a socket of IPv6 an address of IPv4 is a mapped one. */
  #wordsOf({ address, port, family }: DatagramAddress): Uint32Array {
    const text = this.#isV6 && family === 'IPv4' ? `::ffff:${address}` : address;
    const key = `${text} ${port}`;
    let words = this.#parsed.get(key);
    if (words === undefined) {
      words = new Uint32Array(DATAGRAM_WORDS);
      // What isIP takes for an address and the system does not (a scope that there is none of) is refused when it is sent to.
      loadBinding().Datagram.parse(text, port, words);
      if (this.#parsed.size >= MAX_KNOWN) this.#parsed.clear();
      this.#parsed.set(key, words);
    }
    return words;
  }

  // What can be set.

  protected setOption(setter: DatagramSetter, value: number): void {
    check(this.#socket.setOption(datagramSetters.indexOf(setter), value), setter);
  }

  protected getOption(setter: DatagramSetter): number {
    const value = this.#socket.option(datagramSetters.indexOf(setter));
    check(value, setter);
    return value;
  }

  protected changeMembership(join: boolean, group: string, networkInterface: string, source: string): void {
    const kind = source === '' ? 'Membership' : 'SourceSpecificMembership';
    const result = this.#socket.changeMembership(join, group, networkInterface, source);
    check(result, `${join ? 'add' : 'drop'}${kind}`);
  }

  protected chooseInterface(networkInterface: string): void {
    check(this.#socket.setMulticastInterface(networkInterface), 'setMulticastInterface');
  }

  #watch(): void {
    const read = this.#isReading && !this.#isDraining ? Interest.Read : Interest.None;
    const wanted = (read | (this.#queue.length > 0 ? Interest.Write : Interest.None)) as Interest;
    if (wanted === this.#interest || this.#isShut) return;
    this.#interest = wanted;
    this.#selector.modify(this.#fd, wanted, null);
  }

  // Closing.

  protected shut(drain: boolean): void {
    this.#held = [];
    if (!drain) {
      this.#release();
      return;
    }
    this.#isDraining = true;
    process.nextTick(() => this.#flush());
  }

  #finish(): void {
    this.#release();
    this.lose(null);
  }

  #release(): void {
    if (this.#isShut) return;
    this.#isShut = true;
    this.#queue = [];
    this.#selector.close();
    this.#socket.close();
  }
}

function check(result: number, syscall: string): void {
  if (result < 0) throw systemError(-result, syscall);
}

function addressOf({ address, port, family }: NativeEndpoint): DatagramAddress | null {
  if (address === undefined || port === undefined || family === undefined) return null;
  return Object.freeze({ address, port, family });
}

function failureOf(error: unknown, target: DatagramTarget): unknown {
  const { errno, syscall } = error as NodeJS.ErrnoException;
  if (errno === undefined || syscall === undefined) return error;
  const code = getSystemErrorName(errno);
  if (syscall !== 'connect')
    return new ListenError({ code, errno, syscall, address: target.hostname, port: target.port });
  return new ConnectError({ code, errno, syscall, address: target.remoteHostname, port: target.remotePort });
}
