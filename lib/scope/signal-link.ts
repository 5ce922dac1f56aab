/** Listening to a foreign AbortSignal for as long as somebody waits: one object, no closure, and nothing left on the signal after. */

export interface SignalTarget {
  /** The signal has aborted. Must not throw. */
  onSignal(reason: unknown): void;
}

export class SignalLink {
  readonly #target: SignalTarget;
  readonly #signal: AbortSignal;

  /** `signal` must not have aborted yet. */
  constructor(target: SignalTarget, signal: AbortSignal) {
    this.#target = target;
    this.#signal = signal;
    signal.addEventListener('abort', this, { once: true });
  }

  handleEvent(): void {
    this.#target.onSignal(this.#signal.reason);
  }

  remove(): void {
    this.#signal.removeEventListener('abort', this);
  }
}
