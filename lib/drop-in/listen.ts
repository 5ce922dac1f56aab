/**
 * Listening: node's net.Server does the arguments, DNS, cluster, errors and events, and its handles bind; the engine listens and accepts on the
 * handle's descriptor. The handle that a server has stays a real one of node's, or the one that the cluster module gave it.
 */
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { Server } from './server.js';
import type { ServerState } from './server-state.js';

export interface NodeHandle {
  fd?: number;
  listen(backlog: number): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  getsockname?(out: object): number;
  onconnection?: (error: number, client?: NodeHandle) => void;
}

export type ListenArguments = [
  address: string | null,
  port: number,
  addressType: number,
  backlog: number | undefined,
  fd: number | undefined,
  flags: number | undefined,
];

type CreateHandle = (
  address: string | null,
  port: number,
  addressType: number,
  fd: number | undefined,
  flags: number | undefined,
) => NodeHandle | number;

const createHandle = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
export const nodeListen = (net.Server.prototype as unknown as { _listen2(...args: ListenArguments): void })._listen2;

/** In the place of net.Server.prototype._listen2. */
export function listen(server: Server, state: ServerState, ...args: ListenArguments): void {
  const [address, port, addressType, backlog, fd, flags] = args;
  // Without an address: all of them, by way of IPv6 where there is one.
  const isWildcard = !address && typeof fd !== 'number';
  if (server._handle) {
    useEngine(server._handle, state);
  } else {
    const handle = createHandle(isWildcard ? '::' : address, port, isWildcard ? 6 : addressType, fd, flags);
    if (typeof handle !== 'number') {
      useEngine(handle, state);
      server._handle = handle;
      if (isWildcard) {
        nodeListen.call(server, '::', port, 6, backlog, fd, flags);
        return;
      }
    } else if (isWildcard) {
      listen(server, state, '0.0.0.0', port, 4, backlog, fd, flags);
      return;
    }
  }
  // Where no handle could be made, node fails in the same way, and says so.
  nodeListen.apply(server, args);
  const handle = server._handle;
  if (handle !== null && isFaux(handle)) adoptFrom(handle, state);
}

/** The cluster module's, for connections that the primary hands out: no descriptor. */
function isFaux(handle: NodeHandle): boolean {
  return typeof handle.fd !== 'number';
}

function useEngine(handle: NodeHandle, state: ServerState): void {
  if (isFaux(handle)) return;
  const close = handle.close;
  handle.listen = (backlog) => {
    // An address in use is told only here (libuv's bind keeps the error).
    const bound = handle.getsockname?.({}) ?? 0;
    if (bound !== 0) return bound;
    try {
      state.listenOn(handle.fd as number, backlog);
      return 0;
    } catch (error) {
      return errnoOf(error);
    }
  };
  handle.close = function closeListening(callback) {
    state.stopListening();
    close.call(this, callback);
  };
  handle.ref = () => state.setReferenced(true);
  handle.unref = () => state.setReferenced(false);
}

function adoptFrom(handle: NodeHandle, state: ServerState): void {
  const refuse = handle.onconnection;
  handle.onconnection = function adoptConnection(this: NodeHandle, error, client) {
    if (error !== 0 || client === undefined) {
      refuse?.call(this, error, client);
      return;
    }
    try {
      state.adopt(client.fd as number);
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
