/** The client's side of the opening handshake (RFC 6455 section 4.1), by a request of node:http. */
import { randomBytes } from 'node:crypto';
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import net, { type Socket } from 'node:net';
import tls, { type ConnectionOptions } from 'node:tls';
import { DEFLATE_NAME, type DeflateAnswer, formatDeflate, parseExtensions, readDeflate } from '../../ws/extensions.js';
import { acceptValue } from '../../ws/handshake.js';
import { kHandshake } from './handshake.js';
import { compression, type PerMessageDeflateOptions, type SocketOptions } from './options.js';
import type { WebSocket } from './websocket.js';

/** Beside these, every option of http.request and https.request; what the URL says is not overridden. */
export interface ClientOptions extends SocketOptions, Omit<RequestOptions, 'path' | 'host' | 'port' | 'protocol'> {
  /** Sets the request's header fields, and ends the request. */
  finishRequest?: ((request: ClientRequest, socket: WebSocket) => void) | undefined;
  /** Default false. */
  followRedirects?: boolean | undefined;
  /** Default 10. */
  maxRedirects?: number | undefined;
  /** For the handshake, in milliseconds; anew after each redirect. Default: none. */
  handshakeTimeout?: number | undefined;
  origin?: string | undefined;
  /** Default true. */
  perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
  /** 13 (the default) or 8. */
  protocolVersion?: number | undefined;
  [option: string]: unknown;
}

interface Target {
  readonly url: URL;
  readonly isSecure: boolean;
  /** Of a socket in the file system (ws+unix:). */
  readonly socketPath: string | undefined;
  readonly path: string;
}

/** What redirects are compared with: the first target of all. */
interface Origin {
  readonly place: string;
  readonly isSecure: boolean;
}

const versions: readonly unknown[] = [13, 8];
const protocolPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Begins the handshake of `socket`. Throws SyntaxError for a URL or protocol that cannot be, RangeError for a version. */
export function connect(
  socket: WebSocket,
  address: string | URL,
  protocols: readonly string[],
  options: ClientOptions = {},
): void {
  const { protocolVersion = 13 } = options;
  if (!versions.includes(protocolVersion))
    throw new RangeError(`Unsupported protocol version: ${protocolVersion} (supported versions: 8, 13)`);
  const target = parseTarget(address);
  if (target instanceof Error) throw target;
  if (!protocols.every((name, at) => isProtocol(name) && protocols.indexOf(name) === at))
    throw new SyntaxError('An invalid or duplicated subprotocol was specified');
  new Connecting(socket, protocols, options).begin(target);
}

function isProtocol(name: unknown): boolean {
  return typeof name === 'string' && protocolPattern.test(name);
}

function parseTarget(address: string | URL): Target | SyntaxError {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return new SyntaxError(`Invalid URL: ${address}`);
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  else if (url.protocol === 'https:') url.protocol = 'wss:';
  const isUnix = url.protocol === 'ws+unix:';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:' && !isUnix)
    return new SyntaxError(`The URL's protocol must be one of "ws:", "wss:", "http:", "https:", or "ws+unix:"`);
  if (isUnix && url.pathname === '') return new SyntaxError("The URL's pathname is empty");
  if (url.hash !== '') return new SyntaxError('The URL contains a fragment identifier');
  const path = url.pathname + url.search;
  const [socketPath, rest] = isUnix ? path.split(':') : [undefined, path];
  return { url, isSecure: url.protocol === 'wss:', socketPath, path: rest ?? '/' };
}

/** One handshake, over its redirects. */
class Connecting {
  readonly #socket: WebSocket;
  readonly #protocols: readonly string[];
  readonly #options: ClientOptions;
  readonly #deflateOptions: PerMessageDeflateOptions | null;
  /** Header fields of the program, by lower-case names where redirects are followed. */
  #headers: Record<string, unknown>;
  #origin: Origin | null = null;
  #key = '';
  #request: ClientRequest | null = null;

