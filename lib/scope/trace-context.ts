/**
 * W3C Trace Context: `traceparent` read, written and continued. Ids come from a pool of random bytes, filled 12 KiB at a time.
 * Every function is total: what a peer sent that is no valid traceparent gives null, never an exception.
 */
import { randomFillSync } from 'node:crypto';

export interface TraceContext {
  /** 32 hexadecimal digits, lower case, not all zero. */
  readonly traceId: string;
  /** 16 hexadecimal digits, lower case, not all zero: the span that the message was sent from. */
  readonly parentId: string;
  /** The caller records its spans (bit 0 of the flags). */
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const TRACE_ID = /^[0-9a-f]{32}$/;
const ZERO_TRACE = '0'.repeat(32);
const ZERO_PARENT = '0'.repeat(16);
const TRACE_BYTES = 16;
const PARENT_BYTES = 8;

const pool = Buffer.alloc(12 * 1024);
let used = pool.length;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

/** The parts of a valid traceparent; null for anything else. Later versions are read as far as version 00 goes, as the standard asks. */
export function parseTraceparent(value: unknown): TraceContext | null {
  if (typeof value !== 'string') {
    return null;
  }
  const match = TRACEPARENT.exec(value);
  if (match === null) {
    return null;
  }
  const [, version, traceId, parentId, flags, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string?,
  ];
  const refused = version === 'ff' || (version === '00' && rest !== undefined);
  if (refused || traceId === ZERO_TRACE || parentId === ZERO_PARENT) {
    return null;
  }
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.parentId}-${context.sampled ? '01' : '00'}`;
}

/** A new trace, or a new span in the trace of the given id. */
export function newTraceparent(traceId?: string, sampled = true): string {
  if (traceId === undefined) {
    // Both ids at once. Neither is all zero, or it is done again.
    const ids = randomHex(TRACE_BYTES + PARENT_BYTES);
    const text = `00-${ids.slice(0, 32)}-${ids.slice(32)}-${sampled ? '01' : '00'}`;
    return ids.startsWith(ZERO_PARENT) || ids.endsWith(ZERO_PARENT) ? newTraceparent(undefined, sampled) : text;
  }
  return `00-${traceId}-${newParentId()}-${sampled ? '01' : '00'}`;
}

/** The next span of the same trace; a new trace where the value is not valid. */
export function childTraceparent(traceparent: unknown): string {
  const context = parseTraceparent(traceparent);
  return context === null ? newTraceparent() : newTraceparent(context.traceId, context.sampled);
}

/** The trace id of a valid traceparent, else null. */
export function traceIdOf(traceparent: unknown): string | null {
  return parseTraceparent(traceparent)?.traceId ?? null;
}

/** 32 lower-case hexadecimal digits, not all zero. */
export function isTraceId(value: unknown): value is string {
  return typeof value === 'string' && TRACE_ID.test(value) && value !== ZERO_TRACE;
}

export function newTraceId(): string {
  const id = randomHex(TRACE_BYTES);
  return id === ZERO_TRACE ? newTraceId() : id;
}

export function newParentId(): string {
  const id = randomHex(PARENT_BYTES);
  return id === ZERO_PARENT ? newParentId() : id;
}
