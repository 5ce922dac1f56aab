/**
 * Transport: one connection, whatever carries it: what protocols have in their hands. The backends' halves (native-transport.ts, node-transport.ts) carry out
 * and report; the order of the protocol's calls, pausing and the watermarks are decided here.
 */
import { AsyncResource } from 'node:async_hooks';
import { isUint8Array } from 'node:util/types';
import { ownBytes, viewOf } from '../bridge/lent-buffers.js';
import { HANDLER } from '../diagnostics.js';
import { ClosedError, OptionError } from '../errors.js';
import { type AnyProtocol, type BufferedProtocol, isBuffered, type Protocol } from './protocol.js';

/** The other end or this one, as node's sockets name them; all undefined for unix sockets. */
export interface Endpoint {
  address: string | undefined;
  port: number | undefined;
  family: 'IPv4' | 'IPv6' | undefined;
}

/** What is suggested where nobody knows how much there is to receive: what libuv suggests. */
const RECEIVE_BYTES = 64 * 1024;
/** Of one connection, before others have their turn. */
const MAX_READS = 16;

export const DEFAULT_HIGH_WATER_BYTES = 256 * 1024;

export abstract class Transport extends AsyncResource {
  /** Bytes that were handed to the protocol, and that were written so far. */
  bytesRead = 0;
  bytesWritten = 0;
  #protocol: AnyProtocol | null = null;
  /** The same, where it has memory of its own. */
  #buffered: BufferedProtocol | null = null;
  /** What came while reading was paused, in order; null: the end. */
  #held: (Buffer | null)[] = [];
  /** The connection is gone; the protocol hears of it once it has had what is held. */
  #goneMeanwhile = false;
  #reading = true;
  #closing = false;
  #lost = false;
  #eofWritten = false;
  #abortedBy: Error | null = null;
  #writingPaused = false;
  /** No fewer bytes than wait to be sent: that is asked for only where it may be too much. */
  #mayWait = 0;
  /** @internal The server's: the connection is gone. */
  onGone: (() => void) | null = null;
  #high = DEFAULT_HIGH_WATER_BYTES;
  #low = DEFAULT_HIGH_WATER_BYTES / 4;

  constructor() {
    super('GammaloopTransport');
  }

  abstract readonly backend: 'native' | 'node';
  abstract readonly remote: Endpoint;
  abstract readonly local: Endpoint;
  /** Bytes that were written and not handed to the system. */
  abstract writeBufferSize(): number;
  abstract setNoDelay(on?: boolean): this;
  /** Probes after `delaySeconds` of silence (0: the system's default). */
  abstract setKeepAlive(on?: boolean, delaySeconds?: number): this;
  /** The connection keeps the process alive (the default), or does not. */
  abstract ref(): this;
  abstract unref(): this;

  protected abstract send(data: string | Uint8Array): number;
  protected abstract sendEof(): void;
  /** Close after what was written. */
  protected abstract startClosing(): void;
  protected abstract destroy(reset: boolean): void;
  /** `byHand`: `readable` instead of `received`, where the half can. */
  protected abstract setReading(on: boolean, byHand: boolean): void;
  /** Receives into `memory`, in `readable`. How many bytes; 0: none, and what else happened is told as ever. */
  protected abstract receive(memory: Uint8Array): number;
  /** `drained` once less than `low` bytes wait. */
  protected abstract watchDrain(low: number): void;

  get protocol(): AnyProtocol | null {
    return this.#protocol;
  }

