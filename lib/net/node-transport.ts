/** Transports on node:net: the `node` backend. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { ListenTarget } from '../backend/contract.js';
import { listenError, listenOptions } from '../backend/node-backend.js';
import { ConnectionError } from '../errors.js';
import type { Attempt, ConnectTarget } from './connect.js';
import type { Acceptor } from './listen.js';
import { type Endpoint, Transport } from './transport.js';

export class NodeTransport extends Transport {
  readonly backend = 'node';
  readonly #socket: Socket;
  #error: NodeJS.ErrnoException | null = null;
  #corked = false;
  #low = -1;

  /** `socket` is connected, with allowHalfOpen. */
  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.received(chunk, 0, chunk.length, true));
    socket.on('end', () => this.ended());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error;
    });
    socket.on('close', () => this.gone(this.#error === null ? null : broken(this.#error)));
  }

  get remote(): Endpoint {
    return endpoint(this.#socket.remoteAddress, this.#socket.remotePort);
  }

  get local(): Endpoint {
    return endpoint(this.#socket.localAddress, this.#socket.localPort);
  }

  writeBufferSize(): number {
    return this.#socket.writableLength;
  }

  setNoDelay(on = true): this {
    this.#socket.setNoDelay(on);
    return this;
  }

  setKeepAlive(on = true, delaySeconds = 0): this {
    this.#socket.setKeepAlive(on, delaySeconds * 1000);
    return this;
  }

  ref(): this {
    this.#socket.ref();
    return this;
  }

  unref(): this {
    this.#socket.unref();
    return this;
  }

  protected send(data: string | Uint8Array): number {
    // As the engine does: one system call for what one turn writes, and the caller may reuse his memory.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.copyBytesFrom(data);
    this.#socket.write(bytes, () => this.#checkLow());
    return bytes.length;
  }

  protected sendEof(): void {
    this.#socket.end();
  }

  protected startClosing(): void {
    this.#socket.resume(); // what still comes is dropped
    if (this.#socket.writableEnded) this.#closeBoth();
    else this.#socket.end(() => this.#closeBoth());
  }

  #closeBoth(): void {
    this.#socket.destroySoon();
  }

  protected destroy(reset: boolean): void {
    if (reset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  protected setReading(on: boolean): void {
    if (on) this.#socket.resume();
    else this.#socket.pause();
  }

  /** Never asked: node reads into memory of its own. */
  protected receive(): number {
    return 0;
  }

  protected watchDrain(low: number): void {
    this.#low = low;
  }

  #checkLow(): void {
    if (this.#low < 0 || this.#socket.writableLength > this.#low) return;
    this.#low = -1;
    this.drained();
  }
}

function endpoint(address: string | undefined, port: number | undefined): Endpoint {
  return { address, port, family: address === undefined ? undefined : address.includes(':') ? 'IPv6' : 'IPv4' };
}

function broken(error: NodeJS.ErrnoException): Error {
  return new ConnectionError(error.code ?? 'UNKNOWN', error.errno ?? 0);
}

export async function listenNode(
  target: ListenTarget,
  maxConnections: number,
  accepted: (transport: NodeTransport) => void,
): Promise<Acceptor> {
  const server = createServer({ allowHalfOpen: true }, (socket) => accepted(new NodeTransport(socket)));
  if (maxConnections > 0) server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, target)));
    server.listen(listenOptions(target), resolve);
  });
  server.removeAllListeners('error');
  server.on('error', () => {}); // an accept that failed; libuv tries again
  return {
    backend: 'node',
    address: server.address() as AddressInfo | string,
    setReferenced: (on) => (on ? server.ref() : server.unref()),
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Begins a connection; returns what gives it up. */
export function connectNode(target: ConnectTarget, attempt: Attempt): () => void {
  const { path, hostname, port, localAddress, localPort } = target;
  const socket =
    path === undefined
      ? connect({ host: hostname, port: port as number, localAddress, localPort, allowHalfOpen: true } as never)
      : connect({ path, allowHalfOpen: true } as never);
  const onError = (error: NodeJS.ErrnoException): void =>
    attempt.failed(error.code ?? 'UNKNOWN', error.errno ?? 0, error.syscall);
  socket.once('error', onError);
  socket.once('connect', () => {
    socket.off('error', onError);
    attempt.made(new NodeTransport(socket));
  });
  return () => {
    socket.off('error', onError);
    socket.on('error', () => {});
    socket.destroy();
  };
}
