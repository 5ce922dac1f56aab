/**
 * A port with exactly one other side: what is published here arrives at the subscribers there. Envelopes of one turn travel as one message, a flat
 * array behind a mark, so that the channel can carry other messages too. Threads and processes add how a message is posted.
 */
import { type Envelope, failureOf, fromWire, toWire, WIRE_FIELDS } from '../correlation/envelope.js';
import type { TransferList } from '../correlation/port.js';
import { PortBase, payloadError } from '../correlation/port-base.js';

const MARK = 'gammaloop/1';
/** The mark alone says: this side closes. */
const BYE: readonly unknown[] = [MARK];

export abstract class LinkPort extends PortBase {
  /** What the next message consists of. */
  #batch: unknown[] = [MARK];
  #unsent: Envelope[] = [];
  #transfer: object[] = [];
  /** An envelope that could not be read: its sender is of another version, or not gammaloop. */
  #unreadable = 0;

  /** Throws if the message cannot be cloned; must not throw because the other side is gone. */
  protected abstract post(message: readonly unknown[], transfer: readonly object[]): void;

  /** Takes the listeners off the channel, and frees what belongs to the port. */
  protected abstract detach(): void;

  /** Resolves when what was posted has been handed over. */
  protected abstract flushed(): Promise<void> | void;

  protected send(envelope: Envelope, transfer: TransferList | undefined): void {
    // After the microtasks of this turn: what they publish joins.
    if (this.#unsent.length === 0) process.nextTick(this.#flush);
    this.#unsent.push(envelope);
    toWire(this.#batch, envelope, performance.now());
    if (transfer !== undefined) this.#transfer.push(...transfer);
  }

  readonly #flush = (): void => {
    const unsent = this.#unsent;
    if (unsent.length === 0) {
      return;
    }
    const batch = this.#batch;
    const transfer = this.#transfer;
    this.#batch = [MARK];
    this.#unsent = [];
    this.#transfer = [];
    try {
      this.post(batch, transfer);
    } catch (error) {
      if (unsent.length === 1) this.#refused(unsent[0] as Envelope, error);
      else this.#postEach(unsent, transfer);
    }
  };

  /** One of the batch cannot be cloned: the others are sent on their own. */
  #postEach(unsent: readonly Envelope[], transfer: readonly object[]): void {
    for (const envelope of unsent) {
      const message: unknown[] = [MARK];
      toWire(message, envelope, performance.now());
      try {
        this.post(message, holds(envelope.payload, transfer));
      } catch (error) {
        this.#refused(envelope, error);
      }
    }
  }

  #refused(envelope: Envelope, cause: unknown): void {
    this.unsendable++;
    const answer = failureOf(envelope, payloadError(envelope, cause));
    if (answer === null) {
      return;
    }
    if (answer.subject !== envelope.subject) {
      // A request: who awaits the reply is on this side.
      this.arrived(answer);
      return;
    }
    const message: unknown[] = [MARK];
    toWire(message, answer, performance.now());
    this.post(message, []);
  }

  /** For the channel's listener: anything that comes. */
  protected readonly receive = (message: unknown): void => {
    if (!Array.isArray(message) || message[0] !== MARK) {
      return;
    }
    if (message.length === 1) {
      this.break(undefined, 'the other side closed its port');
      return;
    }
    const now = performance.now();
    for (let at = 1; at + WIRE_FIELDS <= message.length; at += WIRE_FIELDS) {
      const envelope = fromWire(message, at, now);
      if (envelope === null) this.#unreadable++;
      else this.arrived(envelope);
    }
  };

  protected async finish(): Promise<void> {
    this.#flush();
    this.post(BYE, []);
    await this.flushed();
    this.detach();
  }

  protected abandon(): void {
    this.#batch = [MARK];
    this.#unsent = [];
    this.#transfer = [];
    this.detach();
  }

  override stats() {
    return { ...super.stats(), unreadable: this.#unreadable };
  }
}

/** Those of the list that the payload is, or holds directly. */
function holds(payload: unknown, transfer: readonly object[]): object[] {
  if (transfer.length === 0 || typeof payload !== 'object' || payload === null) {
    return [];
  }
  const values = new Set<unknown>([payload, ...Object.values(payload)]);
  for (const value of [...values]) if (ArrayBuffer.isView(value)) values.add(value.buffer);
  return transfer.filter((item) => values.has(item));
}
