/**
 * serve({ node }): a (req, res) handler on any backend's Exchange. Enough for plain handlers, stream.pipeline and Express; the complete
 * drop-in for node:http is another entry.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { App, Exchange } from '../http/exchange.js';
import { type AppOptions, HandlerErrors } from './handler-errors.js';
import { NodeRequest } from './node-request.js';
import { NodeResponse } from './node-response.js';

export type NodeHandler = (req: IncomingMessage, res: ServerResponse) => unknown;

export class NodeApp implements App {
  readonly #handler: NodeHandler;
  readonly #errors: HandlerErrors;

  constructor(handler: NodeHandler, options: AppOptions = {}) {
    this.#handler = handler;
    this.#errors = new HandlerErrors(options.onError);
  }

  get handler(): NodeHandler {
    return this.#handler;
  }

  get handlerErrors(): number {
    return this.#errors.count;
  }

  handle(exchange: Exchange): void {
    try {
      const req = new NodeRequest(exchange);
      const res = new NodeResponse(req, exchange);
      const handler = this.#handler;
      const result = handler(req, res);
      if (result instanceof Promise) {
        result.catch((error) => this.#errors.fail(error, exchange));
      }
    } catch (error) {
      this.#errors.fail(error, exchange);
    }
  }
}
