/**
 * What the drop-in uses of node:net, as it was when this module was loaded (before any install()), and the private parts of node's objects that
 * node's types do not name. Nothing of node's internal modules is loaded.
 */
import net, { type BlockList } from 'node:net';
import type { Duplex } from 'node:stream';
import { probeNative } from '../../backend/native-backend.js';

/** What a write or a `_final` calls when it is over. */
export type Done = (error?: Error | null) => void;

/** What node's sockets and servers have of libuv: its own classes, or an EngineHandle. Numbers returned are 0 or libuv's errors. */
export interface NodeHandle {
  fd?: number;
  reading?: boolean;
  listen(backlog: number): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  getsockname?(out: object): number;
  readStart?(): number;
  onconnection?: (error: number, client?: NodeHandle) => void;
}

/** `socket.onread` of node's options. */
export interface OnRead {
  buffer: Uint8Array | (() => Uint8Array);
  callback(byteCount: number, buffer: Uint8Array): boolean;
}

export interface SocketParts {
  _handle: NodeHandle | null;
  _pendingData: unknown;
  _pendingEncoding: string;
  _peername: object | null;
  _sockname: object | null;
  _server: unknown;
  server: unknown;
  connecting: boolean;
  _writeGeneric(isMany: boolean, data: unknown, encoding: string, done: Done): void;
  _onTimeout(): void;
  _reset(): unknown;
  /** A byte has come or gone: the timeouts begin anew. */
  _unrefTimer(): void;
}

export type SocketWithParts = Omit<net.Socket, keyof SocketParts> & SocketParts & Duplex;

export interface ServerParts {
  _handle: NodeHandle | null;
  _connections: number;
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
  noDelay: boolean;
  keepAlive: boolean;
  keepAliveInitialDelay: number;
  highWaterMark: number | undefined;
  blockList: BlockList | undefined;
  _listen2(...args: ListenArguments): void;
}

export type ServerWithParts = Omit<net.Server, keyof ServerParts> & ServerParts;

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

type Constructor<T> = { new (options?: object): T; readonly prototype: T };

export const NodeSocket = net.Socket as unknown as Constructor<SocketWithParts>;
export const NodeServer = net.Server as unknown as Constructor<ServerWithParts>;
export const createHandle = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
export const normalizeArguments = (net as unknown as { _normalizeArgs(args: unknown[]): [object, unknown] })
  ._normalizeArgs;
export const nodeListen = NodeServer.prototype._listen2;

/** `socket[kReinitializeHandle](handle)`: the socket goes on with another handle; the one before is closed. */
export const kReinitializeHandle = symbolOf(NodeSocket.prototype, 'kReinitializeHandle') as never;

const plain = new NodeSocket();
/** Where `_handle`, an accessor, has what it gives. */
export const kHandle = symbolOf(plain, 'kHandle') as never;
/** The timer of `setTimeout`; null: none was set. */
export const kTimeout = symbolOf(plain, 'timeout') as never;

/** A symbol of node's, by its description. */
export function symbolOf(object: object, description: string): symbol {
  const found = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
  if (found === undefined) throw new Error(`node ${process.version} has no ${description} where gammaloop expects it`);
  return found;
}

/** New connections and servers are the engine's; else node's own. */
export function usesEngine(): boolean {
  return process.env['GAMMALOOP_BACKEND'] !== 'node' && probeNative().ok;
}
