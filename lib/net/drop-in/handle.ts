/**
 * EngineHandle: what a net.Socket of node's has in the place of a TCP or Pipe handle of libuv: a connection of the engine (a raw wire session). Node's class
 * goes on to do all that a program sees: streams, events, timeouts, happy eyeballs, errors. It calls the methods here by the names that libuv's handles
 * have; only reading and writing go by ways of our own, since node's exchange results with C++ through memory that it does not show (socket.ts).
 *
 * Owned by its socket. Everything that comes is told in the async context in which the handle was made.
 */
import { AsyncResource } from 'node:async_hooks';
import { constants } from 'node:os';
import type { ByteListener, WireConnection } from '../../backend/wire.js';
import { ownBytes } from '../../bridge/lent-buffers.js';
import { WIRE_WRITE_CLOSE_FLAG } from '../../bridge/records.js';
import type { ConnectTarget } from '../options.js';
import { beginConnection } from '../raw-connections.js';
import { systemError } from '../system-error.js';
import { createHandle, type Done, type OnRead, type SocketWithParts } from './node-parts.js';
import { Outgoing } from './outgoing.js';
import { emitData, refreshTimeouts } from './short-ways.js';

/** Read and not yet told to the engine: a record a read would cost more than it does good. */
const CONSUME_BYTES = 64 * 1024;
/** A socket that was destroyed before the system took all of what it had accepted: how long nothing may leave until that is given up. */
const GIVE_UP_MS = 30_000;
const { EBADF, ECANCELED, ECONNREFUSED, ENOTCONN, EPIPE } = constants.errno;

/** Node's TCPConnectWrap or PipeConnectWrap. */
interface ConnectRequest {
  oncomplete?: (status: number, handle: object, request: ConnectRequest, readable: boolean, writable: boolean) => void;
}

/** A handle of libuv's. */
export interface Connectable {
  bind(address: string, port: number, flags: number): number;
  bind6(address: string, port: number, flags: number): number;
  connect(request: ConnectRequest, address: string, port: number): number;
  connect6(request: ConnectRequest, address: string, port: number): number;
}

/** Bytes, the peer's end, or the errno that broke the connection. */
type Held = Buffer | 'end' | number;

export class EngineHandle implements ByteListener {
  readonly #scope: AsyncResource;
  /** As libuv's: set by node around readStart and readStop. */
  reading = false;
  bytesRead = 0;
  bytesWritten = 0;
  /** Node sets it; ours is `socket`. */
  onread: unknown;
  socket: SocketWithParts | null = null;
  /** For sockets with node's `onread` option. */
  onRead: OnRead | null = null;
  /** Accepted on a unix socket. */
  isUnix = false;
  /** The listener's: the engine has the connection no more. */
  onGone: (() => void) | null = null;
  #userBuffer: Uint8Array | null = null;
  #wire: WireConnection | null = null;
  #outgoing: Outgoing | null = null;
  #request: ConnectRequest | null = null;
  #target: ConnectTarget = {};
  #local: { localAddress?: string; localPort?: number } = {};
  #held: Held[] = [];
  #isReleasing = false;
  #isReading = true;
  #isReferenced = true;
  #isEnded = false;
  #consumed = 0;
  /** The errno of one that broke; 0: it is gone in order; -1: it is there. */
  #gone = -1;
  #isClosing = false;
  #isGivenUp = false;
  #isOver = false;
  #onClosed: (() => void) | null = null;
  /** Those who wait to write hear of the closing as with libuv: not in the call that closes, but before 'close'. */
  #tellCancelled: (() => void) | null = null;

  /** `wire`: one that was accepted; null: `connect` will begin one. */
  constructor(wire: WireConnection | null) {
    this.#scope = new AsyncResource('TCPWRAP', { requireManualDestroy: true });
    if (wire !== null) this.#take(wire);
  }

  getAsyncId(): number {
    return this.#scope.asyncId();
  }

  /** A unix socket, as far as is known. */
  get isPipe(): boolean {
    return this.#target.path !== undefined || this.isUnix;
  }

  get fd(): number {
    const wire = this.#wire;
    return wire === null ? -EBADF : wire.loop.engine.connectionFd(wire.index, wire.generation);
  }

  /** Written and not yet with the system, as far as is known. */
  get writeQueueSize(): number {
    return this.#outgoing?.length ?? 0;
  }

  get isWriting(): boolean {
    return this.#outgoing?.isStuck ?? false;
  }

  // Connecting.

