/**
 * Durable work between the port and the broker: it waits, is enqueued, and is forgotten when it is confirmed, refused, or out of time. Apart from all other messages,
 * which do not wait for it: a queue that confirms nothing holds up only durable work, and that no longer than until its time is over.
 */
import { BrokerError, TimeoutError } from '../errors.js';
import { activeDeadlines } from '../scope/scope-tree.js';
import { Waiter } from '../scope/waiter.js';
import { tooLarge, unconfirmed } from './broker-refusals.js';
import type { Sending, Session } from './broker-session.js';
import { Outbox } from './outbox.js';

/** Work that awaits its confirmation. */
const MAX_UNCONFIRMED = 1024;

export interface Work extends Sending {
  readonly key: string;
  /** Who awaits the confirmation; null for requests, which await their reply. */
  readonly waiter: Waiter<void> | null;
}

export interface WorkEnds {
  refused(work: Work, error: Error): void;
  /** Its fate is not known: the session is of no use. */
  lost(session: Session, error: unknown): void;
  /** There is room for more. */
  confirmed(): void;
}

export class WorkOutbox {
  readonly #waiting = new Outbox<Work>();
  readonly #unconfirmed = new Set<Work>();
  readonly #ends: WorkEnds;
  /** Out of time before it was sent. */
  expired = 0;

  constructor(ends: WorkEnds) {
    this.#ends = ends;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get bytes(): number {
    return this.#waiting.bytes;
  }

  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  push(work: Work): void {
    this.#waiting.push(work);
  }

  drain(session: Session): void {
    const now = performance.now();
    if (this.#unconfirmed.size >= MAX_UNCONFIRMED) this.#giveUp(now);
    for (
      let next = this.#waiting.first;
      next !== undefined && this.#unconfirmed.size < MAX_UNCONFIRMED;
      next = this.#waiting.first
    ) {
      this.#waiting.shift();
      const { frame, envelope, waiter } = next;
      if (isOver(next, now)) {
        this.expired++;
        waiter?.reject(new TimeoutError(`The time of work for '${envelope.subject}' passed before it was sent`));
      } else if (frame.length > session.maxBytes) {
        this.#ends.refused(next, tooLarge(envelope, frame.length, session.maxBytes));
      } else {
        this.#enqueue(session, next);
      }
    }
  }

  /** Whoever waited for it has been told. */
  #giveUp(now: number): void {
    for (const work of this.#unconfirmed) if (isOver(work, now)) this.#unconfirmed.delete(work);
  }

  #enqueue(session: Session, work: Work): void {
    this.#unconfirmed.add(work);
    session.enqueue(work.frame, work.envelope, work.key).then(
      () => {
        if (!this.#unconfirmed.delete(work)) return;
        work.waiter?.resolve();
        this.#ends.confirmed();
      },
      (error) => {
        if (!(error instanceof BrokerError)) {
          this.#ends.lost(session, error);
        } else if (this.#unconfirmed.delete(work)) {
          this.#ends.refused(work, error);
          this.#ends.confirmed();
        }
      },
    );
  }

  /** The connection is lost: what was not confirmed is sent again, first. */
  requeue(): void {
    this.#waiting.unshift([...this.#unconfirmed]);
    this.#unconfirmed.clear();
  }

  close(error: Error): void {
    for (const { waiter } of [...this.#unconfirmed, ...this.#waiting.takeAll()]) waiter?.reject(error);
    this.#unconfirmed.clear();
  }
}

/** For one who awaits a confirmation: a waiter, and its promise, which rejects with ERR_GAMMALOOP_BROKER_UNCONFIRMED after `timeout` ms. */
export function awaitConfirmation(
  subject: string,
  timeout: number,
): { waiter: Waiter<void>; confirmed: Promise<void> } {
  const waiter = new Waiter<void>({
    onAbort: () => true,
    onExpire: (expired) => expired.reject(unconfirmed(subject, timeout)),
  });
  const confirmed = waiter.park();
  const timers = activeDeadlines();
  waiter.expireAt(timers.now() + timeout, timers);
  return { waiter, confirmed };
}

function isOver({ envelope, waiter }: Work, now: number): boolean {
  return envelope.deadline <= now || waiter?.settled === true;
}
