/**
 * net.Socket on the engine: node's own class, whose sockets get an EngineHandle where node would make one of libuv's. Sockets that are made with a handle or
 * a descriptor (pipes of child processes, TLS) are node's entirely.
 */

import { guardNode } from './guards.js';
import { EngineHandle } from './handle.js';
import { countInstancesOf } from './instances.js';
import {
  type Done,
  kHandle,
  kReinitializeHandle,
  type NodeHandle,
  NodeSocket,
  normalizeArguments,
  type OnRead,
  type SocketWithParts,
  usesEngine,
} from './node-parts.js';
import { refreshTimeouts, writesAtOnce } from './short-ways.js';

const node = NodeSocket.prototype as SocketWithParts & Record<string, (...args: unknown[]) => unknown>;
const nodeConnect = node.connect as (...args: unknown[]) => SocketWithParts;
const nodeWriteGeneric = node._writeGeneric;
const nodeOnTimeout = node._onTimeout;
const nodeReset = node.resetAndDestroy;
const nodeReinitialize = node[kReinitializeHandle] as (this: SocketWithParts, handle: NodeHandle) => void;

/** Sockets of this class; those of TLS and the like have node's handles. */
const kOnRead = Symbol('gammaloop.onRead');
/** How much a socket had written when its timeout passed last. */
const kProgress = Symbol('gammaloop.progress');

interface Ours extends SocketWithParts {
  [kOnRead]?: OnRead | null;
  [kProgress]?: number;
}

export const Socket = function Socket(this: Ours | undefined, options?: { handle?: unknown; onread?: OnRead }): Ours {
  if (!(this instanceof NodeSocket)) return Reflect.construct(Socket, [options]);
  const socket = this as Ours;
  Reflect.apply(NodeSocket as unknown as () => void, socket, [options]);
  socket[kOnRead] = isOnRead(options?.onread) ? options.onread : null;
  const handle: unknown = socket._handle;
  if (handle instanceof EngineHandle) own(socket, handle);
  return socket;
} as unknown as { new (options?: object): Ours; (options?: object): Ours; readonly prototype: Ours };

Object.setPrototypeOf(Socket, NodeSocket);
Object.setPrototypeOf(Socket.prototype, NodeSocket.prototype);
// What was made by node's class before, or is derived from it (TLS, the sockets of HTTP), is a net.Socket to programs.
countInstancesOf(NodeSocket, Socket);

function isOurs(value: object): value is Ours {
  return Object.prototype.isPrototypeOf.call(Socket.prototype, value);
}

function isOnRead(value: OnRead | undefined | null): value is OnRead {
  if (typeof value !== 'object' || value === null || typeof value.callback !== 'function') return false;
  return typeof value.buffer === 'function' || value.buffer instanceof Uint8Array;
}

function own(socket: Ours, handle: EngineHandle): void {
  handle.socket = socket;
  handle.onRead = socket[kOnRead] ?? null;
}

function attach(socket: Ours): void {
  guardNode();
  const handle = new EngineHandle(null);
  own(socket, handle);
  Reflect.apply(nodeReinitialize, socket, [handle]);
}

const methods = {
  connect(this: Ours, ...args: unknown[]): SocketWithParts {
    if (isOurs(this) && (this.destroyed || !this._handle) && usesEngine()) {
      this._peername = this._sockname = null;
      attach(this);
    }
    const socket = Reflect.apply(nodeConnect, this, args);
    // It takes back what the socket had for writing after the peer's FIN, and puts node's own there.
    if (isOurs(this) && this.write === node.write) this.write = Socket.prototype.write;
    return socket;
  },

  write(this: Ours, chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    const handle: unknown = this[kHandle];
    if (
      encoding === undefined &&
      callback === undefined &&
      handle instanceof EngineHandle &&
      this._writeGeneric === methods._writeGeneric &&
      writesAtOnce(this, chunk) &&
      handle.writeAtOnce(chunk)
    ) {
      refreshTimeouts(this);
      return true;
    }
    return Reflect.apply(node.write as (...args: never[]) => boolean, this, [chunk, encoding, callback]);
  },

  _writeGeneric(this: Ours, isMany: boolean, data: unknown, encoding: string, done: Done): void {
    const handle: unknown = this._handle;
    if (!(handle instanceof EngineHandle) || this.connecting) {
      Reflect.apply(nodeWriteGeneric, this, [isMany, data, encoding, done]);
      return;
    }
    this._pendingData = null;
    this._pendingEncoding = '';
    this._unrefTimer();
    if (!isMany) {
      writeOne(handle, data as string | Uint8Array, encoding, done);
      return;
    }
    const chunks = data as { chunk: string | Uint8Array; encoding: string }[];
    const last = chunks.length - 1;
    for (const [index, { chunk, encoding: each }] of chunks.entries()) {
      writeOne(handle, chunk, each, index === last ? done : null);
    }
  },

  /** As node, where a write is under way that the system takes bit by bit, that is no silence. */
  _onTimeout(this: Ours): void {
    const handle: unknown = this._handle;
    if (handle instanceof EngineHandle && handle.isWriting && this[kProgress] !== handle.writeQueueSize) {
      this[kProgress] = handle.writeQueueSize;
      this._unrefTimer();
      return;
    }
    Reflect.apply(nodeOnTimeout, this, []);
  },

  resetAndDestroy(this: Ours): unknown {
    const handle: unknown = this._handle;
    if (!(handle instanceof EngineHandle) || handle.isPipe) return Reflect.apply(nodeReset, this, []);
    if (this.connecting) this.once('connect', () => this._reset());
    else this._reset();
    return this;
  },

  /** The next address of a name: node gives a handle of its own. */
  [kReinitializeHandle](this: Ours, handle: NodeHandle): void {
    if (!isOurs(this) || !((this._handle as unknown) instanceof EngineHandle)) {
      Reflect.apply(nodeReinitialize, this, [handle]);
      return;
    }
    handle.close();
    attach(this);
  },
};

for (const key of Reflect.ownKeys(methods)) {
  const nodes = descriptorOf(NodeSocket.prototype, key);
  const value = methods[key as keyof typeof methods];
  for (const name of ['name', 'length'] as const) {
    Object.defineProperty(value, name, { value: nodes.value[name], configurable: true });
  }
  Object.defineProperty(Socket.prototype, key, { ...nodes, value });
}
Object.defineProperty(Socket, 'length', { value: NodeSocket.length, configurable: true });

/** Of a property of its own, or of what it is derived from. */
function descriptorOf(object: object, key: PropertyKey): PropertyDescriptor {
  return Object.getOwnPropertyDescriptor(object, key) ?? descriptorOf(Object.getPrototypeOf(object), key);
}

function writeOne(handle: EngineHandle, data: string | Uint8Array, encoding: string, done: Done | null): void {
  if (typeof data !== 'string') {
    handle.write('', data, done);
    return;
  }
  switch (encoding) {
    case 'utf8':
    case 'utf-8':
      handle.write('', data, done);
      break;
    case 'latin1':
    case 'binary':
    case 'ascii':
      handle.write(data, '', done);
      break;
    default:
      handle.write('', Buffer.from(data, encoding as BufferEncoding), done);
  }
}

/** node:net's connect and createConnection. */
export function connect(...args: unknown[]): Ours {
  const normalized = normalizeArguments(args);
  const options = normalized[0] as { timeout?: number };
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return (socket.connect as (...args: unknown[]) => Ours)(normalized);
}
