/**
 * From a request that upgrades (or CONNECT) to the event that hands the socket out. What came right behind the head is with the engine; it brings it
 * before this tick is over, and the event has it as its `head`.
 */
import type { HttpConnection } from './connection.js';
import type { HttpSocket } from './connection-socket.js';
import { kArrived, kPeerEnd, kPushData, kRun, kUpgraded } from './contract.js';
import type { FedTransport } from './fed-transport.js';
import type { IncomingMessage } from './incoming-message.js';

export class Upgrade {
  readonly #connection: HttpConnection;
  readonly #socket: HttpSocket;
  readonly #request: IncomingMessage;
  readonly #eventName: string;
  readonly #fed: FedTransport | null;
  /** Until the event; then null. */
  #early: Buffer[] | null = [];
  #hasEnded = false;

  constructor(
    connection: HttpConnection,
    socket: HttpSocket,
    request: IncomingMessage,
    eventName: 'upgrade' | 'connect',
    fed: FedTransport | null,
  ) {
    this.#connection = connection;
    this.#socket = socket;
    this.#request = request;
    this.#eventName = eventName;
    this.#fed = fed;
    fed?.release();
    connection.wire.proceed(true);
    connection.wire.flush();
    process.nextTick(handOut, this);
  }

  onData(chunk: Buffer): void {
    if (this.#early !== null) this.#early.push(chunk);
    else this.#socket[kPushData]?.(chunk);
  }

  onEnd(): void {
    if (this.#early !== null) this.#hasEnded = true;
    else this.#socket[kPeerEnd]?.();
  }

  handOut(): void {
    // What HTTP has not read of a fed connection is with the engine: it comes now, or it is lost.
    if (this.#fed !== null) this.#connection.wire.flush();
    const head = Buffer.concat(this.#early ?? []);
    this.#early = null;
    const socket = this.#socket;
    if (this.#fed === null) {
      if (head.length > 0) this.#connection.wire.consume(head.length);
      socket[kUpgraded]?.();
    } else {
      this.#fed.close();
    }
    // As node leaves it: whoever reads first decides how.
    (socket as { readableFlowing: boolean | null }).readableFlowing = null;
    this.#request[kArrived]();
    this.#request[kRun](this.#emit, this, socket, head);
    if (this.#hasEnded) socket[kPeerEnd]?.();
  }

  #emit(socket: HttpSocket, head: Buffer): void {
    this.#connection.server.emit(this.#eventName, this.#request, socket, head);
  }
}

function handOut(upgrade: Upgrade): void {
  upgrade.handOut();
}
