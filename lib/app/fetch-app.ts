/**
 * serve({ fetch }): a standard Request in, a standard Response out, on any backend's Exchange. A handler that answers at once is answered
 * in the same call; nothing is parsed, no stream and no signal is made before the handler asks.
 */

import { describeValue } from '../errors/text.js';
import { ResponseError } from '../errors.js';
import type { BodySource } from '../http/body.js';
import type { App, Exchange } from '../http/exchange.js';
import { HeadBlock } from '../http/header-block.js';
import { type Request, requestOf } from '../http/request.js';
import { headOf, isResponse, type Response, reasonOf, statusOf, takeBody } from '../http/response.js';
import { newTraceparent, parseTraceparent } from '../scope/trace-context.js';
import { discardBody, pumpBody } from './body-pump.js';
import { type AppOptions, HandlerErrors, isOutOfTime } from './handler-errors.js';
import { RequestScope } from './request-scope.js';
import { foreignHead, isForeignResponse, isThenable, sendWithoutBody } from './results.js';

export type FetchResult = Response | globalThis.Response;
export type FetchHandler = (request: Request, ctx: FetchContext) => FetchResult | Promise<FetchResult>;

/** A Blob up to this size is sent in one piece. */
const SMALL_BLOB_BYTES = 262144;

/** The second argument of a fetch handler. Everything is computed when read. */
export class FetchContext {
  readonly #exchange: Exchange;
  readonly #request: Request;
  readonly #deadline: number | null;
  #traceparent: string | null = null;
  #scope: RequestScope | null = null;

  constructor(exchange: Exchange, request: Request, deadline: number | null) {
    this.#exchange = exchange;
    this.#request = request;
    this.#deadline = deadline;
  }

  /** The request's signal. */
  get signal(): AbortSignal {
    return this.#request.signal;
  }

  /**
   * A cancel scope that is cancelled when the request's signal aborts: `ctx.scope.run(async () => ...)`, once. What is awaited in it stops then,
   * and `run` rejects with Cancelled.
   */
  get scope(): RequestScope {
    this.#scope ??= new RequestScope(this.#exchange, this.#deadline, this.traceparent);
    return this.#scope;
  }

  /** Undefined on a unix socket. */
  get remoteAddress(): string | undefined {
    return this.#exchange.peer().remoteAddress;
  }

  /** W3C Trace Context: the header's if it is valid, else a new trace. What is asked of others from `ctx.scope` continues it. */
  get traceparent(): string {
    if (this.#traceparent === null) {
      const received = this.#exchange.header('traceparent');
      this.#traceparent = parseTraceparent(received) === null ? newTraceparent() : (received as string);
    }
    return this.#traceparent;
  }

  /** The trace's id: 32 hexadecimal digits. */
  get traceId(): string {
    return this.traceparent.slice(3, 35);
  }

  /** The instant by performance.now() at which timeouts.handler passes, or null where there is none. */
  get deadline(): number | null {
    return this.#deadline;
  }
}

export class FetchApp implements App {
  readonly #handler: FetchHandler | null;
  readonly #errors: HandlerErrors;
  readonly #timeoutMs: number;

  /** `handler` null: only `answer` is called. */
  constructor(handler: FetchHandler | null, options: AppOptions = {}) {
    this.#handler = handler;
    this.#errors = new HandlerErrors(options.onError);
    this.#timeoutMs = options.handlerTimeout ?? 0;
  }

  get handler(): FetchHandler | null {
    return this.#handler;
  }

  get handlerErrors(): number {
    return this.#errors.count;
  }

  handle(exchange: Exchange): void {
    const request = requestOf(exchange);
    const deadline = this.#timeoutMs > 0 ? performance.now() + this.#timeoutMs : null;
    const ctx = new FetchContext(exchange, request, deadline);
    try {
      const handler = this.#handler as FetchHandler;
      const result: unknown = handler(request, ctx);
      if (isResponse(result)) {
        this.#send(exchange, ctx, result);
      } else if (isThenable(result)) {
        result.then(
          (response) => this.#deliver(exchange, ctx, response),
          (error) => this.#fail(error, exchange, ctx),
        );
      } else {
        this.#deliver(exchange, ctx, result);
      }
    } catch (error) {
      this.#fail(error, exchange, ctx);
    }
  }

  /** Answers with a Response that another hook has given. */
  answer(exchange: Exchange, response: FetchResult): void {
    this.#deliver(exchange, new FetchContext(exchange, requestOf(exchange), null), response);
  }

  /** What waits by gammaloop/scope ends with the deadline, perhaps just before the backend's timer does: the answer is the backend's 503. */
  #fail(error: unknown, exchange: Exchange, ctx: FetchContext): void {
    if (exchange.responseStarted || !isOutOfTime(error, ctx.deadline)) {
      this.#errors.fail(error, exchange, ctx.traceId);
    }
  }

  #deliver(exchange: Exchange, ctx: FetchContext, result: unknown): void {
    try {
      if (isResponse(result)) {
        this.#send(exchange, ctx, result);
      } else if (isForeignResponse(result)) {
        this.#sendForeign(exchange, ctx, result);
      } else {
        throw new ResponseError(
          `The fetch handler must return a Response or a promise of one, but gave ${describeValue(result)}`,
        );
      }
    } catch (error) {
      this.#fail(error, exchange, ctx);
    }
  }

  #send(exchange: Exchange, ctx: FetchContext, response: Response): void {
    const source = takeBody(response);
    const head = headOf(response);
    if (typeof source === 'string' || source instanceof Uint8Array) {
      exchange.respond(statusOf(response), reasonOf(response), head, source);
    } else {
      this.#sendSource(exchange, ctx, statusOf(response), reasonOf(response), head, source);
    }
  }

  #sendForeign(exchange: Exchange, ctx: FetchContext, response: globalThis.Response): void {
    const head = foreignHead(response);
    this.#sendSource(exchange, ctx, response.status, response.statusText, head, response.body);
  }

  /** Everything but text and bytes. */
  #sendSource(
    exchange: Exchange,
    ctx: FetchContext,
    status: number,
    reason: string,
    head: HeadBlock,
    source: BodySource | null,
  ): void {
    if (source === null) {
      sendWithoutBody(exchange, status, reason, head);
      return;
    }
    if (source instanceof Blob) {
      this.#sendBlob(exchange, ctx, status, reason, head, source);
      return;
    }
    const stream = source as ReadableStream | AsyncIterable<unknown>;
    if (exchange.method === 'HEAD' || status === 204 || status === 304) {
      exchange.start(status, reason, head, head.contentLength);
      exchange.end('');
      discardBody(stream, new ResponseError(`A response to ${exchange.method} with status ${status} has no body`));
      return;
    }
    pumpBody(exchange, status, reason, head, stream).catch((error) => this.#errors.fail(error, exchange, ctx.traceId));
  }

  #sendBlob(exchange: Exchange, ctx: FetchContext, status: number, reason: string, head: HeadBlock, blob: Blob): void {
    const sized = Object.assign(new HeadBlock(), head, { contentLength: blob.size });
    const sent =
      blob.size > SMALL_BLOB_BYTES && exchange.method !== 'HEAD'
        ? pumpBody(exchange, status, reason, sized, blob.stream())
        : blob.arrayBuffer().then((buffer) => exchange.respond(status, reason, head, new Uint8Array(buffer)));
    sent.catch((error) => this.#errors.fail(error, exchange, ctx.traceId));
  }
}
