/**
 * Where node hands a socket's handle to C++, which takes it for one of libuv's and ends the process where it is not: TLS over a socket, and sockets sent to
 * another process. There a connection of the engine goes over to libuv first.
 */
import { createRequire } from 'node:module';
import { nativeLoop } from '../../backend/native-loop.js';
import { BusyResourceError } from '../../errors.js';
import { systemError } from '../system-error.js';
import { type Connectable, EngineHandle } from './handle.js';
import {
  createHandle,
  kReinitializeHandle,
  type NodeHandle,
  NodeSocket,
  type SocketWithParts,
  symbolOf,
} from './node-parts.js';

type WrapHandle = (wrap: SocketWithParts | null, handle: unknown, ...rest: unknown[]) => unknown;
type Send = (message: unknown, handle: unknown, ...rest: unknown[]) => unknown;

const require = createRequire(import.meta.url);
const nodeReinitialize = NodeSocket.prototype[kReinitializeHandle] as (handle: NodeHandle) => void;
let isGuarded = false;

// At once: a child that was forked before could be sent a socket.
guardChildProcesses();

/** Before the first handle is made. */
export function guardNode(): void {
  if (isGuarded) return;
  isGuarded = true;
  guardTls();
  // What was written leaves with the turn; there is none any more.
  process.on('exit', () => nativeLoop().engine.flush());
}

function guardTls(): void {
  const prototype = (require('node:tls') as { TLSSocket: { prototype: { _wrapHandle: WrapHandle } } }).TLSSocket
    .prototype;
  const wrapHandle = prototype._wrapHandle;
  prototype._wrapHandle = function _wrapHandle(this: unknown, wrap, handle, ...rest) {
    return Reflect.apply(wrapHandle, this, [wrap, isEngines(handle) ? giveToNode(wrap) : handle, ...rest]);
  };
}

function guardChildProcesses(): void {
  const { ChildProcess } = require('node:child_process') as {
    ChildProcess: { prototype: { spawn(...args: unknown[]): unknown; _send?: Send } };
  };
  const { spawn } = ChildProcess.prototype;
  ChildProcess.prototype.spawn = function spawnGuarded(this: { _send?: Send }, ...args) {
    const result: unknown = Reflect.apply(spawn, this, args);
    guardSend(this);
    return result;
  };
  guardSend(process as { _send?: Send });
}

function guardSend(target: { _send?: Send }): void {
  const { _send: send } = target;
  if (send === undefined) return;
  target._send = function _send(message, handle, ...rest) {
    if (handle instanceof NodeSocket && isEngines(handle._handle)) giveToNode(handle);
    return Reflect.apply(send, this, [message, handle, ...rest]);
  };
}

function isEngines(handle: unknown): handle is EngineHandle {
  return handle instanceof EngineHandle;
}

/** The socket goes on with a handle of libuv's, which is returned. */
function giveToNode(socket: SocketWithParts | null): NodeHandle {
  if (socket === null) throw new BusyResourceError('The socket', 'handing it over');
  const handle = socket._handle as unknown as EngineHandle;
  const attempt = handle.giveUpAttempt();
  if (attempt !== undefined) {
    const real = newTcpHandle();
    socket._handle = null;
    Reflect.apply(nodeReinitialize, socket, [real]);
    attempt(real);
    return real;
  }
  const given = handle.giveUp();
  if (given === undefined) throw new BusyResourceError('The socket', 'sending what was written');
  const carrier = new NodeSocket({ fd: given.fd, manualStart: true });
  const real = carrier._handle as NodeHandle & Record<symbol, unknown>;
  carrier._handle = null;
  real[symbolOf(real, 'owner_symbol')] = socket;
  socket._handle = real;
  for (const item of given.held) socket.push(item);
  return real;
}

/** One that is not connected, nor bound. */
function newTcpHandle(): NodeHandle & Connectable {
  const bound = createHandle('127.0.0.1', 0, 4, undefined, undefined);
  if (typeof bound === 'number') throw systemError(-bound, 'bind');
  bound.close();
  const TCP = bound.constructor as new (type: number) => NodeHandle & Connectable;
  return new TCP(0);
}
