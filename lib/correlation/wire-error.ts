/**
 * Errors as they travel: name, code, message, the sender's stack and the chain of causes, as plain data. On arrival they are
 * `RemoteError`s (or the class of gammaloop that the code belongs to), so that `error.code` can be asked on both sides alike.
 */
import {
  BrokenError,
  NoResponderError,
  PayloadError,
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
  readonly cause?: unknown;
}

/** Deeper causes are cut off: a chain may be a cycle. */
const MAX_CAUSES = 8;

export function encodeError(error: unknown, depth = 0): WireError {
  if (typeof error !== 'object' || error === null) {
    return { name: 'Error', code: '', message: String(error) };
  }
  // Whatever a handler threw, reading it must not throw again.
  try {
    const { name, code, message, stack, cause } = error as Record<string, unknown>;
    const wire: { -readonly [Key in keyof WireError]: WireError[Key] } = {
      name: typeof name === 'string' ? name : 'Error',
      code: typeof code === 'string' || typeof code === 'number' ? String(code) : '',
      message: typeof message === 'string' ? message : '',
    };
    if (typeof stack === 'string') wire.stack = stack;
    if (cause !== undefined && depth < MAX_CAUSES) wire.cause = encodeError(cause, depth + 1);
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

export function decodeError(wire: WireError, depth = 0): Error {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const code = text(wire.code);
  const message = text(wire.message);
  const cause =
    typeof wire.cause === 'object' && wire.cause !== null && depth < MAX_CAUSES
      ? decodeError(wire.cause as WireError, depth + 1)
      : undefined;
  const options = cause === undefined ? undefined : { cause };
  switch (code) {
    case 'ERR_GAMMALOOP_NO_RESPONDER':
      return new NoResponderError(message, options);
    case 'ERR_GAMMALOOP_RESPONDER_BUSY':
    case 'ERR_GAMMALOOP_RESPONDER_CLOSED':
    case 'ERR_GAMMALOOP_RESPONDER_KIND':
      return new ResponderError(code as ResponderErrorCode, message, options);
    case 'ERR_GAMMALOOP_PAYLOAD':
      return new PayloadError(message, options);
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
      });
  }
}
