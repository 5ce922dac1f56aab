/**
 * Headers and trailers of a request: maps are made when they are read, by node's own rules for repeated fields, out of the head's text or,
 * once a program has `rawHeaders` in its hands, out of those.
 */
import http from 'node:http';
import { fillHeaderMap, rawHeadersOf } from '../bridge/head-text.js';
import {
  defineOwn,
  isNativeRequest,
  kHeaderCount,
  kHeaders,
  kSource,
  kTargetLength,
  kText,
  type NativeRequest,
  rareParts,
} from './request-state.js';

const nodePrototype = http.IncomingMessage.prototype as unknown as NativeRequest;
// Node's versions differ in whether their maps have a prototype.
const example = new http.IncomingMessage(null as never);
const mapPrototype = Object.getPrototypeOf(example.headers) as object | null;
const distinctPrototype = Object.getPrototypeOf(example.headersDistinct ?? {}) as object | null;

function emptyMap<Map extends object>(prototype: object | null): Map {
  return (prototype === null ? Object.create(null) : {}) as Map;
}

export function defineRequestHeaders(prototype: object): void {
  accessor(
    prototype,
    'headers',
    (request) => {
      request[kHeaders] ??= headersOf(request);
      return request[kHeaders];
    },
    (request, value) => {
      request[kHeaders] = value as NativeRequest[typeof kHeaders];
    },
  );
  accessor(
    prototype,
    'headersDistinct',
    (request) => {
      const rare = rareParts(request);
      rare.headersDistinct ??= distinctMap(request, shownFields(request));
      return rare.headersDistinct;
    },
    (request, value) => {
      rareParts(request).headersDistinct = value as Record<string, string[]>;
    },
  );
  accessor(
    prototype,
    'trailers',
    (request) => {
      const rare = rareParts(request);
      rare.trailers ??= joinedMap(request, request.rawTrailers);
      return rare.trailers;
    },
    (request, value) => {
      rareParts(request).trailers = value as Record<string, unknown>;
    },
  );
  accessor(
    prototype,
    'trailersDistinct',
    (request) => {
      const rare = rareParts(request);
      rare.trailersDistinct ??= distinctMap(request, request.rawTrailers);
      return rare.trailersDistinct;
    },
    (request, value) => {
      rareParts(request).trailersDistinct = value as Record<string, string[]>;
    },
  );
}

/** For ours; other objects have node's accessor of the same name, where node has one. */
function accessor(
  prototype: object,
  name: string,
  get: (request: NativeRequest) => unknown,
  set: (request: NativeRequest, value: unknown) => void,
): void {
  const node = Object.getOwnPropertyDescriptor(nodePrototype, name);
  if (node === undefined) return;
  Object.defineProperty(prototype, name, {
    configurable: true,
    enumerable: node.enumerable ?? false,
    get(this: NativeRequest) {
      return isNativeRequest(this) ? get(this) : node.get?.call(this);
    },
    set(this: NativeRequest, value: unknown) {
      if (isNativeRequest(this)) set(this, value);
      else node.set?.call(this, value);
    },
  });
}

function headersOf(request: NativeRequest): NodeJS.Dict<string | string[]> {
  const most = request[kSource].server.maxHeadersCount;
  if (Object.hasOwn(request, 'rawHeaders') || (typeof most === 'number' && most > 0)) {
    return joinedMap(request, shownFields(request));
  }
  const map = emptyMap<NodeJS.Dict<string | string[]>>(mapPrototype);
  fillHeaderMap(request[kText], request[kHeaderCount], request[kTargetLength], map, request, request._addHeaderLine);
  return map;
}

/** `rawHeaders`, as far as `server.maxHeadersCount` lets the maps show it. */
function shownFields(request: NativeRequest): string[] {
  const most = request[kSource].server.maxHeadersCount;
  return typeof most === 'number' && most > 0 ? request.rawHeaders.slice(0, most * 2) : request.rawHeaders;
}

function joinedMap(request: NativeRequest, fields: string[]): NodeJS.Dict<string | string[]> {
  const map = emptyMap<NodeJS.Dict<string | string[]>>(mapPrototype);
  addFields(request, fields, map);
  return map;
}

export function addFields(request: NativeRequest, fields: string[], map: object): void {
  for (let at = 0; at < fields.length; at += 2) {
    request._addHeaderLine(fields[at] as string, fields[at + 1] as string, map);
  }
}

function distinctMap(request: NativeRequest, fields: string[]): Record<string, string[]> {
  const map = emptyMap<Record<string, string[]>>(distinctPrototype);
  for (let at = 0; at < fields.length; at += 2) {
    request._addHeaderLineDistinct(fields[at] as string, fields[at + 1] as string, map);
  }
  return map;
}

/** `rawHeaders`: a property of the request's own from the first reading on, as an array is that a program may change. */
export function keepRawHeaders(request: NativeRequest): string[] {
  const fields = rawHeadersOf(request[kText], request[kHeaderCount], request[kTargetLength]);
  const most = request[kSource].server.maxHeadersCount;
  // Node's parser hands over 32 at a time, and is stopped there.
  if (typeof most === 'number' && most > 0 && fields.length >= 64) fields.length = Math.min(fields.length, most * 2);
  defineOwn(request, 'rawHeaders', fields);
  return fields;
}
