/**
 * Every error class of gammaloop and every code. A code never changes its meaning; messages may. docs/errors.md lists them.
 * Messages say what happened, to what, and what to do.
 */
import { CodedError, GammaloopError } from './errors/base.js';
import {
  ABORT_TEXT,
  CONNECT_ADVICE,
  describeValue,
  errorText,
  LISTEN_ADVICE,
  placeText,
  SELECTOR_FAILURES,
} from './errors/text.js';

export * from './errors/port-errors.js';
export { GammaloopError };

/**
 * Why an exchange ended before its response did. `client`: the peer closed or reset the connection. `handler-timeout`:
 * `timeouts.handler` passed. `body-timeout`, `body-invalid`, `body-too-large`: the request's body came too slowly, was malformed, or
 * passed `limits.bodyBytes`. `server-closing`: cut by `close({ deadline })`. `local`: destroyed by the application, or its
 * response broke its own framing. The backend has answered (503, 408, 400, 413) where no response had begun.
 */
export type AbortReason =
  | 'client'
  | 'handler-timeout'
  | 'body-timeout'
  | 'body-invalid'
  | 'body-too-large'
  | 'server-closing'
  | 'local';

/** An option has a wrong value, is unknown, or is missing. */
export class OptionError extends GammaloopError {
  /** The path of the option: 'port', 'limits.headerBytes'. */
  readonly option: string;
  /** What would have been right. */
  readonly expected: string;

  /** `received`: at most one value, what came. */
  constructor(option: string, expected: string, ...received: unknown[]) {
    const came = received.length > 0 ? `, but got ${describeValue(received[0])}` : '';
    super('ERR_GAMMALOOP_OPTION', `Option '${option}': expected ${expected}${came}`);
    this.option = option;
    this.expected = expected;
  }
}

export interface ListenErrorDetails {
  /** As node gives it: EADDRINUSE, EACCES, EADDRNOTAVAIL, ENOTFOUND ... */
  code: string;
  errno?: number | undefined;
  syscall?: string | undefined;
  address?: string | undefined;
  port?: number | undefined;
  cause?: unknown;
}

/** What listening and connecting fail with: `code`, `errno`, `syscall`, `address` and `port` are as node's own errors have them. */
class AddressError extends GammaloopError {
  readonly errno: number | undefined;
  readonly syscall: string;
  readonly address: string | undefined;
  readonly port: number | undefined;

  constructor(action: string, advice: Record<string, string>, details: ListenErrorDetails) {
    const { code, errno, syscall = action, address, port, cause } = details;
    const what = advice[code] ?? 'see errno(3) for the meaning of the code';
    const message = `${syscall} ${code}${placeText(address, port)}: ${what}`;
    super(code, message, cause === undefined ? undefined : { cause });
    this.errno = errno;
    this.syscall = syscall;
    this.address = address;
    this.port = port;
  }
}

/** The server could not listen. */
export class ListenError extends AddressError {
  constructor(details: ListenErrorDetails) {
    super('listen', LISTEN_ADVICE, details);
  }
}

/** A connection could not be made. */
export class ConnectError extends AddressError {
  constructor(details: ListenErrorDetails) {
    super('connect', CONNECT_ADVICE, details);
  }
}

/** An established connection broke. `code` is as node gives it: ECONNRESET, EPIPE, ETIMEDOUT ... */
export class ConnectionError extends GammaloopError {
  readonly errno: number;

  constructor(code: string, errno: number) {
    super(code, `The connection broke: ${code}; the other side closed or reset it, or the network failed`);
    this.errno = errno;
  }
}

/** The stream ended before as much had come as was asked for. */
export class IncompleteReadError extends GammaloopError {
  /** What came. The stream has it no more. */
  readonly partial: Buffer;
  /** How many bytes were asked for; null: the separator did not come. */
  readonly expected: number | null;

  constructor(partial: Buffer, expected: number | null) {
    const wanted = expected === null ? 'the separator came' : `${expected} bytes had come`;
    super('ERR_GAMMALOOP_INCOMPLETE_READ', `The stream ended after ${partial.length} bytes, before ${wanted}`);
    this.partial = partial;
    this.expected = expected;
  }
}

/** The separator did not come within the limit. The bytes are still there to be read. */
export class ReadLimitError extends GammaloopError {
  readonly limit: number;

  constructor(limit: number) {
    super(
      'ERR_GAMMALOOP_READ_LIMIT',
      `The separator did not come within ${limit} bytes; give a higher limit, or close the stream`,
    );
    this.limit = limit;
  }
}

export interface AddonMissingDetails {
  platform: string;
  arch: string;
  /** 'glibc', 'musl', or '' where that is no question. */
  libc: string;
  /** Paths and packages that were looked at, in order, each with why it did not do. */
  tried: readonly string[];
  /** What to do. */
  fix?: string;
  cause?: unknown;
}

/** The native addon could not be loaded, and `backend: 'native'` asked for it. */
export class AddonMissingError extends GammaloopError {
  readonly platform: string;
  readonly arch: string;
  readonly libc: string;
  readonly tried: readonly string[];
  readonly fix: string;

