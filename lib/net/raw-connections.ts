/** Raw wire sessions (native/http/wire_session.h): the engine's servers of kind `raw`, and connections that are made from here. */
import type { Limits, Timeouts } from '../backend/contract.js';
import { nativeLoop } from '../backend/native-loop.js';
import type { ByteListener, WireConnection } from '../backend/wire.js';
import type { ConnectTarget } from './options.js';

const NO_LIMITS: Limits = {
  headerBytes: 0,
  headerCount: 0,
  bodyBytes: 0,
  chunkOverheadBytes: 0,
  connections: 0,
  requestsPerConnection: 0,
  pipelinedRequests: 0,
  writeBufferBytes: 0,
};

const NO_TIMEOUTS: Timeouts = {
  headers: 0,
  request: 0,
  keepAlive: 0,
  handler: 0,
  bodyRateWindow: 0,
  minBodyBytesPerSecond: 0,
  linger: 2000,
};

/** A server of the engine, which does not listen yet. `maxConnections` 0: no limit. */
export function openRawServer(maxConnections: number): number {
  return nativeLoop().engine.openServer({ ...NO_LIMITS, connections: maxConnections }, NO_TIMEOUTS, 'raw');
}

/** The server without a listener to which all connections belong that are made from here; -1: none yet. */
let clients = -1;

/** Begins a connection: onConnected or onClosed of what `onConnection` returns follows. Throws an Error with `errno` and `syscall` where it cannot be begun. */
export function beginConnection(
  target: ConnectTarget,
  onConnection: (connection: WireConnection) => ByteListener,
): void {
  if (clients === -1) clients = openRawServer(0);
  nativeLoop().wire.connect(clients, target, onConnection);
}
