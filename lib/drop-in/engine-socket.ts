/**
 * The socket of a connection of the engine: made when somebody asks for one. A real net.Socket, without a handle: what node's class does through
 * its handle is done here through the connection (SocketHost). It has none because node's TLS and HTTP/2 take the handle of a net.Socket for a
 * stream of C++ and end the process when it is not; without one they wrap it as they wrap any Duplex.
 *
 * While HTTP is spoken it does not read: bytes go to the requests, as on a socket that node's parser has consumed. A listener for 'data' or 'readable'
 * is told of them all the same, by the connection's tap; what a program pushes is parsed. After an upgrade it is a plain Duplex, until another protocol
 * of the engine takes over (kTakeOver). Writes go out in order with those of the responses.
 */
import { AsyncResource } from 'node:async_hooks';
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { NativeEndpoint } from '../bridge/binding.js';
import { systemError } from '../net/system-error.js';
import {
  kIdle,
  kPeerEnd,
  kPushData,
  kSocketClosed,
  kTakeOver,
  kUpgraded,
  type SocketHooks,
  type SocketHost,
  type WriteCallback,
} from './contract.js';

/** setTimeout's bound in node: a 32-bit signed number of milliseconds. */
const MAX_TIMEOUT_MS = 2_147_483_647;

interface Chunk {
  readonly chunk: string | Uint8Array;
  readonly encoding: BufferEncoding | 'buffer';
}

/** What node's class has and its types do not say. */
interface SocketPrivate {
  server: unknown;
  _server: { _connections: number; _emitCloseIfDrained?(): void } | null;
  _peername: NativeEndpoint | undefined;
  _httpMessage: unknown;
}

export class EngineSocket extends Socket implements SocketHooks {
  #host: SocketHost;
  readonly #scope = new AsyncResource('TCPSERVERWRAP');
  #isClosed = false;
  #isReset = false;
  #hadError = false;
  /** Pushed, and not yet said to be consumed. */
  #heldBytes = 0;
  /** As known when it was asked last; the engine counts. */
  #bytesRead = 0;
  #bytesWritten = 0;

  constructor(host: SocketHost) {
    const highWaterMark = host.writableHighWaterMark;
    super({
      allowHalfOpen: true,
      readableHighWaterMark: highWaterMark,
      writableHighWaterMark: highWaterMark,
    } as SocketConstructorOpts);
    this.#host = host;
  }

  // What the connection tells.

  [kPushData](chunk: Buffer): void {
    if (this.#host.takeData?.(chunk)) return;
    this.#scope.runInAsyncScope(this.#host.isParsed ? this.#show : this.#push, this, chunk);
  }

  #push(chunk: Buffer): void {
    if (this.destroyed || super.push(chunk)) this.#host.wire.consume(chunk.length);
    else this.#heldBytes += chunk.length;
  }

