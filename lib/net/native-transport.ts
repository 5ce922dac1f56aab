/** Transports on the engine: raw wire sessions (native/http/wire_session.h). */
import type { AsyncResource } from 'node:async_hooks';
import type { AddressInfo } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { ListenTarget } from '../backend/contract.js';
import { listenErrorOf } from '../backend/native-backend.js';
import { nativeLoop } from '../backend/native-loop.js';
import type { ByteListener, WireConnection } from '../backend/wire.js';
import { WIRE_WRITE_CLOSE_FLAG } from '../bridge/records.js';
import { ConnectionError } from '../errors.js';
import type { Attempt, ConnectTarget } from './connect.js';
import type { Acceptor } from './listen.js';
import { beginConnection, openRawServer } from './raw-connections.js';
import { type Endpoint, Transport } from './transport.js';

/** How much may be taken before the window is opened again: a record a read would cost more than it does good. */
const CONSUME_BYTES = 64 * 1024;

export class NativeTransport extends Transport implements ByteListener {
  readonly backend = 'native';
  readonly #wire: WireConnection;
  #attempt: Attempt | null;
  /** Taken, and not told to the engine. */
  #taken = 0;
  #low = 0;

  /** `attempt`: what waits for the connection to be made; null: it is there. */
  constructor(wire: WireConnection, attempt: Attempt | null) {
    super();
    this.#wire = wire;
    this.#attempt = attempt;
  }

  get remote(): Endpoint {
    const { remoteAddress, remotePort } = this.#wire.loop.peer(this.#wire.index, this.#wire.generation);
    return endpoint(remoteAddress, remotePort);
  }

  get local(): Endpoint {
    const { localAddress, localPort } = this.#wire.loop.peer(this.#wire.index, this.#wire.generation);
    return endpoint(localAddress, localPort);
  }

  writeBufferSize(): number {
    const sent = this.#wire.sentBytes();
    return sent < 0 ? 0 : (this.#wire.position - sent) >>> 0;
  }

  setNoDelay(on = true): this {
    this.#wire.loop.engine.setNoDelay(this.#wire.index, this.#wire.generation, on);
    return this;
  }

  setKeepAlive(on = true, delaySeconds = 0): this {
    this.#wire.loop.engine.setKeepAlive(this.#wire.index, this.#wire.generation, on, delaySeconds);
    return this;
  }

  ref(): this {
    this.#wire.loop.engine.setConnectionReferenced(this.#wire.index, this.#wire.generation, true);
    return this;
  }

  unref(): this {
    this.#wire.loop.engine.setConnectionReferenced(this.#wire.index, this.#wire.generation, false);
    return this;
  }

  protected send(data: string | Uint8Array): number {
    const before = this.#wire.position;
    if (typeof data === 'string') this.#wire.write('', data, 0);
    else this.#wire.send(data);
    return (this.#wire.position - before) >>> 0;
  }

  protected sendEof(): void {
    this.#wire.shutdown();
  }

  protected startClosing(): void {
    this.#wire.write('', '', WIRE_WRITE_CLOSE_FLAG);
  }

  protected destroy(reset: boolean): void {
    this.#wire.destroy(reset);
  }

  protected setReading(on: boolean, byHand: boolean): void {
    this.#wire.setReading(on, byHand);
  }

  protected receive(memory: Uint8Array): number {
    return this.#wire.receive(memory);
  }

  protected watchDrain(low: number): void {
    this.#low = low;
    this.#wire.notify();
  }

  // From the engine.

  onConnected(): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.made(this);
  }

  onBytes(memory: Buffer, start: number, end: number, isOwn: boolean): void {
    this.#take(end - start);
    this.received(memory, start, end, isOwn);
  }

  onReadable(): void {
    this.readable();
  }

  #take(byteCount: number): void {
    this.#taken += byteCount;
    if (this.#taken < CONSUME_BYTES) return;
    this.#wire.consume(this.#taken);
    this.#taken = 0;
  }

  onEnd(): void {
    this.ended();
  }

  onFlushed(position: number): void {
    if ((this.#wire.position - position) >>> 0 <= this.#low) this.drained();
    else this.#wire.notify();
  }

  onIdle(): void {}

  onClosed(errno: number): void {
    const code = errno === 0 ? '' : getSystemErrorName(-errno);
    const attempt = this.#attempt;
    this.#attempt = null;
    if (attempt !== null) attempt.failed(code, -errno);
    else this.gone(errno === 0 ? null : new ConnectionError(code, -errno));
  }
}

function endpoint(address: string | undefined, port: number | undefined): Endpoint {
  return { address, port, family: address === undefined ? undefined : address.includes(':') ? 'IPv6' : 'IPv4' };
}

/** A listener on the engine. The constructor throws a ListenError. */
export class NativeAcceptor implements Acceptor {
  readonly backend = 'native';
  readonly address: AddressInfo | string;
  readonly #loop = nativeLoop();
  readonly #index: number;

  constructor(
    target: ListenTarget,
    maxConnections: number,
    accepted: (transport: NativeTransport) => void,
    context: AsyncResource,
  ) {
    const { engine, wire } = this.#loop;
    this.#index = openRawServer(maxConnections);
    try {
      engine.listenOn(this.#index, target);
    } catch (error) {
      engine.forgetServer(this.#index);
      throw listenErrorOf(error, target);
    }
    this.address = engine.address(this.#index) as AddressInfo | string;
    wire.addServer(this.#index, {
      onConnection(connection) {
        return context.runInAsyncScope(() => {
          const transport = new NativeTransport(connection, null);
          accepted(transport);
          return transport;
        });
      },
    });
  }

  setReferenced(on: boolean): void {
    this.#loop.engine.setReferenced(this.#index, on);
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#loop.addServer(this.#index, {
        onClosed: () => {
          this.#loop.wire.removeServer(this.#index);
          this.#loop.engine.forgetServer(this.#index);
          resolve();
        },
      });
      this.#loop.engine.closeServer(this.#index);
    });
  }
}

/** Begins a connection; returns what gives it up. */
export function connectNative(target: ConnectTarget, attempt: Attempt): () => void {
  let transport: NativeTransport | null = null;
  try {
    beginConnection(target, (connection) => {
      transport = new NativeTransport(connection, attempt);
      return transport;
    });
  } catch (error) {
    const { errno, syscall } = error as NodeJS.ErrnoException;
    if (errno === undefined || syscall === undefined) throw error;
    attempt.failed(getSystemErrorName(errno), errno, syscall);
  }
  return () => transport?.abort();
}
