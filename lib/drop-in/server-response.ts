/**
 * The drop-in's ServerResponse. Made by a connection (`createResponse`) it renders its head as one string and hands it over with the body; it has
 * few own fields, and the others of node's have their first values on the prototype. Made by user code it is node's own in every way. What is
 * rare (wide header values, arrays for writeHead, trailers, informational responses, errors) is done by node's own methods on our fields.
 */
import { channel } from 'node:diagnostics_channel';
import http, { type ServerResponse as HttpServerResponse } from 'node:http';
import { types } from 'node:util';
import { countInstancesOf } from '../net/drop-in/instances.js';
import {
  kConnectionClosed,
  kDrain,
  kTurn,
  type ResponseHooks,
  type ResponseSink,
  type WriteCallback,
} from './contract.js';
import type { IncomingMessage } from './incoming-message.js';
import {
  closesWithoutSocket,
  corksWrites,
  hasEndCallbacks,
  kBytesWritten,
  kCorked,
  kEndCallbacks,
  kErrored,
  kNeedDrain,
  kOutHeaders,
  kWritableFinished,
  NodeServerResponse,
  nodeEmit,
  nodeError,
  nodeMethods,
  publishesCreated,
} from './node-response.js';
import { emitClose, haveBytesLeft, noticeLate, sendEnd, takeTurn } from './response-end.js';
import { installFields, leaveConnection } from './response-fields.js';
import { renderHead } from './response-head.js';
import { headerMethods } from './response-headers.js';
import {
  type Callback,
  type Chunk,
  checkLength,
  countBytes,
  dropChunks,
  type Encoding,
  holdChunk,
  isUtf8,
  lengthOf,
  output,
  releaseChunks,
  releaseQueue,
  sendChunk,
  sendPlain,
} from './response-output.js';
import { startPerf, stopPerf } from './response-perf.js';
import {
  kDestroyed,
  kEndTick,
  kFields,
  kNoticed,
  kPlainHead,
  kQueue,
  kSink,
  kTurnState,
  type NativeResponse,
  TURN_MINE,
  TURN_WAITING,
} from './response-state.js';

