/** serve({ app }): an ASGI 3 application on any backend's Exchange. See asgi-scope.ts, asgi-call.ts and asgi-lifespan.ts for its parts. */
import { AbortedError, AsgiError } from '../errors.js';
import type { App, Exchange } from '../http/exchange.js';
import { checkHandshake, isRefusal } from '../ws/handshake.js';
import { AsgiCall, type HttpReceiveMessage, type HttpSendMessage } from './asgi-call.js';
import { AsgiLifespan, type LifespanReceiveMessage, type LifespanSendMessage } from './asgi-lifespan.js';
import { httpScope, type Scope, webSocketScope } from './asgi-scope.js';
import { AsgiWebSocket, type WebSocketReceiveMessage, type WebSocketSendMessage } from './asgi-websocket.js';
import { type AppOptions, HandlerErrors } from './handler-errors.js';
import { isThenable } from './results.js';
import { asksForWebSocket, refuse } from './websocket-app.js';
import { type CheckedWebSocketOptions, checkWebSocketOptions } from './websocket-options.js';

export type AsgiReceive = () => Promise<HttpReceiveMessage | WebSocketReceiveMessage | LifespanReceiveMessage>;
export type AsgiSend = (message: HttpSendMessage | WebSocketSendMessage | LifespanSendMessage) => Promise<void>;
// biome-ignore lint/suspicious/noExplicitAny: an application takes the scopes and messages of the protocols that it knows
export type AsgiApplication = (scope: any, receive: any, send: any) => Promise<unknown> | unknown;

export class AsgiApp implements App {
  readonly #app: (scope: Scope, receive: AsgiReceive, send: AsgiSend) => unknown;
  readonly #errors: HandlerErrors;
  readonly #lifespan: AsgiLifespan;
  readonly #webSocketOptions: CheckedWebSocketOptions;
  readonly upgrades = true;

  /** `websocket`: the limits of WebSockets. */
  constructor(app: AsgiApplication, options: AppOptions = {}, websocket?: CheckedWebSocketOptions) {
    this.#webSocketOptions = websocket ?? checkWebSocketOptions({});
    this.#app = app;
    this.#errors = new HandlerErrors(options.onError);
    this.#lifespan = new AsgiLifespan(app, (error) => this.#errors.report(error, null));
  }

  get handler(): (...args: never[]) => unknown {
    return this.#app;
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
    if (exchange.upgrades && asksForWebSocket(exchange)) {
      this.#handleWebSocket(exchange);
      return;
    }
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

  #handleWebSocket(exchange: Exchange): void {
    const offer = checkHandshake(exchange.method, exchange.httpVersion, (name) => exchange.header(name));
    if (isRefusal(offer)) {
      refuse(exchange, offer);
      return;
    }
    const socket = new AsgiWebSocket(exchange, offer, this.#webSocketOptions);
    const onError = (error: unknown): void => {
      const isHandshake = !socket.isOpen && !socket.isComplete;
      if (isHandshake) this.#errors.fail(error, exchange);
      else if (!socket.isComplete || !(error instanceof AbortedError)) this.#errors.report(error, exchange);
      socket.finish(1011);
    };
    const onReturn = (): void => {
      if (socket.isOpen || socket.isComplete) socket.finish(1000);
      else onError(new AsgiError("The application returned without answering the handshake; send 'websocket.accept'"));
    };
    try {
      const app = this.#app;
      const result = app(
        webSocketScope(exchange, this.#lifespan.state, offer.protocols),
        () => socket.receive(),
        (message) => socket.send(message as WebSocketSendMessage),
      );
      if (isThenable(result)) result.then(onReturn, onError);
      else onReturn();
    } catch (error) {
      onError(error);
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