  /** An address that cannot be had is told here, as libuv tells it; the engine binds again. */
  bind(address: string, port: number): number {
    return this.#bind(address, port, 4);
  }

  bind6(address: string, port: number): number {
    return this.#bind(address, port, 6);
  }

  #bind(localAddress: string, port: number | undefined, family: 4 | 6): number {
    const localPort = port ?? 0;
    const trial = createHandle(localAddress, localPort, family, undefined, undefined);
    if (typeof trial === 'number') return trial;
    const error = trial.getsockname?.({}) ?? 0;
    trial.close();
    if (error === 0) this.#local = { localAddress, localPort };
    return error;
  }

  /** Without a port `address` is the path of a unix socket. */
  connect(request: ConnectRequest, address: string, port?: number): number {
    const target: ConnectTarget = port === undefined ? { path: address } : { hostname: address, port, ...this.#local };
    this.#target = target;
    this.#request = request;
    try {
      beginConnection(target, (wire) => {
        this.#take(wire);
        return this;
      });
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      // What libuv tells later, and what it tells at once.
      if (port !== undefined && errno !== -ECONNREFUSED) return errno;
      setImmediate(() => this.#connected(errno));
    }
    return 0;
  }

  connect6(request: ConnectRequest, address: string, port: number): number {
    return this.connect(request, address, port);
  }

  #take(wire: WireConnection): void {
    this.#wire = wire;
    this.#outgoing = new Outgoing(wire);
    if (!this.#isReferenced) this.#hold();
  }

  #connected(status: number): void {
    const request = this.#request;
    this.#request = null;
    const isThere = status === 0;
    if (request?.oncomplete)
      this.#scope.runInAsyncScope(request.oncomplete, request, status, this, request, isThere, isThere);
    // A paused socket does not read on.
    if (isThere && !this.reading) this.#setReading(false);
  }

  onConnected(): void {
    this.#connected(0);
  }

  // Reading.

  readStart(): number {
    if (this.#held.length > 0) {
      if (!this.#isReleasing) process.nextTick(releaseHeld, this);
      this.#isReleasing = true;
    } else this.#setReading(true);
    return 0;
  }

  readStop(): number {
    this.#setReading(false);
    return 0;
  }

  /** The memory of a socket with the `onread` option. */
  useUserBuffer(buffer: Uint8Array): void {
    this.#userBuffer = buffer;
  }

  #setReading(on: boolean): void {
    if (this.#isReading === on) return;
    this.#isReading = on;
    this.#wire?.setReading(on);
    this.#hold();
  }

  onBytes(memory: Buffer, start: number, end: number, isOwn: boolean): void {
    this.#count(end - start);
    if (this.#userBuffer !== null && this.reading && this.#held.length === 0) {
      this.#scope.runInAsyncScope(this.#fill, this, memory, start, end);
    } else this.#receive(ownBytes(memory, start, end, isOwn));
  }

  onEnd(): void {
    this.#isEnded = true;
    this.#receive('end');
    this.#hold();
  }

  #receive(item: Held): void {
    if (this.#isGivenUp) {
      if (typeof item !== 'number') this.socket?.push(item === 'end' ? null : item);
    } else if (this.reading && this.#held.length === 0) {
      this.#scope.runInAsyncScope(this.#deliver, this, item);
    } else if (!this.#isClosing) {
      this.#held.push(item);
    }
  }

  #count(byteCount: number): void {
    this.bytesRead += byteCount;
    this.#consumed += byteCount;
    if (this.#consumed < CONSUME_BYTES) return;
    this.#wire?.consume(this.#consumed);
    this.#consumed = 0;
  }

  /** What node's own handles do by `onread`. */
  #deliver(item: Held): void {
    const socket = this.socket;
    if (socket === null) return;
    if (typeof item === 'number') {
      socket.destroy(systemError(item, item === EPIPE ? 'write' : 'read'));
      return;
    }
    refreshTimeouts(socket);
    if (item === 'end') {
      if (socket.readableEnded) return;
      socket.push(null);
      socket.read(0);
    } else if (socket.destroyed) {
      return;
    } else if (this.#userBuffer !== null) {
      this.#fill(item, 0, item.length);
    } else if (!emitData(socket, item) && !socket.push(item)) {
      this.reading = false;
      if (!socket.destroyed) this.readStop();
    }
  }

  #fill(bytes: Buffer, start: number, end: number): void {
    const { buffer, callback } = this.onRead as OnRead;
    const socket = this.socket as SocketWithParts;
    socket._unrefTimer();
    for (let at = start; at < end && !this.#isClosing; ) {
      if (!this.reading) {
        this.#held.unshift(Buffer.from(bytes.subarray(at, end)));
        return;
      }
      const into = this.#userBuffer as Uint8Array;
      const taken = Math.min(into.length, end - at);
      bytes.copy(into, 0, at, at + taken);
      at += taken;
      const goesOn = callback.call(socket, taken, into) !== false;
      const next = typeof buffer === 'function' ? buffer() : null;
      if (next instanceof Uint8Array) this.#userBuffer = next;
      if (goesOn || !this.reading) continue;
      this.reading = false;
      this.readStop();
    }
  }

  /** @internal In the tick after readStart. */
  release(): void {
    this.#isReleasing = false;
    while (this.reading && !this.#isClosing && this.#held.length > 0) {
      this.#scope.runInAsyncScope(this.#deliver, this, this.#held.shift() as Held);
    }
    if (this.reading && !this.#isClosing) this.#setReading(true);
  }

  // Writing.

  /** `latin1`, then `body` (text as UTF-8). `done` is called once, perhaps before this returns. */
  write(latin1: string, body: string | Uint8Array, done: Done | null): void {
    const outgoing = this.#outgoing;
    if (outgoing === null || this.#gone !== -1 || this.#isClosing) {
      done?.(systemError(this.#gone > 0 ? this.#gone : this.#isClosing ? EBADF : EPIPE, 'write'));
      return;
    }
    if (this.#writeNow(outgoing, latin1, body)) {
      done?.();
      return;
    }
    const bytes = latin1 !== '' ? Buffer.from(latin1, 'latin1') : typeof body === 'string' ? Buffer.from(body) : body;
    this.bytesWritten += bytes.length;
    outgoing.enqueue(bytes, done);
    if (!this.#isReading || this.#isEnded) this.#hold();
  }

  /** The same for a write that nobody waits for. False: it has to wait. */
  writeAtOnce(body: string | Uint8Array): boolean {
    const outgoing = this.#outgoing;
    return outgoing !== null && this.#gone === -1 && !this.#isClosing && this.#writeNow(outgoing, '', body);
  }

  #writeNow(outgoing: Outgoing, latin1: string, body: string | Uint8Array): boolean {
    const byteCount = outgoing.write(latin1, body);
    if (byteCount < 0) return false;
    this.bytesWritten += byteCount;
    return true;
  }

  /** Node's ShutdownWrap. Never over at once, as libuv's: what is written after end() in the same turn is an error that comes before 'finish'. */
  shutdown(request: { oncomplete(status: number): void }): number {
    if (this.#wire === null || this.#outgoing === null || this.#gone !== -1) return -ENOTCONN;
    this.#wire.shutdown();
    this.#outgoing.flush();
    this.#outgoing.whenSent(() => this.#scope.runInAsyncScope(request.oncomplete, request, 0));
    return 0;
  }

  onFlushed(position: number): void {
    this.#outgoing?.onFlushed(position);
    if (!this.#isReading || this.#isEnded) this.#hold();
  }

  // Closing.

  close(callback?: () => void): void {
    if (this.#isClosing) return;
    this.#beginClosing(callback);
    const wire = this.#wire;
    const outgoing = this.#outgoing;
    if (wire === null || outgoing === null || this.#gone !== -1) {
      setImmediate(() => this.#closed());
      return;
    }
    this.#tellCancelled = outgoing.abandon(systemError(ECANCELED, 'write'));
    if (this.#request !== null || outgoing.flush()) {
      wire.destroy();
      return;
    }
    // It was told to have been written: the engine sends it, and nobody waits for that.
    wire.write('', '', WIRE_WRITE_CLOSE_FLAG);
    wire.setInactivity(GIVE_UP_MS);
    this.unref();
    setImmediate(() => this.#closed());
  }

  /** The same, with RST. */
  reset(callback?: () => void): number {
    if (this.#isClosing) return 0;
    this.#beginClosing(callback);
    this.#tellCancelled = this.#outgoing?.abandon(systemError(ECANCELED, 'write')) ?? null;
    if (this.#wire !== null && this.#gone === -1) this.#wire.destroy(true);
    else setImmediate(() => this.#closed());
    return 0;
  }

  #beginClosing(callback: (() => void) | undefined): void {
    this.#isClosing = true;
    this.#onClosed = callback ?? null;
    this.#held = [];
    this.reading = false;
  }

  onIdle(): void {
    this.#wire?.destroy();
  }

  onClosed(errno: number): void {
    this.#gone = errno;
    this.onGone?.();
    if (this.#isClosing) {
      this.#connected(-ECANCELED);
      this.#closed();
    } else if (this.#request !== null) {
      this.#connected(-errno);
    } else {
      this.#outgoing?.abandon(systemError(errno === 0 ? EPIPE : errno, 'write'))();
      if (errno !== 0) this.#receive(errno);
      else if (!this.#isEnded) this.#receive('end');
    }
  }

  /** Once: what the engine still sends of a connection that was closed goes on without us. */
  #closed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const callback = this.#onClosed;
    this.#onClosed = null;
    try {
      if (this.#tellCancelled !== null) this.#scope.runInAsyncScope(this.#tellCancelled);
    } finally {
      if (callback !== null) this.#scope.runInAsyncScope(callback);
      this.#scope.emitDestroy();
    }
  }

  // The rest of what node calls.

  ref(): void {
    this.#setReferenced(true);
  }

  unref(): void {
    this.#setReferenced(false);
  }

  hasRef(): boolean {
    return this.#isReferenced;
  }

  #setReferenced(on: boolean): void {
    this.#isReferenced = on;
    this.#hold();
  }

  /** As libuv's handles, one that neither connects, reads nor writes does not keep the process alive. */
  #hold(): void {
    const wire = this.#wire;
    if (wire === null || this.#gone !== -1) return;
    const isActive = this.#request !== null || (this.#isReading && !this.#isEnded) || this.isWriting;
    wire.loop.engine.setConnectionReferenced(wire.index, wire.generation, this.#isReferenced && isActive);
  }

  setNoDelay(on: boolean): number {
    const wire = this.#wire;
    return wire === null ? -EBADF : wire.loop.engine.setNoDelay(wire.index, wire.generation, on);
  }

  setKeepAlive(on: boolean, delaySeconds: number): number {
    const wire = this.#wire;
    return wire === null ? -EBADF : wire.loop.engine.setKeepAlive(wire.index, wire.generation, on, delaySeconds);
  }

  getpeername(out: object): number {
    return this.#nameInto(out, 0);
  }

  getsockname(out: object): number {
    if (this.#wire === null) Object.assign(out, { address: this.#local.localAddress, port: this.#local.localPort });
    return this.#wire === null ? 0 : this.#nameInto(out, 1);
  }

  #nameInto(out: object, which: 0 | 1): number {
    const wire = this.#wire;
    const ends = wire?.loop.engine.peer(wire.index, wire.generation);
    if (ends === undefined) return -ENOTCONN;
    Object.assign(out, ends[which]);
    return 0;
  }

  /** What was begun here, or may be, is begun anew on a handle of libuv's, which goes to what is returned. Undefined: it is connected, or a unix socket. */
  giveUpAttempt(): ((handle: Connectable) => void) | undefined {
    const request = this.#request;
    if (this.#isClosing || this.isPipe || (this.#wire !== null && request === null)) return undefined;
    const { hostname, port } = this.#target;
    this.#request = null;
    this.close();
    return (handle) => {
      const { localAddress, localPort } = this.#local;
      const isV6 = hostname?.includes(':') ?? false;
      if (localAddress !== undefined) handle[isV6 ? 'bind6' : 'bind'](localAddress, localPort ?? 0, 0);
      if (request === null) return;
      const status = handle[isV6 ? 'connect6' : 'connect'](request, hostname as string, port as number);
      if (status !== 0) setImmediate(() => request.oncomplete?.(status, handle, request, false, false));
    };
  }

  /**
   * The connection leaves the engine: a duplicate of its descriptor, and what was received and not told. What still comes of it is told as before.
   * Undefined: it is not there, or some of what was written has not left.
   */
  giveUp(): { fd: number; held: readonly (Buffer | null)[] } | undefined {
    const wire = this.#wire;
    if (wire === null || this.#gone !== -1 || this.#isClosing || this.#request !== null) return undefined;
    if (this.#outgoing?.flush() === false) return undefined;
    const given = wire.loop.engine.release(wire.index, wire.generation);
    if (given === undefined) return undefined;
    const held = this.#held.map((item) => (typeof item === 'object' ? item : null));
    if (given[1].length > 0) held.push(given[1]);
    this.#held = [];
    this.#isClosing = this.#isGivenUp = true;
    wire.destroy();
    return { fd: given[0], held };
  }
}

function releaseHeld(handle: EngineHandle): void {
  handle.release();
}
