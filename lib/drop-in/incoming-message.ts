/**
 * The request of a connection of ours, and the class that http.IncomingMessage is after install(). Made by anybody else it is node's own in every
 * way; made by createRequest it costs next to nothing until somebody looks: the stream's state, header maps, raw headers and the socket are made at
 * the first touch, as node's would be by then.
 *
 * Everything stands on the one prototype that is exported, since frameworks put theirs between it and the objects. Node's constructor assigns
 * what we have as accessors here: their setters define a property of the object's own, so its objects come out as node's.
 */
import { AsyncResource } from 'node:async_hooks';
import http from 'node:http';
import type { Socket } from 'node:net';
import { targetOf } from '../bridge/head-text.js';
import { REQUEST_HAS_BODY_FLAG } from '../bridge/records.js';
import { HANDLER, type HasHandler } from '../diagnostics.js';
import { countInstancesOf } from '../net/drop-in/instances.js';
import {
  kArrived,
  kConnectionClosed,
  kEndBody,
  kPushBody,
  kRequestClass,
  kResponseDone,
  kRun,
  type RequestHooks,
  type RequestSource,
} from './contract.js';
import { defineRequestHeaders, keepRawHeaders } from './request-headers.js';
import {
  ABORTED,
  BUILT,
  CONSUMING,
  DUMPED,
  defineOwn,
  isNativeRequest,
  kBody,
  kHeaderCount,
  kHeaders,
  kHeldBytes,
  kRare,
  kSource,
  kStage,
  kTargetLength,
  kText,
  kVersionMinor,
  type Message,
  type NativeFields,
  type NativeRequest,
  rareParts,
  STREAMED,
} from './request-state.js';
import { connectionClosed, defineRequestStream, endBody, pushBody, pushWhole, responseDone } from './request-stream.js';

export { isNativeRequest };

export type IncomingMessage = Message;

const NodeIncomingMessage = http.IncomingMessage;
const { runInAsyncScope } = AsyncResource.prototype;

/** A request that is the async scope of its handler too. Its prototype is the exported class's. */
class Request extends AsyncResource {
  constructor(head: Head) {
    super('HTTPINCOMINGMESSAGE');
    fill(this as unknown as NativeRequest, head);
  }
}

/** The scope of a request that is none itself. */
class RequestScope extends AsyncResource {
  readonly #source: RequestSource;

  constructor(source: RequestSource) {
    super('HTTPINCOMINGMESSAGE');
    this.#source = source;
  }

