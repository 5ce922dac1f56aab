/**
 * `Request` as the fetch standard has it. One that a server gives to its handler reads everything from the exchange, when asked; one
 * that a program constructs is checked and held by node's own Request. Both are `instanceof` the global Request.
 */
import { inspect } from 'node:util';
import { AbortedError } from '../errors.js';
import { onExchangeAbort } from './abort.js';
import {
  type BodyInit,
  type BodySource,
  bodyUsedError,
  isSourceDisturbed,
  isSourceLocked,
  ownBytes,
  readBlob,
  readBytes,
  readForm,
  readText,
  teeSource,
  toStream,
} from './body.js';
import type { Exchange } from './exchange.js';
import { chainPrototype, Headers, type HeadersInit, headersOfExchange } from './headers.js';
import { requestUrl } from './request-url.js';

export interface RequestInit extends Omit<globalThis.RequestInit, 'body' | 'headers'> {
  body?: BodyInit | null;
  headers?: HeadersInit;
  duplex?: 'half';
}

/** The request of an exchange. Nothing is read from it yet. */
export let requestOf: (exchange: Exchange) => Request;

const FROM_EXCHANGE = Symbol('from exchange') as unknown as RequestInit;

export class Request {
  /** Where method, url, headers and signal come from: one of the two. */
  #exchange: Exchange | null = null;
  #global: globalThis.Request | null = null;
  #source: BodySource | null = null;
  #used = false;
  #url: string | null = null;
  #headers: Headers | null = null;
  #controller: AbortController | null = null;

  static {
    requestOf = (exchange) => new Request(exchange as unknown as string, FROM_EXCHANGE);
  }

  constructor(input: string | URL | Request | globalThis.Request, init?: RequestInit) {
    if (init === FROM_EXCHANGE) {
      this.#exchange = input as unknown as Exchange;
      this.#source = this.#exchange;
      return;
    }
    const global = toGlobal(input, init);
    this.#global = global;
    this.#headers = new Headers(global.headers);
    this.#source = global.body;
  }

  get method(): string {
    return (this.#exchange ?? (this.#global as globalThis.Request)).method;
  }

  get url(): string {
    if (this.#url === null) {
      this.#url = this.#exchange === null ? (this.#global as globalThis.Request).url : requestUrl(this.#exchange);
    }
    return this.#url;
  }

  get headers(): Headers {
    if (this.#headers === null) {
      this.#headers = headersOfExchange(this.#exchange as Exchange);
    }
    return this.#headers;
  }

  /** Aborts when the client goes, on timeouts.handler, and when the server closes; its reason is an AbortedError. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#exchange !== null) {
        onExchangeAbort(this.#exchange, (reason) => controller.abort(new AbortedError(reason)));
      } else {
        const { signal } = this.#global as globalThis.Request;
        const follow = (): void => controller.abort(signal.reason);
        if (signal.aborted) {
          follow();
        } else {
          signal.addEventListener('abort', follow, { once: true });
        }
      }
    }
    return this.#controller.signal;
  }

  get body(): ReadableStream<Uint8Array> | null {
    const source = this.#source;
    if (source === null || (source === this.#exchange && !source.hasBody)) {
      return null;
    }
    const stream = toStream(source);
    this.#source = stream;
    return stream;
  }

  get bodyUsed(): boolean {
    return this.#used || isSourceDisturbed(this.#source);
  }

  get cache(): RequestCache {
    return this.#global?.cache ?? 'default';
  }

  get credentials(): RequestCredentials {
    return this.#global?.credentials ?? 'same-origin';
  }

  get destination(): RequestDestination {
    return '';
  }

  get duplex(): 'half' {
    return 'half';
  }

  get integrity(): string {
    return this.#global?.integrity ?? '';
  }

  get isHistoryNavigation(): boolean {
    return false;
  }

  get isReloadNavigation(): boolean {
    return false;
  }

  get keepalive(): boolean {
    return this.#global?.keepalive ?? false;
  }

  get mode(): RequestMode {
    return this.#global?.mode ?? 'cors';
  }

  get redirect(): RequestRedirect {
    return this.#global?.redirect ?? 'follow';
  }

  get referrer(): string {
    return this.#global?.referrer ?? 'about:client';
  }

  get referrerPolicy(): ReferrerPolicy {
    return this.#global?.referrerPolicy ?? '';
  }

  async text(): Promise<string> {
    const text = readText(this.#take());
    return typeof text === 'string' ? text : await text;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as the standard types it
  async json(): Promise<any> {
    const text = readText(this.#take());
    return JSON.parse(typeof text === 'string' ? text : await text);
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = readBytes(this.#take());
    return ownBytes(bytes instanceof Promise ? await bytes : bytes);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer;
  }

  async blob(): Promise<Blob> {
    return readBlob(this.#take(), this.headers.get('content-type'));
  }

  async formData(): Promise<FormData> {
    return readForm(this.#take(), this.headers.get('content-type'));
  }

  clone(): Request {
    if (this.bodyUsed || isSourceLocked(this.#source)) {
      throw bodyUsedError();
    }
    const copy = new Request('http://localhost/', FROM_EXCHANGE);
    copy.#exchange = this.#exchange;
    copy.#global = this.#global;
    copy.#url = this.#url;
    copy.#headers = this.#headers === null ? null : new Headers(this.#headers);
    [this.#source, copy.#source] = teeSource(this.#source);
    return copy;
  }

  get [Symbol.toStringTag](): string {
    return 'Request';
  }

  [inspect.custom](depth: number, options: object): string {
    const { method, url, headers, bodyUsed } = this;
    return `Request ${inspect({ method, url, headers, bodyUsed }, { ...options, depth })}`;
  }

  /** The body, for a reader that takes all of it. Throws TypeError where it was used. */
  #take(): BodySource | null {
    let source = this.#source;
    if (source === this.#exchange && source !== null && !source.hasBody) {
      source = null;
    }
    if (this.bodyUsed || isSourceLocked(source)) {
      throw bodyUsedError();
    }
    this.#used = source !== null;
    return source;
  }
}

chainPrototype(Request.prototype, 'Request');

/** Node's own Request, which checks every option. A Request of ours gives up its body to it, as the standard has it. */
function toGlobal(input: unknown, init: RequestInit | undefined): globalThis.Request {
  if (!(input instanceof Request)) {
    return new globalThis.Request(input as string, init as globalThis.RequestInit);
  }
  const inherited: Record<string, unknown> = {
    method: input.method,
    headers: input.headers,
    signal: input.signal,
    redirect: input.redirect,
    integrity: input.integrity,
    keepalive: input.keepalive,
  };
  if (input.bodyUsed && (init?.body === undefined || init.body === null)) {
    throw bodyUsedError();
  }
  const body = init?.body === undefined || init.body === null ? input.body : null;
  if (body !== null) {
    // Piping locks the first request's body, so that it counts as used.
    inherited.body = body.pipeThrough(new TransformStream());
    inherited.duplex = 'half';
  }
  return new globalThis.Request(input.url, { ...inherited, ...(init as object) });
}
