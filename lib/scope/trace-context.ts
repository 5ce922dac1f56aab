/**
 * W3C Trace Context: `traceparent` read, written and continued. Ids come from a pool of random bytes, filled 12 KiB at a time; the
 * traceparents of new traces are written many at once, for each request without a trace needs one.
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
const NEW_TRACES = 128;
const HEX_DIGITS = Buffer.from('0123456789abcdef');

const pool = Buffer.alloc(12 * 1024);
let used = pool.length;

/** Where in the pool so many unused bytes begin. */
function takeRandom(bytes: number): number {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return used - bytes;
}

function randomHex(bytes: number): string {
  const at = takeRandom(bytes);
  return pool.toString('hex', at, at + bytes);
}

/** Traceparents of new traces, one after the other; `nextNew` is where the next begins. */
let newTraces = '';
let nextNew = 0;
const TEMPLATE = `00-${ZERO_TRACE}-${ZERO_PARENT}-01`;
const newTracesBytes = Buffer.from(TEMPLATE.repeat(NEW_TRACES));

function writeNewTraces(): void {
  do {
    let from = takeRandom(NEW_TRACES * (TRACE_BYTES + PARENT_BYTES));
    for (let text = 0; text < newTracesBytes.length; text += TEMPLATE.length) {
      from = writeHex(from, TRACE_BYTES, text + 3);
      from = writeHex(from, PARENT_BYTES, text + 36);
    }
    newTraces = newTracesBytes.latin1Slice();
    // An id that is all zero is no id. This finds it, and half a trace id, which is as rare.
  } while (newTraces.includes(`-${ZERO_PARENT}`));
  nextNew = 0;
}

function writeHex(from: number, bytes: number, to: number): number {
  for (let index = 0; index < bytes; index++) {
    const byte = pool[from + index]!;
    newTracesBytes[to + 2 * index] = HEX_DIGITS[byte >> 4]!;
    newTracesBytes[to + 2 * index + 1] = HEX_DIGITS[byte & 15]!;
  }
  return from + bytes;
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
    if (nextNew === newTraces.length) writeNewTraces();
    const text = newTraces.slice(nextNew, nextNew + TEMPLATE.length);
    nextNew += TEMPLATE.length;
    return sampled ? text : `${text.slice(0, -2)}00`;
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