  /** From the next call on `protocol` is called; its connectionMade is not. */
  setProtocol(protocol: AnyProtocol): void {
    this.#protocol = checkProtocol(protocol);
    const buffered = isBuffered(protocol) ? protocol : null;
    const isOtherKind = (buffered === null) !== (this.#buffered === null);
    this.#buffered = buffered;
    if (isOtherKind && !this.#closing) this.#read(this.#reading && this.#held.length === 0);
  }

  get isClosing(): boolean {
    return this.#closing;
  }

  get isReading(): boolean {
    return this.#reading && !this.#closing;
  }

  /** No data is received until resumeReading. May be called again. */
  pauseReading(): void {
    if (!this.#reading || this.#closing) return;
    this.#reading = false;
    this.#read(false);
  }

  resumeReading(): void {
    if (this.#reading || this.#closing) return;
    this.#reading = true;
    if (this.#held.length > 0) process.nextTick(() => this.#releaseHeld());
    else this.#read(true);
  }

  #read(on: boolean): void {
    this.setReading(on, this.#buffered !== null);
  }

  /**
   * Writes; strings as UTF-8. Bytes are copied: `data` may be reused. What is written in one turn of the loop leaves together. After `close`, and on a broken
   * connection, it is dropped. Throws ClosedError after writeEof.
   */
  write(data: string | Uint8Array): void {
    if (this.#eofWritten) throw new ClosedError('The sending side of the connection');
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new OptionError('data', 'a string or a Uint8Array', data);
    }
    if (this.#closing || data.length === 0) return;
    const byteCount = this.send(data);
    this.bytesWritten += byteCount;
    this.#mayWait += byteCount;
    if (this.#mayWait > this.#high && !this.#writingPaused) this.#checkHigh();
  }

  /** The same for several in one call. */
  writeMany(parts: Iterable<string | Uint8Array>): void {
    for (const part of parts) this.write(part);
  }

  /** Ends our side after what was written; receiving goes on. May be called again. */
  writeEof(): void {
    if (this.#eofWritten || this.#closing) return;
    this.#eofWritten = true;
    this.sendEof();
  }

  /** Closes after what was written; nothing is received any more. connectionLost(null) follows. May be called again. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#held = [];
    if (this.#goneMeanwhile) process.nextTick(() => this.#lose(null));
    else this.startClosing();
  }

  /** Closes at once; what was written and has not left is lost. connectionLost follows, with `error` or null. */
  abort(error: Error | null = null): void {
    this.#destroy(error, false);
  }

  /** The same, and the peer gets a reset. */
  reset(): void {
    this.#destroy(null, true);
  }

  /** Watermarks of the bytes that wait to be sent. Defaults: `high` 262144, `low` a quarter of it. 0 and 0: paused whenever anything waits. */
  setWriteBufferLimits({ high, low }: { high?: number; low?: number }): void {
    const top = high ?? (low === undefined ? DEFAULT_HIGH_WATER_BYTES : low * 4);
    const bottom = low ?? Math.floor(top / 4);
    if (!(Number.isInteger(top) && Number.isInteger(bottom) && top >= bottom && bottom >= 0)) {
      throw new OptionError('limits', 'integers with high >= low >= 0', { high, low });
    }
    this.#high = top;
    this.#low = bottom;
    if (!this.#writingPaused && !this.#closing) this.#checkHigh();
  }

  getWriteBufferLimits(): { high: number; low: number } {
    return { high: this.#high, low: this.#low };
  }

  get [HANDLER](): string {
    return `protocol ${this.#protocol?.constructor.name ?? '(none yet)'}`;
  }

  // What the backend's half reports.

  /** @internal Once the connection is there. Throws what the factory throws. */
  begin(factory: () => AnyProtocol): AnyProtocol {
    let protocol: AnyProtocol;
    try {
      protocol = this.runInAsyncScope(factory);
      this.setProtocol(protocol);
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#call(() => protocol.connectionMade?.(this));
    return protocol;
  }

  /** The bytes from `start` to `end` of `bytes`, which are void after the call unless they are our own for good. */
  protected received(bytes: Buffer, start: number, end: number, isOwn: boolean): void {
    if (this.#closing) return;
    if (!this.#reading || this.#held.length > 0) this.#held.push(ownBytes(bytes, start, end, isOwn));
    else this.#deliver(bytes, start, end, isOwn);
  }

  /** There is something to receive, and a protocol with memory of its own. */
  protected readable(): void {
    const protocol = this.#buffered;
    if (protocol === null || !this.isReading || this.#held.length > 0) return;
    try {
      this.runInAsyncScope(this.#receive, this, protocol);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Again where the memory was filled: there may be more. */
  #receive(protocol: BufferedProtocol): void {
    for (let reads = 0; reads < MAX_READS && this.isReading && this.#buffered === protocol; reads++) {
      const memory = memoryOf(protocol, RECEIVE_BYTES);
      const byteCount = this.isReading ? this.receive(memory) : 0;
      if (byteCount === 0) return;
      this.bytesRead += byteCount;
      protocol.bufferUpdated(byteCount);
      if (byteCount < memory.length) return;
    }
  }

  protected ended(): void {
    if (this.#closing) return;
    if (!this.#reading || this.#held.length > 0) this.#held.push(null);
    else this.#end();
  }

  /** The connection is gone. `error`: what broke it. */
  protected gone(error: Error | null): void {
    if (error === null && this.#held.length > 0) this.#goneMeanwhile = true;
    else this.#lose(error);
  }

  protected drained(): void {
    if (!this.#writingPaused || this.#lost) return;
    this.#writingPaused = false;
    this.#mayWait = this.#low;
    this.#call(() => this.#protocol?.resumeWriting?.());
  }

  #checkHigh(): void {
    this.#mayWait = this.writeBufferSize();
    if (this.#mayWait <= this.#high) return;
    this.#writingPaused = true;
    this.watchDrain(this.#low);
    this.#call(() => this.#protocol?.pauseWriting?.());
  }

  #destroy(error: Error | null, reset: boolean): void {
    if (this.#lost) return;
    this.#abortedBy ??= error;
    this.#closing = true;
    this.#held = [];
    if (this.#goneMeanwhile) process.nextTick(() => this.#lose(null));
    else this.destroy(reset);
  }

  #end(): void {
    const keepsOpen = this.#call(() => this.#protocol?.eofReceived?.());
    if (keepsOpen !== true) this.close();
  }

  #lose(error: Error | null): void {
    if (this.#lost) return;
    this.#lost = this.#closing = true;
    this.#held = [];
    this.onGone?.();
    this.#call(() => this.#protocol?.connectionLost?.(this.#abortedBy ?? error));
    this.emitDestroy();
  }

  #releaseHeld(): void {
    while (this.#reading && !this.#closing && this.#held.length > 0) {
      const next = this.#held.shift() as Buffer | null;
      if (next === null) this.#end();
      else this.#deliver(next, 0, next.length, true);
    }
    if (!this.#reading || this.#closing) return;
    if (this.#goneMeanwhile) this.#lose(null);
    else this.#read(true);
  }

  #deliver(bytes: Buffer, start: number, end: number, isOwn: boolean): void {
    const protocol = this.#protocol as Protocol;
    try {
      if (this.#buffered !== null) {
        this.#lend(this.#buffered, bytes, start, end, isOwn);
      } else {
        this.bytesRead += end - start;
        if (protocol.dataReceived === undefined) return;
        this.runInAsyncScope(protocol.dataReceived, protocol, ownBytes(bytes, start, end, isOwn));
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** What is left where the protocol pauses, or is another now, waits, or is that one's. */
  #lend(protocol: BufferedProtocol, bytes: Buffer, start: number, end: number, isOwn: boolean): void {
    const at = this.runInAsyncScope(this.#fill, this, protocol, bytes, start, end);
    if (at === end || this.#closing) return;
    if (this.#reading) this.#deliver(bytes, at, end, isOwn);
    else this.#held.unshift(ownBytes(bytes, at, end, isOwn));
  }

  #fill(protocol: BufferedProtocol, bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.isReading && this.#buffered === protocol) {
      const memory = memoryOf(protocol, end - at);
      const taken = Math.min(memory.length, end - at);
      memory.set(viewOf(bytes, at, at + taken));
      at += taken;
      this.bytesRead += taken;
      protocol.bufferUpdated(taken);
    }
    return at;
  }

  #call<R>(callback: () => R): R | undefined {
    try {
      return this.runInAsyncScope(callback);
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #fail(error: unknown): void {
    this.abort(error instanceof Error ? error : new Error(String(error)));
    process.nextTick(() => {
      throw error;
    });
  }
}

function memoryOf(protocol: BufferedProtocol, sizeHint: number): Uint8Array {
  const memory = protocol.getBuffer(sizeHint);
  if (isUint8Array(memory) && memory.length > 0) return memory;
  throw new OptionError('getBuffer()', 'a Uint8Array of at least one byte', memory);
}

function checkProtocol(protocol: AnyProtocol): AnyProtocol {
  if (typeof protocol !== 'object' || protocol === null) throw new OptionError('protocol', 'an object', protocol);
  return protocol;
}
