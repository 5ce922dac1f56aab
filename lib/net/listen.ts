/** listen(): a server of transports and protocols. */
import { AsyncResource } from 'node:async_hooks';
import type { AddressInfo } from 'node:net';
import { OptionError } from '../errors.js';
import { MAX_TIMER_MS } from '../scope/clock.js';
import type { NativeTransport } from './native-transport.js';
import type { NodeTransport } from './node-transport.js';
import { backendOf, checkListen, type ListenOptions } from './options.js';
import type { AnyProtocol, ProtocolFactory } from './protocol.js';
import type { Transport } from './transport.js';

/** A backend's half of a server. */
export interface Acceptor {
  readonly backend: 'native' | 'node';
  readonly address: AddressInfo | string;
  setReferenced(on: boolean): void;
  /** No connection is accepted any more; resolves once the backend has none left. */
  stop(): Promise<void>;
}

/** The open connections of a server. */
class Transports extends Set<Transport> {
  #onEmpty: (() => void) | null = null;

  override delete(transport: Transport): boolean {
    const deleted = super.delete(transport);
    if (this.size === 0) this.#onEmpty?.();
    return deleted;
  }

  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      if (this.size === 0) resolve();
    });
  }
}

export class StreamServer {
  readonly #acceptor: Acceptor;
  readonly #transports: Transports;
  #stopped: Promise<void> | null = null;

  /** @internal */
  constructor(acceptor: Acceptor, transports: Transports) {
    this.#acceptor = acceptor;
    this.#transports = transports;
  }

  get backend(): 'native' | 'node' {
    return this.#acceptor.backend;
  }

  /** As node's server.address(): an object, or the path of a unix socket. */
  address(): AddressInfo | string {
    return this.#acceptor.address;
  }

  /** The port; throws for a unix socket. */
  get port(): number {
    const { address } = this.#acceptor;
    if (typeof address === 'string') throw new OptionError('port', 'a server that listens on one', address);
    return address.port;
  }

  /** Connections that are open, in the order in which they came. */
  get transports(): ReadonlySet<Transport> {
    return this.#transports;
  }

  ref(): this {
    this.#acceptor.setReferenced(true);
    return this;
  }

  unref(): this {
    this.#acceptor.setReferenced(false);
    return this;
  }

  /**
   * Accepts no more, and resolves once the connections that there are have closed. `deadline`: milliseconds after which they are aborted; default: never.
   * May be called again, to bring the deadline forward.
   */
  close({ deadline }: { deadline?: number } = {}): Promise<void> {
    if (deadline !== undefined && !(typeof deadline === 'number' && deadline >= 0)) {
      throw new OptionError('deadline', 'milliseconds, 0 or more', deadline);
    }
    this.#stopped ??= this.#acceptor.stop().then(() => this.#transports.emptied());
    if (deadline !== undefined && deadline <= MAX_TIMER_MS) {
      const timer = setTimeout(() => {
        for (const transport of this.#transports) transport.abort();
      }, deadline);
      void this.#stopped.then(() => clearTimeout(timer));
    }
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ deadline: 0 });
  }
}

/**
 * Listens, and makes a protocol of `factory` for each connection. Connections run in the async context of this call; what `factory` throws closes the
 * connection and is an uncaughtException. Rejects with a ListenError (code as node
 * gives it), an OptionError, or an AddonMissingError where `backend: 'native'` asks for what does not load.
 */
export async function listen(options: ListenOptions, factory: ProtocolFactory): Promise<StreamServer> {
  if (typeof factory !== 'function') throw new OptionError('factory', 'a function that returns a protocol', factory);
  const { target, maxConnections } = await checkListen(options);
  const transports = new Transports();
  const context = new AsyncResource('GammaloopServer');
  const accepted = (transport: NativeTransport | NodeTransport): void => {
    transports.add(transport);
    transport.onGone = () => transports.delete(transport);
    try {
      transport.begin(factory as () => AnyProtocol);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  };
  if ((await backendOf(options.backend)) === 'native') {
    const { NativeAcceptor } = await import('./native-transport.js');
    return new StreamServer(new NativeAcceptor(target, maxConnections, accepted, context), transports);
  }
  const { listenNode } = await import('./node-transport.js');
  return new StreamServer(await listenNode(target, maxConnections, accepted), transports);
}
