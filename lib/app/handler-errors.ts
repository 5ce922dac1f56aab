/**
 * What happens to an error of a handler: it is counted, reported by one hook, and answered without detail. Used by every app interface.
 */

import { AbortedError, BodyError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { PLAIN_HEAD } from '../http/header-block.js';
import { requestUrl } from '../http/request-url.js';
import { newTraceId, traceIdOf } from '../scope/trace-context.js';

/** Which request an error belongs to. For errors outside a request (ASGI's lifespan) method and url are ''. */
export interface ErrorInfo {
  readonly method: string;
  readonly url: string;
  readonly traceId: string;
  readonly remoteAddress: string | undefined;
}

/** Gets each error that a handler threw or rejected with, or that its response broke with. What it throws itself is printed. */
export type ErrorHook = (error: unknown, info: ErrorInfo) => void;

/** What all app interfaces take. */
export interface AppOptions {
  onError?: ErrorHook | undefined;
  /** timeouts.handler in milliseconds, which the backend enforces; here it gives ctx.deadline. 0: none. */
  handlerTimeout?: number | undefined;
}

/** The default hook: one line that says where, then the stack. */
export function printError(error: unknown, info: ErrorInfo): void {
  const where =
    info.method === '' ? 'the application' : `the handler of ${info.method} ${info.url} (trace ${info.traceId})`;
  console.error(
    `gammaloop: error in ${where}\n${error instanceof Error ? (error.stack ?? String(error)) : describe(error)}`,
  );
}

export class HandlerErrors {
  /** Errors so far. */
  count = 0;
  readonly #hook: ErrorHook;

  constructor(hook: ErrorHook = printError) {
    this.#hook = hook;
  }

  /** Counts and reports; never throws. `traceId`: one that the handler has seen already. */
  report(error: unknown, exchange: Exchange | null, traceId?: string): void {
    this.reportIn(error, infoOf(exchange, traceId));
  }

  /** The same, where the request has gone. */
  reportIn(error: unknown, info: ErrorInfo): void {
    this.count++;
    try {
      const result: unknown = this.#hook(error, info);
      if (result instanceof Promise) {
        result.catch((hookError) => this.#print(error, hookError));
      }
    } catch (hookError) {
      this.#print(error, hookError);
    }
  }

  /**
   * Reports, and ends the exchange: 500 where no response has begun, else by closing the connection. Where the request was aborted and
   * the error only says so, nothing is reported: giving up is what the handler should do then.
   */
  fail(error: unknown, exchange: Exchange, traceId?: string): void {
    if (exchange.goneReason === null || !isEchoOfAbort(error)) {
      this.report(error, exchange, traceId);
    }
    if (!exchange.responseStarted) {
      exchange.respond(500, '', PLAIN_HEAD, 'Internal Server Error');
    } else if (!exchange.responseEnded) {
      exchange.destroy();
    }
  }

  #print(error: unknown, hookError: unknown): void {
    try {
      console.error('gammaloop: onError failed:', hookError, '\nwhile reporting:', error);
    } catch {
      // Nowhere left to say it.
    }
  }
}

/** Others' clocks: what was told the remaining time in whole milliseconds may give up a little before the deadline. */
const EARLY_MS = 5;

/** Whether the error (all of them, of a nursery) only says that the handler's deadline has passed. */
export function isOutOfTime(error: unknown, deadline: number | null): boolean {
  return deadline !== null && performance.now() >= deadline - EARLY_MS && isTimeout(error);
}

function isTimeout(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.every(isTimeout);
  if (!(error instanceof Error)) return false;
  return (error as { code?: unknown }).code === 'ERR_GAMMALOOP_TIMEOUT' || isTimeout(error.cause);
}

function isEchoOfAbort(error: unknown): boolean {
  return (
    error instanceof AbortedError ||
    error instanceof BodyError ||
    (error instanceof Error && error.cause instanceof AbortedError)
  );
}

export function infoOf(exchange: Exchange | null, traceId: string | undefined): ErrorInfo {
  if (exchange === null) {
    return { method: '', url: '', traceId: '', remoteAddress: undefined };
  }
  return {
    method: exchange.method,
    url: requestUrl(exchange),
    traceId: traceId ?? traceIdOf(exchange.header('traceparent')) ?? newTraceId(),
    remoteAddress: exchange.peer().remoteAddress,
  };
}

function describe(error: unknown): string {
  try {
    return String(error);
  } catch {
    return 'a value that has no text form';
  }
}
