/** serve({ websocket }): takes the handshakes out of the requests of any app interface. */

import { describeValue } from '../errors/text.js';
import { OptionError, ResponseError } from '../errors.js';
import type { App, Exchange } from '../http/exchange.js';
import { HeadBlock } from '../http/header-block.js';
import { requestOf } from '../http/request.js';
import { isResponse } from '../http/response.js';
import type { RunnerStats } from '../runner/index.js';
import { newTraceId, traceIdOf } from '../scope/trace-context.js';
import type { SessionOptions } from '../ws/contract.js';
import {
  acceptValue,
  checkHandshake,
  type HandshakeOffer,
  type HandshakeRefusal,
  isRefusal,
  negotiateDeflate,
  type PerMessageDeflateOptions,
} from '../ws/handshake.js';
import { FetchApp, FetchContext, type FetchResult } from './fetch-app.js';
import { type AppOptions, HandlerErrors } from './handler-errors.js';
import { ServerWebSocket, type WebSocketHost } from './server-websocket.js';
import type { CheckedWebSocketOptions, WebSocketAcceptance } from './websocket-options.js';

export class WebSocketApp implements App, WebSocketHost {
  readonly upgrades = true;
  readonly options: CheckedWebSocketOptions;
  readonly #inner: App & { readonly handlerErrors: number };
  readonly #errors: HandlerErrors;
  readonly #appOptions: AppOptions;
  #denials: FetchApp | null = null;

  constructor(
    inner: App & { readonly handlerErrors: number },
    options: CheckedWebSocketOptions,
    appOptions: AppOptions,
  ) {
    this.#inner = inner;
    this.options = options;
    this.#appOptions = appOptions;
    this.#errors = new HandlerErrors(appOptions.onError);
  }

  get handler(): NonNullable<App['handler']> | null {
    return this.#inner.handler ?? null;
  }

  get handlerErrors(): number {
    return this.#inner.handlerErrors + this.#errors.count + (this.#denials?.handlerErrors ?? 0);
  }

  startup(): Promise<void> | undefined {
    return (this.#inner as { startup?(): Promise<void> }).startup?.();
  }

  shutdown(): Promise<void> | undefined {
    return (this.#inner as { shutdown?(): Promise<void> }).shutdown?.();
  }

  runnerStats(): RunnerStats | undefined {
    return (this.#inner as { runnerStats?(): RunnerStats }).runnerStats?.();
  }

  handle(exchange: Exchange): void {
    if (!exchange.upgrades || !asksForWebSocket(exchange)) {
      this.#inner.handle(exchange);
      return;
    }
    const offer = checkHandshake(exchange.method, exchange.httpVersion, (name) => exchange.header(name));
    if (isRefusal(offer)) {
      refuse(exchange, offer);
      return;
    }
    const { upgrade } = this.options.hooks;
    if (upgrade === undefined) {
      this.#accept(exchange, offer, {});
      return;
    }
    try {
      const timeoutMs = this.#appOptions.handlerTimeout ?? 0;
      const deadline = timeoutMs > 0 ? performance.now() + timeoutMs : null;
      const request = requestOf(exchange);
      const result = upgrade.call(this.options.hooks, request, new FetchContext(exchange, request, deadline));
      if (result instanceof Promise) {
        result.then(
          (value) => this.#answer(exchange, offer, value),
          (error: unknown) => this.#errors.fail(error, exchange),
        );
      } else {
        this.#answer(exchange, offer, result);
      }
    } catch (error) {
      this.#errors.fail(error, exchange);
    }
  }

  report(error: unknown, ws: ServerWebSocket): void {
    const { traceparent } = ws.scope;
    this.#errors.reportIn(error, {
      method: 'GET',
      url: ws.url,
      traceId: traceIdOf(traceparent) ?? newTraceId(),
      remoteAddress: ws.remoteAddress,
    });
  }

  #answer(exchange: Exchange, offer: HandshakeOffer, result: unknown): void {
    if (result === false) {
      refuse(exchange, { status: 403, message: 'Forbidden', headers: {} });
    } else if (isResponse(result) || result instanceof globalThis.Response) {
      this.#deny(exchange, result);
    } else if (result === true || result === undefined) {
      this.#accept(exchange, offer, {});
    } else if (typeof result === 'object' && result !== null) {
      this.#accept(exchange, offer, result);
    } else {
      const expected = 'an object, a boolean, a Response or nothing';
      this.#errors.fail(
        new ResponseError(`The upgrade hook must return ${expected}, but gave ${describeValue(result)}`),
        exchange,
      );
    }
  }

  #deny(exchange: Exchange, response: FetchResult): void {
    this.#denials ??= new FetchApp(null, this.#appOptions);
    this.#denials.answer(exchange, response);
  }

  #accept(exchange: Exchange, offer: HandshakeOffer, acceptance: WebSocketAcceptance): void {
    try {
      const protocol = this.#protocol(offer, acceptance.protocol);
      const agreed = agreeOn(offer, protocol, this.options.deflate, this.options.session);
      for (const [name, value] of Object.entries(acceptance.headers ?? {})) agreed.head.add(name, value);
      const ws = new ServerWebSocket(this, exchange, protocol, acceptance.data);
      const session = exchange.acceptWebSocket(agreed.head.block, agreed.session, ws);
      if (session !== null) ws.begin(session);
    } catch (error) {
      this.#errors.fail(error, exchange);
    }
  }

  #protocol(offer: HandshakeOffer, chosen: string | undefined): string {
    if (chosen === undefined || chosen === '') {
      return this.options.protocols.find((protocol) => offer.protocols.includes(protocol)) ?? '';
    }
    if (offer.protocols.includes(chosen)) return chosen;
    throw new OptionError('protocol', `one of those that the client offered (${offer.protocols.join(', ')})`, chosen);
  }
}

export function asksForWebSocket(exchange: Exchange): boolean {
  return exchange.header('upgrade')?.toLowerCase().includes('websocket') ?? false;
}

/** The fields of the 101, and the session that they announce. */
export function agreeOn(
  offer: HandshakeOffer,
  protocol: string,
  deflate: PerMessageDeflateOptions | null,
  session: SessionOptions,
): { head: HeadBlock; session: SessionOptions } {
  const head = new HeadBlock();
  head.add('sec-websocket-accept', acceptValue(offer.key));
  if (protocol !== '') head.add('sec-websocket-protocol', protocol);
  const negotiated = deflate === null ? null : negotiateDeflate(offer.extensions, deflate);
  if (negotiated === null) return { head, session };
  head.add('sec-websocket-extensions', negotiated.response);
  return { head, session: { ...session, deflate: negotiated.parameters } };
}

export function refuse(exchange: Exchange, { status, message, headers }: HandshakeRefusal): void {
  const head = new HeadBlock();
  head.add('content-type', 'text/plain;charset=UTF-8');
  head.add('connection', 'close');
  for (const [name, value] of Object.entries(headers)) head.add(name, value);
  exchange.respond(status, '', head, message);
}
