/**
 * Where node hands a socket's handle to C++, which takes it for one of libuv's and ends the process where it is not: TLS over a socket, sockets that another
 * process gets (by message, or in its stdio), and a parser of node:http that reads by itself. There a connection of the engine goes over to libuv first.
 */
import { createRequire } from 'node:module';
import { nativeLoop } from '../../backend/native-loop.js';
import { BusyResourceError, ClosedError } from '../../errors.js';
import { systemError } from '../system-error.js';
import { type Connectable, EngineHandle } from './handle.js';
import { createHandle, kReinitializeHandle, type NodeHandle, NodeSocket, symbolOf } from './node-parts.js';

type Method = (this: unknown, ...args: unknown[]) => unknown;

interface HttpCommon {
  readonly HTTPParser: { prototype: { consume: Method } };
}

const require = createRequire(import.meta.url);
const nodeReinitialize = NodeSocket.prototype[kReinitializeHandle] as (handle: NodeHandle) => void;
let isGuarded = false;

// At once: a child that was forked before could be sent a socket.
guardChildProcesses();

/** Before the first handle is made. */
export function guardNode(): void {
  if (isGuarded) return;
  isGuarded = true;
  const { TLSSocket } = require('node:tls') as { TLSSocket: { prototype: { _wrapHandle: Method } } };
  guardMethod(TLSSocket.prototype, '_wrapHandle', (wrap, handle, ...rest) => [wrap, toNodes(handle), ...rest]);
  // A private module, which a later node may not have: then nobody else has it either.
  const common = process.getBuiltinModule('node:_http_common') as unknown as HttpCommon | undefined;
  if (common !== undefined)
    guardMethod(common.HTTPParser.prototype, 'consume', (handle, ...rest) => [toNodes(handle), ...rest]);
  // What was written leaves with the turn; there is none any more.
  process.on('exit', () => nativeLoop().engine.flush());
}

function guardChildProcesses(): void {
  const { ChildProcess } = require('node:child_process') as { ChildProcess: { prototype: { spawn: Method } } };
  const { spawn } = ChildProcess.prototype;
  ChildProcess.prototype.spawn = function spawnGuarded(options, ...rest) {
    const result = Reflect.apply(spawn, this, [withNodesStdio(options), ...rest]);
    guardSend(this as object);
    return result;
  };
  guardSend(process as { _send?: Method });
  const { _getActiveHandles: active } = process as { _getActiveHandles?: () => unknown[] };
  for (const child of active?.() ?? []) if (child instanceof (ChildProcess as never)) guardSend(child as object);
}

function guardSend(target: { _send?: Method }): void {
  if (target._send === undefined) return;
  guardMethod(target as { _send: Method }, '_send', (message, handle, ...rest) => {
    if (!(handle instanceof NodeSocket)) return [message, toNodes(handle), ...rest];
    toNodes(handle._handle);
    return [message, handle, ...rest];
  });
}

/** A socket in a child's stdio: node takes its `_handle`. */
function withNodesStdio(options: unknown): unknown {
  const stdio: unknown = (options as { stdio?: unknown } | undefined)?.stdio;
  if (!Array.isArray(stdio)) return options;
  for (const item of stdio) toNodes((item as { _handle?: unknown } | null | undefined)?._handle);
  return { ...(options as object), stdio: stdio.map(toNodes) };
}

function guardMethod<K extends string>(target: Record<K, Method>, name: K, adapt: (...args: unknown[]) => unknown[]) {
  const method = target[name];
  const guarded: Method = function (...args) {
    return Reflect.apply(method, this, adapt(...args));
  };
  Object.defineProperty(guarded, 'name', { value: name, configurable: true });
  target[name] = guarded;
}

/** Of an engine's handle: the one of libuv's that its socket goes on with. Anything else as it is. */
function toNodes(handle: unknown): unknown {
  return handle instanceof EngineHandle ? giveToNode(handle) : handle;
}

function giveToNode(handle: EngineHandle): NodeHandle {
  const { socket } = handle;
  if (socket === null || (socket._handle as unknown) !== handle) throw new ClosedError('The socket');
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
  if (handle.reading) {
    real.reading = true;
    real.readStart?.();
  }
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