  #show(chunk: Buffer): void {
    if (!this.destroyed && !super.push(chunk)) this.#host.gate.pauseByTap(true);
  }

  [kPeerEnd](): void {
    this.#countReceived();
    this.#scope.runInAsyncScope(this.#end, this);
  }

  #end(): void {
    if (this.destroyed) return;
    super.push(null);
    this.read(0);
  }

  [kIdle](): void {
    this.#scope.runInAsyncScope(this.emit as (...args: unknown[]) => unknown, this, 'timeout');
  }

  [kUpgraded](): void {
    (this as { readableFlowing: boolean | null }).readableFlowing = null;
  }

  [kTakeOver](open: (host: SocketHost, unread: Buffer | null) => SocketHost): boolean {
    const isWritten = this.writableLength === 0 && this.#host.output.isSubmitted && !Object.hasOwn(this, 'write');
    if (this.#isClosed || this.#host.isParsed || !this.writable || !isWritten) return false;
    const unread = this.read() as Buffer | null;
    this.#host = this.#scope.runInAsyncScope(open, undefined, this.#host, unread);
    if (this.listenerCount('data') + this.listenerCount('readable') > 0) this.#host.gate.tap();
    // So that it flows: what the tap brings is emitted at once.
    super.on('data', ignore);
    return true;
  }

  [kSocketClosed](errno: number): void {
    this.#isClosed = true;
    this.#scope.runInAsyncScope(this.#closed, this, errno);
  }

  #closed(errno: number): void {
    // After 'error': the end may be told in the very turn that destroys.
    if (this.destroyed) process.nextTick(emitClose, this, this.#hadError);
    else if (errno === 0) this.destroy();
    else this.destroy(systemError(errno, 'read'));
  }

  // What node's streams call.

  override _read(): void {
    this.#host.gate.pauseByTap(false);
    const held = this.#heldBytes;
    if (held === 0) return;
    this.#heldBytes = 0;
    this.#host.wire.consume(held);
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, callback: WriteCallback): void {
    this.#send({ chunk, encoding });
    this.#afterSend(callback);
  }

  override _writev(chunks: Chunk[], callback: WriteCallback): void {
    for (const chunk of chunks) this.#send(chunk);
    this.#afterSend(callback);
  }

  /**
   * What the connection has taken is written, as what the system takes is on node, until that is too much. Between responses the stream must not
   * hold back a later write for less: it would come after what a response sends meanwhile. What fails was closed, and that is told first, with its reason.
   */
  #afterSend(callback: WriteCallback): void {
    if (this.#host.writableLength < this.writableHighWaterMark) callback();
    else this.#host.whenFlushed((error) => (error ? process.nextTick(callback, error) : callback()));
  }

  #send({ chunk, encoding }: Chunk): void {
    let latin1 = '';
    let bytes = chunk;
    if (typeof chunk === 'string') {
      if (encoding === 'latin1' || encoding === 'binary' || encoding === 'ascii') {
        latin1 = chunk;
        bytes = '';
      } else if (encoding !== 'utf8' && encoding !== 'utf-8') {
        bytes = Buffer.from(chunk, encoding as BufferEncoding);
      }
    }
    this.#host.sendRaw(latin1, bytes);
  }

  override _final(callback: WriteCallback): void {
    if (this.#isClosed) callback();
    else this.#host.shutdown(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#bytesWritten = this.#host.output.bytesWritten;
    this.#countReceived();
    this.#hadError = error !== null;
    if (!this.#isClosed) this.#host.closeFromSocket(this.#isReset);
    callback(error);
    // After 'error', which the line above has put into the same queue.
    if (this.#isClosed) process.nextTick(emitClose, this, this.#hadError);
    const server = (this as unknown as SocketPrivate)._server;
    if (server != null) {
      server._connections--;
      server._emitCloseIfDrained?.();
    }
  }

  // What programs call, and node's class does through the handle.

  override pause(): this {
    if (!this.destroyed) this.#host.gate.pauseBySocket(true);
    return super.pause();
  }

  override resume(): this {
    if (!this.destroyed) this.#host.gate.pauseBySocket(false);
    return super.resume();
  }

  /** What a program pushes while HTTP is spoken is for the parser, as on node. */
  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    const isBytes = typeof chunk === 'string' || chunk instanceof Uint8Array;
    if (!isBytes || !this.#host.isParsed || this.destroyed) return super.push(chunk, encoding);
    const { loop, index, generation } = this.#host.wire;
    loop.engine.feed(index, generation, typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk);
    return true;
  }

  /** Each of a tick's writes leaves at once, so the stream has no callback to wait for (#afterSend); the program's waits for the bytes to leave. */
  #writeFor(chunk: string | Uint8Array, encoding: BufferEncoding | undefined, callback: WriteCallback): boolean {
    const isPlain = this.writable && this.writableLength === 0 && this.writableCorked === 0;
    if (!isPlain) return super.write(chunk, encoding, callback);
    const accepted = super.write(chunk, encoding);
    this.#host.whenFlushed(callback);
    return accepted;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as node's types have it
  override on(event: string, listener: (...args: any[]) => void): this {
    super.on(event, listener);
    if (event === 'data' || event === 'readable') this.#tap();
    return this;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  override addListener(event: string, listener: (...args: any[]) => void): this {
    return this.on(event, listener);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  override prependListener(event: string, listener: (...args: any[]) => void): this {
    super.prependListener(event, listener);
    if (event === 'data' || event === 'readable') this.#tap();
    return this;
  }

  #tap(): void {
    if (!this.#host.isParsed || this.destroyed) return;
    this.#host.gate.tap();
    // Once read from, a stream emits what it is given at once.
    super.read(0);
  }

  /** As node's, also after an upgrade. */
  override setEncoding(): this {
    const message = 'Changing the socket encoding is not allowed per RFC7230 Section 3.';
    throw Object.assign(new Error(message), { code: 'ERR_HTTP_SOCKET_ENCODING' });
  }

  /** By the engine's clock: bytes of HTTP do not come this way, so a timer here would not hear of them. */
  override setTimeout(timeoutMs: number, callback?: () => void): this {
    if (this.destroyed) return this;
    super.setTimeout(timeoutMs, callback);
    const given = this.timeout;
    // Checked, and the listener added: the timer itself is not wanted.
    if (timeoutMs !== 0) super.setTimeout(0);
    (this as { timeout?: number | undefined }).timeout = given;
    const wholeMs = timeoutMs === 0 ? 0 : Math.max(1, Math.trunc(timeoutMs));
    this.#host.setInactivity(Math.min(wholeMs, MAX_TIMEOUT_MS));
    return this;
  }

  override resetAndDestroy(): this {
    if (this.destroyed) return super.resetAndDestroy();
    if (this.#isUnix) {
      const message = 'This handle type cannot be sent';
      throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_HANDLE_TYPE' });
    }
    this.#isReset = true;
    return this.destroy();
  }

  /** Node's TLSSocket takes a net.Socket without a handle for one that connects, and waits for that. */
  // biome-ignore lint/suspicious/noExplicitAny: as node's types have it
  override once(event: string, listener: (...args: any[]) => void): this {
    if (event !== 'connect' || this.destroyed) return super.once(event, listener);
    process.nextTick(() => listener.call(this));
    return this;
  }

  override setNoDelay(on: boolean = true): this {
    const { loop, index, generation } = this.#host.wire;
    if (!this.#isClosed) loop.engine.setNoDelay(index, generation, Boolean(on));
    return this;
  }

  override setKeepAlive(on?: boolean, initialDelayMs?: number): this {
    const { loop, index, generation } = this.#host.wire;
    const delaySeconds = Math.trunc((Number(initialDelayMs) || 0) / 1000);
    if (!this.#isClosed) loop.engine.setKeepAlive(index, generation, Boolean(on), delaySeconds);
    return this;
  }

  override ref(): this {
    return this.#setReferenced(true);
  }

  override unref(): this {
    return this.#setReferenced(false);
  }

  #setReferenced(on: boolean): this {
    const { loop, index, generation } = this.#host.wire;
    if (!this.#isClosed) loop.engine.setConnectionReferenced(index, generation, on);
    return this;
  }

  // Addresses and counts: node's accessors read these.

  _getpeername(): NativeEndpoint {
    if (!this.destroyed) this.#ends();
    return (this as unknown as SocketPrivate)._peername ?? {};
  }

  _getsockname(): NativeEndpoint {
    return this.destroyed ? {} : (this.#ends()?.[1] ?? {});
  }

  #endpoints: [NativeEndpoint, NativeEndpoint] | undefined;

  /** Asked for once; as node's, known after the end only where somebody asked before. */
  #ends(): [NativeEndpoint, NativeEndpoint] | undefined {
    if (this.#endpoints === undefined && !this.#isClosed) {
      const { loop, index, generation } = this.#host.wire;
      this.#endpoints = loop.engine.peer(index, generation);
      if (this.#endpoints !== undefined) (this as unknown as SocketPrivate)._peername = this.#endpoints[0];
    }
    return this.#endpoints;
  }

  #countReceived(): number {
    const { loop, index, generation } = this.#host.wire;
    this.#bytesRead = Math.max(this.#bytesRead, loop.engine.wireReceived(index, generation));
    return this.#bytesRead;
  }

  get #isUnix(): boolean {
    return this.#ends()?.[0].address === undefined;
  }

  static {
    // As programs see it in logs, and some compare.
    Object.defineProperty(EngineSocket, 'name', { value: 'Socket' });
    // Properties of node's class, which are not methods.
    const read = (name: string, get: (socket: EngineSocket) => unknown): void => {
      const { enumerable } = Object.getOwnPropertyDescriptor(Socket.prototype, name) ?? { enumerable: false };
      Object.defineProperty(EngineSocket.prototype, name, {
        configurable: true,
        enumerable: enumerable ?? false,
        get(this: EngineSocket) {
          return get(this);
        },
      });
    };
    read('pending', () => false);
    read('bytesRead', (socket) => (socket.destroyed ? socket.#bytesRead : socket.#countReceived()));
    read('_bytesDispatched', (socket) => (socket.destroyed ? socket.#bytesWritten : socket.#host.output.bytesWritten));
    read('bufferSize', (socket) => (socket.destroyed ? undefined : socket.writableLength));
    const write = function write(this: EngineSocket, ...args: Parameters<Socket['write']>): boolean {
      const [chunk, encoding, callback] = args as unknown as [string | Uint8Array, unknown, unknown];
      if (typeof encoding === 'function') return this.#writeFor(chunk, undefined, encoding as WriteCallback);
      if (typeof callback !== 'function') return Reflect.apply(Socket.prototype.write, this, args);
      return this.#writeFor(chunk, encoding as BufferEncoding, callback as WriteCallback);
    };
    Object.defineProperty(EngineSocket.prototype, 'write', {
      configurable: true,
      get: () => write,
      set(this: EngineSocket, value: unknown) {
        Object.defineProperty(this, 'write', { value, writable: true, enumerable: true, configurable: true });
        if (this.#host.isParsed) this.#host.onWriteReplaced();
      },
    });
    Object.defineProperty(EngineSocket.prototype, '_httpMessage', {
      configurable: true,
      get(this: EngineSocket) {
        return this.#host.httpMessage;
      },
      set(this: EngineSocket, value: unknown) {
        Object.defineProperty(this, '_httpMessage', { value, writable: true, enumerable: true, configurable: true });
      },
    });
  }
}

function ignore(): void {}

function emitClose(socket: EngineSocket, hadError: boolean): void {
  socket.emit('close', hadError);
}
