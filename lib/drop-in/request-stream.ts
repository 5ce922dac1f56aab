/**
 * A request as a stream: how its body comes in, how it ends, is dumped or cut, with the events of node's in their order. What is read is said
 * to be consumed, so that a peer waits for the program.
 */
import http from 'node:http';
import { Readable } from 'node:stream';
import { addFields } from './request-headers.js';
import {
  ABORTED,
  ARRIVED,
  BUILT,
  buildState,
  CONSUMING,
  CUT,
  connectionReset,
  DUMPED,
  ENDING,
  isNativeRequest,
  kBody,
  kHeldBytes,
  kRare,
  kSource,
  kStage,
  type NativeRequest,
  OVER,
  rareParts,
  STREAMED,
} from './request-state.js';

type DestroyCallback = (error?: Error | null) => void;

const nodePrototype = http.IncomingMessage.prototype as unknown as {
  _read(this: unknown, size: number): void;
  _destroy(this: unknown, error: Error | null, callback: DestroyCallback): void;
  _dumpAndCloseReadable?(this: unknown): void;
};
// Captured: install() may put others there.
const { _read: nodeRead, _destroy: nodeDestroy, _dumpAndCloseReadable: nodeDumpAndClose } = nodePrototype;

/** Some versions of node finish the clean end of a whole message at once, others in the next tick. */
const closesAtOnce = ((): boolean => {
  let isCalled = false;
  const over = { readableEnded: true, complete: true, aborted: false, socket: null, listenerCount: () => 0 };
  nodeDestroy.call(over, null, () => {
    isCalled = true;
  });
  return isCalled;
})();

/** All that came with the head: after the handler, as node's parser hands it over. */
export function pushWhole(request: NativeRequest): void {
  const stage = request[kStage];
  if ((stage & (ARRIVED | STREAMED)) !== 0) return;
  request[kStage] = stage | ARRIVED;
  const body = request[kBody];
  if ((stage & BUILT) === 0 || body === null) {
    finishBody(request, NO_TRAILERS);
  } else {
    request[kBody] = null;
    if ((stage & DUMPED) === 0) request.push(body);
    finishBodyLater(request, NO_TRAILERS);
  }
}

const NO_TRAILERS: string[] = [];

/** Node's parser lets the program run on what a piece brought before it goes on. */
function finishBodyLater(request: NativeRequest, trailers: string[]): void {
  request[kStage] |= ENDING;
  afterTicks(finishBody, request, trailers);
}

function finishBody(request: NativeRequest, trailers: string[]): void {
  request[kStage] &= ~ENDING;
  if (trailers.length > 0) {
    request.rawTrailers = trailers;
    const early = request[kRare]?.trailers;
    if (early != null) addFields(request, trailers, early);
  }
  request.complete = true;
  if ((request[kStage] & BUILT) !== 0) request.push(null);
  else if ((request[kStage] & (STREAMED | DUMPED)) === (STREAMED | DUMPED)) request[kStage] |= OVER;
  request[kSource].resumeReading();
}

/** Once the ticks and microtasks that are due have run, and those that these bring. */
export function afterTicks<A, B>(callback: (a: A, b: B) => void, a: A, b: B): void {
  process.nextTick(() => queueMicrotask(() => process.nextTick(callback, a, b)));
}

export function pushBody(request: NativeRequest, chunk: Buffer): void {
  if ((request[kStage] & (DUMPED | OVER | CUT)) !== 0 || request.destroyed) {
    request[kSource].consume(chunk.length);
  } else if (request.push(chunk)) {
    request[kSource].consume(chunk.length);
  } else {
    request[kHeldBytes] += chunk.length;
    request[kSource].pauseReading();
  }
}

export function endBody(request: NativeRequest, trailers: string[]): void {
  request[kStage] |= ARRIVED;
  if ((request[kStage] & BUILT) === 0) finishBody(request, trailers);
  else finishBodyLater(request, trailers);
}

/** The response has been sent. */
export function responseDone(request: NativeRequest): void {
  const rare = request[kRare];
  if (rare !== null) rare.isDetached = true;
  const stage = request[kStage];
  if ((stage & BUILT) === 0 && request._events === undefined) {
    // What is still to come of its body is read, and dropped.
    const isWhole = (stage & (STREAMED | ARRIVED)) !== STREAMED;
    request[kStage] = isWhole ? stage | OVER | DUMPED : stage | DUMPED;
    request[kBody] = null;
  } else if ((stage & CONSUMING) === 0 && !request._readableState.resumeScheduled) {
    request._dump();
  }
}

/** The connection is gone, and the message or its response was not over. */
export function connectionClosed(request: NativeRequest): void {
  const stage = request[kStage];
  if ((stage & ENDING) !== 0) {
    afterTicks(connectionClosed, request, undefined);
    return;
  }
  if ((stage & (BUILT | OVER)) === 0 && request._events === undefined) {
    request[kStage] = stage | CUT | ABORTED;
    request[kBody] = null;
    abortSignal(request);
  } else if ((stage & OVER) === 0) {
    request.destroy(connectionReset());
  }
}

