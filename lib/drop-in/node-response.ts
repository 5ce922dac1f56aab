/**
 * What the drop-in's response takes from the running node: its classes and methods as they were when this module was loaded (install() patches
 * the exports later), the private names under which node keeps a message's state, and how this version behaves where versions differ.
 */
import { EventEmitter } from 'node:events';
import http, { OutgoingMessage } from 'node:http';

export const NodeServerResponse = http.ServerResponse;

/** Methods of node's ServerResponse, inherited ones included. */
// biome-ignore lint/suspicious/noExplicitAny: node's private methods have no types
export const nodeMethods: Readonly<Record<string, (...args: any[]) => any>> = (() => {
  const methods: Record<string, (...args: unknown[]) => unknown> = Object.create(null);
  for (let of: object | null = NodeServerResponse.prototype; of !== null; of = Object.getPrototypeOf(of)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(of))) {
      if (typeof value === 'function' && !(name in methods)) methods[name] = value;
    }
  }
  return methods;
})();

export const nodeEmit = EventEmitter.prototype.emit;

// biome-ignore lint/suspicious/noExplicitAny: node's private fields have no types
const probe: any = new OutgoingMessage();

/** The fields that node's constructors make on each response, with their first values, in node's order. */
export const nodeFields: ReadonlyMap<string | symbol, unknown> = new Map<string | symbol, unknown>(
  Reflect.ownKeys(probe)
    .map((key): [string | symbol, unknown] => [key, probe[key]])
    .concat([
      ['sendDate', true],
      ['_sent100', false],
      ['_expect_continue', false],
    ]),
);

/** The symbol that node calls so; one of ours where this version has none. */
function privateName(description: string): symbol {
  for (const key of nodeFields.keys()) if (typeof key === 'symbol' && key.description === description) return key;
  return Symbol(description);
}

export const kOutHeaders: symbol = privateName('kOutHeaders');
export const kCorked: symbol = privateName('corked');
export const kErrored: symbol = privateName('errored');
export const kHighWaterMark: symbol = privateName('kHighWaterMark');
export const kNeedDrain: symbol = privateName('kNeedDrain');
export const kBytesWritten: symbol = privateName('kBytesWritten');
export const kWritableFinished: symbol = privateName('kWritableFinished');
export const kEndCallbacks: symbol = privateName('kEndCallbacks');
export const kFlushError: symbol = privateName('kFlushError');

/** Callbacks of end() hear of errors, and 'finish' is told only of what has left (24.x); before, they were listeners of 'finish'. */
export const hasEndCallbacks: boolean = nodeFields.has(kEndCallbacks);
/** What is written while corked is one chunk (22). */
export const mergesChunks: boolean = [...nodeFields.keys()].some(
  (key) => typeof key === 'symbol' && key.description === 'kChunkedBuffer',
);
/** A write corks the message until the next tick, so that a tick's writes are one chunk (26). */
export const corksWrites: boolean = mergesChunks && doesWriteCork();
/** http.server.response.created (22). */
export const publishesCreated: boolean = mergesChunks;
/** destroy() of a message without a socket is followed by 'close' (24.x); before, it waited for a socket. */
export const closesWithoutSocket: boolean = (() => {
  probe.destroy();
  return probe.listenerCount('socket') === 0;
})();

function doesWriteCork(): boolean {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const message: any = new OutgoingMessage();
  message._header = '\r\n';
  message.chunkedEncoding = true;
  message.socket = { writableCorked: 0, writableLength: 0, cork() {}, uncork() {}, destroyed: true };
  message.write('x');
  return message.writableCorked > 0;
}

/** An error as node makes them: the name of its base class, the code in front of the message in its stack. */
export function nodeError(Base: ErrorConstructor, code: string, message: string): Error {
  const error = new Base(message) as NodeJS.ErrnoException;
  error.code = code;
  const { name } = error;
  Object.defineProperty(error, 'name', { value: `${name} [${code}]`, configurable: true, writable: true });
  Error.captureStackTrace(error, nodeError);
  void error.stack;
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true, enumerable: false });
  Object.defineProperty(error, 'toString', {
    value: () => `${name} [${code}]: ${message}`,
    configurable: true,
    writable: true,
    enumerable: false,
  });
  return error;
}
