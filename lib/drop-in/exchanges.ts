/** The requests of one connection and their responses, in the order of arrival: the pair whose turn it is, and those that wait. */
import { kConnectionClosed } from './contract.js';
import type { IncomingMessage } from './incoming-message.js';
import type { ServerResponse } from './server-response.js';

export class Exchanges {
  /** Whose turn it is. */
  response: ServerResponse | null = null;
  request: IncomingMessage | null = null;
  /** The connection is gone, or a program has said so: nothing is added any more. */
  isAborted = false;
  readonly #responses: ServerResponse[] = [];
  readonly #requests: IncomingMessage[] = [];

  add(request: IncomingMessage, response: ServerResponse): void {
    if (this.response === null) {
      this.response = response;
      this.request = request;
    } else {
      this.#responses.push(response);
      this.#requests.push(request);
    }
  }

  /** The turn is over. */
  finish(): void {
    this.response = null;
    this.request = null;
  }

  /** The next one's turn. Null: none waits, or it is still somebody's. */
  next(): ServerResponse | null {
    if (this.response !== null || this.#responses.length === 0) return null;
    this.response = this.#responses.shift() as ServerResponse;
    this.request = this.#requests.shift() as IncomingMessage;
    return this.response;
  }

  get last(): ServerResponse | null {
    return this.#responses.at(-1) ?? this.response;
  }

  /** The connection is gone: as node, first its requests hear of it, and then the responses. */
  abort(): void {
    this.isAborted = true;
    const requests = this.#requests.splice(0);
    const responses = this.#responses.splice(0);
    if (this.request !== null) requests.unshift(this.request);
    if (this.response !== null) responses.unshift(this.response);
    this.finish();
    for (const request of requests) request[kConnectionClosed]();
    for (const response of responses) response[kConnectionClosed]();
  }
}
