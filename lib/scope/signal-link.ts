/**
 * Listening to a foreign AbortSignal for as long as somebody waits: one object, no closure, and nothing left on the signal after. Any number
 * of those who wait share one listener: removing one of many from an EventTarget is a search, and node warns of more than ten.
 */

export interface SignalTarget {
  /** The signal has aborted. Must not throw. */
  onSignal(reason: unknown): void;
}

/** Those who listen to one signal. */
class SignalListener {
  readonly links = new Set<SignalLink>();
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this, { once: true });
  }

  handleEvent(): void {
    listeners.delete(this.#signal);
    for (const link of this.links) link.target.onSignal(this.#signal.reason);
  }

  remove(link: SignalLink): void {
    if (this.links.delete(link) && this.links.size === 0) {
      this.#signal.removeEventListener('abort', this);
      listeners.delete(this.#signal);
    }
  }
}

const listeners = new WeakMap<AbortSignal, SignalListener>();

export class SignalLink {
  readonly target: SignalTarget;
  readonly #listener: SignalListener;

  /** `signal` must not have aborted yet. */
  constructor(target: SignalTarget, signal: AbortSignal) {
    this.target = target;
    let listener = listeners.get(signal);
    if (listener === undefined) {
      listener = new SignalListener(signal);
      listeners.set(signal, listener);
    }
    listener.links.add(this);
    this.#listener = listener;
  }

  remove(): void {
    this.#listener.remove(this);
  }
}
