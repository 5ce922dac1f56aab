/**
 * From a request that upgrades (or CONNECT) to the event that hands the socket out. What came right behind the head is with the engine; it brings it
 * before this tick is over, and the event has it as its `head`. Where the request's body is read first (node 26), and has not come by then, the
 * event hands out a stream that begins behind it.
 */
import type { HttpConnection } from './connection.js';
import { type HttpSocket, releaseSocket } from './connection-socket.js';
import { kArrived, kEndBody, kPeerEnd, kPushData, kRun, kUpgraded } from './contract.js';
import type { FedTransport } from './fed-transport.js';
import type { IncomingMessage } from './incoming-message.js';
import { UpgradeStream } from './upgrade-stream.js';

export class Upgrade {
  readonly #connection: HttpConnection;
  readonly #socket: HttpSocket;
  readonly #request: IncomingMessage;
  readonly #eventName: string;
  readonly #fed: FedTransport | null;
  /** Until the socket is the program's; then null. */
  #early: Buffer[] | null = [];
  #awaitsBody: boolean;
  #stream: UpgradeStream | null = null;
  #hasEnded = false;

  /** `bodyFirst`: the request has a body, and this node reads it. */
  constructor(
    connection: HttpConnection,
    socket: HttpSocket,
    request: IncomingMessage,
    eventName: 'upgrade' | 'connect',
    fed: FedTransport | null,
    bodyFirst: boolean,
  ) {
    this.#connection = connection;
    this.#socket = socket;
    this.#request = request;
    this.#eventName = eventName;
    this.#fed = fed;
    this.#awaitsBody = bodyFirst;
    if (!bodyFirst) this.#leaveHttp();
    connection.wire.proceed(true, bodyFirst);
    connection.wire.flush();
    process.nextTick(announce, this);
  }

  onData(chunk: Buffer): void {
    if (this.#early !== null) this.#early.push(chunk);
    else this.#socket[kPushData]?.(chunk);
  }

  onBodyEnd(): void {
    this.#awaitsBody = false;
    // Said with the end of its stream otherwise, which comes after the event.
    this.#request.complete = true;
    this.#leaveHttp();
    if (this.#stream !== null) process.nextTick(handOut, this);
  }

  onEnd(): void {
    if (this.#awaitsBody && this.#stream !== null) this.#endInBody();
    else if (this.#early !== null) this.#hasEnded = true;
    else this.#socket[kPeerEnd]?.();
  }

  /** As node, which keeps no half-open connection while it speaks HTTP. */
  #endInBody(): void {
    this.#socket[kPeerEnd]?.();
    this.#socket.end();
  }

  announce(): void {
    if (this.#awaitsBody && this.#fed !== null) this.#connection.wire.flush();
    if (!this.#awaitsBody) {
      this.handOut();
      return;
    }
    this.#stream = new UpgradeStream(this.#socket, this.#request);
    this.#request[kRun](this.#emit, this, this.#stream, Buffer.alloc(0));
    if (this.#hasEnded) this.#endInBody();
  }

  handOut(): void {
    if (this.#fed !== null) this.#leaveEngine(this.#fed);
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
    if (this.#stream === null) {
      this.#request[kArrived]();
      // Its body, where this node does not read one.
      if (!this.#request.complete) this.#request[kEndBody]([]);
      this.#request[kRun](this.#emit, this, socket, head);
    } else {
      this.#stream.begin(head);
    }
    if (this.#hasEnded) socket[kPeerEnd]?.();
  }

  /** What HTTP has not read of a fed connection, and what has not left, is with the engine: it comes now, or it is lost. */
  #leaveEngine(fed: FedTransport): void {
    const { output, wire } = this.#connection;
    fed.takeAll();
    output.uncork();
    for (let before = -1; output.measure() !== before; ) {
      before = output.measure();
      output.flush();
      wire.loop.engine.settle();
    }
  }

  #leaveHttp(): void {
    releaseSocket(this.#socket);
    this.#fed?.release();
  }

  #emit(stream: HttpSocket | UpgradeStream, head: Buffer): void {
    this.#connection.server.emit(this.#eventName, this.#request, stream, head);
  }
}

function announce(upgrade: Upgrade): void {
  upgrade.announce();
}

function handOut(upgrade: Upgrade): void {
  upgrade.handOut();
}
