import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, createServer, type ListenOptions, type Server as NetServer, type Socket } from 'node:net';
import { ListenError, OptionError } from '../errors.js';
import type { App } from '../http/exchange.js';
import type { WebSocketSession } from '../ws/contract.js';
import { TopicTable } from '../ws/topics.js';
import type { Backend, BackendServer, CloseReport, Limits, ListenTarget, ServerStats, Timeouts } from './contract.js';
import { type ConnectionHost, NodeConnection } from './node-connection.js';
import type { NodeExchange } from './node-exchange.js';
import type { Lane } from './node-lane.js';
import { type Acceptance, UpgradedConnection, type UpgradedHost } from './node-upgrade.js';
import type { NodeWebSocketSession } from './node-websocket.js';
import { Broadcast } from './node-websocket-broadcast.js';

/** The backend on node's own modules: node:net accepts, strict-*.ts checks, node:http parses and answers. */
export function createNodeBackend(): Backend {
  return {
    name: 'node',
    deflates: true,
    listen: (target, limits, timeouts, app) => new NodeServer(limits, timeouts, app).listen(target),
  };
}

class NodeServer implements BackendServer, ConnectionHost, UpgradedHost {
  readonly http: HttpServer;
  readonly app: App;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly topics = new TopicTable<NodeWebSocketSession>();
  closing = false;

