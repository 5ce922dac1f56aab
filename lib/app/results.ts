/** What handlers give back: promises of it, Responses that are not ours, Responses without a body. */
import { ResponseError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { HeadBlock } from '../http/header-block.js';

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
}

/** A Response of node, undici or whoever keeps to the standard. */
export function isForeignResponse(value: unknown): value is globalThis.Response {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const { status, headers, body } = value as globalThis.Response;
  return (
    typeof status === 'number' &&
    typeof headers === 'object' &&
    headers !== null &&
    typeof headers[Symbol.iterator] === 'function' &&
    (body === null || typeof body?.getReader === 'function')
  );
}

/** Its head. Throws ResponseError where it cannot be sent. */
export function foreignHead(response: globalThis.Response): HeadBlock {
  const { status, body } = response;
  if (response.type === 'error' || status < 200 || status > 599) {
    throw new ResponseError(`The handler returned a Response with status ${status}, which is no answer`);
  }
  if (response.bodyUsed || body?.locked === true) {
    throw new ResponseError('The handler returned a Response whose body was used already; clone() it before reading');
  }
  const head = new HeadBlock();
  for (const [name, value] of response.headers) {
    head.add(name, value);
  }
  return head;
}

/** A content-length that the handler has set is announced where the response has no body to begin with (RFC 9110, 8.6). */
export function sendWithoutBody(exchange: Exchange, status: number, reason: string, head: HeadBlock): void {
  if (head.contentLength !== -1 && (exchange.method === 'HEAD' || status === 204 || status === 304)) {
    exchange.start(status, reason, head, head.contentLength);
    exchange.end('');
  } else {
    exchange.respond(status, reason, head, null);
  }
}
