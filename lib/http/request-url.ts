/** The URL of a request (RFC 9110, 7.1), normalised as `URL` does, without building a URL where nothing needs normalising. */
import type { Exchange } from './exchange.js';

/** What of a request its URL is made of. */
export type UrlParts = Pick<Exchange, 'method' | 'target' | 'scheme' | 'header' | 'peer'>;

const MAX_KNOWN_ORIGINS = 256;
const MAX_REMEMBERED_CHARS = 256;
// What the URL parser leaves as it is, in a path and in a query (a quote is escaped in a query).
const PLAIN_TARGET = /^\/[\w\-.~!$&()*+,;=:@/%[\]?]*$/;
const DOT_SEGMENT = /\/(?:\.|%2[eE]){1,2}(?:[/?]|$)/;

/** `scheme://host` as sent, to the normalised origin. */
const knownOrigins = new Map<string, string>();

/** Never throws: what is no URL, however it is looked at, comes back joined as it is. */
export function requestUrl(exchange: UrlParts): string {
  const target = exchange.target;
  if (target.charCodeAt(0) === 0x2f /* / */) {
    const origin = originOf(exchange);
    const mayHaveDots = target.includes('/.') || target.includes('/%2');
    if (PLAIN_TARGET.test(target) && !(mayHaveDots && DOT_SEGMENT.test(target))) {
      return origin + target;
    }
    return normalize(origin + target);
  }
  if (target === '*') {
    return `${originOf(exchange)}/`;
  }
  if (exchange.method === 'CONNECT') {
    return normalize(`${exchange.scheme}://${target}/`);
  }
  return normalize(target);
}

function originOf(exchange: UrlParts): string {
  const host = exchange.header('host');
  const given = `${exchange.scheme}://${host === null || host === '' ? localAuthority(exchange) : host}`;
  const known = knownOrigins.get(given);
  if (known !== undefined) {
    return known;
  }
  const origin = parseOrigin(given, exchange.scheme.length + 3);
  if (origin === null) {
    return `${exchange.scheme}://${localAuthority(exchange)}`;
  }
  if (given.length <= MAX_REMEMBERED_CHARS) {
    if (knownOrigins.size >= MAX_KNOWN_ORIGINS) {
      knownOrigins.clear();
    }
    knownOrigins.set(given, origin);
  }
  return origin;
}

/** A Host field is host[:port]: what has more in it must not become a path, a query or a password. Null where it is not one. */
function parseOrigin(text: string, authorityAt: number): string | null {
  if (/[/?#@\\\s]/.test(text.slice(authorityAt))) {
    return null;
  }
  try {
    return new URL(text).origin;
  } catch {
    return null;
  }
}

function localAuthority(exchange: UrlParts): string {
  const { localAddress, localPort } = exchange.peer();
  if (localAddress === undefined) {
    return 'localhost';
  }
  const host = localAddress.includes(':') ? `[${localAddress.split('%')[0] as string}]` : localAddress;
  const isDefaultPort = localPort === undefined || localPort === (exchange.scheme === 'https' ? 443 : 80);
  return isDefaultPort ? host : `${host}:${localPort}`;
}

function normalize(text: string): string {
  try {
    return new URL(text).href;
  } catch {
    return text;
  }
}
