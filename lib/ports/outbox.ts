/** What waits for the broker, first in first out: published while it was away or slow. */
import type { Sending } from './broker-session.js';

export class Outbox<Item extends Sending = Sending> {
  #items: Item[] = [];
  #head = 0;
  #bytes = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.frame.length;
  }

  /** Back to the front. */
  unshift(items: readonly Item[]): void {
    this.#items = [...items, ...this.#items.slice(this.#head)];
    this.#head = 0;
    for (const { frame } of items) this.#bytes += frame.length;
  }

  get first(): Item | undefined {
    return this.#items[this.#head];
  }

  shift(): void {
    const item = this.#items[this.#head] as Item;
    this.#items[this.#head++] = undefined as never;
    this.#bytes -= item.frame.length;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Empties it. */
  takeAll(): Item[] {
    const all = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
    return all;
  }
}
