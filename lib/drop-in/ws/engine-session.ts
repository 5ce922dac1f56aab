/**
 * A WebSocket of the engine below one of `gammaloop/ws`, where the socket of the upgrade is the engine's: the connection's bytes are read and
 * written by native code from then on. The socket stays, for what programs still do to it, and for its end, which is this session's.
 */
import type { Duplex } from 'node:stream';
import { NativeWebSocket } from '../../backend/native-websocket.js';
import type { NodeSessionOptions } from '../../backend/node-websocket.js';
import type { WireConnection } from '../../backend/wire.js';
import { loadBinding } from '../../bridge/binding.js';
import type { SessionOptions, WebSocketListener } from '../../ws/contract.js';
import { kIdle, kPeerEnd, kTakeOver, type SocketHost, type SocketOutput, type WriteCallback } from '../contract.js';
import { EngineSocket } from '../engine-socket.js';
import { ReadingGate } from '../reading-gate.js';
import { MAX_BUFFERED_CHUNKS } from './options.js';

/** Null: `socket` is not one of the engine that can be taken over. `head`: what was read behind the handshake. */
export function openOnEngine(
  socket: Duplex,
  head: Buffer,
  options: NodeSessionOptions,
  listener: WebSocketListener,
): EngineSession | null {
  if (!(socket instanceof EngineSocket) || usesOwn(options)) return null;
  let session: EngineSession | null = null;
  socket[kTakeOver]((before, unread) => {
    session = new EngineSession(socket, before.wire, unread === null ? [head] : [head, unread], options, listener);
    before.wire.loop.webSockets.attach(session, options);
    return new WebSocketHost(socket, session, before);
  });
  return session;
}

/** What only the session in TypeScript has. */
function usesOwn({ generateMask, maxChunks, deflate }: NodeSessionOptions): boolean {
  return (
    generateMask !== undefined || maxChunks !== MAX_BUFFERED_CHUNKS || (deflate !== null && !loadBinding().hasZlib)
  );
}

export class EngineSession extends NativeWebSocket {
  readonly #socket: EngineSocket;
  readonly #wire: WireConnection;
  /** Until native code reads: what it has to begin with. */
  #early: Buffer[] | null;
  #isReading = true;
  #isOver = false;

  constructor(
    socket: EngineSocket,
    wire: WireConnection,
    early: Buffer[],
    options: SessionOptions,
    listener: WebSocketListener,
  ) {
    super(wire.loop, wire.index, wire.generation, options, listener);
    this.#socket = socket;
    this.#wire = wire;
    this.#early = early;
    let errno = 0;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      errno = Math.abs(Number(error.errno) || 0);
    });
    socket.on('close', () => {
      wire.loop.webSockets.forget(this);
      this.runInAsyncScope(super.receiveClosed, this, errno);
    });
  }

  /** Nothing more is sent or received; the socket's 'close' follows. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** What the wire session still told before it gave way. */
  takeData(chunk: Buffer): boolean {
    this.#early?.push(chunk);
    return this.#early !== null;
  }

  override receiveAttached(): void {
    const input = Buffer.concat(this.#early ?? []);
    this.#early = null;
    if (!this.#isReading) super.pause();
    this.begin(input);
  }

  /** As `ws` has it, the socket ends, and its 'close' is this session's. */
  override receiveClosed(errno: number): void {
    this.state = 'closing';
    this.#isOver = true;
    if (errno !== 0 || this.#socket.destroyed) return;
    this.#socket[kPeerEnd]();
    this.#socket.end();
  }

  /** By way of the socket, which programs may pause too. */
  override pause(): void {
    this.#socket.pause();
  }

  override resume(): void {
    this.#socket.resume();
  }

  setReading(on: boolean): void {
    if (this.#isReading === on) return;
    this.#isReading = on;
    if (this.#early !== null) return;
    if (on) super.resume();
    else super.pause();
  }

  tap(): void {
    this.#wire.tap();
  }

  override terminate(): void {
    this.#socket.destroy();
  }
}

/** What the socket stands on from then on. */
class WebSocketHost implements SocketHost {
  readonly server: SocketHost['server'];
  readonly wire: WireConnection;
  readonly isParsed = true;
  readonly httpMessage = null;
  readonly writableHighWaterMark: number;
  readonly gate: ReadingGate;
  readonly output: SocketOutput;
  readonly #session: EngineSession;
  readonly #socket: EngineSocket;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: EngineSocket, session: EngineSession, before: SocketHost) {
    this.server = before.server;
    this.wire = before.wire;
    this.writableHighWaterMark = before.writableHighWaterMark;
    this.gate = new ReadingGate(session);
    this.output = new SessionOutput(session, before.wire);
    this.#session = session;
    this.#socket = socket;
  }

  takeData(chunk: Buffer): boolean {
    return this.#session.takeData(chunk);
  }

  get writableLength(): number {
    return this.#session.bufferedBytes;
  }

  sendRaw(latin1: string, bytes: string | Uint8Array): void {
    this.wire.write(latin1, bytes, 0);
  }

  whenFlushed(callback: WriteCallback): void {
    this.#session.whenFlushed(callback);
  }

  onWriteReplaced(): void {}

  shutdown(callback: WriteCallback | null): void {
    this.wire.shutdown();
    if (this.#session.isOver) callback?.(null);
    else if (callback !== null) this.whenFlushed(callback);
  }

  closeFromSocket(reset: boolean): void {
    clearTimeout(this.#timer);
    if (!reset) this.wire.loop.engine.flush();
    this.wire.destroy(reset);
  }

  /** The engine's deadlines are the WebSocket's now. It comes after twice that time at the latest. */
  setInactivity(timeoutMs: number): void {
    clearTimeout(this.#timer);
    if (timeoutMs > 0) this.#watch(timeoutMs);
  }

  #watch(timeoutMs: number): void {
    const seen = this.#activity;
    this.#timer = setTimeout(() => {
      if (this.#socket.destroyed) return;
      this.#watch(timeoutMs);
      if (this.#activity === seen) this.#socket[kIdle]();
    }, timeoutMs).unref();
  }

  get #activity(): number {
    const { loop, index, generation } = this.wire;
    return this.wire.sentBytes() + loop.engine.wireReceived(index, generation);
  }
}

class SessionOutput implements SocketOutput {
  readonly isSubmitted = true;
  readonly #session: EngineSession;
  readonly #wire: WireConnection;
  #known: number;

  constructor(session: EngineSession, wire: WireConnection) {
    this.#session = session;
    this.#wire = wire;
    this.#known = wire.position;
  }

  get bytesWritten(): number {
    const waitingBytes = this.#session.bufferedBytes;
    const sentBytes = this.#wire.sentBytes();
    if (sentBytes >= 0) this.#known = (sentBytes + waitingBytes) >>> 0;
    return this.#known;
  }
}
