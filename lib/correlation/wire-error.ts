/**
 * Errors as they travel: name, code, message, the sender's stack, its cause and, of an AggregateError, its errors, as plain data. On arrival they
 * are `RemoteError`s (or the class of gammaloop that the code belongs to), so that `error.code` can be asked on both sides alike.
 */
import {
  BrokenError,
  BrokerError,
  type BrokerErrorCode,
  NoResponderError,
  PayloadError,
  type PayloadErrorCode,
  RemoteError,
  ResponderError,
  type ResponderErrorCode,
  TimeoutError,
} from '../errors.js';

export interface WireError {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly stack?: string | undefined;
  /** A WireError. */
  readonly cause?: unknown;
  /** WireErrors. */
  readonly errors?: unknown;
}

/** What is nested deeper, or beyond so many, is cut off, on both sides: causes and errors may be a cycle, and a peer may send anything. */
const MAX_DEPTH = 8;
const MAX_ERRORS = 64;

/** How many more errors may come along. */
interface Room {
  left: number;
}

export function encodeError(error: unknown): WireError {
  return encode(error, 0, { left: MAX_ERRORS - 1 });
}

function encode(error: unknown, depth: number, room: Room): WireError {
  // Whatever a handler threw, reading it must not throw again.
  try {
    if (typeof error !== 'object' || error === null) {
      return { name: 'Error', code: '', message: String(error) };
    }
    const { name, code, message, stack, cause, errors } = error as Record<string, unknown>;
    const wire: { -readonly [Key in keyof WireError]: WireError[Key] } = {
      name: typeof name === 'string' ? name : 'Error',
      code: typeof code === 'string' || typeof code === 'number' ? String(code) : '',
      message: typeof message === 'string' ? message : '',
    };
    if (typeof stack === 'string') wire.stack = stack;
    if (cause !== undefined) wire.cause = nested(encode, [cause], depth, room)[0];
    if (Array.isArray(errors)) wire.errors = nested(encode, errors, depth, room);
    return wire;
  } catch {
    return { name: 'Error', code: '', message: 'an error that cannot be read' };
  }
}

/** Why a conversation is given up: without stack and causes, for there may be a hundred thousand at once. */
export function encodeReason(error: unknown): WireError {
  if (!(error instanceof Error)) {
    return { name: 'Error', code: '', message: error === undefined ? 'cancelled' : String(error) };
  }
  const { code } = error as { code?: unknown };
  return { name: error.name, code: typeof code === 'string' ? code : '', message: error.message };
}

/** Whatever came, it becomes an error: what is of another type than it should be is left out. */
export function decodeError(wire: WireError): Error {
  return decode(wire, 0, { left: MAX_ERRORS - 1 });
}

function decode(wire: WireError, depth: number, room: Room): Error {
  const code = text(wire.code);
  const message = text(wire.message);
  const cause = isObject(wire.cause) ? nested(decode, [wire.cause], depth, room)[0] : undefined;
  const options = cause === undefined ? undefined : { cause };
  switch (code) {
    case 'ERR_GAMMALOOP_NO_RESPONDER':
      return new NoResponderError(message, options);
    case 'ERR_GAMMALOOP_RESPONDER_BUSY':
    case 'ERR_GAMMALOOP_RESPONDER_CLOSED':
    case 'ERR_GAMMALOOP_RESPONDER_KIND':
      return new ResponderError(code as ResponderErrorCode, message, options);
    case 'ERR_GAMMALOOP_PAYLOAD':
    case 'ERR_GAMMALOOP_PAYLOAD_SIZE':
      return new PayloadError(message, options, code as PayloadErrorCode);
    case 'ERR_GAMMALOOP_BROKER_FULL':
    case 'ERR_GAMMALOOP_BROKER_REFUSED':
    case 'ERR_GAMMALOOP_DEAD_LETTER':
      return new BrokerError(code as BrokerErrorCode, message, options);
    case 'ERR_GAMMALOOP_TIMEOUT':
      return new TimeoutError(message, options);
    case 'ERR_GAMMALOOP_BROKEN':
      return new BrokenError(message, options);
    default:
      return new RemoteError({
        code: code === '' ? 'ERR_GAMMALOOP_REMOTE' : code,
        message,
        remoteName: text(wire.name) || 'Error',
        remoteStack: typeof wire.stack === 'string' ? wire.stack : undefined,
        cause,
        errors: Array.isArray(wire.errors)
          ? nested(decode, wire.errors.slice(0, MAX_ERRORS).filter(isObject), depth, room)
          : undefined,
      });
  }
}

/** Those of `errors` that may still come along, one level deeper. */
function nested<From, To>(
  translate: (error: From, depth: number, room: Room) => To,
  errors: readonly From[],
  depth: number,
  room: Room,
): To[] {
  const taken: To[] = [];
  for (let i = 0; i < errors.length && depth < MAX_DEPTH && room.left > 0; i++) {
    room.left--;
    taken.push(translate(errors[i] as From, depth + 1, room));
  }
  return taken;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