  get [HANDLER](): HasHandler[typeof HANDLER] {
    return listenerOf(this.#source);
  }
}

/** What the slow-callback detector calls a request by: the server's first listener. */
function listenerOf(source: RequestSource | undefined): HasHandler[typeof HANDLER] {
  const listener = source?.server.listeners('request')[0];
  return (listener as ((...args: never[]) => unknown) | undefined) ?? null;
}

/** What a completion record says. */
interface Head {
  source: RequestSource;
  method: string;
  versionMinor: number;
  flags: number;
  headerCount: number;
  targetLength: number;
  text: string;
  body: Buffer | null;
}

function fill(request: NativeRequest, head: Head): void {
  const fields: NativeFields = request;
  fields[kSource] = head.source;
  fields[kText] = head.text;
  fields[kHeaderCount] = head.headerCount;
  fields[kTargetLength] = head.targetLength;
  fields[kVersionMinor] = head.versionMinor;
  fields[kStage] = head.body === null && (head.flags & REQUEST_HAS_BODY_FLAG) !== 0 ? STREAMED : 0;
  fields[kBody] = head.body;
  fields[kHeldBytes] = 0;
  fields[kHeaders] = undefined;
  fields[kRare] = null;
  request.complete = false;
  request.url = targetOf(head.text, head.headerCount, head.targetLength);
  request.method = head.method;
  // Else the last request's connection would be kept.
  head.source = null as never;
  head.text = '';
  head.body = null;
}

/** One is enough: its values are taken before anything else can run. */
const head: Head = {
  source: null as never,
  method: '',
  versionMinor: 1,
  flags: 0,
  headerCount: 0,
  targetLength: 0,
  text: '',
  body: null,
};
/** An instance of a program's own class is being made for `head`. */
let isCustomPending = false;

/** `Class`: of `requestClassOn` where the prototype is to be another one; null: the exported class. */
export function createRequest(
  source: RequestSource,
  method: string,
  versionMinor: number,
  flags: number,
  headerCount: number,
  targetLength: number,
  text: string,
  body: Buffer | null,
  Class: RequestClass | null = null,
): IncomingMessage {
  head.source = source;
  head.method = method;
  head.versionMinor = versionMinor;
  head.flags = flags;
  head.headerCount = headerCount;
  head.targetLength = targetLength;
  head.text = text;
  head.body = body;
  const Custom = (source.server as { [kRequestClass]?: IncomingMessageClass | undefined })[kRequestClass];
  if (Custom === undefined) {
    const made: object = Class === null ? new Request(head) : new Class();
    return made as IncomingMessage;
  }
  const { socket } = source;
  isCustomPending = true;
  try {
    return new Custom(socket) as unknown as IncomingMessage;
  } finally {
    isCustomPending = false;
  }
}

/** A class of requests on a prototype that stands on the exported one. */
export function requestClassOn(prototype: object): RequestClass {
  const Class = function (this: NativeRequest): void {
    initialise(this);
  };
  Class.prototype = prototype;
  return Class as unknown as RequestClass;
}

/** One that is not made as an AsyncResource has one beside it. */
function initialise(request: NativeRequest): void {
  fill(request, head);
  rareParts(request).scope = new RequestScope(request[kSource]);
}

/** Takes what createRequest was given. */
export type RequestClass = new () => object;
type IncomingMessageClass = typeof http.IncomingMessage;

export const IncomingMessage = function IncomingMessage(this: NativeRequest, socket: Socket): void {
  if (!isCustomPending) {
    // Sets socket, url, statusCode, statusMessage ...: some programs look for these words in the source of this function.
    (NodeIncomingMessage as unknown as (this: object, socket: Socket) => void).call(this, socket);
    return;
  }
  isCustomPending = false;
  initialise(this);
} as unknown as IncomingMessageClass;

const prototype = Request.prototype as unknown as NativeRequest;
Object.setPrototypeOf(prototype, NodeIncomingMessage.prototype);
Object.setPrototypeOf(IncomingMessage, NodeIncomingMessage);
Object.defineProperty(IncomingMessage, 'prototype', { value: prototype });
Object.defineProperty(prototype, 'constructor', { value: IncomingMessage, writable: true, configurable: true });
// The responses that node's client gets are of the class too, as they are without us.
countInstancesOf(NodeIncomingMessage, IncomingMessage);

defineRequestHeaders(prototype);
defineRequestStream(prototype);

lazy('socket', (request) => request[kSource].socket);
lazy('client', (request) => request.socket);
lazy('joinDuplicateHeaders', (request) => {
  const { server } = request[kSource] as { server: { joinDuplicateHeaders?: boolean } };
  return server.joinDuplicateHeaders;
});
lazy('httpVersion', (request) => (request[kVersionMinor] === 1 ? '1.1' : `1.${request[kVersionMinor]}`));
lazy('httpVersionMajor', () => 1);
lazy('httpVersionMinor', (request) => request[kVersionMinor]);
lazy('rawHeaders', keepRawHeaders);
lazy('rawTrailers', (request) => {
  request.rawTrailers = [];
  return request.rawTrailers;
});
lazy('upgrade', () => false);
lazy('statusCode', () => null);
lazy('statusMessage', () => null);
bit('aborted', ABORTED);
bit('_consuming', CONSUMING);
bit('_dumped', DUMPED);

/** What node's constructor makes a property of the object; ours answers without until one is assigned. */
function lazy(name: string, get: (request: NativeRequest) => unknown): void {
  Object.defineProperty(prototype, name, {
    configurable: true,
    get(this: NativeRequest) {
      return isNativeRequest(this) ? get(this) : undefined;
    },
    set(this: object, value: unknown) {
      defineOwn(this, name, value);
    },
  });
}

function bit(name: string, mask: number): void {
  Object.defineProperty(prototype, name, {
    configurable: true,
    get(this: NativeRequest) {
      return isNativeRequest(this) ? (this[kStage] & mask) !== 0 : undefined;
    },
    set(this: NativeRequest, value: unknown) {
      if (!isNativeRequest(this)) defineOwn(this, name, value);
      else if (value) this[kStage] |= mask;
      else this[kStage] &= ~mask;
    },
  });
}

/** Called by a connection on its requests alone. What may reach the program runs in the request's async scope. */
const hooks: ThisType<NativeRequest> & RequestHooks & HasHandler = {
  get [HANDLER](): HasHandler[typeof HANDLER] {
    return listenerOf(this[kSource]);
  },
  [kRun](handler, receiver, a, b) {
    try {
      runInAsyncScope.call(scopeOf(this), handler as (...args: unknown[]) => void, receiver, a, b);
    } finally {
      this[kArrived]();
    }
  },
  [kArrived]() {
    if ((this[kStage] & BUILT) === 0) pushWhole(this);
    else runInAsyncScope.call(scopeOf(this), pushWhole as (...args: unknown[]) => void, undefined, this);
  },
  [kPushBody](chunk) {
    runInAsyncScope.call(scopeOf(this), pushBody as (...args: unknown[]) => void, undefined, this, chunk);
  },
  [kEndBody](trailers) {
    runInAsyncScope.call(scopeOf(this), endBody as (...args: unknown[]) => void, undefined, this, trailers);
  },
  [kResponseDone]() {
    if ((this[kStage] & BUILT) === 0 && this._events === undefined) responseDone(this);
    else runInAsyncScope.call(scopeOf(this), responseDone as (...args: unknown[]) => void, undefined, this);
  },
  [kConnectionClosed]() {
    runInAsyncScope.call(scopeOf(this), connectionClosed as (...args: unknown[]) => void, undefined, this);
  },
};
for (const key of Object.getOwnPropertySymbols(hooks)) {
  Object.defineProperty(prototype, key, { ...Object.getOwnPropertyDescriptor(hooks, key), enumerable: false });
}

function scopeOf(request: NativeRequest): AsyncResource {
  return request[kRare]?.scope ?? (request as unknown as AsyncResource);
}
