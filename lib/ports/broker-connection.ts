/** A broker port's connection: made, watched by a heartbeat, made again with growing delays when it is lost. */
import { TimeoutError } from '../errors.js';
import { MAX_TIMER_MS } from '../scope/clock.js';
import type { CheckedBrokerOptions } from './broker-options.js';
import { RefusedError, type Session, type SessionOwner } from './broker-session.js';

export interface ConnectionEvents {
  opened(session: Session): void;
  lost(): void;
  /** It will not come back. */
  refused(error: RefusedError): void;
}

export class BrokerConnection {
  session: Session | null = null;
  /** Why there is none. */
  lastError: unknown;
  /** Sessions so far. */
  count = 0;
  readonly #connect: (owner: SessionOwner) => Promise<Session>;
  readonly #owner: Omit<SessionOwner, 'lost'>;
  readonly #options: CheckedBrokerOptions;
  readonly #events: ConnectionEvents;
  #closed = false;
  #delay: number;
  #retryTimer: NodeJS.Timeout | null = null;
  #heartbeat: NodeJS.Timeout | null = null;
  #probing = false;

  /** Begins in a microtask. */
  constructor(
    connect: (owner: SessionOwner) => Promise<Session>,
    owner: Omit<SessionOwner, 'lost'>,
    options: CheckedBrokerOptions,
    events: ConnectionEvents,
  ) {
    this.#connect = connect;
    this.#owner = owner;
    this.#options = options;
    this.#events = events;
    this.#delay = options.minDelay;
    queueMicrotask(() => void this.#open());
  }

  async #open(): Promise<void> {
    if (this.#closed) {
      return;
    }
    let session: Session | null = null;
    let lostWith: { cause: unknown } | null = null;
    const lost = (cause: unknown): void => {
      if (session === null) lostWith = { cause };
      else this.lose(session, cause);
    };
    try {
      session = await this.#connect({ ...this.#owner, lost });
    } catch (error) {
      this.lastError = error;
      if (error instanceof RefusedError) this.#refused(error);
      else this.#openLater();
      return;
    }
    if (this.#closed) {
      session.destroy();
      return;
    }
    this.session = session;
    this.count++;
    this.#delay = this.#options.minDelay;
    const opened = session;
    this.#heartbeat = setInterval(() => this.#probe(opened), this.#options.heartbeat).unref();
    this.#events.opened(session);
    // While it was being made.
    if (lostWith !== null) this.lose(session, (lostWith as { cause: unknown }).cause);
  }

  #openLater(): void {
    if (this.#closed) {
      return;
    }
    // Half of it by chance: a thousand clients of one broker do not return at once.
    const delay = this.#delay * (0.5 + Math.random() / 2);
    this.#delay = Math.min(this.#delay * 2, this.#options.maxDelay);
    this.#retryTimer = setTimeout(() => void this.#open(), delay);
  }

  #refused(error: RefusedError): void {
    if (!this.#closed) this.#events.refused(error);
  }

  /** A broker that does not answer for a whole heartbeat is gone. */
  #probe(session: Session): void {
    if (session.blocked === true) {
      return;
    }
    if (this.#probing) {
      this.lose(session, new TimeoutError(`The broker did not answer for ${this.#options.heartbeat} ms`));
      return;
    }
    this.#probing = true;
    session.flush().then(
      () => {
        if (session === this.session) this.#probing = false;
      },
      (error) => this.lose(session, error),
    );
  }

  /** The session is of no use any more; only the current one is heard of. */
  lose(session: Session, cause: unknown): void {
    if (session !== this.session) {
      return;
    }
    this.lastError = cause;
    this.#forget();
    session.destroy();
    this.#events.lost();
    if (cause instanceof RefusedError) this.#refused(cause);
    else this.#openLater();
  }

  #forget(): void {
    this.session = null;
    this.#probing = false;
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
  }

  /** In order, until the instant `end`; then at once. */
  async close(end: number): Promise<void> {
    const { session } = this;
    this.#closed = true;
    this.#forget();
    if (session !== null) await within(session.close(), end - performance.now());
    this.destroy();
    session?.destroy();
  }

  destroy(): void {
    this.#closed = true;
    this.session?.destroy();
    this.#forget();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
  }
}

/** Whether it resolved, or rejected, in time: true, false. */
export async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, Math.min(Math.max(0, ms), MAX_TIMER_MS), false);
  });
  try {
    return await Promise.race([
      promise.then(
        () => true,
        () => false,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
