/**
 * A WebSocket of the engine below one of `gammaloop/ws`, where the socket of the upgrade is the engine's: the connection's bytes are read and
 * written by native code from then on. The socket stays, for what programs still do to it, and for its end, which is this session's.
 */
import type { Duplex } from 'node:stream';
import { NativeWebSocket } from '../../backend/native-websocket.js';
import type { WireConnection } from '../../backend/wire.js';
import type { SessionOptions, WebSocketListener } from '../../ws/contract.js';
import { kIdle, kTakeOver, type SocketGate, type SocketHost, type SocketOutput, type WriteCallback } from '../contract.js';
import { EngineSocket } from '../engine-socket.js';

/** Null: `socket` is not the engine's, or somebody sees the bytes on it. `head`: what was read behind the handshake. */
export function openOnEngine(
  socket: Duplex,
  head: Buffer,
  options: SessionOptions,
  listener: WebSocketListener,
): EngineSession | null {
  if (!(socket instanceof EngineSocket)) return null;
  let session: EngineSession | null = null;
  socket[kTakeOver]((before) => {
    session = new EngineSession(socket, before.wire, head, options, listener);
    before.wire.loop.webSockets.attach(session, options);
    return new WebSocketHost(before, session, socket);
  });
  return session;
}

export class EngineSession extends NativeWebSocket {
  readonly #socket: EngineSocket;
  readonly #head: Buffer;
  #isAttached = false;
  #isPaused = false;

  constructor(
    socket: EngineSocket,
    wire: WireConnection,
    head: Buffer,
    options: SessionOptions,
    listener: WebSocketListener,
  ) {
    super(wire.loop, wire.index, wire.generation, options, listener);
    this.#socket = socket;
    this.#head = head;
    let errno = 0;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      errno = Math.abs(Number(error.errno) || 0);
    });
    socket.on('close', () => {
      wire.loop.webSockets.forget(this);
      this.runInAsyncScope(super.receiveClosed, this, errno);
    });
  }

  override receiveAttached(): void {
    const rest = this.#socket.read() as Buffer | null;
    this.#isAttached = true;
    if (this.#isPaused) super.pause();
    this.begin(rest === null ? this.#head : Buffer.concat([this.#head, rest]));
  }

  /** As `ws`, with the socket's 'close': it follows. */
  override receiveClosed(): void {
    this.state = 'closing';
  }

  override pause(): void {
    this.#isPaused = true;
    if (this.#isAttached) super.pause();
  }

  override resume(): void {
    this.#isPaused = false;
    if (this.#isAttached) super.resume();
  }

  override terminate(): void {
    this.#socket.destroy();
  }
}

/** What the socket stands on from then on. */
class WebSocketHost implements SocketHost {
  readonly server: SocketHost['server'];
  readonly wire: WireConnection;
  readonly isHttp = false;
  readonly httpMessage = null;
  readonly writableHighWaterMark: number;
  readonly gate: SocketGate;
  readonly output: SocketOutput;
  readonly #session: EngineSession;
  readonly #socket: EngineSocket;
  #timer: NodeJS.Timeout | undefined;

  constructor(before: SocketHost, session: EngineSession, socket: EngineSocket) {
    this.server = before.server;
    this.wire = before.wire;
    this.writableHighWaterMark = before.writableHighWaterMark;
    this.#session = session;
    this.#socket = socket;
    this.gate = {
      pauseBySocket: (on) => (on ? session.pause() : session.resume()),
      pauseByTap() {},
      tap() {},
    };
    const { wire } = this;
    let known = wire.position;
    this.output = {
      isSubmitted: true,
      get bytesWritten(): number {
        const waiting = session.bufferedBytes;
        const sent = wire.sentBytes();
        if (sent >= 0) known = (sent + waiting) >>> 0;
        return known;
      },
    };
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
    if (callback !== null) this.whenFlushed(callback);
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
