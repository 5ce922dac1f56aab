/**
 * serve({ sync }): each request is a task of a runner, whose workers call the app. Here a request's body is collected, its task follows the
 * exchange (who goes away cancels it), and the answer is sent.
 */

import { AbortedError, Cancelled, OptionError, QueueFullError } from '../errors.js';
import { onExchangeAbort } from '../http/abort.js';
import { readBytes } from '../http/body.js';
import type { App, Exchange } from '../http/exchange.js';
import { encodeFields, HeadBlock } from '../http/header-block.js';
import { Runner, type RunnerOptions, type RunnerStats } from '../runner/index.js';
import { moduleHref } from '../runner/options.js';
import { newTraceId, traceIdOf } from '../scope/trace-context.js';
import { type AppOptions, HandlerErrors, isOutOfTime } from './handler-errors.js';
import { sendWithoutBody } from './results.js';
import { type SyncAnswer, unpackAnswer } from './sync-answer.js';
import type { SyncHead } from './sync-request.js';

/** The options of the runner that the app runs in, with the app's module in the place of a task module. */
export interface SyncOptions extends RunnerOptions {
  module: string | URL;
}

const BUSY_HEAD = encodeFields(['content-type', 'text/plain', 'retry-after', '1']);

let workerModule = new URL('./sync-worker.js', import.meta.url);

/** @internal For tests that run from the sources. */
export function setSyncWorkerModule(url: URL): void {
  workerModule = url;
}

export class SyncApp implements App {
  readonly #runner: Runner;
  readonly #errors: HandlerErrors;
  readonly #timeoutMs: number;

  /** Throws OptionError, and AddonMissingError: the runner is native on both backends. */
  constructor(options: string | URL | SyncOptions, { onError, handlerTimeout }: AppOptions = {}) {
    this.#runner = makeRunner(typeof options === 'string' || options instanceof URL ? { module: options } : options);
    this.#errors = new HandlerErrors(onError);
    this.#timeoutMs = handlerTimeout ?? 0;
  }

  get handlerErrors(): number {
    return this.#errors.count;
  }

  runnerStats(): RunnerStats {
    return this.#runner.stats();
  }

  /** Starts every worker. Rejects with the TaskError of one that cannot be started. */
  async startup(): Promise<void> {
    try {
      await this.#runner.start();
    } catch (error) {
      await this.shutdown();
      throw error;
    }
  }

  /** No request waits for anything any more: what still runs was cancelled, and has its grace. */
  async shutdown(): Promise<void> {
    await this.#runner.close({ deadline: 0 });
  }

  handle(exchange: Exchange): void {
    const deadline = this.#timeoutMs > 0 ? performance.now() + this.#timeoutMs : null;
    const traceId = traceIdOf(exchange.header('traceparent')) ?? newTraceId();
    const fail = (error: unknown): void => this.#fail(error, exchange, deadline, traceId);
    const body = exchange.hasBody ? readBytes(exchange) : null;
    if (body instanceof Promise) {
      body.then((bytes) => this.#run(exchange, bytes, deadline, traceId)).catch(fail);
    } else {
      this.#run(exchange, body, deadline, traceId).catch(fail);
    }
  }

  async #run(exchange: Exchange, body: Uint8Array | null, deadline: number | null, traceId: string): Promise<void> {
    const { method, target, scheme } = exchange;
    const head: SyncHead = { method, target, scheme, rawHeaders: exchange.rawHeaders(), peer: exchange.peer() };
    const gone = new AbortController();
    onExchangeAbort(exchange, (reason) => gone.abort(new AbortedError(reason)));
    const packed = await this.#runner.run<SyncAnswer | Uint8Array>('handle', [head, body], {
      traceId,
      signal: gone.signal,
      ...(deadline !== null && { timeout: Math.max(0, deadline - performance.now()) }),
    });
    const answer = unpackAnswer(packed);
    const responseHead = Object.assign(new HeadBlock(), answer.head);
    if (answer.body === null) {
      sendWithoutBody(exchange, answer.status, answer.reason, responseHead);
    } else {
      exchange.respond(answer.status, answer.reason, responseHead, answer.body);
    }
  }

  #fail(error: unknown, exchange: Exchange, deadline: number | null, traceId: string): void {
    if (error instanceof QueueFullError) {
      exchange.respond(503, '', BUSY_HEAD, 'Service Unavailable');
    } else if (error instanceof Cancelled && exchange.goneReason !== null) {
      exchange.destroy(); // where the backend has answered, it is over already
    } else if (!isOutOfTime(error, deadline)) {
      this.#errors.fail(error, exchange, traceId);
    }
    // Else the backend's timer is a moment behind: its answer is 503.
  }
}

/** Throws OptionError, which names the option of serve. */
function makeRunner(options: SyncOptions): Runner {
  try {
    const { module, ...others } = options;
    const url = new URL(workerModule);
    url.searchParams.set('app', moduleHref(module));
    // One at a time: a request that is quick as a rule may be slow for once, and nobody should wait behind it in its worker.
    return new Runner({ batchSize: 1, ...others, module: url });
  } catch (error) {
    throw error instanceof OptionError ? new OptionError(`sync.${error.option}`, error.expected) : error;
  }
}
