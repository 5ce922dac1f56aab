/**
 * Whether a connection reads: not while its output is too much, while the program has paused its socket, or while it has not read what it asked
 * to be shown of HTTP's own bytes.
 */
import type { WireConnection } from '../backend/wire.js';
import type { SocketGate } from './contract.js';

export class ReadingGate implements SocketGate {
  readonly #wire: WireConnection;
  #byOutput = false;
  #bySocket = false;
  #byTap = false;
  #isTapped = false;
  #isHttp = true;

  constructor(wire: WireConnection) {
    this.#wire = wire;
  }

  get isPausedBySocket(): boolean {
    return this.#bySocket;
  }

  leaveHttp(): void {
    this.#isHttp = false;
  }

  pauseByOutput(on: boolean): void {
    if (this.#byOutput === on) return;
    this.#byOutput = on;
    this.#update();
  }

  pauseBySocket(on: boolean): void {
    if (!this.#isHttp) return;
    this.#bySocket = on;
    this.#update();
  }

  /** The bytes of HTTP are told too, from here on. */
  tap(): void {
    if (this.#isTapped) return;
    this.#isTapped = true;
    this.#wire.tap();
  }

  pauseByTap(on: boolean): void {
    if (this.#byTap === on) return;
    this.#byTap = on;
    this.#update();
  }

  #update(): void {
    this.#wire.setReading(!this.#byOutput && !this.#bySocket && !this.#byTap);
  }
}
