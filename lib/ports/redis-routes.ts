/**
 * Where the next message of a subject goes, known without asking: while one group alone hears of it, the script that publishes names members of it (redis-scripts.ts), and
 * for LEASE_MS from that question on a message may be published to one of them directly. It comes back where that member has gone. Another group, or a subscriber
 * without one, therefore waits for so long before it counts as subscribed: by then every requester has asked again.
 */
import { realDeadlines } from '../scope/deadlines.js';
import { Waiter } from '../scope/waiter.js';

const LEASE_MS = 100;

const MAX_SUBJECTS = 1000;

interface Route {
  readonly members: readonly string[];
  /** Instant of `performance.now()`. */
  readonly until: number;
}

export class RedisRoutes {
  readonly #bySubject = new Map<string, Route>();

  /** The channel of the member whose turn it is. */
  pick(subject: string, turn: number, now: number): string | undefined {
    const route = this.#bySubject.get(subject);
    if (route === undefined) {
      return undefined;
    }
    if (route.until > now) {
      return route.members[turn % route.members.length];
    }
    this.#bySubject.delete(subject);
    return undefined;
  }

  /** `askedAt`: before the question left. */
  learn(subject: string, members: readonly string[], askedAt: number): void {
    if (members.length === 0) {
      return;
    }
    if (this.#bySubject.size === MAX_SUBJECTS) this.#bySubject.clear();
    this.#bySubject.set(subject, { members, until: askedAt + LEASE_MS });
  }

  forget(subject: string): void {
    this.#bySubject.delete(subject);
  }
}

/** Resolves when every requester has asked anew. In no scope, for it belongs to no task. */
export function untilAskedAnew(): Promise<void> {
  const waiter = new Waiter<void>({ onAbort: () => true, onExpire: (expired) => void expired.resolve() });
  const over = waiter.park(null);
  waiter.expireAt(performance.now() + LEASE_MS, realDeadlines);
  return over;
}
