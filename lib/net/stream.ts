/** Streams: a connection read by awaiting: exactly so many bytes, up to a separator, a line. As asyncio's streams, over a protocol of their own. */
import {
  BusyResourceError,
  ClosedError,
  ConnectionError,
  IncompleteReadError,
  OptionError,
  ReadLimitError,
} from '../errors.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';
import { connectProtocol } from './connect.js';
import { listen, type StreamServer } from './listen.js';
import type { ConnectOptions, ListenOptions } from './options.js';
import type { Protocol } from './protocol.js';
import type { Transport } from './transport.js';

export interface ReadOptions {
  /** Bytes within which the separator has to come. Default 65536. */
  limit?: number;
}

const DEFAULT_LIMIT_BYTES = 64 * 1024;
/** Beyond it reading pauses until somebody waits for more. */
const HIGH_WATER_BYTES = 2 * DEFAULT_LIMIT_BYTES;
const NEW_LINE = Buffer.from('\n');
const EMPTY = Buffer.alloc(0);

/** Every wait ends with the scope it is in; what has come stays for the next read. One task reads at a time (BusyResourceError). */
export class ProtocolStream implements Protocol {
  #transport: Transport | null = null;
  /** What has come and was not read, in order. */
  #chunks: Buffer[] = [];
  #size = 0;
  /** Where the first chunk grows while a separator is looked for: what is behind that chunk is free, and nobody has seen it. */
  #memory = EMPTY;
  #ended = false;
  #lost = false;
  #error: Error | null = null;
  #writingPaused = false;
  #reader: Waiter | null = null;
  readonly #drains = new Set<Waiter>();
  readonly #closes = new Set<Waiter>();
  readonly #readerOwner: WaiterOwner<void> = {
    onAbort: () => {
      this.#reader = null;
      return true;
    },
  };

  get transport(): Transport {
    return this.#transport as Transport;
  }

  // Reading.

  /** What has come, `most` bytes of it, and at least one; null at the end. */
  async read(most = Number.POSITIVE_INFINITY): Promise<Buffer | null> {
    if (!(most >= 1)) throw new OptionError('most', 'a number of bytes, 1 or more', most);
    while (this.#size === 0) {
      if (this.#isOver()) return null;
      await this.#more();
    }
    const first = this.#chunks[0] as Buffer;
    return this.#take(Math.min(most, first.length));
  }

  /** `count` bytes. Rejects with an IncompleteReadError where the stream ends before. */
  async readExactly(count: number): Promise<Buffer> {
    if (!Number.isInteger(count) || count < 0) throw new OptionError('count', 'an integer, 0 or more', count);
    while (this.#size < count) {
      if (this.#isOver()) throw new IncompleteReadError(this.#take(this.#size), count);
      await this.#more();
    }
    return this.#take(count);
  }

  /**
   * Everything up to `separator`, and that too. Rejects with a ReadLimitError where it does not come within the limit (the bytes stay), and with an
   * IncompleteReadError where the stream ends before.
   */
  async readUntil(separator: string | Uint8Array, { limit = DEFAULT_LIMIT_BYTES }: ReadOptions = {}): Promise<Buffer> {
    const mark = typeof separator === 'string' ? Buffer.from(separator) : separator;
    if (!(mark instanceof Uint8Array) || mark.length === 0) {
      throw new OptionError('separator', 'a text or bytes, not empty', separator);
    }
    const end = await this.#find(mark, limit);
    if (end < 0) throw new IncompleteReadError(this.#take(this.#size), null);
    return this.#take(end);
  }

  /** A line as UTF-8, without its \n or \r\n; also what stands behind the last one. Null at the end. Rejects with a ReadLimitError. */
  async readLine({ limit = DEFAULT_LIMIT_BYTES }: ReadOptions = {}): Promise<string | null> {
    const end = await this.#find(NEW_LINE, limit);
    if (end < 0) return this.#size === 0 ? null : this.#take(this.#size).toString();
    const line = this.#take(end);
    return line.toString('utf8', 0, line[end - 2] === 0x0d ? end - 2 : end - 1);
  }

  /** Lines until the end. */
  async *lines(options?: ReadOptions): AsyncGenerator<string, void, undefined> {
    for (let line = await this.readLine(options); line !== null; line = await this.readLine(options)) yield line;
  }

  /** Pieces as they come, until the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    for (let piece = await this.read(); piece !== null; piece = await this.read()) yield piece;
  }

  // Writing.

  /** See Transport.write. Await `drain` in between, where there is much. */
  write(data: string | Uint8Array): void {
    this.transport.write(data);
  }

  /** Resolves at once, or when less than the low watermark waits to be sent. Rejects where the connection is gone. */
  async drain(): Promise<void> {
    if (this.#lost) throw this.#error ?? new ClosedError('The connection');
    if (this.#writingPaused) await this.#wait(this.#drains);
  }

  /** Ends our side; reading goes on. */
  end(): void {
    this.transport.writeEof();
  }

  /** Closes after what was written; resolves when the connection is gone. */
  async close(): Promise<void> {
    this.transport.close();
    if (!this.#lost) await this.#wait(this.#closes);
  }

  /** Closes at once. */
  abort(): void {
    this.transport.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // From the transport.

  /** @internal */
  connectionMade(transport: Transport): void {
    this.#transport = transport;
  }

  /** @internal */
  dataReceived(data: Buffer): void {
    const isAwaited = this.#reader !== null;
    this.#chunks.push(data);
    this.#size += data.length;
    this.#settleReader();
    if (this.#size > HIGH_WATER_BYTES && !isAwaited) this.transport.pauseReading();
  }

  /** @internal */
  eofReceived(): boolean {
    this.#ended = true;
    this.#settleReader();
    return true;
  }

  /** @internal */
  connectionLost(error: Error | null): void {
    this.#lost = true;
    this.#error = error;
    this.#settleReader();
    for (const waiter of [...this.#drains]) waiter.reject(error ?? new ClosedError('The connection'));
    for (const waiter of [...this.#closes]) waiter.resolve();
    this.#drains.clear();
    this.#closes.clear();
  }

  /** @internal */
  pauseWriting(): void {
    this.#writingPaused = true;
  }

  /** @internal */
  resumeWriting(): void {
    this.#writingPaused = false;
    for (const waiter of [...this.#drains]) waiter.resolve();
    this.#drains.clear();
  }

  // Inside.

  /** Nothing more will come. Throws what broke the connection. */
  #isOver(): boolean {
    if (this.#error !== null) throw this.#error;
    return this.#ended || this.#lost;
  }

  /** The position behind `mark`; -1: the stream ended before. */
  async #find(mark: Uint8Array, limit: number): Promise<number> {
    if (!Number.isInteger(limit) || limit < mark.length) {
      throw new OptionError('limit', 'an integer, at least the separator', limit);
    }
    for (let searched = 0; ; ) {
      const bytes = this.#joined();
      const at = bytes.subarray(0, limit).indexOf(mark, searched);
      if (at >= 0) return at + mark.length;
      if (this.#size >= limit) throw new ReadLimitError(limit);
      if (this.#isOver()) return -1;
      searched = Math.max(0, this.#size - mark.length + 1);
      await this.#more();
    }
  }

  /** All in one piece, in memory that doubles: many small chunks are not copied again with each. */
  #joined(): Buffer {
    if (this.#chunks.length > 1) {
      const [first, ...others] = this.#chunks as [Buffer, ...Buffer[]];
      const isThere = first.buffer === this.#memory.buffer;
      let start = isThere ? first.byteOffset : 0;
      if (!isThere || start + this.#size > this.#memory.length) {
        this.#memory = Buffer.allocUnsafeSlow(2 * this.#size);
        first.copy(this.#memory);
        start = 0;
      }
      let end = start + first.length;
      for (const chunk of others) end += chunk.copy(this.#memory, end);
      this.#chunks = [this.#memory.subarray(start, end)];
    }
    return this.#chunks[0] ?? EMPTY;
  }

  #take(count: number): Buffer {
    if (count === 0) return Buffer.alloc(0);
    if (count > (this.#chunks[0] as Buffer).length) this.#chunks = [Buffer.concat(this.#chunks, this.#size)];
    const bytes = this.#chunks[0] as Buffer;
    this.#size -= count;
    if (count < bytes.length) {
      this.#chunks[0] = bytes.subarray(count);
    } else {
      this.#chunks.shift();
      this.#memory = EMPTY;
    }
    return bytes.subarray(0, count);
  }

  /** Until more has come, or the end. */
  async #more(): Promise<void> {
    if (this.#reader !== null) throw new BusyResourceError('The stream', 'reading from it');
    this.transport.resumeReading();
    this.#reader = new Waiter(this.#readerOwner);
    await this.#reader.park();
  }

  #settleReader(): void {
    const reader = this.#reader;
    this.#reader = null;
    reader?.resolve();
  }

  #wait(queue: Set<Waiter>): Promise<void> {
    const waiter: Waiter = new Waiter({ onAbort: () => queue.delete(waiter) });
    queue.add(waiter);
    return waiter.park();
  }
}

/** A connection as a stream; see `connectProtocol`. */
export async function connectStream(options: ConnectOptions): Promise<ProtocolStream> {
  return (await connectProtocol(options, () => new ProtocolStream())).protocol;
}

/**
 * A server whose connections are streams; see `listen`. `handler` runs for each. When it has returned the stream is closed; what it throws aborts
 * the connection and is an unhandledRejection, but for the ConnectionError of a connection that broke.
 */
export function listenStreams(
  options: ListenOptions,
  handler: (stream: ProtocolStream) => void | Promise<void>,
): Promise<StreamServer> {
  if (typeof handler !== 'function') throw new OptionError('handler', 'a function', handler);
  return listen(options, () => new ServedStream(handler));
}

class ServedStream extends ProtocolStream {
  readonly #handler: (stream: ProtocolStream) => void | Promise<void>;

  constructor(handler: (stream: ProtocolStream) => void | Promise<void>) {
    super();
    this.#handler = handler;
  }

  override connectionMade(transport: Transport): void {
    super.connectionMade(transport);
    void this.#serve();
  }

  async #serve(): Promise<void> {
    try {
      await this.#handler(this);
    } catch (error) {
      this.abort();
      // A peer that went away is no mistake of the handler's.
      if (!(error instanceof ConnectionError)) throw error;
    }
    await this.close();
  }
}
