/** Trace ids by W3C Trace Context: the one that a request brings, or a new one. */
import { randomFillSync } from 'node:crypto';

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const ZERO_TRACE = '0'.repeat(32);
const ZERO_PARENT = '0'.repeat(16);
const ID_BYTES = 16;

const pool = Buffer.alloc(ID_BYTES * 128);
let used = pool.length;

/** The trace id of a valid traceparent value, else null. */
export function parseTraceId(traceparent: string): string | null {
  const match = TRACEPARENT.exec(traceparent);
  if (match === null) {
    return null;
  }
  const [, version, traceId, parentId, rest] = match;
  if (
    version === 'ff' ||
    (version === '00' && rest !== undefined) ||
    traceId === ZERO_TRACE ||
    parentId === ZERO_PARENT
  ) {
    return null;
  }
  return traceId as string;
}

/** 32 hexadecimal digits, random, not all zero. */
export function newTraceId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const id = pool.toString('hex', used, used + ID_BYTES);
  pool.fill(0, used, used + ID_BYTES);
  used += ID_BYTES;
  return id === ZERO_TRACE ? newTraceId() : id;
}

export function traceIdOf(exchange: { header(name: string): string | null }): string {
  const traceparent = exchange.header('traceparent');
  return (traceparent === null ? null : parseTraceId(traceparent)) ?? newTraceId();
}
