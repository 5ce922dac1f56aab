/** serve(): checks the options, chooses the backend, starts the application, listens. The composition root on this side of the border. */
import { lookup } from 'node:dns/promises';
import { type AddressInfo, isIP } from 'node:net';
import { chooseBackend } from '../backend/choose.js';
import type { BackendServer, CloseReport, ListenTarget, ServerStats } from '../backend/contract.js';
import { ListenError } from '../errors.js';
import type { App } from '../http/exchange.js';
import type { RunnerStats } from '../runner/index.js';
import type { AppOptions } from './handler-errors.js';
import { type CheckedOptions, checkCloseOptions, checkOptions, type ServeOptions } from './serve-options.js';
import { bytesOf, checkTopic, flagsOf, type SendOptions, type WebSocketData } from './server-websocket.js';

/** An app interface as serve() sees it. */
interface ServedApp extends App {
  /** Exceptions of handlers that were answered 500. */
  readonly handlerErrors: number;
  /** Before listening. Rejects where the application cannot be served. */
  startup?(): Promise<void> | undefined;
  shutdown?(): Promise<void> | undefined;
  runnerStats?(): RunnerStats | undefined;
}

export interface CloseOptions {
  /** Milliseconds for requests in flight; then they are cut. Default: no limit. */
  deadline?: number | undefined;
}

/** @internal Started servers that have not been closed. */
export const openServers: Set<Server> = new Set();

export class Server {
  /** 'http://127.0.0.1:3000', with localhost for all addresses, or 'unix:/run/app.sock'. */
  readonly url: string;
  readonly backend: 'native' | 'node';
  readonly #server: BackendServer;
  readonly #app: ServedApp;
  #closed: Promise<CloseReport> | null = null;
  #stopListening: () => void = () => {};

  /** Made by serve(). */
  constructor(server: BackendServer, app: ServedApp, backend: 'native' | 'node', signal: AbortSignal | undefined) {
    this.#server = server;
    this.#app = app;
    this.backend = backend;
    this.url = urlOf(server.address());
    openServers.add(this);
    if (signal !== undefined) {
      const onAbort = (): void => {
        this.close().catch((error: unknown) => process.emitWarning(error instanceof Error ? error : String(error)));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#stopListening = () => signal.removeEventListener('abort', onAbort);
      if (signal.aborted) {
        onAbort();
      }
    }
  }

  /** As node's server.address(): an object, or the path of a unix socket. */
  address(): AddressInfo | string {
    return this.#server.address();
  }

  stats(): ServerStats {
    const runner = this.#app.runnerStats?.();
    return {
      ...this.#server.stats(),
      handlerErrors: this.#app.handlerErrors,
      ...(runner !== undefined && { runner }),
    };
  }

  /** To every WebSocket that has subscribed to the topic: encoded once. */
  publish(topic: string, data: WebSocketData, options?: SendOptions): void {
    const payload = typeof data === 'string' ? data : bytesOf(data);
    this.#server.publish(checkTopic(topic), payload, flagsOf(data, options));
  }

  subscriberCount(topic: string): number {
    return this.#server.subscriberCount(checkTopic(topic));
  }

  /** Keeps the process alive (the default). */
  ref(): this {
    this.#server.ref();
    return this;
  }

  /** Lets the process exit while the server is open. */
  unref(): this {
    this.#server.unref();
    return this;
  }

  /**
   * Accepts no more, answers what is in flight, closes idle connections, and cuts the rest at the deadline; then shuts the application
   * down. May be called again: the promise is the first call's, and an earlier deadline counts.
   */
  async close(options?: CloseOptions): Promise<CloseReport> {
    const deadline = checkCloseOptions(options);
    const drained = this.#server.close(deadline);
    this.#closed ??= this.#finish(drained);
    return this.#closed;
  }

  async #finish(drained: Promise<CloseReport>): Promise<CloseReport> {
    this.#stopListening();
    try {
      const report = await drained;
      await this.#app.shutdown?.();
      return report;
    } finally {
      openServers.delete(this);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export async function serve(options: ServeOptions): Promise<Server> {
  const checked = checkOptions(options);
  checked.signal?.throwIfAborted();
  const { websocket } = checked;
  const backend = await chooseBackend(checked.backend, websocket !== undefined && websocket.deflate !== null);
  const target = await targetOf(checked);
  // What the backend cannot do is not offered.
  const offered = websocket === undefined || backend.deflates ? websocket : { ...websocket, deflate: null };
  const app = await createApp(options, { ...checked, websocket: offered });
  await app.startup?.();
  let server: BackendServer;
  try {
    server = await backend.listen(target, checked.limits, checked.timeouts, app);
  } catch (error) {
    await app.shutdown?.()?.catch(() => {}); // the reason to report is why the server could not listen
    throw error;
  }
  return new Server(server, app, backend.name, checked.signal);
}

/** Only the interface that is used is loaded. */
async function createApp(options: ServeOptions, checked: CheckedOptions): Promise<ServedApp> {
  const appOptions: AppOptions = { onError: checked.onError, handlerTimeout: checked.timeouts.handler };
  const { websocket } = checked;
  const inner = await createInnerApp(options, appOptions, websocket);
  if (websocket === undefined || (inner.upgrades && !websocket.hasHooks)) return inner;
  const { WebSocketApp } = await import('./websocket-app.js');
  return new WebSocketApp(inner, websocket, appOptions);
}

async function createInnerApp(
  options: ServeOptions,
  appOptions: AppOptions,
  websocket: CheckedOptions['websocket'],
): Promise<ServedApp> {
  if (options.fetch !== undefined) {
    const { FetchApp } = await import('./fetch-app.js');
    return new FetchApp(options.fetch, appOptions);
  }
  if (options.app !== undefined) {
    const { AsgiApp } = await import('./asgi-app.js');
    return new AsgiApp(options.app, appOptions, websocket);
  }
  if (options.sync !== undefined) {
    const { SyncApp } = await import('./sync-app.js');
    return new SyncApp(options.sync, appOptions);
  }
  const { NodeApp } = await import('./node-app.js');
  return new NodeApp(options.node as NonNullable<ServeOptions['node']>, appOptions);
}

async function targetOf({
  port,
  hostname,
  unix,
  fd,
  backlog,
  ipv6Only,
  reusePort,
}: CheckedOptions): Promise<ListenTarget> {
  const common = { backlog, ipv6Only, reusePort };
  if (unix !== undefined) {
    return { path: unix, ...common };
  }
  if (fd !== undefined) {
    return { fd, ...common };
  }
  return { port: port ?? 0, hostname: await resolve(hostname, port ?? 0), ...common };
}

/** A name's first address, as node's own listen takes it. */
async function resolve(hostname: string, port: number): Promise<string> {
  const literal = hostname.startsWith('[') && hostname.endsWith(']') ? hostname.slice(1, -1) : hostname;
  if (literal === '' || isIP(literal) !== 0) {
    return literal;
  }
  try {
    return (await lookup(literal)).address;
  } catch (error) {
    const { code = 'ENOTFOUND', errno, syscall } = error as NodeJS.ErrnoException;
    throw new ListenError({ code, errno, syscall: syscall ?? 'getaddrinfo', address: literal, port, cause: error });
  }
}

function urlOf(address: AddressInfo | string): string {
  if (typeof address === 'string') {
    return `unix:${address}`;
  }
  const { address: host, port } = address;
  const shown =
    host === '::' || host === '0.0.0.0' || host === '' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${shown}:${port}`;
}