  readonly #listener: NetServer;
  readonly #connections = new Set<NodeConnection | UpgradedConnection>();
  #address: AddressInfo | string = '';
  #counts = {
    accepted: 0,
    closed: 0,
    dropped: 0,
    active: 0,
    received: 0,
    completed: 0,
    aborted: 0,
    bytesReceived: 0,
    bytesSent: 0,
  };
  #errors: Record<string, number> = {};
  #report: CloseReport = { drained: 0, cut: 0, connectionsCut: 0 };
  #closed: Promise<CloseReport> | null = null;
  #onLastClosed: (() => void) | undefined;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #deadlineAt = Number.POSITIVE_INFINITY;

  constructor(limits: Limits, timeouts: Timeouts, app: App) {
    this.limits = limits;
    this.timeouts = timeouts;
    this.app = app;
    this.http = createParsingServer(limits);
    const onRequest = (req: IncomingMessage, res: ServerResponse): void =>
      connectionOf(req.socket).onNodeRequest(req, res);
    this.http.on('request', onRequest);
    this.http.on('checkContinue', onRequest);
    this.http.on('clientError', (error: NodeJS.ErrnoException, lane: unknown) =>
      connectionOf(lane).onNodeRefused(error.code ?? 'CLIENT_ERROR'),
    );
    this.#listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#onSocket(socket));
  }

  async listen(target: ListenTarget): Promise<BackendServer> {
    const listener = this.#listener;
    if (target.reusePort && !canReusePort()) {
      throw new OptionError(
        'reusePort',
        `false: the node backend has it from node 22.12 on Linux, and this is node ${process.versions.node} on ${process.platform}`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      listener.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, target)));
      try {
        listener.listen(listenOptions(target), resolve);
      } catch (error) {
        reject(listenError(error as NodeJS.ErrnoException, target));
      }
    });
    listener.removeAllListeners('error');
    // An accept that fails (EMFILE) is tried again by libuv; it must not end the process.
    listener.on('error', (error: NodeJS.ErrnoException) => this.countError(error.code ?? 'ACCEPT_ERROR'));
    this.#address = listener.address() ?? target.path ?? '';
    return this;
  }

  #onSocket(socket: Socket): void {
    if (this.limits.connections > 0 && this.#connections.size >= this.limits.connections) {
      this.#counts.dropped++;
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#counts.accepted++;
    this.#connections.add(new NodeConnection(socket, this));
  }

  address(): AddressInfo | string {
    return this.#address;
  }

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  stats(): ServerStats {
    const { accepted, closed, dropped, active, received, completed, aborted, bytesReceived, bytesSent } = this.#counts;
    return {
      backend: 'node',
      poller: '',
      connections: { open: this.#connections.size, accepted, closed, dropped, shed: 0 },
      requests: { active, received, completed, aborted },
      batches: { count: 0, requests: 0, largest: 0 },
      bytes: { received: bytesReceived, sent: bytesSent },
      errors: { ...this.#errors },
      handlerErrors: 0,
    };
  }

  close(deadlineMs: number | undefined): Promise<CloseReport> {
    this.#closed ??= this.#beginClose();
    if (deadlineMs !== undefined && performance.now() + deadlineMs < this.#deadlineAt) {
      this.#deadlineAt = performance.now() + deadlineMs;
      clearTimeout(this.#deadlineTimer);
      if (deadlineMs <= 0) this.#cutAll();
      else this.#deadlineTimer = setTimeout(() => this.#cutAll(), deadlineMs);
    }
    return this.#closed;
  }

  async #beginClose(): Promise<CloseReport> {
    this.closing = true;
    for (const connection of this.#connections) {
      for (const exchange of connection.activeExchanges) exchange.inFlightAtClose = true;
    }
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    for (const connection of [...this.#connections]) connection.beginClose();
    await closed;
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#onLastClosed = resolve));
    clearTimeout(this.#deadlineTimer);
    this.http.close();
    return this.#report;
  }

  #cutAll(): void {
    for (const connection of [...this.#connections]) {
      if (connection.activeExchanges.length > 0) {
        this.#report.connectionsCut++;
        this.#report.cut += connection.activeExchanges.length;
      }
      connection.cut();
    }
  }

  countError(name: string): void {
    this.#errors[name] = (this.#errors[name] ?? 0) + 1;
  }

  countBytes(received: number, sent: number): void {
    this.#counts.bytesReceived += received;
    this.#counts.bytesSent += sent;
  }

  onRequest(): void {
    this.#counts.received++;
    this.#counts.active++;
  }

  onExchangeOver(exchange: NodeExchange, completed: boolean): void {
    this.#counts.active--;
    if (completed) this.#counts.completed++;
    else this.#counts.aborted++;
    if (completed && exchange.inFlightAtClose) this.#report.drained++;
  }

  onConnectionClosed(connection: NodeConnection): void {
    this.#onClosed(connection);
  }

  onUpgradedClosed(connection: UpgradedConnection): void {
    this.#onClosed(connection);
  }

  #onClosed(connection: NodeConnection | UpgradedConnection): void {
    if (this.#connections.delete(connection)) this.#counts.closed++;
    if (this.#connections.size === 0) this.#onLastClosed?.();
  }

  onUpgrade(connection: NodeConnection, socket: Socket, head: Buffer, acceptance: Acceptance): WebSocketSession {
    const upgraded = new UpgradedConnection(socket, head, acceptance, this);
    this.#connections.delete(connection);
    this.#connections.add(upgraded);
    if (this.closing) process.nextTick(() => upgraded.beginClose());
    return upgraded.session;
  }

  publish(topic: string, data: string | Uint8Array, flags: number): void {
    const broadcast = new Broadcast(data, flags);
    for (const session of this.topics.subscribersOf(topic)) session.sendBroadcast(broadcast);
  }

  subscriberCount(topic: string): number {
    return this.topics.subscriberCount(topic);
  }
}

/** node's HTTP server, which never listens: it is given lanes. Its own limits stand wide behind the scanner's, its timers are off. */
function createParsingServer(limits: Limits): HttpServer {
  const slack = 4096;
  const server = createHttpServer({
    maxHeaderSize: limits.headerBytes > 0 ? limits.headerBytes + slack : 0x7fffffff,
    insecureHTTPParser: false,
    keepAliveTimeout: 0,
    headersTimeout: 0,
    requestTimeout: 0,
    connectionsCheckingInterval: 0x7fffffff,
    requireHostHeader: false,
  });
  server.maxHeadersCount = 0;
  server.timeout = 0;
  return server;
}

function connectionOf(lane: unknown): NodeConnection {
  return (lane as Lane).owner as NodeConnection;
}

export function listenOptions(target: ListenTarget): ListenOptions {
  const { backlog } = target;
  if (target.fd !== undefined) return { fd: target.fd, backlog } as ListenOptions;
  if (target.path !== undefined) return { path: target.path, backlog };
  const options: ListenOptions = { port: target.port ?? 0, backlog, ipv6Only: target.ipv6Only };
  if (target.hostname !== undefined && target.hostname !== '') options.host = target.hostname;
  else if (target.ipv6Only) options.host = '::';
  if (target.reusePort) (options as { reusePort?: boolean }).reusePort = true;
  return options;
}

/** Older versions of node ignore the option. */
function canReusePort(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return (
    process.platform !== 'win32' &&
    process.platform !== 'darwin' &&
    (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12))
  );
}

export function listenError(
  error: NodeJS.ErrnoException & { address?: string; port?: number },
  target: ListenTarget,
): ListenError {
  return new ListenError({
    code: error.code ?? 'EINVAL',
    errno: error.errno,
    syscall: error.syscall ?? 'listen',
    address: error.address ?? target.path ?? target.hostname,
    port: target.path === undefined && target.fd === undefined ? (error.port ?? target.port) : undefined,
    cause: error,
  });
}