  constructor(socket: WebSocket, protocols: readonly string[], options: ClientOptions) {
    const { perMessageDeflate = true, followRedirects, headers = {} } = options;
    this.#socket = socket;
    this.#protocols = protocols;
    this.#options = options;
    this.#deflateOptions = perMessageDeflate === true ? {} : perMessageDeflate || null;
    const fields = Object.entries(headers);
    this.#headers = Object.fromEntries(
      followRedirects ? fields.map(([name, value]) => [name.toLowerCase(), value]) : fields,
    );
  }

  begin(target: Target): void {
    const socket = this.#socket;
    const { followRedirects, finishRequest, handshakeTimeout } = this.#options;
    socket[kHandshake].url = target.url.href;
    socket[kHandshake].abort = (error) => this.#abort(error, true);
    this.#key = randomBytes(16).toString('base64');
    const options = this.#requestOptions(target);
    if (followRedirects) this.#guardSecrets(target, options);
    const request = (target.isSecure ? httpsRequest : httpRequest)(options);
    this.#request = request;
    socket._req = request;
    if (followRedirects && socket._redirects > 0) socket.emit('redirect', socket.url, request);
    const isCurrent = () => this.#request === request;
    if (handshakeTimeout)
      request.on('timeout', () => isCurrent() && this.#abort(new Error('Opening handshake has timed out'), true));
    request.on('error', (error) => isCurrent() && this.#fail(error, false));
    request.on('response', (response) => isCurrent() && this.#onResponse(target, request, response));
    request.on('upgrade', (response, stream, head) => this.#onUpgrade(response, stream as Socket, head));
    if (finishRequest) finishRequest(request, socket);
    else request.end();
  }

  #requestOptions({ url, isSecure, socketPath, path }: Target): RequestOptions {
    const { protocolVersion = 13, origin, createConnection, defaultPort, handshakeTimeout } = this.#options;
    const port = isSecure ? 443 : 80;
    const headers: Record<string, unknown> = {
      ...this.#headers,
      'Sec-WebSocket-Version': protocolVersion,
      'Sec-WebSocket-Key': this.#key,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
    };
    if (this.#deflateOptions !== null)
      headers['Sec-WebSocket-Extensions'] = formatDeflate(deflateOffer(this.#deflateOptions));
    if (this.#protocols.length > 0) headers['Sec-WebSocket-Protocol'] = this.#protocols.join(',');
    if (origin) headers[protocolVersion === 8 ? 'Sec-WebSocket-Origin' : 'Origin'] = origin;
    const hasUser = url.username !== '' || url.password !== '';
    const options = {
      ...this.#options,
      method: 'GET',
      protocol: undefined,
      hostname: undefined,
      socketPath,
      path,
      host: url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname,
      port: url.port || port,
      defaultPort: defaultPort || port,
      timeout: handshakeTimeout,
      createConnection: createConnection || (isSecure ? openSecure : open),
      headers,
    };
    if (hasUser) options.auth = `${url.username}:${url.password}`;
    return options as unknown as RequestOptions;
  }

  /** What was meant for the first target is not told to another place, nor over an unencrypted connection; as curl does it. */
  #guardSecrets({ url, isSecure, socketPath }: Target, options: RequestOptions): void {
    const place = socketPath === undefined ? url.host : `unix:${socketPath}`;
    const headers = options.headers as Record<string, unknown>;
    if (this.#origin === null) {
      this.#origin = { place, isSecure };
    } else if (this.#socket.listenerCount('redirect') === 0) {
      const isSamePlace = place === this.#origin.place;
      if (!isSamePlace || (this.#origin.isSecure && !isSecure)) {
        delete headers['authorization'];
        delete headers['cookie'];
        if (!isSamePlace) delete headers['host'];
        options.auth = undefined;
      }
    }
    // The first one wins, over all redirects.
    if (options.auth && !this.#headers['authorization'])
      this.#headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  }

  #onResponse({ url }: Target, request: ClientRequest, response: IncomingMessage): void {
    const { followRedirects, maxRedirects = 10 } = this.#options;
    const socket = this.#socket;
    const { statusCode = 0, headers } = response;
    if (headers.location && followRedirects && statusCode >= 300 && statusCode < 400) {
      socket._redirects += 1;
      if (socket._redirects > maxRedirects) {
        this.#abort(new Error('Maximum redirects exceeded'), true);
        return;
      }
      this.#drop();
      let next: URL;
      try {
        next = new URL(headers.location, url);
      } catch {
        this.#fail(new SyntaxError(`Invalid URL: ${headers.location}`), false);
        return;
      }
      const target = parseTarget(next);
      if (target instanceof Error) this.#fail(target, false);
      else this.begin(target);
    } else if (!socket.emit('unexpected-response', request, response)) {
      this.#abort(new Error(`Unexpected server response: ${statusCode}`), true);
    }
  }

  #onUpgrade(response: IncomingMessage, stream: Socket, head: Buffer): void {
    const socket = this.#socket;
    const handshake = socket[kHandshake];
    socket.emit('upgrade', response);
    // A listener may have closed it.
    if (socket.readyState !== 0) return;
    this.#request = null;
    socket._req = null;
    const problem = this.#checkAnswer(response);
    if (problem !== null) {
      stream.destroy();
      this.#fail(new Error(problem), true);
      return;
    }
    handshake.protocol = response.headers['sec-websocket-protocol'] ?? '';
    socket.setSocket(stream, head, this.#options);
  }

  /** @returns what is wrong with it; null: nothing, and the extension is settled */
  #checkAnswer({ headers }: IncomingMessage): string | null {
    if (headers.upgrade?.toLowerCase() !== 'websocket') return 'Invalid Upgrade header';
    if (headers['sec-websocket-accept'] !== acceptValue(this.#key)) return 'Invalid Sec-WebSocket-Accept header';
    const protocol = headers['sec-websocket-protocol'];
    if (protocol === undefined && this.#protocols.length > 0) return 'Server sent no subprotocol';
    if (protocol !== undefined && this.#protocols.length === 0)
      return 'Server sent a subprotocol but none was requested';
    if (protocol !== undefined && !this.#protocols.includes(protocol)) return 'Server sent an invalid subprotocol';
    const field = headers['sec-websocket-extensions'];
    if (field === undefined) return null;
    if (this.#deflateOptions === null)
      return 'Server sent a Sec-WebSocket-Extensions header but no extension was requested';
    try {
      const extensions = parseExtensions(field);
      if (extensions.length !== 1 || extensions[0]?.name !== DEFLATE_NAME)
        return 'Server indicated an extension that was not requested';
      const answer = acceptAnswer(readDeflate(extensions[0]), this.#deflateOptions);
      this.#socket[kHandshake].deflate = compression(answer, this.#deflateOptions, false);
      return null;
    } catch {
      return 'Invalid Sec-WebSocket-Extensions header';
    }
  }

  /** Ends what is under way, and says why. */
  #abort(error: Error, isLater: boolean): void {
    this.#drop();
    this.#fail(error, isLater);
  }

  #drop(): void {
    const request = this.#request;
    this.#request = null;
    request?.destroy();
    // Where the request is complete, destroying it leaves the connection to the agent.
    request?.socket?.destroy();
  }

  #fail(error: Error, isLater: boolean): void {
    this.#request = null;
    this.#socket._req = null;
    this.#socket[kHandshake].fail(error, isLater);
  }
}

function deflateOffer(options: PerMessageDeflateOptions): DeflateAnswer {
  const offer: DeflateAnswer = {};
  if (options.serverNoContextTakeover) offer.server_no_context_takeover = true;
  if (options.clientNoContextTakeover) offer.client_no_context_takeover = true;
  if (options.serverMaxWindowBits) offer.server_max_window_bits = options.serverMaxWindowBits;
  if (options.clientMaxWindowBits) offer.client_max_window_bits = options.clientMaxWindowBits;
  else if (options.clientMaxWindowBits === undefined || options.clientMaxWindowBits === null)
    offer.client_max_window_bits = true;
  return offer;
}

/** Throws where the server's answer asks for what this side does not give. */
function acceptAnswer(answer: DeflateAnswer, wishes: PerMessageDeflateOptions): DeflateAnswer {
  const { client_max_window_bits: bits } = answer;
  const { clientMaxWindowBits } = wishes;
  if (bits === true) throw new TypeError('Invalid value for parameter "client_max_window_bits": true');
  if (wishes.clientNoContextTakeover === false && answer.client_no_context_takeover)
    throw new Error('Unexpected parameter "client_no_context_takeover"');
  if (bits === undefined)
    return typeof clientMaxWindowBits === 'number'
      ? { ...answer, client_max_window_bits: clientMaxWindowBits }
      : answer;
  if (clientMaxWindowBits === false || (clientMaxWindowBits !== undefined && bits > clientMaxWindowBits))
    throw new Error('Unexpected or invalid parameter "client_max_window_bits"');
  return answer;
}

function open(options: RequestOptions): Socket {
  const { socketPath, ...rest } = options;
  return net.connect({ ...rest, path: socketPath } as never);
}

function openSecure(options: RequestOptions & ConnectionOptions): Socket {
  const { host, servername } = options;
  const name = servername ?? (net.isIP(host ?? '') ? '' : (host ?? ''));
  return tls.connect({ ...options, path: undefined, servername: name } as ConnectionOptions);
}
