/** Whether a connection reads: not while its output is too much, and not while the program has paused its socket. */
import type { WireConnection } from '../backend/wire.js';

export class ReadingGate {
  readonly #wire: WireConnection;
  #byOutput = false;
  #bySocket = false;

  constructor(wire: WireConnection) {
    this.#wire = wire;
  }

  get isPausedBySocket(): boolean {
    return this.#bySocket;
  }

  pauseByOutput(on: boolean): void {
    if (this.#byOutput === on) return;
    this.#byOutput = on;
    this.#update();
  }

  pauseBySocket(on: boolean): void {
    this.#bySocket = on;
    this.#update();
  }

  #update(): void {
    this.#wire.setReading(!this.#byOutput && !this.#bySocket);
  }
}
