/**
 * The requests of one connection and their responses, in the order of arrival: the pair whose turn it is, and those that wait. Here the turn passes:
 * by a response's last bytes, or, where the program has put a `write` of its own on the socket, by node's 'finish'.
 */
import { WIRE_WRITE_CLOSE_FLAG, WIRE_WRITE_END_FLAG } from '../bridge/records.js';
import type { HttpConnection } from './connection.js';
import type { HttpSocket } from './connection-socket.js';
import { kConnectionClosed, kResponseDone, kTurn, type WriteCallback } from './contract.js';
import type { IncomingMessage } from './incoming-message.js';
import type { ServerResponse } from './server-response.js';
import { canGoThroughSocket, sendThroughSocket } from './socket-response.js';

export class Exchanges {
  /** Whose turn it is. */
  response: ServerResponse | null = null;
  request: IncomingMessage | null = null;
  /** The connection is gone, or a program has said so: nothing is added any more. */
  isAborted = false;
  readonly #connection: HttpConnection;
  readonly #responses: ServerResponse[] = [];
  readonly #requests: IncomingMessage[] = [];
  /** Responses that were sent in this tick without anybody waiting for 'finish': to node, the last of them would still be the socket's. */
  #justSent = 0;
  /** The last of them. */
  #lastSent: ServerResponse | null = null;
  #isAdvancing = false;
  /** Whose own `write` the bytes of responses go through. */
  #through: HttpSocket | null = null;

  constructor(connection: HttpConnection) {
    this.#connection = connection;
  }

  add(request: IncomingMessage, response: ServerResponse): void {
    if (this.response === null) {
      this.response = response;
      this.request = request;
      if (this.#through !== null) this.#giveToSocket(this.#through);
    } else {
      this.#responses.push(response);
      this.#requests.push(request);
    }
  }

  get last(): ServerResponse | null {
    return this.#responses.at(-1) ?? this.response;
  }

  /** Bytes of the present response have been sent: an answer to an error would be taken for more of it. */
  get hasBegunToAnswer(): boolean {
    return this.#justSent > 0 || this.response?._headerSent === true;
  }

  /** It has the connection; to node, also until the tick of its end is over. */
  isPresent(response: ServerResponse): boolean {
    return response === this.response || response === this.#lastSent;
  }

  /** ResponseSink.sendLast. */
  sendLast(
    response: ServerResponse,
    head: string,
    body: string | Uint8Array,
    callback: WriteCallback | null,
    close: boolean,
  ): void {
    const connection = this.#connection;
    const { request } = this;
    if (response !== this.response || request === null) return;
    const ends = close || response._last;
    const flags = ends && !connection.hasSocket ? WIRE_WRITE_END_FLAG | WIRE_WRITE_CLOSE_FLAG : WIRE_WRITE_END_FLAG;
    if (callback === null) {
      connection.write(head, body, flags, null);
      // Who adds listeners in what is left of this tick is still in time, as on node.
      this.#justSent++;
      this.#lastSent = response;
      tellInNextTick(this, request);
    } else {
      connection.write(head, body, flags, (error) => {
        if (!error) request[kResponseDone]();
        try {
          callback(error);
        } finally {
          if (!error && !ends) this.#advance();
        }
      });
    }
    if (ends) connection.endAfterOutput();
    else if (callback === null) this.#advance();
  }

  /** Nobody listens for 'finish': its turn was over at once. */
  onSentUnheard(request: IncomingMessage): void {
    if (--this.#justSent === 0) this.#lastSent = null;
    request[kResponseDone]();
  }

  /** The next response's turn. One that ends at once within it comes back here: the loop goes on, not deeper. */
  #advance(): void {
    this.#finish();
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    while (!this.#connection.destroyed) {
      const next = this.#next();
      if (next === null) break;
      if (next.destroyed) this.#connection.destroy(null);
      else if (this.#through !== null && canGoThroughSocket(next)) this.#giveToSocket(this.#through);
      else next[kTurn]();
    }
    this.#isAdvancing = false;
    if (this.response === null) this.#connection.onAllAnswered();
  }

  #finish(): void {
    this.response = null;
    this.request = null;
  }

  /** Null: none waits, or it is still somebody's turn. */
  #next(): ServerResponse | null {
    if (this.response !== null || this.#responses.length === 0) return null;
    this.response = this.#responses.shift() as ServerResponse;
    this.request = this.#requests.shift() as IncomingMessage;
    return this.response;
  }

  /** From here on the bytes of responses go through the socket's `write`, which the program has replaced. */
  goThrough(socket: HttpSocket): void {
    if (this.#through !== null) return;
    this.#through = socket;
    if (this.response !== null && canGoThroughSocket(this.response)) this.#giveToSocket(socket);
  }

  #giveToSocket(socket: HttpSocket): void {
    const response = this.response as ServerResponse;
    const request = this.request as IncomingMessage;
    sendThroughSocket(request, response, socket, () => {
      request[kResponseDone]();
      this.#connection.write('', '', WIRE_WRITE_END_FLAG, null);
      if (response._last) this.#connection.endAfterOutput();
      else this.#advance();
    });
  }

  /** The connection is gone: as node, first its requests hear of it ... */
  abortRequests(): void {
    this.isAborted = true;
    const requests = this.#requests.splice(0);
    if (this.request !== null) requests.unshift(this.request);
    this.request = null;
    for (const request of requests) request[kConnectionClosed]();
  }

  /** ... and then the responses. */
  closeResponses(): void {
    const responses = this.#responses.splice(0);
    if (this.response !== null) responses.unshift(this.response);
    this.#finish();
    for (const response of responses) response[kConnectionClosed]();
  }
}

/** Whom the next tick tells: exchanges and request, in pairs. One tick for all. */
const untold: (Exchanges | IncomingMessage)[] = [];

function tellInNextTick(exchanges: Exchanges, request: IncomingMessage): void {
  if (untold.length === 0) process.nextTick(tellAll);
  untold.push(exchanges, request);
}

function tellAll(): void {
  for (let i = 0; i < untold.length; i += 2) {
    try {
      (untold[i] as Exchanges).onSentUnheard(untold[i + 1] as IncomingMessage);
    } catch (error) {
      process.nextTick(rethrow, error);
    }
  }
  untold.length = 0;
}

function rethrow(error: unknown): never {
  throw error;
}
