/**
 * Frameworks build prototypes on node's classes and give them to every request: `Object.setPrototypeOf(req, app.request)`. One that was loaded
 * before install() has built them on node's own, and would take our methods from our objects. So while installed, each property of ours stands
 * on node's prototype as well, and acts for our objects alone.
 */
import nodeHttp from 'node:http';
import { IncomingMessage, isNativeRequest } from './incoming-message.js';
import { isNativeResponse, ServerResponse } from './server-response.js';

type Key = string | symbol;
type IsOurs = (object: object) => boolean;
// biome-ignore lint/suspicious/noExplicitAny: whatever a method takes and gives
type Method = (this: any, ...args: any[]) => any;

/** Returns what puts everything back. */
export function guardPrototypes(): () => void {
  const { IncomingMessage: NodeRequest, ServerResponse: NodeResponse, OutgoingMessage } = originals;
  const ofRequest = propertiesBetween(IncomingMessage.prototype, NodeRequest.prototype);
  for (const [key, descriptor] of counts()) ofRequest.set(key, descriptor);
  const ofResponse = propertiesBetween(ServerResponse.prototype, NodeResponse.prototype);
  const ofOutgoing = new Map([...ofResponse].filter(([key]) => Object.hasOwn(OutgoingMessage.prototype, key)));
  const removers = [
    guard(NodeRequest.prototype, ofRequest, isNativeRequest),
    guard(NodeResponse.prototype, ofResponse, isNativeResponse),
    guard(OutgoingMessage.prototype, ofOutgoing, isNativeResponse),
  ];
  return () => {
    for (const remove of removers) remove();
  };
}

/** Of the modules as they were when this one was loaded, before any install(). */
const originals = {
  IncomingMessage: nodeHttp.IncomingMessage,
  ServerResponse: nodeHttp.ServerResponse,
  OutgoingMessage: nodeHttp.OutgoingMessage,
};

/** Node's accessors of headers and trailers cannot be replaced, but they read `rawHeaders`, and how many of those count, from the object. */
function counts(): Map<Key, PropertyDescriptor> {
  const example = new originals.IncomingMessage(null as never);
  const found = new Map<Key, PropertyDescriptor>();
  for (const key of Object.getOwnPropertySymbols(example)) {
    const list = { kHeadersCount: 'rawHeaders', kTrailersCount: 'rawTrailers' }[key.description ?? ''];
    if (list === undefined) continue;
    found.set(key, {
      get() {
        return Reflect.get(this, list).length;
      },
    });
  }
  return found;
}

/** The properties that objects of `prototype` have before `base` comes, the nearest first. */
function propertiesBetween(prototype: object, base: object): Map<Key, PropertyDescriptor> {
  const properties = new Map<Key, PropertyDescriptor>();
  for (let at = prototype; at !== base; at = Object.getPrototypeOf(at)) {
    for (const key of Reflect.ownKeys(at)) {
      if (key === 'constructor' || properties.has(key)) continue;
      properties.set(key, Object.getOwnPropertyDescriptor(at, key) as PropertyDescriptor);
    }
  }
  return properties;
}

function guard(prototype: object, properties: Map<Key, PropertyDescriptor>, isOurs: IsOurs): () => void {
  const before = new Map<Key, PropertyDescriptor | undefined>();
  for (const [key, ours] of properties) {
    const node = Object.getOwnPropertyDescriptor(prototype, key);
    if (node?.configurable === false) continue;
    before.set(key, node);
    Object.defineProperty(prototype, key, {
      ...(typeof ours.value === 'function'
        ? guardedMethod(prototype, key, ours.value, node, isOurs)
        : guardedAccessor(prototype, key, ours, node, isOurs)),
      enumerable: (node ?? ours).enumerable ?? false,
      configurable: true,
    });
  }
  return () => {
    for (const [key, node] of before) {
      if (node === undefined) Reflect.deleteProperty(prototype, key);
      else Object.defineProperty(prototype, key, node);
    }
  };
}

function guardedMethod(
  prototype: object,
  key: Key,
  ours: Method,
  node: PropertyDescriptor | undefined,
  isOurs: IsOurs,
): PropertyDescriptor {
  const parent = Object.getPrototypeOf(prototype) as object;
  const nodes = (node?.value ?? Reflect.get(parent, key)) as Method | undefined;
  // Nobody else has one: the connection calls it on ours.
  if (nodes === undefined) return { value: ours, writable: true };
  const method: Method = function (...args) {
    return (isOurs(this) ? ours : nodes).apply(this, args);
  };
  for (const name of ['name', 'length']) {
    Object.defineProperty(method, name, Object.getOwnPropertyDescriptor(nodes, name) as PropertyDescriptor);
  }
  return { value: method, writable: true };
}

function guardedAccessor(
  prototype: object,
  key: Key,
  ours: PropertyDescriptor,
  node: PropertyDescriptor | undefined,
  isOurs: IsOurs,
): PropertyDescriptor {
  const parent = Object.getPrototypeOf(prototype) as object;
  const isData = ours.get === undefined && ours.set === undefined;
  const nodes = node ?? inherited(parent, key);
  const isAssignable = nodes === undefined || nodes.writable === true;
  const define = definer(key);
  return {
    get() {
      if (isOurs(this)) return isData ? ours.value : ours.get?.call(this);
      if (node === undefined) return Reflect.get(parent, key, this);
      return node.get === undefined ? node.value : node.get.call(this);
    },
    set(value: unknown) {
      if (isOurs(this)) {
        if (isData) define(this, value);
        else ours.set?.call(this, value);
      } else if (isAssignable) define(this, value);
      else nodes.set?.call(this, value);
    },
  };
}

function inherited(parent: object, key: Key): PropertyDescriptor | undefined {
  for (let at: object | null = parent; at !== null; at = Object.getPrototypeOf(at)) {
    const descriptor = Object.getOwnPropertyDescriptor(at, key);
    if (descriptor !== undefined) return descriptor;
  }
  return undefined;
}

/** What a derived class's fields are put on is what its base returns. */
class Given {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: that is the point
    return object;
  }
}

/** Only says to TypeScript that a key may name a field. */
declare const anyKey: unique symbol;

/** Gives objects a property `key` of their own, as a field of a class: far faster than Object.defineProperty, and node makes many. */
function definer(key: Key): (object: object, value: unknown) => void {
  let next: unknown;
  const name: typeof anyKey = key as typeof anyKey;
  class Defined extends Given {
    [name] = next;
  }
  return (object, value) => {
    next = value;
    new Defined(object);
    next = undefined;
  };
}
