/** What waits for the broker: published while it was away or slow. Bounded by bytes; whose time is over is left out when its turn comes. */
import type { Waiter } from '../scope/waiter.js';
import type { Sending } from './broker-session.js';

/** Durable work between here and the broker. */
export interface Work {
  readonly key: string;
  /** Who awaits the confirmation; null for requests, which await their reply. */
  readonly waiter: Waiter<void> | null;
}

export interface Outgoing extends Sending {
  readonly work: Work | null;
}

export class Outbox {
  readonly #limit: number;
  #items: Outgoing[] = [];
  #head = 0;
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False if there is no room. One that is larger than all the room is taken alone. */
  push(item: Outgoing): boolean {
    if (this.#bytes > 0 && this.#bytes + item.frame.length > this.#limit) {
      return false;
    }
    this.#items.push(item);
    this.#bytes += item.frame.length;
    return true;
  }

  /** Back to the front, whatever the room: they had theirs before. */
  unshift(items: readonly Outgoing[]): void {
    this.#items = [...items, ...this.#items.slice(this.#head)];
    this.#head = 0;
    for (const { frame } of items) this.#bytes += frame.length;
  }

  get first(): Outgoing | undefined {
    return this.#items[this.#head];
  }

  shift(): void {
    const item = this.#items[this.#head] as Outgoing;
    this.#items[this.#head++] = undefined as never;
    this.#bytes -= item.frame.length;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Empties it. */
  takeAll(): Outgoing[] {
    const all = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
    return all;
  }
}