  constructor(details: AddonMissingDetails) {
    const { platform, arch, libc, tried, cause } = details;
    const fix =
      details.fix ??
      "build it with 'npm run build' (needs Python 3, make and g++), or choose backend 'node' (GAMMALOOP_BACKEND=node)";
    const target = [platform, arch, libc].filter((part) => part !== '').join('-');
    super(
      'ERR_GAMMALOOP_ADDON_MISSING',
      `The native addon could not be loaded for ${target}; tried: ${tried.length === 0 ? 'nothing' : tried.join('; ')}. To fix: ${fix}`,
      cause === undefined ? undefined : { cause },
    );
    this.platform = platform;
    this.arch = arch;
    this.libc = libc;
    this.tried = tried;
    this.fix = fix;
  }
}

/** A header or trailer name, a header value, or a status text that must not be sent (CR, LF, NUL, not a token ...). */
export class HeaderError extends GammaloopError {
  constructor(message: string) {
    super('ERR_GAMMALOOP_HEADER', message);
  }
}

/** A handler's result is no response, or breaks its own framing (a body longer than its content-length, a used Response ...). */
export class ResponseError extends GammaloopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_RESPONSE', message, options);
  }
}

/** An ASGI application broke the protocol: an unknown or misplaced message, a wrong type in one. */
export class AsgiError extends GammaloopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_ASGI', message, options);
  }
}

/** The ASGI application reported that its startup or shutdown failed. */
export class LifespanError extends GammaloopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_LIFESPAN', message, options);
  }
}

export type BodyErrorCode =
  | 'ERR_GAMMALOOP_BODY_USED'
  | 'ERR_GAMMALOOP_BODY_TOO_LARGE'
  | 'ERR_GAMMALOOP_BODY_ABORTED'
  | 'ERR_GAMMALOOP_BODY_INVALID'
  | 'ERR_GAMMALOOP_BODY_TIMEOUT';

/** A body cannot be read, or not to its end. */
export class BodyError extends CodedError<BodyErrorCode> {
  /** What the reader of a request's body gets when the exchange is aborted. */
  static fromAbort(reason: AbortReason): BodyError {
    switch (reason) {
      case 'body-too-large':
        return new BodyError(
          'ERR_GAMMALOOP_BODY_TOO_LARGE',
          'The request body is larger than limits.bodyBytes; it was answered 413',
        );
      case 'body-invalid':
        return new BodyError('ERR_GAMMALOOP_BODY_INVALID', 'The request body is malformed; it was answered 400');
      case 'body-timeout':
        return new BodyError('ERR_GAMMALOOP_BODY_TIMEOUT', 'The request body came too slowly; it was answered 408');
      default:
        return new BodyError('ERR_GAMMALOOP_BODY_ABORTED', `The request body ended early: ${ABORT_TEXT[reason]}`, {
          cause: new AbortedError(reason),
        });
    }
  }
}

const ABORT_CODES: Record<AbortReason, string> = {
  client: 'ERR_GAMMALOOP_CLIENT_GONE',
  'handler-timeout': 'ERR_GAMMALOOP_HANDLER_TIMEOUT',
  'body-timeout': 'ERR_GAMMALOOP_BODY_TIMEOUT',
  'body-invalid': 'ERR_GAMMALOOP_BODY_INVALID',
  'body-too-large': 'ERR_GAMMALOOP_BODY_TOO_LARGE',
  'server-closing': 'ERR_GAMMALOOP_SERVER_CLOSING',
  local: 'ERR_GAMMALOOP_DESTROYED',
};

/** The request ended before its response did: the reason of an aborted `request.signal`. `reason` is the AbortReason. */
export class AbortedError extends GammaloopError {
  readonly reason: AbortReason;

  constructor(reason: AbortReason) {
    super(ABORT_CODES[reason], `The request was aborted: ${ABORT_TEXT[reason]}`);
    this.reason = reason;
  }
}

/** More datagrams than `maxQueueBytes` would wait to be sent. The one at hand was not taken. */
export class DatagramQueueError extends GammaloopError {
  readonly maxQueueBytes: number;

  constructor(maxQueueBytes: number) {
    super(
      'ERR_GAMMALOOP_DATAGRAM_QUEUE',
      `The datagram was not sent: ${maxQueueBytes} bytes would wait; heed pauseWriting(), or raise maxQueueBytes`,
    );
    this.maxQueueBytes = maxQueueBytes;
  }
}

/** Something that this side has closed already was used. */
export class ClosedError extends GammaloopError {
  constructor(what: string) {
    super('ERR_GAMMALOOP_CLOSED', `${what} is closed; create a new one`);
  }
}

/** Thrown at a checkpoint of a cancelled scope, which absorbs it at its end. Let it pass on. `reason`: what `cancel` was given. */
export class Cancelled extends GammaloopError {
  readonly reason: unknown;

  constructor(message: string, reason?: unknown) {
    super('ERR_GAMMALOOP_CANCELLED', message, reason === undefined ? undefined : { cause: reason });
    this.reason = reason;
  }
}

