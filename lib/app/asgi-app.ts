/** serve({ app }): an ASGI 3 application on any backend's Exchange. See asgi-scope.ts, asgi-call.ts and asgi-lifespan.ts for its parts. */
import { AbortedError, AsgiError } from '../errors.js';
import type { App, Exchange } from '../http/exchange.js';
import { AsgiCall, type HttpReceiveMessage, type HttpSendMessage } from './asgi-call.js';
import { AsgiLifespan, type LifespanReceiveMessage, type LifespanSendMessage } from './asgi-lifespan.js';
import { httpScope, type Scope } from './asgi-scope.js';
import { type AppOptions, HandlerErrors } from './handler-errors.js';
import { isThenable } from './results.js';
import type { CheckedWebSocketOptions } from './websocket-options.js';

export type AsgiReceive = () => Promise<HttpReceiveMessage | LifespanReceiveMessage>;
export type AsgiSend = (message: HttpSendMessage | LifespanSendMessage) => Promise<void>;
// biome-ignore lint/suspicious/noExplicitAny: an application takes the scopes and messages of the protocols that it knows
export type AsgiApplication = (scope: any, receive: any, send: any) => Promise<unknown> | unknown;

export class AsgiApp implements App {
  readonly #app: (scope: Scope, receive: AsgiReceive, send: AsgiSend) => unknown;
  readonly #errors: HandlerErrors;
  readonly #lifespan: AsgiLifespan;

  constructor(app: AsgiApplication, options: AppOptions = {}, _websocket?: CheckedWebSocketOptions) {
    this.#app = app;
    this.#errors = new HandlerErrors(options.onError);
    this.#lifespan = new AsgiLifespan(app, (error) => this.#errors.report(error, null));
  }

  get handlerErrors(): number {
    return this.#errors.count;
  }

  /** To be awaited before listening. Rejects with LifespanError where the application refuses. Idempotent. */
  startup(): Promise<void> {
    return this.#lifespan.startup();
  }

  /** To be awaited after the last connection has closed. Never rejects. Idempotent. */
  shutdown(): Promise<void> {
    return this.#lifespan.shutdown();
  }

  handle(exchange: Exchange): void {
    const call = new AsgiCall(exchange);
    try {
      const app = this.#app;
      const result = app(
        httpScope(exchange, this.#lifespan.state),
        () => call.receive(),
        (message) => call.send(message as HttpSendMessage),
      );
      if (isThenable(result)) {
        result.then(
          () => this.#onReturn(exchange, call),
          (error) => this.#errors.fail(error, exchange),
        );
      } else {
        this.#onReturn(exchange, call);
      }
    } catch (error) {
      this.#errors.fail(error, exchange);
    }
  }

  #onReturn(exchange: Exchange, call: AsgiCall): void {
    if (call.isComplete) {
      return;
    }
    const abortReason = exchange.goneReason;
    const advice = "send 'http.response.start' and a last 'http.response.body' before returning";
    this.#errors.fail(
      abortReason !== null
        ? new AbortedError(abortReason)
        : new AsgiError(`The application returned without a complete response; ${advice}`),
      exchange,
    );
  }
}
