/**
 * Whether a connection reads: not while its output is too much, while the program has paused its socket, or while it has not read what it asked
 * to be shown of the protocol's own bytes. After an upgrade the stream's own buffer decides, until another protocol takes over.
 */
import type { WireConnection } from '../backend/wire.js';

export class ReadingGate {
  readonly #wire: Pick<WireConnection, 'setReading' | 'tap'>;
  #byOutput = false;
  #bySocket = false;
  #byTap = false;
  #isTapped = false;
  #isHttp = true;

  constructor(wire: Pick<WireConnection, 'setReading' | 'tap'>) {
    this.#wire = wire;
  }

  get isPausedBySocket(): boolean {
    return this.#bySocket;
  }

  leaveHttp(): void {
    this.#isHttp = false;
    if (!this.#bySocket) return;
    this.#bySocket = false;
    this.#update();
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
