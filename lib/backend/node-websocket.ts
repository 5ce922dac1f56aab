/**
 * A WebSocket in TypeScript on any Duplex: RFC 6455 and permessage-deflate, behind the same interface as one of the engine. Serves the `node`
 * backend, and `gammaloop/ws` where the socket is not the engine's.
 *
 * The way of a message: the stream's 'data' -> FrameReader (unmasks in place) -> the listener; its answer -> FrameOutput, which writes what a turn
 * has gathered.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Duplex } from 'node:stream';
import {
  CLOSE_CODE_OF_FAILURE,
  SEND_BINARY,
  SEND_COMPRESS,
  SEND_HIGH_WATER_BYTES,
  SEND_LOW_WATER_BYTES,
  SEND_MORE,
  type SessionOptions,
  type WebSocketFailure,
  type WebSocketListener,
  type WebSocketSession,
} from '../ws/contract.js';
import { MessageDeflate } from '../ws/deflate.js';
import { Found, FrameReader } from '../ws/frame-reader.js';
import { closePayload, Opcode } from '../ws/frame-writer.js';
import type { TopicTable } from '../ws/topics.js';
import { Broadcast } from './node-websocket-broadcast.js';
import { IdleWatch, type Watched } from './node-websocket-idle.js';
import { type FlushCallback, FrameOutput } from './node-websocket-output.js';

export interface NodeSessionOptions extends SessionOptions {
  /** Which side this is: a client's frames are masked. Default true. */
  readonly isServer?: boolean;
  /** Reads that one frame may come in; over it: 1008. Default 0. */
  readonly maxChunks?: number;
  /** Fills the masking key of each frame. Default: random bytes. */
  readonly generateMask?: ((key: Buffer) => void) | undefined;
  /** Large payloads given to `send` do not change until they have left, so that they need not be copied. Default false. */
  readonly sharesPayloads?: boolean;
  /** The listener is called in the async context of the constructor's caller; false: in that of the stream's events. Default true. */
  readonly keepsContext?: boolean;
}

const EMPTY = Buffer.alloc(0);
/** With so much waiting to be sent, of several pings only the last is answered (RFC 6455 section 5.5.3). */
const PONG_WAITS_ABOVE_BYTES = 16384;

export class NodeWebSocketSession implements WebSocketSession, Watched {
  readonly #stream: Duplex;
  readonly #options: NodeSessionOptions;
  readonly #listener: WebSocketListener;
  readonly #topics: TopicTable<NodeWebSocketSession> | null;
  readonly #reader: FrameReader;
  readonly #output: FrameOutput;
  readonly #deflate: MessageDeflate | null;
  readonly #masks: boolean;
  readonly #resource: AsyncResource | null;
  readonly #idle: IdleWatch | null;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #isPaused = false;
  #isReading = false;
  #needsDrain = false;
  /** `send` with SEND_MORE: the message goes on. */
  #inMessage = false;
  #compressesMessage = false;
  /** Broadcasts that came in between. */
  #afterMessage: Broadcast[] = [];
  #latePong: Buffer | null = null;
  #closeSent = false;
  #closeReceived = false;
  #hasFailed = false;
  #closeCode = 1006;
  #closeReason: Buffer = EMPTY;
  #closeTimer: NodeJS.Timeout | undefined;
  #errno = 0;
  silentTicks = 0;
  #pingedAtTick = 0;