export function defineRequestStream(prototype: object): void {
  Object.defineProperties(prototype, {
    _readableState: {
      configurable: true,
      get(this: NativeRequest) {
        return isNativeRequest(this) ? buildState(this) : undefined;
      },
      set(this: object, value: unknown) {
        Object.defineProperty(this, '_readableState', { value, writable: true, enumerable: true, configurable: true });
      },
    },
    _read: { configurable: true, writable: true, value: read },
    _destroy: { configurable: true, writable: true, value: destroy },
  });
  if (nodeDumpAndClose !== undefined) {
    Object.defineProperty(prototype, '_dumpAndCloseReadable', {
      configurable: true,
      writable: true,
      value: dumpAndCloseReadable,
    });
  }
  stateless(prototype, 'readable', (stage) => (stage & (OVER | CUT)) === 0);
  stateless(prototype, 'readableEnded', (stage) => (stage & OVER) !== 0);
  stateless(prototype, 'destroyed', (stage) => (stage & (OVER | CUT)) !== 0);
  stateless(prototype, 'closed', (stage) => (stage & (OVER | CUT)) !== 0);
  if ('signal' in http.IncomingMessage.prototype) {
    Object.defineProperty(prototype, 'signal', { configurable: true, get: signal });
  }
}

/** A property of streams that is known while there is no state. */
function stateless(prototype: object, name: string, answer: (stage: number) => boolean): void {
  const node = Object.getOwnPropertyDescriptor(Readable.prototype, name);
  if (node === undefined) return;
  Object.defineProperty(prototype, name, {
    ...node,
    get(this: NativeRequest) {
      if (!isNativeRequest(this) || (this[kStage] & BUILT) !== 0) return node.get?.call(this);
      return answer(this[kStage]);
    },
  });
}

function read(this: NativeRequest, size: number): void {
  if (!isNativeRequest(this)) {
    nodeRead.call(this, size);
    return;
  }
  if (!this._consuming) {
    this._readableState.readingMore = false;
    this._consuming = true;
  }
  this[kSource].resumeReading();
  const held = this[kHeldBytes];
  if (held === 0) return;
  this[kHeldBytes] = 0;
  this[kSource].consume(held);
}

/** As node's: what was not read to its end takes the connection with it. */
function destroy(this: NativeRequest, error: Error | null, callback: DestroyCallback): void {
  if (!isNativeRequest(this)) {
    nodeDestroy.call(this, error, callback);
    return;
  }
  if (!this.readableEnded || !this.complete) {
    this.aborted = true;
    this.emit('aborted');
    abortSignal(this);
  }
  const source = this[kSource];
  // `pipeline` takes the socket away from a request that shall not close it.
  const isDetached = Object.hasOwn(this, 'socket') && this.socket == null;
  if (this.aborted && !isDetached && !source.destroyed) {
    source.destroyFromRequest(this, error);
    process.nextTick(finishDestroyNext, this, error, callback);
  } else if (error === null && !this.aborted && closesAtOnce) {
    callback();
  } else {
    process.nextTick(finishDestroy, this, error, callback);
  }
}

/** Node hears of the end of the socket first. */
function finishDestroyNext(request: NativeRequest, error: Error | null, callback: DestroyCallback): void {
  process.nextTick(finishDestroy, request, error, callback);
}

/** An error is for those who listen. */
function finishDestroy(request: NativeRequest, error: Error | null, callback: DestroyCallback): void {
  if (request.listenerCount('error') === 0) callback();
  else callback(error);
}

/** Node's server option optimizeEmptyRequests. */
function dumpAndCloseReadable(this: NativeRequest): void {
  if (isNativeRequest(this) && (this[kStage] & BUILT) === 0) this[kStage] |= OVER | DUMPED;
  else nodeDumpAndClose?.call(this);
}

function signal(this: NativeRequest): AbortSignal | undefined {
  if (!isNativeRequest(this)) return nodeSignal?.call(this) as AbortSignal | undefined;
  const rare = rareParts(this);
  if (rare.abortController === null) {
    const controller = new AbortController();
    rare.abortController = controller;
    if (this.destroyed ? !this.readableEnded || !this.complete : this[kSource].destroyed && !rare.isDetached) {
      controller.abort();
    } else if (this.upgrade) {
      // The connection has handed it out and tells it nothing any more.
      this.socket.once('close', () => controller.abort());
    }
  }
  return rare.abortController.signal;
}

const nodeSignal = Object.getOwnPropertyDescriptor(http.IncomingMessage.prototype, 'signal')?.get;

function abortSignal(request: NativeRequest): void {
  const rare = request[kRare];
  if (rare === null || rare.isDetached) return;
  rare.isDetached = true;
  rare.abortController?.abort();
}