/** The queue of a runner is full, and `whenFull` says to refuse. */
export class QueueFullError extends GammaloopError {
  readonly capacity: number;

  constructor(capacity: number) {
    super(
      'ERR_GAMMALOOP_QUEUE_FULL',
      `The queue of the runner is full (capacity ${capacity}); send less at a time, raise queue.capacity, or set queue.whenFull to 'wait'`,
    );
    this.capacity = capacity;
  }
}

export type TaskErrorCode =
  | 'ERR_GAMMALOOP_TASK_UNKNOWN'
  | 'ERR_GAMMALOOP_TASK_FUNCTION'
  | 'ERR_GAMMALOOP_TASK_RESULT'
  | 'ERR_GAMMALOOP_WORKER_START'
  | 'ERR_GAMMALOOP_WORKER_HANG'
  | 'ERR_GAMMALOOP_WORKER_EXIT'
  | 'ERR_GAMMALOOP_WORKER_EXCEPTION'
  | 'ERR_GAMMALOOP_WORKER_REJECTION'
  | 'ERR_GAMMALOOP_WORKER_MEMORY'
  | 'ERR_GAMMALOOP_NATIVE_LIBRARY'
  | 'ERR_GAMMALOOP_NATIVE_ABI'
  | 'ERR_GAMMALOOP_NATIVE_SYMBOL'
  | 'ERR_GAMMALOOP_NATIVE_TASK';

type TaskErrorOptions = ErrorOptions & { exitCode?: number; signal?: string; taskCode?: number };

/** A task of a runner could not be run to its end, or its result could not be brought back. */
export class TaskError extends CodedError<TaskErrorCode> {
  /** The name of the task. */
  readonly task: string;
  /** Where its worker has ended. */
  readonly exitCode: number | undefined;
  /** Where its worker was a process, and a signal has ended it: 'SIGSEGV'. */
  readonly signal: string | undefined;
  /** What a native task has returned as its own error code. */
  readonly taskCode: number | undefined;

  constructor(code: TaskErrorCode, task: string, message: string, options: TaskErrorOptions = {}) {
    super(code, message, options);
    this.task = task;
    this.exitCode = options.exitCode;
    this.signal = options.signal;
    this.taskCode = options.taskCode;
  }
}

/** A deadline passed before the work was done. */
export class TimeoutError extends GammaloopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_TIMEOUT', message, options);
  }
}

export type ScopeErrorCode =
  | 'ERR_GAMMALOOP_SCOPE_USED'
  | 'ERR_GAMMALOOP_NURSERY_CLOSED'
  | 'ERR_GAMMALOOP_NOT_READY'
  | 'ERR_GAMMALOOP_READY_TWICE'
  | 'ERR_GAMMALOOP_NOT_HELD';

/** A scope, nursery, lock or limiter was used against its rules. */
export class ScopeError extends CodedError<ScopeErrorCode> {}

/** Several children of a nursery failed; `errors` has each. One error alone comes as itself unless the nursery is `strict`. */
export class NurseryError extends AggregateError {
  readonly code = 'ERR_GAMMALOOP_NURSERY';
  readonly strict: boolean;

  constructor(errors: Iterable<unknown>, strict = false) {
    const list = [...errors];
    super(list, `${list.length} error${list.length === 1 ? '' : 's'} in a nursery: ${list.map(errorText).join('; ')}`);
    this.strict = strict;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/** This end of a channel was closed by its own user. */
export class ClosedResourceError extends GammaloopError {
  constructor(what: string) {
    super('ERR_GAMMALOOP_CLOSED_RESOURCE', `${what} is closed; clone() it before closing, or open a new channel`);
  }
}

/** Nobody is at the other end any more. */
export class BrokenResourceError extends GammaloopError {
  constructor(what: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_BROKEN_RESOURCE', `${what} has no one at its other end any more`, options);
  }
}

/** All sending ends are closed and everything sent has been received. */
export class EndOfChannel extends GammaloopError {
  constructor() {
    super('ERR_GAMMALOOP_END_OF_CHANNEL', 'The channel has ended: all its sending ends are closed and it is empty');
  }
}

/** Two tasks use at once what only one may use. */
export class BusyResourceError extends GammaloopError {
  constructor(what: string, action: string) {
    super('ERR_GAMMALOOP_BUSY_RESOURCE', `${what} is in use: another task is ${action} already`);
  }
}

/** It can't be done at once; the same call without `Nowait` waits. */
export class WouldBlockError extends GammaloopError {
  constructor(what: string) {
    super('ERR_GAMMALOOP_WOULD_BLOCK', `${what} would have to wait`);
  }
}

/** A descriptor cannot be watched, changed or forgotten by a selector. */
export class SelectorError extends GammaloopError {
  readonly fd: number;
  readonly errno: string;

  constructor(fd: number, errno: string) {
    const [code, what] = SELECTOR_FAILURES[errno] ?? ['FAILED', `was refused by the system: ${errno}`];
    super(`ERR_GAMMALOOP_SELECTOR_${code}`, `Descriptor ${fd} ${what}`);
    this.fd = fd;
    this.errno = errno;
  }
}
