/** How much more work one subscription may be given: asks for it in bulk as slots become free. */
export class Slots {
  readonly #capacity: number;
  #free: number;
  #onFree: ((count: number) => void) | null = null;
  #closed = false;
  /** Called once, when the subscription is given up. */
  onClose: (() => void) | null = null;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#free = capacity;
  }

  /** Called with slots that it is to fill; each comes back by `free`. */
  set onFree(ask: (count: number) => void) {
    this.#onFree = ask;
    this.#ask();
  }

  get closed(): boolean {
    return this.#closed;
  }

  free(count: number): void {
    this.#free += count;
    this.#ask();
  }

  close(): void {
    this.#closed = true;
    this.onClose?.();
  }

  #ask(): void {
    if (this.#closed || this.#onFree === null || this.#free * 2 < this.#capacity) {
      return;
    }
    const count = this.#free;
    this.#free = 0;
    this.#onFree(count);
  }
}
