/**
 * Objects of node's own classes that only a message can carry: Blob, BlockList, CryptoKey, DOMException and their like. From node 21 on V8's
 * serializer takes them for plain objects, of which nothing would arrive.
 */
import { BlockList } from 'node:net';
import { Serializer } from 'node:v8';

const isTakenForPlain = (() => {
  try {
    new Serializer().writeValue(new BlockList());
    return true;
  } catch {
    return false;
  }
})();

/** Of what the serializer knows. */
const KNOWN = new Set<unknown>(
  [
    ...[Object, Array, Map, Set, Date, RegExp, Boolean, Number, String, BigInt, ArrayBuffer, SharedArrayBuffer],
    ...[Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError],
  ].map(({ prototype }) => prototype),
);
/** By other prototypes: whether a message makes more of such objects than one that is known. */
const isSpecial = new WeakMap<object, boolean>();
/** From here on an array may be mostly holes. */
const LONG = 10_000;

/** Anywhere in the value. May throw what the value's getters do. */
export function hasPlatformObject(value: unknown): boolean {
  if (!isTakenForPlain) {
    return false;
  }
  const seen = new Set<object>();
  const left = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (typeof next !== 'object' || next === null || ArrayBuffer.isView(next) || seen.has(next)) {
      continue;
    }
    seen.add(next);
    if (isPlatformObject(next)) {
      return true;
    }
    for (const inner of valuesIn(next)) {
      if (typeof inner === 'object') left.push(inner);
    }
  }
  return false;
}

function isPlatformObject(object: object): boolean {
  const prototype: object | null = Object.getPrototypeOf(object);
  if (prototype === null || KNOWN.has(prototype)) {
    return false;
  }
  let special = isSpecial.get(prototype);
  if (special === undefined) {
    try {
      special = !KNOWN.has(Object.getPrototypeOf(structuredClone(object)));
    } catch {
      return true; // whoever posts it says why it cannot be cloned
    }
    isSpecial.set(prototype, special);
  }
  return special;
}

function valuesIn(object: object): Iterable<unknown> {
  if (Array.isArray(object) && object.length < LONG) return object;
  if (object instanceof Map) return [...object].flat(1);
  return object instanceof Set ? object : Object.values(object);
}