  /** `head`: what was read behind the handshake. The stream is this session's from here on. */
  constructor(
    stream: Duplex,
    head: Buffer,
    options: NodeSessionOptions,
    listener: WebSocketListener,
    topics: TopicTable<NodeWebSocketSession> | null = null,
  ) {
    const {
      isServer = true,
      generateMask = null,
      sharesPayloads = false,
      maxChunks = 0,
      keepsContext = true,
    } = options;
    this.#stream = stream;
    this.#options = options;
    this.#listener = listener;
    this.#topics = topics;
    this.#masks = !isServer;
    this.#deflate = options.deflate === null ? null : new MessageDeflate(options.deflate, isServer);
    this.#reader = new FrameReader({ ...options, isServer, maxChunks, deflate: this.#deflate });
    this.#output = new FrameOutput(stream, { generateMask, sharesPayloads });
    this.#resource = keepsContext ? new AsyncResource('GAMMALOOP_WEBSOCKET') : null;
    const shortest = Math.min(options.idleTimeoutMs || Infinity, options.pingIntervalMs || Infinity);
    this.#idle = shortest === Infinity ? null : IdleWatch.for(shortest);
    this.#idle?.add(this);
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#errno ||= Math.abs(Number(error.errno) || 0);
      stream.destroy();
    });
    stream.on('close', () => this.#run(this.#onStreamClose));
    // Node's HTTP server may have stopped its handle for too much output: the stream still waits for a read that will not end.
    if ((stream as { _handle?: { reading?: boolean } | null })._handle?.reading === false) stream.push('');
    // First, so that it comes as an event of its own, later.
    if (head.length > 0) stream.unshift(head);
    stream.on('data', (chunk: Buffer) => this.#run(this.#onData, chunk));
    stream.on('end', () => this.#run(this.#onEnd));
    // The peer may have ended before this.
    if (stream.readableEnded) process.nextTick(() => this.#run(this.#onEnd));
    // It may have been paused by who had it before.
    stream.resume();
  }

  // What the program asks for.

  get state(): 'open' | 'closing' | 'closed' {
    return this.#state;
  }

  get bufferedBytes(): number {
    return this.#output.bufferedBytes;
  }

  send(data: string | Uint8Array, flags: number): boolean {
    if (this.#state !== 'open') return true;
    return this.#sendFrame(data, flags, this.#masks);
  }

  /** As `send`; `masks` instead of what this side has to do. */
  sendMasked(data: string | Uint8Array, flags: number, masks: boolean): boolean {
    if (this.#state !== 'open') return true;
    return this.#sendFrame(data, flags, masks);
  }

  ping(data: Uint8Array, masks: boolean = this.#masks): void {
    if (this.#state === 'open') this.#output.frame(Opcode.ping, true, false, data, masks);
  }

  pong(data: Uint8Array, masks: boolean = this.#masks): void {
    if (this.#state === 'open') this.#output.frame(Opcode.pong, true, false, data, masks);
  }

  close(code: number, reason: string | Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#sendClose(code, reason);
  }

  terminate(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closing';
    this.#output.flush();
    this.#stream.destroy();
  }

  pause(): void {
    if (this.#state === 'closed') return;
    this.#isPaused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#isPaused || this.#state === 'closed') return;
    this.#isPaused = false;
    if (this.#reader.hasInput) process.nextTick(() => this.#run(this.#readOn));
    else this.#stream.resume();
  }

  whenFlushed(callback: FlushCallback): void {
    this.#output.whenFlushed(callback);
  }

  subscribe(topic: string): void {
    if (this.#state !== 'closed') this.#topics?.subscribe(topic, this);
  }

  unsubscribe(topic: string): void {
    this.#topics?.unsubscribe(topic, this);
  }

  isSubscribed(topic: string): boolean {
    return this.#topics?.isSubscribed(topic, this) ?? false;
  }

  get topics(): readonly string[] {
    return this.#topics?.topicsOf(this) ?? [];
  }

  publish(topic: string, data: string | Uint8Array, flags: number): void {
    if (this.#topics === null) return;
    const broadcast = new Broadcast(data, flags);
    for (const session of this.#topics.subscribersOf(topic)) if (session !== this) session.sendBroadcast(broadcast);
  }

  sendBroadcast(broadcast: Broadcast): void {
    if (this.#state !== 'open') return;
    if (this.#inMessage) {
      this.#afterMessage.push(broadcast);
      return;
    }
    const frame = broadcast.frameFor(this.#deflate);
    if (this.#mayBuffer(frame.length)) this.#output.encoded(frame);
  }

  // What the stream brings.

  #onData(chunk: Buffer): void {
    this.silentTicks = 0;
    this.#reader.push(chunk);
    this.#readOn();
  }

  #readOn(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    while (!this.#isPaused && this.#tell(this.#reader.next())) {}
    this.#isReading = false;
    if (!this.#isPaused && this.#stream.isPaused()) this.#stream.resume();
  }

  /** @returns whether there may be more */
  #tell(found: Found): boolean {
    const { data, isBinary, isLast } = this.#reader;
    try {
      switch (found) {
        case Found.nothing:
          return false;
        case Found.message:
          this.#listener.onMessage(isBinary || this.#options.textAsBuffer ? data : data.utf8Slice(), isBinary);
          return true;
        case Found.part:
          this.#listener.onPart(data, isBinary, isLast);
          return true;
        case Found.ping:
          if (this.#options.autoPong) this.#answerPing(data);
          this.#listener.onPing(data);
          return true;
        case Found.pong:
          this.#listener.onPong(data);
          return true;
        case Found.close:
          this.#onPeerClose(this.#reader.closeCode, data);
          return false;
        case Found.failure:
          this.#fail(this.#reader.failure, this.#reader.failureNumber);
          return false;
      }
    } catch (thrown) {
      process.nextTick(rethrow, thrown);
      return true;
    }
  }

  #answerPing(data: Buffer): void {
    if (this.#output.bufferedBytes <= PONG_WAITS_ABOVE_BYTES) {
      this.pong(data);
      return;
    }
    if (this.#latePong === null) this.#output.whenFlushed(() => this.#run(this.#sendLatePong));
    this.#latePong = data;
  }

  #onPeerClose(code: number, reason: Buffer): void {
    this.#closeReceived = true;
    this.#closeCode = code;
    this.#closeReason = reason;
    this.#state = 'closing';
    // What the peer still sends is read and dropped, until its FIN.
    if (!this.#closeSent) this.#sendClose(code, reason);
    else this.#endStream();
    this.#listener.onClosing(code, reason);
  }

  #onEnd(): void {
    if (this.#state === 'open') this.#state = 'closing';
    this.#endStream();
  }

  #onStreamClose(): void {
    if (this.#state === 'closed') return;
    clearTimeout(this.#closeTimer);
    this.#idle?.delete(this);
    this.#readRest();
    this.#state = 'closed';
    this.#topics?.removeAll(this);
    this.#output.close();
    this.#deflate?.close();
    const wasClean = this.#closeSent && this.#closeReceived;
    try {
      this.#listener.onClose(this.#closeCode, this.#closeReason, wasClean, this.#errno);
    } catch (thrown) {
      process.nextTick(rethrow, thrown);
    }
  }

  /** What came before the end is told, also where reading was paused. */
  #readRest(): void {
    if (this.#stream.readableLength > 0) {
      const rest = this.#stream.read(this.#stream.readableLength) as Buffer | null;
      if (rest !== null) this.#reader.push(rest);
    }
    this.#state = 'closing';
    while (this.#tell(this.#reader.next())) {}
  }

  // Sending.

  #sendFrame(data: string | Uint8Array, flags: number, masks: boolean): boolean {
    const isFirst = !this.#inMessage;
    const isLast = (flags & SEND_MORE) === 0;
    const opcode = isFirst ? ((flags & SEND_BINARY) !== 0 ? Opcode.binary : Opcode.text) : Opcode.continuation;
    const deflate = this.#deflate;
    if (isFirst) {
      this.#compressesMessage =
        (flags & SEND_COMPRESS) !== 0 && deflate !== null && byteLength(data) >= deflate.thresholdBytes;
    }
    let payload = data;
    if (this.#compressesMessage && deflate !== null)
      payload = deflate.compress(typeof data === 'string' ? Buffer.from(data) : data, isFirst, isLast);
    if (!this.#mayBuffer(payload.length)) return true;
    this.#output.frame(opcode, isLast, isFirst && this.#compressesMessage, payload, masks);
    this.#inMessage = !isLast;
    if (isLast && this.#afterMessage.length > 0) {
      const broadcasts = this.#afterMessage;
      this.#afterMessage = [];
      for (const broadcast of broadcasts) this.sendBroadcast(broadcast);
    }
    if (this.#output.bufferedBytes <= SEND_HIGH_WATER_BYTES) return true;
    this.#awaitDrain();
    return false;
  }

  /** Whether `bytes` more may wait; if not, the connection fails. */
  #mayBuffer(bytes: number): boolean {
    const { maxBufferedBytes } = this.#options;
    const buffered = this.#output.bufferedBytes;
    if (maxBufferedBytes === 0 || buffered === 0 || buffered + bytes <= maxBufferedBytes) return true;
    // The program is in the middle of sending: it hears of it later.
    process.nextTick(() => this.#run(this.#tellFailure, 'BUFFERED_BYTES_EXCEEDED', 0));
    this.#beginFailure('BUFFERED_BYTES_EXCEEDED');
    return false;
  }

  #awaitDrain(): void {
    if (this.#needsDrain) return;
    this.#needsDrain = true;
    this.#output.whenFlushed(() => this.#run(this.#onWritten));
  }

  #onWritten(): void {
    if (this.#state === 'closed') return;
    this.#needsDrain = false;
    if (this.#output.bufferedBytes > SEND_LOW_WATER_BYTES) {
      this.#awaitDrain();
      return;
    }
    try {
      this.#listener.onDrain();
    } catch (thrown) {
      process.nextTick(rethrow, thrown);
    }
  }

  #sendLatePong(): void {
    const data = this.#latePong;
    this.#latePong = null;
    if (data !== null) this.pong(data);
  }

  // The end.

  #fail(failure: WebSocketFailure, detail: number): void {
    this.#beginFailure(failure);
    this.#tellFailure(failure, detail);
  }

  /** RFC 6455 section 7.1.7: a close frame, and nothing is listened to any more. */
  #beginFailure(failure: WebSocketFailure): void {
    this.#hasFailed = true;
    this.#state = 'closing';
    this.#reader.stop();
    if (this.#closeSent) this.#endStream();
    else this.#sendClose(CLOSE_CODE_OF_FAILURE[failure], EMPTY);
  }

  #tellFailure(failure: WebSocketFailure, detail: number): void {
    if (this.#state === 'closed') return;
    try {
      this.#listener.onFailure(failure, CLOSE_CODE_OF_FAILURE[failure], detail);
    } catch (thrown) {
      process.nextTick(rethrow, thrown);
    }
  }

  #sendClose(code: number, reason: string | Uint8Array): void {
    this.#closeSent = true;
    this.#output.frame(Opcode.close, true, false, closePayload(code, reason), this.#masks);
    this.#output.flush();
    if (this.#closeReceived || this.#hasFailed) this.#endStream();
    else this.#startCloseTimer();
  }

  /** Our FIN, behind all that was sent; what the peer still sends is read and dropped until its own. */
  #endStream(): void {
    this.#output.flush();
    this.#stream.end();
    this.#stream.resume();
    this.#startCloseTimer();
  }

  #startCloseTimer(): void {
    clearTimeout(this.#closeTimer);
    const { closeTimeoutMs } = this.#options;
    if (closeTimeoutMs > 0) this.#closeTimer = setTimeout(() => this.#stream.destroy(), closeTimeoutMs).unref();
  }

  onTick(): void {
    if (this.#state !== 'open') return;
    const { idleTimeoutMs, pingIntervalMs } = this.#options;
    const { tickMs } = this.#idle as IdleWatch;
    if (idleTimeoutMs > 0 && this.silentTicks * tickMs >= idleTimeoutMs) {
      this.#run(this.#fail, 'IDLE_TIMEOUT', 0);
      return;
    }
    // Something was heard since.
    if (this.silentTicks < this.#pingedAtTick) this.#pingedAtTick = 0;
    if (pingIntervalMs > 0 && (this.silentTicks - this.#pingedAtTick) * tickMs >= pingIntervalMs) {
      this.#pingedAtTick = this.silentTicks;
      this.ping(EMPTY);
    }
  }

  #run<Arguments extends unknown[]>(work: (...args: Arguments) => void, ...args: Arguments): void {
    if (this.#resource === null) work.apply(this, args);
    else this.#resource.runInAsyncScope(work, this, ...args);
  }
}

function byteLength(data: string | Uint8Array): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.length;
}

function rethrow(thrown: unknown): never {
  throw thrown;
}
