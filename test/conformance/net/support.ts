/** Servers and connections of transports, closed and counted after each test. */
import { afterEach, expect } from 'vitest';
import {
  type AnyProtocol,
  type ConnectOptions,
  connectProtocol,
  type ListenOptions,
  listen,
  type Protocol,
  type StreamServer,
  type Transport,
} from '../../../lib/net/index.js';
import type { BackendName } from '../../support/backends.js';

/** Keeps what its connection tells, and lets tests wait for it. */
export class Recorder implements Protocol {
  transport: Transport | null = null;
  readonly log: string[] = [];
  text = '';
  lost: Error | null | undefined;
  /** What eofReceived returns. */
  keepsOpen = false;
  #waiters: { done: () => boolean; resolve: () => void }[] = [];

  connectionMade(transport: Transport): void {
    expect(this.transport).toBe(null);
    this.transport = transport;
    this.#note('made');
  }

  dataReceived(data: Buffer): void {
    this.text += data.toString('latin1');
    if (this.log.at(-1) !== 'data') this.log.push('data');
    this.#check();
  }

  eofReceived(): boolean {
    this.#note('eof');
    return this.keepsOpen;
  }

  connectionLost(error: Error | null): void {
    expect(this.lost, 'connectionLost comes once').toBe(undefined);
    this.lost = error;
    this.#note('lost');
  }

  pauseWriting(): void {
    this.#note('pause');
  }

  resumeWriting(): void {
    this.#note('resume');
  }

  until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push({ done, resolve });
      this.#check();
    });
  }

  has(what: string): Promise<void> {
    return this.until(() => this.log.includes(what));
  }

  #note(what: string): void {
    this.log.push(what);
    this.#check();
  }

  #check(): void {
    this.#waiters = this.#waiters.filter(({ done, resolve }) => {
      if (!done()) return true;
      resolve();
      return false;
    });
  }
}

export interface World {
  listen(factory: () => AnyProtocol, options?: ListenOptions): Promise<StreamServer>;
  connect<P extends AnyProtocol>(server: StreamServer, protocol: P, options?: Partial<ConnectOptions>): Promise<P>;
  /** A server and a client, connected, with the protocols that were given. */
  pair<S extends AnyProtocol, C extends AnyProtocol>(
    server: S,
    client: C,
  ): Promise<{ server: S; client: C; listener: StreamServer }>;
}

export function world(backend: BackendName): World {
  let servers: StreamServer[] = [];
  let clients: Transport[] = [];
  afterEach(async () => {
    for (const client of clients) client.abort();
    for (const server of servers) await server.close({ deadline: 0 });
    for (const server of servers) expect(server.transports.size).toBe(0);
    servers = [];
    clients = [];
  });
  const it: World = {
    async listen(factory, options = {}) {
      const anywhere = options.path === undefined && options.fd === undefined ? { port: 0, hostname: '127.0.0.1' } : {};
      const server = await listen({ ...anywhere, ...options, backend }, factory);
      expect(server.backend).toBe(backend);
      servers.push(server);
      return server;
    },
    async connect(server, protocol, options = {}) {
      const address = server.address();
      const target =
        typeof address === 'string' ? { path: address } : { port: address.port, hostname: address.address };
      const connected = await connectProtocol({ ...target, ...options, backend }, () => protocol);
      expect(connected.protocol).toBe(protocol);
      expect(connected.transport.backend).toBe(backend);
      clients.push(connected.transport);
      return protocol;
    },
    async pair(server, client) {
      const listener = await it.listen(() => server);
      await it.connect(listener, client);
      return { server, client, listener };
    },
  };
  return it;
}
