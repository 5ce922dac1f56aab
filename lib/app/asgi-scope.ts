/** What an ASGI application is given of a request: the scope, by the names of the specification (HTTP message format 2.5). */
import type { Exchange, Peer } from '../http/exchange.js';

/** Bytes go in as Uint8Array (Buffers come out); text is accepted where bytes are, and sent as latin1 in heads, UTF-8 in bodies. */
export type AsgiBytes = Uint8Array | string;
export type AsgiState = Record<string, unknown>;

export interface AsgiVersions {
  readonly version: string;
  readonly spec_version: string;
}

export interface HttpScope {
  type: 'http';
  asgi: AsgiVersions;
  http_version: '1.0' | '1.1';
  method: string;
  scheme: 'http' | 'https';
  path: string;
  raw_path: Buffer;
  query_string: Buffer;
  root_path: string;
  headers: Iterable<[Buffer, Buffer]> & { readonly length: number };
  client: [string, number] | null;
  server: [string, number | null] | null;
  state: AsgiState;
  extensions: Record<string, object>;
}

export interface WebSocketScope extends Omit<HttpScope, 'type' | 'method' | 'scheme'> {
  type: 'websocket';
  scheme: 'ws' | 'wss';
  subprotocols: string[];
}

export interface LifespanScope {
  type: 'lifespan';
  asgi: AsgiVersions;
  state: AsgiState;
}

export type Scope = HttpScope | WebSocketScope | LifespanScope;

const HTTP_VERSIONS: AsgiVersions = Object.freeze({ version: '3.0', spec_version: '2.5' });
const LIFESPAN_VERSIONS: AsgiVersions = Object.freeze({ version: '3.0', spec_version: '2.0' });
const EXTENSIONS: Record<string, object> = Object.freeze({ 'http.response.trailers': Object.freeze({}) });
const WEBSOCKET_EXTENSIONS: Record<string, object> = Object.freeze({ 'websocket.http.response': Object.freeze({}) });
const NO_BYTES = Buffer.alloc(0);
// What needs decoding is an escape or not ASCII.
const NEEDS_DECODING = /[%\x80-\xff]/;

/** The header fields as [name, value] pairs of bytes, names in lower case. Read from the request at the first touch. */
export class AsgiHeaders implements Iterable<[Buffer, Buffer]> {
  readonly #exchange: Exchange;
  #pairs: [Buffer, Buffer][] | null = null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  get length(): number {
    return this.#read().length;
  }

  [Symbol.iterator](): IterableIterator<[Buffer, Buffer]> {
    return this.#read()[Symbol.iterator]();
  }

  #read(): [Buffer, Buffer][] {
    if (this.#pairs === null) {
      const raw = this.#exchange.rawHeaders();
      const pairs: [Buffer, Buffer][] = [];
      for (let i = 0; i + 1 < raw.length; i += 2) {
        pairs.push([
          Buffer.from((raw[i] as string).toLowerCase(), 'latin1'),
          Buffer.from(raw[i + 1] as string, 'latin1'),
        ]);
      }
      this.#pairs = pairs;
    }
    return this.#pairs;
  }
}

/** An ordinary object with own data properties: it may be spread, changed, and passed on. */
export function httpScope(exchange: Exchange, state: AsgiState): HttpScope {
  const target = originForm(exchange.target);
  const mark = target.indexOf('?');
  const rawPath = mark === -1 ? target : target.slice(0, mark);
  const peer = exchange.peer();
  return {
    type: 'http',
    asgi: HTTP_VERSIONS,
    http_version: exchange.httpVersion,
    method: exchange.method,
    scheme: exchange.scheme,
    path: NEEDS_DECODING.test(rawPath) ? decodePath(rawPath) : rawPath,
    raw_path: Buffer.from(rawPath, 'latin1'),
    query_string: mark === -1 ? NO_BYTES : Buffer.from(target.slice(mark + 1), 'latin1'),
    root_path: '',
    headers: new AsgiHeaders(exchange),
    client: clientOf(peer),
    server: serverOf(peer),
    state: { ...state },
    extensions: EXTENSIONS,
  };
}

export function webSocketScope(exchange: Exchange, state: AsgiState, subprotocols: string[]): WebSocketScope {
  const { method: _, scheme, ...rest } = httpScope(exchange, state);
  return {
    ...rest,
    type: 'websocket',
    scheme: scheme === 'https' ? 'wss' : 'ws',
    subprotocols,
    extensions: WEBSOCKET_EXTENSIONS,
  };
}

export function lifespanScope(state: AsgiState): LifespanScope {
  return { type: 'lifespan', asgi: LIFESPAN_VERSIONS, state };
}

function clientOf(peer: Peer): [string, number] | null {
  return peer.remoteAddress === undefined ? null : [peer.remoteAddress, peer.remotePort ?? 0];
}

function serverOf(peer: Peer): [string, number] | null {
  return peer.localAddress === undefined ? null : [peer.localAddress, peer.localPort ?? 0];
}

/** Path and query of an absolute-form target too; '*' and 'host:port' stay as they are. */
function originForm(target: string): string {
  if (target.charCodeAt(0) === 0x2f /* / */) {
    return target;
  }
  const authority = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target);
  if (authority === null) {
    return target;
  }
  const rest = target.slice(authority[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** Escapes and UTF-8 sequences become characters, U+FFFD where they are none; a bad escape stays as it is. */
export function decodePath(rawPath: string): string {
  const bytes = Buffer.allocUnsafe(rawPath.length);
  let length = 0;
  for (let i = 0; i < rawPath.length; i++) {
    const code = rawPath.charCodeAt(i);
    const escaped = code === 0x25 /* % */ ? hexByte(rawPath, i + 1) : -1;
    if (escaped >= 0) {
      bytes[length++] = escaped;
      i += 2;
    } else {
      bytes[length++] = code;
    }
  }
  return bytes.toString('utf8', 0, length);
}

function hexByte(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at));
  const low = hexDigit(text.charCodeAt(at + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** -1 for what is no digit, NaN (past the end) among it. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) {
    return code - 0x30;
  }
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
