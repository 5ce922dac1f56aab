/**
 * An Express application begins each request by putting prototypes of its own under `req` and `res`. V8 gives an object whose prototype was changed a
 * hidden class that nothing else shares (measured on node 20: half of the time of a request), so where such an application is the one listener of
 * a server, its requests and responses are made with those prototypes, and what it does then changes nothing.
 *
 * Recognised by what Express exports: a function with `request` and `response` that stand on the classes of this drop-in.
 */
import type { EventEmitter } from 'node:events';
import { IncomingMessage, type RequestClass, requestClassOn } from './incoming-message.js';
import { type ResponseClass, responseClassOn, ServerResponse } from './server-response.js';

interface Application {
  request?: unknown;
  response?: unknown;
}

export class ApplicationPrototypes {
  /** What the next request and response are made with; null: the exported classes. */
  request: RequestClass | null = null;
  response: ResponseClass | null = null;
  #listener: unknown;

  /** Brings both up to date with the server's listeners, which may change at any time. */
  update(server: EventEmitter): void {
    const listener = (server as unknown as { _events: Record<string, unknown> })._events['request'];
    if (listener === this.#listener && this.#isAsKnown(listener as Application)) return;
    this.#listener = listener;
    const { request, response } = typeof listener === 'function' ? (listener as Application) : ({} as Application);
    const isApplication = isUnder(IncomingMessage, request) && isUnder(ServerResponse, response);
    this.request = isApplication ? requestClassOn(request as object) : null;
    this.response = isApplication ? responseClassOn(response as object) : null;
  }

  #isAsKnown(application: Application): boolean {
    return (
      this.request === null ||
      (application.request === this.request.prototype && application.response === this.response?.prototype)
    );
  }
}

function isUnder(base: { prototype: object }, object: unknown): boolean {
  return typeof object === 'object' && object !== null && Object.prototype.isPrototypeOf.call(base.prototype, object);
}
