/** connectProtocol(): one connection with a protocol, by the first address that answers. */
import { ConnectError, OptionError, TimeoutError } from '../errors.js';
import { MAX_TIMER_MS } from '../scope/clock.js';
import { Waiter } from '../scope/waiter.js';
import type { NativeTransport } from './native-transport.js';
import type { NodeTransport } from './node-transport.js';
import { backendOf, type ConnectOptions, type ConnectTarget, checkConnect, targetsOf } from './options.js';
import type { AnyProtocol, ProtocolFactory } from './protocol.js';
import type { Transport } from './transport.js';

export type { ConnectTarget } from './options.js';

/** Who waits for one address. One of the two is called, once, unless it was given up. */
export interface Attempt {
  made(transport: NativeTransport | NodeTransport): void;
  /** `errno` is negative. */
  failed(code: string, errno: number, syscall?: string): void;
}

type Begin = (target: ConnectTarget, attempt: Attempt) => () => void;

/** How long an address is waited for before the next is tried as well (RFC 8305, section 5: 250 ms). */
const STAGGER_MS = 250;

/**
 * Connects, and makes a protocol of `factory`, whose connectionMade is called before this resolves. Cancelled by the scope it runs in, by `signal`, and by
 * `timeout` (TimeoutError). Rejects with a ConnectError (code as node gives it: ECONNREFUSED, ENOTFOUND ...).
 */
export async function connectProtocol<P extends AnyProtocol>(
  options: ConnectOptions,
  factory: ProtocolFactory<P>,
): Promise<{ transport: Transport; protocol: P }> {
  checkConnect(options);
  if (typeof factory !== 'function') throw new OptionError('factory', 'a function that returns a protocol', factory);
  options.signal?.throwIfAborted();
  const native = (await backendOf(options.backend)) === 'native';
  const begin: Begin = native
    ? (await import('./native-transport.js')).connectNative
    : (await import('./node-transport.js')).connectNode;
  const race = new Race(await targetsOf(options), begin);
  const transport = await race.run(options);
  const protocol = transport.begin(factory as () => AnyProtocol) as P;
  return { transport, protocol };
}

/** Several addresses of one name; the first that answers is taken, the others are given up. */
class Race {
  readonly #targets: ConnectTarget[];
  readonly #begin: Begin;
  readonly #running = new Map<ConnectTarget, () => void>();
  #error: ConnectError | null = null;
  #timer: NodeJS.Timeout | null = null;
  #limit: NodeJS.Timeout | null = null;
  readonly #waiter = new Waiter<NativeTransport | NodeTransport>({
    onAbort: () => {
      this.#stop();
      return true;
    },
  });

  constructor(targets: ConnectTarget[], begin: Begin) {
    this.#targets = targets;
    this.#begin = begin;
  }

  run({ timeout, signal }: ConnectOptions): Promise<NativeTransport | NodeTransport> {
    const parked = this.#waiter.park();
    if (signal !== undefined) this.#waiter.watch(signal, parked);
    if (timeout !== undefined && timeout <= MAX_TIMER_MS) {
      this.#limit = setTimeout(
        () => this.#waiter.abort(new TimeoutError(`No connection within ${timeout} ms`)),
        timeout,
      );
    }
    this.#next();
    return parked;
  }

  #next(): void {
    const target = this.#targets.shift();
    if (this.#waiter.settled || target === undefined) return;
    if (this.#targets.length > 0) this.#timer = setTimeout(() => this.#next(), STAGGER_MS);
    let settled = false;
    const cancel = this.#begin(target, {
      made: (transport) => {
        settled = true;
        this.#running.delete(target);
        this.#stop();
        if (!this.#waiter.resolve(transport)) transport.abort();
      },
      failed: (code, errno, syscall) => {
        settled = true;
        this.#running.delete(target);
        this.#fail(target, code, errno, syscall);
      },
    });
    if (!settled) this.#running.set(target, cancel);
  }

  #fail({ hostname, path, port }: ConnectTarget, code: string, errno: number, syscall?: string): void {
    // The first address is the one that the system prefers: its error says most.
    this.#error ??= new ConnectError({ code, errno, syscall, address: path ?? hostname, port });
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#targets.length > 0) this.#next();
    else if (this.#running.size === 0) {
      this.#stop();
      this.#waiter.reject(this.#error);
    }
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#limit !== null) clearTimeout(this.#limit);
    this.#targets.length = 0;
    for (const cancel of this.#running.values()) cancel();
    this.#running.clear();
  }
}
