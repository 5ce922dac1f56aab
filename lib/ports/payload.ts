/**
 * Payloads as bytes: the one encoding of all brokers. What comes out equals what structured cloning gives.
 *
 * - nothing: undefined
 * - bytes: a Uint8Array (or Buffer) as it is
 * - JSON (RFC 8259): plain data that JSON keeps whole. Other languages read it, and it is several times as fast as
 * - V8's serialization format: everything else that can be cloned (Map, Date, bigint, cycles, errors ...). Node writes version 15 of it since
 *   version 18, and reads older ones; its reader takes hostile bytes.
 */
import { deserialize, serialize } from 'node:v8';

export const ENCODING = { none: 0, bytes: 1, json: 2, v8: 3 } as const;

/** Values looked at before JSON is given up: a graph that shares objects could be exponential as a tree. */
const MAX_JSON_VALUES = 256;

export interface EncodedPayload {
  readonly encoding: number;
  /** As JSON: the text, not yet bytes. */
  readonly data: string | Uint8Array;
}

const NOTHING: EncodedPayload = { encoding: ENCODING.none, data: '' };

/** Throws what `v8.serialize` throws: DataCloneError for what cannot be cloned. */
export function encodePayload(payload: unknown): EncodedPayload {
  if (payload === undefined) {
    return NOTHING;
  }
  if (payload instanceof Uint8Array) {
    return { encoding: ENCODING.bytes, data: payload };
  }
  if (countPlain(payload, 0) <= MAX_JSON_VALUES) {
    return { encoding: ENCODING.json, data: JSON.stringify(payload) };
  }
  return { encoding: ENCODING.v8, data: serialize(payload) };
}

/** Throws where the bytes are not what the encoding says. The bytes of a payload of bytes are shared, not copied. */
export function decodePayload(encoding: number, frame: Buffer, start: number, end: number): unknown {
  switch (encoding) {
    case ENCODING.none:
      return undefined;
    case ENCODING.bytes:
      return new Uint8Array(frame.buffer, frame.byteOffset + start, end - start);
    case ENCODING.json:
      return JSON.parse(frame.utf8Slice(start, end));
    case ENCODING.v8:
      return deserialize(frame.subarray(start, end));
    default:
      throw new RangeError(`unknown payload encoding ${encoding}`);
  }
}

const TOO_MANY = MAX_JSON_VALUES + 1;

/** The number of values in it, or TOO_MANY where JSON would lose something. */
function countPlain(value: unknown, count: number): number {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return count + 1;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? count + 1 : TOO_MANY;
    case 'object':
      return value === null ? count + 1 : countObject(value, count + 1);
    default:
      return TOO_MANY;
  }
}

function countObject(value: object, start: number): number {
  // Also the end of a cycle.
  if (start > MAX_JSON_VALUES) {
    return TOO_MANY;
  }
  const prototype = Object.getPrototypeOf(value);
  const isArray = Array.isArray(value);
  if (!isArray && prototype !== Object.prototype && prototype !== null) {
    return TOO_MANY;
  }
  const keys = Object.keys(value);
  // Holes, and properties beside the elements.
  if ((isArray && keys.length !== value.length) || keys.length > MAX_JSON_VALUES) {
    return TOO_MANY;
  }
  let count = start;
  for (const key of keys) {
    count = countPlain((value as Record<string, unknown>)[key], count);
    if (count > MAX_JSON_VALUES) {
      return TOO_MANY;
    }
  }
  return count;
}
