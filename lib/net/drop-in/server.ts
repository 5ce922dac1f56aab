/** net.Server on the engine: node's own class; where it listens, the engine accepts (listen.ts, listener.ts). */
import { countInstancesOf } from './instances.js';
import { listen } from './listen.js';
import { ServerListener } from './listener.js';
import { type ListenArguments, NodeServer, nodeListen, type ServerWithParts, usesEngine } from './node-parts.js';

const kListener = Symbol('gammaloop.listener');

interface Ours extends ServerWithParts {
  [kListener]?: ServerListener;
}

export const Server = function Server(this: Ours | undefined, ...args: unknown[]): Ours {
  if (!(this instanceof NodeServer)) return Reflect.construct(Server, args);
  Reflect.apply(NodeServer as unknown as () => void, this, args);
  return this as Ours;
} as unknown as { new (...args: unknown[]): Ours; (...args: unknown[]): Ours; readonly prototype: Ours };

Object.defineProperty(Server, 'length', { value: NodeServer.length, configurable: true });
Object.setPrototypeOf(Server, NodeServer);
Object.setPrototypeOf(Server.prototype, NodeServer.prototype);
// Servers of TLS and HTTP are net.Servers to programs.
countInstancesOf(NodeServer, Server);
Object.defineProperty(Server.prototype, '_listen2', {
  value: function setupListenHandle(this: Ours, ...args: ListenArguments): void {
    if (!usesEngine()) {
      Reflect.apply(nodeListen, this, args);
      return;
    }
    this[kListener] ??= new ServerListener(this);
    listen(this, this[kListener], ...args);
  },
  writable: true,
  enumerable: true,
  configurable: true,
});
