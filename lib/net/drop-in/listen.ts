/**
 * Listening: node's net.Server does the arguments, DNS, cluster, errors and events, and its handles bind; the engine listens and accepts on the
 * handle's descriptor. The handle that a server has stays a real one of node's, or the one that the cluster module gave it.
 */
import { getSystemErrorName } from 'node:util';
import { createHandle, type ListenArguments, type NodeHandle, nodeListen } from './node-parts.js';

/** What accepts on the engine. `listenOn` and `adopt` throw as NativeEngine's. */
export interface EngineListener {
  listenOn(fd: number, backlog: number): void;
  stopListening(): void;
  setReferenced(on: boolean): void;
  /** Connections are handed out as sockets: who puts a listener of his own on the handle (the cluster's primary) gets libuv's. */
  readonly yields?: boolean;
  /** A connection that somebody else has accepted: a duplicate of its descriptor is ours. */
  adopt(fd: number): void;
}

/** In the place of net.Server.prototype._listen2. */
export function listen(server: { _handle: NodeHandle | null }, engine: EngineListener, ...args: ListenArguments): void {
  const [address, port, addressType, backlog, fd, flags] = args;
  // Without an address: all of them, by way of IPv6 where there is one.
  const isWildcard = !address && typeof fd !== 'number';
  if (server._handle) {
    useEngine(server._handle, engine);
  } else {
    const handle = createHandle(isWildcard ? '::' : address, port, isWildcard ? 6 : addressType, fd, flags);
    if (typeof handle !== 'number') {
      useEngine(handle, engine);
      server._handle = handle;
      if (isWildcard) {
        nodeListen.call(server as never, '::', port, 6, backlog, fd, flags);
        return;
      }
    } else if (isWildcard) {
      listen(server, engine, '0.0.0.0', port, 4, backlog, fd, flags);
      return;
    }
  }
  // Where no handle could be made, node fails in the same way, and says so.
  nodeListen.apply(server as never, args);
  const handle = server._handle;
  if (handle !== null && isFaux(handle)) adoptFrom(handle, engine);
}

/** The cluster module's, for connections that the primary hands out: no descriptor. */
function isFaux(handle: NodeHandle): boolean {
  return typeof handle.fd !== 'number';
}

function useEngine(handle: NodeHandle, engine: EngineListener): void {
  if (isFaux(handle)) return;
  const { close, listen } = handle;
  handle.listen = (backlog) => {
    // An address in use is told only here (libuv's bind keeps the error).
    const bound = handle.getsockname?.({}) ?? 0;
    if (bound !== 0) return bound;
    try {
      engine.listenOn(handle.fd as number, backlog);
      if (engine.yields === true) yieldToListener(handle, engine, () => listen.call(handle, backlog));
      return 0;
    } catch (error) {
      return errnoOf(error);
    }
  };
  handle.close = function closeListening(callback) {
    engine.stopListening();
    close.call(this, callback);
  };
  handle.ref = () => engine.setReferenced(true);
  handle.unref = () => engine.setReferenced(false);
}

function yieldToListener(handle: NodeHandle, engine: EngineListener, listen: () => number): void {
  const { onconnection } = handle;
  Object.defineProperty(handle, 'onconnection', {
    get: () => onconnection,
    set(value: NodeHandle['onconnection']) {
      for (const name of ['listen', 'close', 'ref', 'unref']) Reflect.deleteProperty(handle, name);
      Object.defineProperty(handle, 'onconnection', { value, writable: true, enumerable: true, configurable: true });
      engine.stopListening();
      const error = listen();
      if (error !== 0) value?.call(handle, error);
    },
    enumerable: true,
    configurable: true,
  });
}

function adoptFrom(handle: NodeHandle, engine: EngineListener): void {
  const refuse = handle.onconnection;
  const close = handle.close;
  handle.close = function closeAdopting(callback) {
    engine.stopListening();
    close.call(this, callback);
  };
  handle.onconnection = function adoptConnection(this: NodeHandle, error, client) {
    if (error !== 0 || client === undefined) {
      refuse?.call(this, error, client);
      return;
    }
    try {
      engine.adopt(client.fd as number);
    } catch (failure) {
      refuse?.call(this, errnoOf(failure));
    } finally {
      client.close();
    }
  };
}

/** Negative, as libuv's. */
function errnoOf(error: unknown): number {
  const { errno } = error as NodeJS.ErrnoException;
  if (errno === undefined || getSystemErrorName(errno) === undefined) throw error;
  return errno;
}
