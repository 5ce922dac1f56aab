/**
 * Bytes of a TLS socket or a foreign Duplex for a connection of the engine, and back: what it reads is fed, what the engine would send is written,
 * and each waits for the other.
 */
import { Socket } from 'node:net';
import type { WireConnection } from '../backend/wire.js';
import {
  WIRE_TRANSPORT_DESTROY,
  WIRE_TRANSPORT_END,
  WIRE_TRANSPORT_PAUSE,
  WIRE_TRANSPORT_RESUME,
} from '../bridge/records.js';
import type { HttpSocket } from './connection-socket.js';

export class FedTransport {
  readonly duplex: HttpSocket;
  #wire: WireConnection | null = null;
  #isAwake = false;
  /** Written to the duplex, and not yet taken. */
  #waitingBytes = 0;
  #takesAll = false;
  /** Taken by the duplex so far, modulo 2^32 (as WireConnection.position). */
  sentBytes = 0;
  #onSent: ((position: number) => void) | null = null;

  constructor(duplex: HttpSocket) {
    this.duplex = duplex;
  }

  /** Begins to feed; `onSent` hears of `sentBytes`. */
  open(wire: WireConnection, onSent: (position: number) => void): void {
    this.#wire = wire;
    this.#onSent = onSent;
    this.duplex.on('data', this.#onData);
    this.duplex.on('end', this.#onEnd);
    this.duplex.on('close', this.#onClose);
    if (this.duplex.destroyed) this.#onClose();
  }

  /** A turn of the event loop is to come, in which the engine does what it was told; a Duplex in memory keeps none alive. A socket does. */
  keepAwake(): void {
    if (this.#isAwake || this.duplex instanceof Socket) return;
    this.#isAwake = true;
    setImmediate(() => {
      this.#isAwake = false;
    });
  }

  /** Leaves the duplex to itself: paused, without a listener of ours. What it had read and HTTP had not is with the engine until `close`. */
  release(): void {
    this.duplex.removeListener('data', this.#onData);
    this.duplex.removeListener('end', this.#onEnd);
    this.duplex.removeListener('close', this.#onClose);
    this.duplex.pause();
  }

  /** The engine forgets the connection; onClosed follows. */
  close(): void {
    this.#onClose();
  }

  onOutput(chunk: Buffer): void {
    if (!this.duplex.writable) {
      this.#onClose();
      return;
    }
    this.#waitingBytes += chunk.byteLength;
    this.duplex.write(chunk, () => {
      if (!this.#takesAll) this.#taken(chunk.byteLength);
    });
    if (this.#takesAll) this.#taken(chunk.byteLength);
  }

  /** From here on what is written to the duplex is the duplex's to keep. */
  takeAll(): void {
    this.#takesAll = true;
    this.#taken(this.#waitingBytes);
  }

  #taken(byteCount: number): void {
    this.#waitingBytes -= byteCount;
    this.sentBytes = (this.sentBytes + byteCount) >>> 0;
    this.#wire?.sent(byteCount);
    this.#onSent?.(this.sentBytes);
  }

  onTransport(command: number): void {
    switch (command) {
      case WIRE_TRANSPORT_PAUSE:
        this.duplex.pause();
        break;
      case WIRE_TRANSPORT_RESUME:
        this.duplex.resume();
        break;
      case WIRE_TRANSPORT_END:
        if (typeof this.duplex.destroySoon === 'function') this.duplex.destroySoon();
        else this.duplex.end();
        break;
      case WIRE_TRANSPORT_DESTROY:
        this.duplex.destroy();
        break;
    }
  }

  onClosed(): void {
    this.#wire = null;
    this.#onSent = null;
  }

  readonly #onData = (chunk: Buffer | string): void => {
    const wire = this.#wire;
    if (wire === null) return;
    this.keepAwake();
    const { engine } = wire.loop;
    engine.feed(wire.index, wire.generation, typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    // As node, which parses within 'data': an 'end' that follows at once comes after the handler.
    engine.settle();
  };

  readonly #onEnd = (): void => {
    const wire = this.#wire;
    if (wire === null) return;
    this.keepAwake();
    wire.loop.engine.feedEnd(wire.index, wire.generation);
    wire.loop.engine.settle();
  };

  readonly #onClose = (): void => {
    const wire = this.#wire;
    if (wire === null) return;
    this.keepAwake();
    wire.loop.engine.feedClosed(wire.index, wire.generation, 0);
  };
}
