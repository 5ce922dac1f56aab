/** The server of the `ws` package: takes the upgrades of an HTTP server, its own or another's, and makes WebSockets of them. */
import { EventEmitter } from 'node:events';
import { type Server as HttpServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { acceptOffer, DEFLATE_NAME, formatDeflate, parseExtensions } from '../../ws/extensions.js';
import { acceptValue, checkHandshake, isRefusal } from '../../ws/handshake.js';
import { createServer } from '../http.js';
import { kHandshake } from './handshake.js';
import { compression, type PerMessageDeflateOptions, type SocketOptions } from './options.js';
import { WebSocket } from './websocket.js';

export interface ClientInfo {
  /** The Origin field (Sec-WebSocket-Origin in version 8). */
  origin: string | undefined;
  /** By TLS. */
  secure: boolean;
  req: IncomingMessage;
}

export type VerifyClient =
  | ((info: ClientInfo) => boolean)
  | ((
      info: ClientInfo,
      callback: (
        isAccepted: boolean,
        status?: number,
        message?: string,
        headers?: Record<string, string | number>,
      ) => void,
    ) => void);

/** One and only one of `port`, `server` and `noServer`. */
export interface ServerOptions extends SocketOptions {
  port?: number | null | undefined;
  host?: string | null | undefined;
  backlog?: number | null | undefined;
  /** An HTTP or HTTPS server, of node or of gammaloop. */
  server?: HttpServer | null | undefined;
  /** `handleUpgrade` is called by the program. */
  noServer?: boolean | undefined;
  /** Only requests for this path. */
  path?: string | null | undefined;
  /** Keeps `clients`. Default true. */
  clientTracking?: boolean | undefined;
  /** Default false. */
  perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
  /** Default: the first one that the client names. */
  handleProtocols?: ((protocols: Set<string>, request: IncomingMessage) => string | false) | null | undefined;
  verifyClient?: VerifyClient | null | undefined;
  /** A class derived from WebSocket. */
  WebSocket?: typeof WebSocket | undefined;
}

export type UpgradeCallback = (socket: WebSocket, request: IncomingMessage) => void;

interface Accepted {
  readonly key: string;
  readonly protocols: readonly string[];
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly callback: UpgradeCallback;
}

/** Sockets that have been upgraded. */
const upgraded = new WeakSet<Duplex>();

export class WebSocketServer extends EventEmitter {
  readonly options: ServerOptions;
  /** The open ones; undefined without `clientTracking`. */
  clients: Set<WebSocket> | undefined;
  _server: HttpServer | null;
  #state: 'running' | 'closing' | 'closed' = 'running';
  readonly #ownsServer: boolean;
  readonly #listeners = {
    listening: (): void => void this.emit('listening'),
    error: (error: Error): void => void this.emit('error', error),
    upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
      this.handleUpgrade(request, socket, head, (webSocket) => this.emit('connection', webSocket, request)),
  };

  /** `callback`: for 'listening', with `port`. */
  constructor(options: ServerOptions, callback?: () => void) {
    super();
    const { port, server, noServer } = options ?? {};
    const hasPort = port !== undefined && port !== null;
    if ([hasPort, Boolean(server), Boolean(noServer)].filter(Boolean).length !== 1)
      throw new TypeError('One and only one of the "port", "server", or "noServer" options must be specified');
    const perMessageDeflate = options.perMessageDeflate === true ? {} : options.perMessageDeflate;
    this.options = { clientTracking: true, WebSocket, ...options, perMessageDeflate };
    if (this.options.clientTracking) this.clients = new Set();
    this.#ownsServer = hasPort;
    this._server = hasPort ? createServer(refuseRequest) : (server ?? null);
    for (const [name, listener] of Object.entries(this.#listeners)) this._server?.on(name, listener);
    if (hasPort) this._server?.listen(port, options.host ?? undefined, options.backlog ?? undefined, callback);
  }

  /** As node's server.address(). */
  address(): AddressInfo | string | null {
    if (this.options.noServer) throw new Error('The server is operating in "noServer" mode');
    return this._server === null ? null : this._server.address();
  }

  /** Takes no more connections; those that are open stay. `callback` is called at 'close', with an error where it had come before. */
  close(callback?: (error?: Error) => void): void {
    if (this.#state === 'closed') {
      if (callback) this.once('close', () => callback(new Error('The server is not running')));
      process.nextTick(() => this.#emitClose());
      return;
    }
    if (callback) this.once('close', callback);
    if (this.#state === 'closing') return;
    this.#state = 'closing';
    const server = this._server;
    this._server = null;
    for (const [name, listener] of Object.entries(this.#listeners)) server?.removeListener(name, listener);
    if (this.#ownsServer) server?.close(() => this.#emitClose());
    else this.#closeWithoutClients();
  }

  /** Whether the request is for this server: by `path`. May be overridden. */
  shouldHandle(request: IncomingMessage): boolean {
    const { path } = this.options;
    return !path || (request.url as string).split('?', 1)[0] === path;
  }

  /** Makes a WebSocket of the request that 'upgrade' brought, or refuses it. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, callback: UpgradeCallback): void {
    socket.on('error', destroyIt);
    const offer = checkHandshake(request.method as string, '1.1', (name) => fieldOf(request, name));
    if (isRefusal(offer)) {
      // ws has 400 for another version.
      this.#refuse(request, socket, offer.status === 426 ? 400 : offer.status, offer.message, offer.headers);
      return;
    }
    if (!this.shouldHandle(request)) {
      abortHandshake(socket, 400);
      return;
    }
    const { perMessageDeflate, verifyClient } = this.options;
    let answer = null;
    if (perMessageDeflate && offer.extensions !== '') {
      try {
        const offers = parseExtensions(offer.extensions).filter(({ name }) => name === DEFLATE_NAME);
        answer = acceptOffer(offers, perMessageDeflate as PerMessageDeflateOptions);
        if (answer === null && offers.length > 0) throw new Error('None of the extension offers can be accepted');
      } catch {
        this.#refuse(request, socket, 400, 'Invalid or unacceptable Sec-WebSocket-Extensions header');
        return;
      }
    }
    const { key, protocols } = offer;
    const complete = (): void => this.#complete({ key, protocols, request, socket, head, callback }, answer);
    if (!verifyClient) {
      complete();
      return;
    }
    const { authorized, encrypted } = request.socket as { authorized?: boolean; encrypted?: boolean };
    const origin = fieldOf(request, offer.version === 8 ? 'sec-websocket-origin' : 'origin') ?? undefined;
    const info: ClientInfo = { origin, secure: Boolean(authorized || encrypted), req: request };
    if (verifyClient.length === 2) {
      (verifyClient as (info: ClientInfo, callback: (...args: never[]) => void) => void)(
        info,
        (isAccepted: boolean, status?: number, message?: string, headers?: Record<string, string | number>) => {
          if (isAccepted) complete();
          else abortHandshake(socket, status || 401, message, headers);
        },
      );
    } else if ((verifyClient as (info: ClientInfo) => boolean)(info)) {
      complete();
    } else {
      abortHandshake(socket, 401);
    }
  }

  #complete(
    { key, protocols, request, socket, head, callback }: Accepted,
    answer: ReturnType<typeof acceptOffer>,
  ): void {
    // The client has gone.
    if (!socket.readable || !socket.writable) {
      socket.destroy();
      return;
    }
    if (upgraded.has(socket))
      throw new Error(
        'server.handleUpgrade() was called more than once with the same socket, possibly due to a misconfiguration',
      );
    if (this.#state !== 'running') {
      abortHandshake(socket, 503);
      return;
    }
    const { handleProtocols, perMessageDeflate } = this.options;
    const headers = [
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${acceptValue(key)}`,
    ];
    const webSocket = new (this.options.WebSocket as typeof WebSocket)(null, undefined, this.options as never);
    const handshake = webSocket[kHandshake];
    if (protocols.length > 0) {
      const protocol = handleProtocols ? handleProtocols(new Set(protocols), request) : protocols[0];
      if (protocol) {
        headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
        handshake.protocol = protocol;
      }
    }
    if (answer !== null) {
      headers.push(`Sec-WebSocket-Extensions: ${formatDeflate(answer)}`);
      handshake.deflate = compression(answer, perMessageDeflate as PerMessageDeflateOptions, true);
    }
    this.emit('headers', headers, request);
    upgraded.add(socket);
    socket.write(`${headers.join('\r\n')}\r\n\r\n`);
    socket.removeListener('error', destroyIt);
    webSocket.setSocket(socket, head, this.options);
    if (this.clients) {
      this.clients.add(webSocket);
      webSocket.on('close', () => {
        this.clients?.delete(webSocket);
        if (this.#state === 'closing' && !this.#ownsServer && this.clients?.size === 0)
          process.nextTick(() => this.#emitClose());
      });
    }
    callback(webSocket, request);
  }

  #refuse(
    request: IncomingMessage,
    socket: Duplex,
    status: number,
    message: string,
    headers?: Record<string, string>,
  ): void {
    if (this.listenerCount('wsClientError') > 0) this.emit('wsClientError', new Error(message), socket, request);
    else abortHandshake(socket, status, message, headers);
  }

  /** With clients, the last one's end does it. */
  #closeWithoutClients(): void {
    if (!this.clients || this.clients.size === 0) process.nextTick(() => this.#emitClose());
  }

  #emitClose(): void {
    this.#state = 'closed';
    this.emit('close');
  }
}

/** A request that is no upgrade, to a server of our own. */
function refuseRequest(_request: IncomingMessage, response: ServerResponse): void {
  const body = STATUS_CODES[426] as string;
  response.writeHead(426, { 'Content-Length': body.length, 'Content-Type': 'text/plain' });
  response.end(body);
}

function fieldOf(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return value === undefined ? null : Array.isArray(value) ? value.join(', ') : value;
}

function destroyIt(this: Duplex): void {
  this.destroy();
}

function abortHandshake(
  socket: Duplex,
  status: number,
  message: string = STATUS_CODES[status] ?? '',
  more: Record<string, string | number> = {},
): void {
  const headers = {
    Connection: 'close',
    'Content-Type': 'text/html',
    'Content-Length': Buffer.byteLength(message),
    ...more,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.once('finish', socket.destroy);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${message}`);
}