/** As node's class, and what a connection calls on it. */
export interface ServerResponse extends HttpServerResponse, ResponseHooks {
  _last: boolean;
  _header: string | null;
  _headerSent: boolean;
  _sent100: boolean;
  _expect_continue: boolean;
  maxRequestsOnConnectionReached: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: as node's, it is called with whatever a derived class gives
type ServerResponseConstructor = { new (request: any, options?: any): ServerResponse; prototype: ServerResponse };

/** Between a connection and the constructor that it runs, which may be a derived class's. */
let pendingSink: ResponseSink | undefined;

export const ServerResponse = function ServerResponse(this: NativeResponse, req: unknown, options: unknown): void {
  const sink = pendingSink;
  if (sink === undefined) {
    Reflect.apply(NodeServerResponse, this, [req, options]);
    return;
  }
  pendingSink = undefined;
  fill(this, sink, req);
} as unknown as ServerResponseConstructor;

function fill(response: NativeResponse, sink: ResponseSink, req: unknown): void {
  // EventEmitter's three: it makes the object for listeners when the first one comes.
  response._events = undefined;
  (response as unknown as { _eventsCount: number })._eventsCount = 0;
  (response as unknown as { _maxListeners: unknown })._maxListeners = undefined;
  (response as { req: unknown }).req = req;
  response[kSink] = sink;
  response[kTurnState] = TURN_WAITING;
  response[kFields] = null;
  response[kQueue] = null;
  response[kNoticed] = false;
  response[kEndTick] = -1;
  response[kPlainHead] = false;
  response.statusCode = 200;
  (response as { statusMessage: string | undefined }).statusMessage = undefined;
  response._header = null;
  response._headerSent = false;
  response._contentLength = null;
  response.shouldKeepAlive = true;
  response.finished = false;
}

/** A class of responses on a prototype that stands on ServerResponse's. */
export function responseClassOn(prototype: object): ResponseClass {
  const Class = function (this: NativeResponse, sink: ResponseSink, req: unknown): void {
    fill(this, sink, req);
  };
  Class.prototype = prototype;
  return Class as unknown as ResponseClass;
}

export type ResponseClass = new (sink: ResponseSink, request: IncomingMessage) => object;

const createdChannel = channel('http.server.response.created');
let kUniqueHeaders: symbol | undefined;

/** `hasTurn`: the responses before it on the connection are over. `Own`: of `responseClassOn`, where the prototype is to be another one. */
export function createResponse(
  Class: ServerResponseConstructor,
  sink: ResponseSink,
  request: IncomingMessage,
  hasTurn: boolean,
  keepAlive: boolean,
  Own: ResponseClass | null = null,
): ServerResponse {
  const response = Own === null ? construct(Class, sink, request) : (new Own(sink, request) as NativeResponse);
  if (hasTurn) response[kTurnState] = TURN_MINE;
  if (request.method === 'HEAD') response._hasBody = false;
  if (request.httpVersionMinor < 1) {
    response.useChunkedEncodingByDefault = /(?:^|\W)chunked(?:$|\W)/i.test(request.headers['te'] as string);
  }
  response.shouldKeepAlive = keepAlive;
  const server = sink.server as unknown as Record<symbol, unknown>;
  kUniqueHeaders ??= Object.getOwnPropertySymbols(server).find((key) => key.description === 'kUniqueHeaders');
  if (kUniqueHeaders !== undefined && server[kUniqueHeaders]) {
    response[kUniqueHeaders] = server[kUniqueHeaders];
    // Left to node's code.
    response[kOutHeaders] = null;
  }
  startPerf(response, createdChannel.hasSubscribers);
  if (createdChannel.hasSubscribers && publishesCreated) createdChannel.publish({ request, response });
  return response;
}

function construct(Class: ServerResponseConstructor, sink: ResponseSink, request: IncomingMessage): NativeResponse {
  pendingSink = sink;
  try {
    return new Class(request, Class === ServerResponse ? undefined : optionsFor(sink)) as NativeResponse;
  } finally {
    pendingSink = undefined;
  }
}

function optionsFor(sink: ResponseSink): object {
  const { rejectNonStandardBodyWrites } = sink.server as unknown as { rejectNonStandardBodyWrites?: boolean };
  return { highWaterMark: sink.writableHighWaterMark, rejectNonStandardBodyWrites };
}

/** Made by a connection of ours. */
export function isNativeResponse(response: object): boolean {
  return (response as NativeResponse)[kSink] !== undefined;
}

function isChunk(chunk: unknown): chunk is Chunk {
  return typeof chunk === 'string' || types.isUint8Array(chunk);
}

function uncorkSoon(response: NativeResponse): void {
  if (response[kCorked] > 0) response.uncork();
}

/** Body bytes of a message that has no body: ignored, or refused by the server's rejectNonStandardBodyWrites. */
function refuseBody(response: NativeResponse, callback: Callback): void {
  const server = response[kSink]?.server as { rejectNonStandardBodyWrites?: boolean } | undefined;
  if (server?.rejectNonStandardBodyWrites) {
    throw nodeError(
      Error,
      'ERR_HTTP_BODY_NOT_ALLOWED',
      'Adding content for this request method or response status is not allowed.',
    );
  }
  if (callback) process.nextTick(callback);
}

function emitDrainIfDue(response: NativeResponse): void {
  if (!response.finished && response[kNeedDrain]) {
    response[kNeedDrain] = false;
    response.emit('drain');
  }
}

/** The methods; each leaves a response that is node's own to node. */
const methods = {
  _implicitHeader(this: NativeResponse): void {
    this.writeHead(this.statusCode);
  },

  writeHead(this: NativeResponse, statusCode: number, reason?: unknown, headers?: unknown): NativeResponse {
    const given = typeof reason === 'string' ? headers : (headers ?? reason);
    const isUsual =
      this[kFields] !== undefined &&
      this._header === null &&
      Number.isInteger(statusCode) &&
      statusCode >= 100 &&
      statusCode <= 999 &&
      (given == null || (typeof given === 'object' && !Array.isArray(given)));
    if (!isUsual) return nodeMethods['writeHead']?.call(this, statusCode, reason, headers);
    if (typeof reason === 'string') this.statusMessage = reason;
    else this.statusMessage ||= http.STATUS_CODES[statusCode] || 'unknown';
    this.statusCode = statusCode;
    let extra = (given ?? null) as Record<string, string> | null;
    if (extra !== null && this[kFields] !== null) {
      for (const name of Object.keys(extra)) if (name) this.setHeader(name, extra[name] as string);
      extra = null;
      if (this[kFields] === undefined) return nodeMethods['writeHead']?.call(this, statusCode, this.statusMessage);
    }
    if (statusCode === 204 || statusCode === 304 || statusCode < 200) this._hasBody = false;
    // The client may or may not send the body it asked about: what comes next cannot be told from it.
    if (this._expect_continue && !this._sent100) this.shouldKeepAlive = false;
    if (renderHead(this, this[kFields] as null, extra)) {
      this[kPlainHead] = true;
      return this;
    }
    return nodeMethods['writeHead']?.call(this, statusCode, this.statusMessage, extra ?? undefined);
  },

  write(this: NativeResponse, chunk: unknown, encoding?: Encoding | WriteCallback, callback?: Callback): boolean {
    if (this[kSink] === undefined || !isChunk(chunk) || this.finished || this.destroyed) {
      return nodeMethods['write']?.call(this, chunk, encoding, callback);
    }
    if (typeof encoding === 'function') {
      callback = encoding;
      encoding = null;
    }
    if (this.strictContentLength) countBytes(this, chunk, encoding, false);
    if (!this._header) this._implicitHeader();
    if (!this._hasBody) {
      refuseBody(this, callback);
      return true;
    }
    if (this[kTurnState] === TURN_MINE && !(this.chunkedEncoding && corksWrites)) this[kSink].cork();
    let accepted: boolean;
    if (!this.chunkedEncoding) {
      accepted = sendPlain(this, chunk, encoding, callback);
    } else {
      if (corksWrites && this[kCorked] === 0) {
        this.cork();
        process.nextTick(uncorkSoon, this);
      }
      if (corksWrites && chunk.length > 0) accepted = holdChunk(this, chunk, encoding, callback);
      else if (chunk.length > 0) accepted = sendChunk(this, chunk, encoding, callback);
      else accepted = sendPlain(this, chunk, encoding, callback);
    }
    if (!accepted) this[kNeedDrain] = true;
    return accepted;
  },

  end(this: NativeResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): NativeResponse {
    if (this[kSink] === undefined) return nodeMethods['end']?.call(this, chunk, encoding, callback);
    if (typeof chunk === 'function') {
      callback = chunk;
      chunk = null;
      encoding = null;
    } else if (typeof encoding === 'function') {
      callback = encoding;
      encoding = null;
    }
    if (this.finished) {
      if (!chunk && haveBytesLeft(this)) this[kWritableFinished] = true;
      nodeMethods['end']?.call(this, chunk, encoding, callback);
      if (typeof callback === 'function') noticeLate(this);
      return this;
    }
    let last: Chunk = '';
    let isAscii = false;
    if (chunk) {
      // Throws what node throws.
      if (!isChunk(chunk)) return nodeMethods['write']?.call(this, chunk);
      if (this.strictContentLength && !this.destroyed) countBytes(this, chunk, encoding as Encoding, true);
      if (!this._header && !this.destroyed) {
        const length = lengthOf(chunk, encoding as Encoding);
        isAscii = length === chunk.length && isUtf8(encoding as Encoding);
        this._contentLength = length;
        this._implicitHeader();
      }
      if (this._hasBody) last = chunk;
      else if (!this.destroyed) refuseBody(this, null);
    } else if (!this._header) {
      this._contentLength = 0;
      this._implicitHeader();
    }
    if (typeof callback === 'function') {
      if (hasEndCallbacks) this[kEndCallbacks] = [...(this[kEndCallbacks] ?? []), callback];
      else this.once('finish', callback as () => void);
    }
    if (this.strictContentLength) checkLength(this, this[kBytesWritten], true);
    sendEnd(this, last, encoding as Encoding, isAscii);
    if (this[kTurnState] > TURN_WAITING) this._finish();
    return this;
  },

  _finish(this: NativeResponse): void {
    if (this[kSink] === undefined) {
      nodeMethods['_finish']?.call(this);
      return;
    }
    stopPerf(this);
    if (this._events !== undefined || this.emit !== nodeEmit) this.emit('prefinish');
  },

  _send(this: NativeResponse, data: Chunk, encoding: unknown, callback: unknown, byteLength: unknown): boolean {
    if (this[kSink] === undefined) return nodeMethods['_send']?.call(this, data, encoding, callback, byteLength);
    if (typeof encoding === 'function') return sendPlain(this, data, null, encoding as WriteCallback);
    return sendPlain(this, data, encoding as Encoding, callback as Callback);
  },

  _writeRaw(this: NativeResponse, data: Chunk, encoding: unknown, callback: unknown, size: unknown): boolean {
    if (this[kSink] === undefined) return nodeMethods['_writeRaw']?.call(this, data, encoding, callback, size);
    if (typeof encoding === 'function') return output(this, '', data, null, encoding as WriteCallback);
    return output(this, '', data, encoding as Encoding, callback as Callback);
  },

  _flush(this: NativeResponse): void {
    if (this[kSink] === undefined) nodeMethods['_flush']?.call(this);
    else releaseQueue(this);
  },

  _flushOutput(this: NativeResponse, socket: unknown): boolean | undefined {
    return this[kSink] === undefined ? nodeMethods['_flushOutput']?.call(this, socket) : releaseQueue(this);
  },

  cork(this: NativeResponse): void {
    if (this[kSink] === undefined) nodeMethods['cork']?.call(this);
    else this[kCorked]++;
  },

  uncork(this: NativeResponse): void {
    if (this[kSink] === undefined) {
      nodeMethods['uncork']?.call(this);
      return;
    }
    if (this[kCorked] > 0) this[kCorked]--;
    if (this[kCorked] > 0) return;
    if (this.destroyed) dropChunks(this);
    releaseQueue(this);
    releaseChunks(this);
    if (this.writableLength === 0) emitDrainIfDue(this);
  },

  destroy(this: NativeResponse, error?: Error): NativeResponse {
    if (this[kSink] === undefined) return nodeMethods['destroy']?.call(this, error);
    if (this.destroyed) return this;
    this[kDestroyed] = true;
    this[kErrored] = error;
    dropChunks(this);
    if (this[kTurnState] !== TURN_WAITING) this[kSink].destroyFromResponse(this, error ?? null);
    else if (closesWithoutSocket) process.nextTick(emitClose, this);
    return this;
  },

  setTimeout(this: NativeResponse, msecs: number, callback?: () => void): NativeResponse {
    if (this[kSink] === undefined) return nodeMethods['setTimeout']?.call(this, msecs, callback);
    if (callback) this.on('timeout', callback);
    const { socket } = this;
    if (socket) socket.setTimeout(msecs);
    else this.once('socket', (given) => given.setTimeout(msecs));
    return this;
  },

  assignSocket(this: NativeResponse, socket: unknown): void {
    if (this[kSink] !== undefined && this[kTurnState] === TURN_WAITING) leaveConnection(this);
    nodeMethods['assignSocket']?.call(this, socket);
  },

  detachSocket(this: NativeResponse, socket: unknown): void {
    if (this[kSink] === undefined) nodeMethods['detachSocket']?.call(this, socket);
    else leaveConnection(this);
  },

  on(this: NativeResponse, event: string, listener: () => void): NativeResponse {
    nodeMethods['on']?.call(this, event, listener);
    if (this.finished && (event === 'finish' || event === 'close') && isNativeResponse(this)) noticeLate(this);
    return this;
  },

  addListener(this: NativeResponse, event: string, listener: () => void): NativeResponse {
    return this.on(event, listener) as NativeResponse;
  },

  prependListener(this: NativeResponse, event: string, listener: () => void): NativeResponse {
    nodeMethods['prependListener']?.call(this, event, listener);
    if (this.finished && (event === 'finish' || event === 'close') && isNativeResponse(this)) noticeLate(this);
    return this;
  },

  _onPendingData(this: NativeResponse, delta: number): void {
    this[kSink]?.onPendingBytes(delta);
  },

  _isLenientHeaderValidation(this: NativeResponse): boolean {
    const server = this[kSink]?.server;
    // Node asks the request's socket for its server: ours need not make one.
    const asked = server === undefined ? this : { req: { socket: { server } } };
    return nodeMethods['_isLenientHeaderValidation']?.call(asked);
  },

  [kTurn](this: NativeResponse): void {
    const accepted = takeTurn(this);
    if (this.listenerCount('socket') > 0) this.emit('socket', this.socket);
    if (this.finished) this._finish();
    else if (accepted) emitDrainIfDue(this);
  },

  [kDrain](this: NativeResponse): void {
    emitDrainIfDue(this);
  },

  [kConnectionClosed](this: NativeResponse): void {
    if (this[kTurnState] !== TURN_WAITING) emitClose(this);
    else this.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
  },
};

Object.setPrototypeOf(ServerResponse.prototype, NodeServerResponse.prototype);
Object.setPrototypeOf(ServerResponse, NodeServerResponse);
installFields(ServerResponse.prototype);
const ownMethods = Object.getOwnPropertyDescriptors({ ...headerMethods, ...methods });
for (const key of Reflect.ownKeys(ownMethods) as (keyof typeof ownMethods)[]) {
  // What this version of node does not have, a program must not find.
  if (key === '_isLenientHeaderValidation' && !(key in nodeMethods)) continue;
  Object.defineProperty(ServerResponse.prototype, key, ownMethods[key] as PropertyDescriptor);
}
// Asked of what node's own servers made, too.
countInstancesOf(NodeServerResponse, ServerResponse);
