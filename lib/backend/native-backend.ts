/** The native backend: servers on the engine of this environment. */
import type { AddressInfo } from 'node:net';
import { getSystemErrorName } from 'node:util';
import {
  loadBinding,
  STAT_BYTES_RECEIVED,
  STAT_BYTES_SENT,
  STAT_CONNECTIONS_ACCEPTED,
  STAT_CONNECTIONS_CLOSED,
  STAT_CONNECTIONS_DROPPED,
  STAT_CONNECTIONS_SHED,
  STAT_ERRORS,
  STAT_REQUESTS_ABORTED,
  STAT_REQUESTS_COMPLETED,
  STAT_REQUESTS_RECEIVED,
} from '../bridge/binding.js';
import { WS_SERVER_FLAG } from '../bridge/records.js';
import { AddonMissingError, ListenError } from '../errors.js';
import type { App } from '../http/exchange.js';
import type { Backend, BackendServer, CloseReport, Limits, ListenTarget, ServerStats, Timeouts } from './contract.js';
import { type LoopServer, type NativeLoop, nativeLoop } from './native-loop.js';
import { publishBy } from './native-websocket.js';

/** Whether the addon loads here. */
export function probeNative(): { ok: true } | { ok: false; error: AddonMissingError } {
  try {
    loadBinding();
    return { ok: true };
  } catch (error) {
    if (error instanceof AddonMissingError) return { ok: false, error };
    throw error;
  }
}

export function createNativeBackend(): Backend {
  return {
    name: 'native',
    deflates: loadBinding().hasZlib,
    async listen(target, limits, timeouts, app) {
      return new NativeServer(nativeLoop(), target, limits, timeouts, app);
    },
  };
}

class NativeServer implements BackendServer, LoopServer {
  readonly app: App;
  readonly writeBufferBytes: number;
  readonly batches = { count: 0, requests: 0, largest: 0 };
  inBatch = 0;
  readonly #loop: NativeLoop;
  readonly #index: number;
  readonly #address: AddressInfo | string;
  readonly #poller: string;
  #lastCounters: number[] | null = null;
  #closing: Promise<CloseReport> | null = null;
  #resolveClosed: ((report: CloseReport) => void) | null = null;
  #deadlineTimer: NodeJS.Timeout | null = null;
  #completedAtClose = 0;
  #cut = 0;
  #connectionsCut = 0;

  constructor(loop: NativeLoop, target: ListenTarget, limits: Limits, timeouts: Timeouts, app: App) {
    this.app = app;
    this.writeBufferBytes = limits.writeBufferBytes === 0 ? Number.POSITIVE_INFINITY : limits.writeBufferBytes;
    this.#loop = loop;
    this.#poller = loop.engine.pollerName();
    try {
      this.#index = loop.engine.listen(target, { ...limits, upgrades: app.upgrades === true }, timeouts);
    } catch (error) {
      throw listenErrorOf(error, target);
    }
    loop.addServer(this.#index, this);
    this.#address = loop.engine.address(this.#index) as AddressInfo | string;
  }

  address(): AddressInfo | string {
    return this.#address;
  }

  ref(): void {
    this.#loop.engine.setReferenced(this.#index, true);
  }

  unref(): void {
    this.#loop.engine.setReferenced(this.#index, false);
  }

  stats(): ServerStats {
    const counters = this.#counters();
    const at = (index: number): number => counters[index] as number;
    const { httpErrors, sessionErrors } = loadBinding();
    const errors: Record<string, number> = {};
    [...httpErrors, ...sessionErrors].forEach((name, i) => {
      const count = at(STAT_ERRORS + i);
      if (count > 0) errors[name] = count;
    });
    const received = at(STAT_REQUESTS_RECEIVED);
    const completed = at(STAT_REQUESTS_COMPLETED);
    const aborted = at(STAT_REQUESTS_ABORTED);
    const accepted = at(STAT_CONNECTIONS_ACCEPTED);
    const closed = at(STAT_CONNECTIONS_CLOSED);
    return {
      backend: 'native',
      poller: this.#poller,
      connections: {
        open: accepted - closed,
        accepted,
        closed,
        dropped: at(STAT_CONNECTIONS_DROPPED),
        shed: at(STAT_CONNECTIONS_SHED),
      },
      requests: { active: received - completed - aborted, received, completed, aborted },
      batches: { ...this.batches },
      bytes: { received: at(STAT_BYTES_RECEIVED), sent: at(STAT_BYTES_SENT) },
      errors,
      handlerErrors: 0,
    };
  }

  close(deadlineMs: number | undefined): Promise<CloseReport> {
    if (this.#closing === null) {
      this.#completedAtClose = this.#counters()[STAT_REQUESTS_COMPLETED] as number;
      this.#closing = new Promise((resolve) => {
        this.#resolveClosed = resolve;
      });
      this.#loop.engine.closeServer(this.#index);
    }
    if (deadlineMs !== undefined && this.#lastCounters === null) {
      if (this.#deadlineTimer !== null) clearTimeout(this.#deadlineTimer);
      this.#deadlineTimer = setTimeout(() => {
        const [exchanges, connections] = this.#loop.engine.cutServer(this.#index);
        this.#cut += exchanges;
        this.#connectionsCut += connections;
      }, deadlineMs);
    }
    return this.#closing;
  }

  publish(topic: string, data: string | Uint8Array, flags: number): void {
    const server = { index: this.#index, generation: 0 };
    if (this.#lastCounters === null) publishBy(this.#loop.submissions, server, topic, data, flags | WS_SERVER_FLAG);
  }

  /** Subscriptions that were submitted are carried out first. */
  subscriberCount(topic: string): number {
    if (this.#lastCounters !== null) return 0;
    this.#loop.engine.flush();
    return this.#loop.engine.subscriberCount(this.#index, topic);
  }

  onClosed(): void {
    this.#lastCounters = this.#counters();
    this.#loop.engine.forgetServer(this.#index);
    if (this.#deadlineTimer !== null) clearTimeout(this.#deadlineTimer);
    this.#resolveClosed?.({
      drained: (this.#lastCounters[STAT_REQUESTS_COMPLETED] as number) - this.#completedAtClose,
      cut: this.#cut,
      connectionsCut: this.#connectionsCut,
    });
  }

  #counters(): number[] {
    return this.#lastCounters ?? (this.#loop.engine.stats(this.#index) as number[]);
  }
}

export function listenErrorOf(error: unknown, target: ListenTarget): unknown {
  const { errno, syscall } = error as NodeJS.ErrnoException;
  if (errno === undefined || syscall === undefined) return error;
  return new ListenError({
    code: getSystemErrorName(errno),
    errno,
    // As node, whichever call it was; that is in the cause.
    syscall: 'listen',
    address: target.path ?? target.hostname,
    port: target.port,
    cause: error,
  });
}
