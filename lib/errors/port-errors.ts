/** Errors of correlation and ports. */
import { CodedError, GammaloopError } from './base.js';

/** The other side went away while it was in use: the peer of a port died or closed. What this side closed gives ClosedError. */
export class BrokenError extends GammaloopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_BROKEN', message, options);
  }
}

/** As many waiters are open as the registry's capacity allows. */
export class TooManyWaitersError extends GammaloopError {
  readonly capacity: number;

  constructor(capacity: number) {
    super(
      'ERR_GAMMALOOP_TOO_MANY_WAITERS',
      `${capacity} waiters are open, which is the capacity; raise \`capacity\`, or send less at a time`,
    );
    this.capacity = capacity;
  }
}

/** Nobody subscribes to the subject of a request. */
export class NoResponderError extends GammaloopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_NO_RESPONDER', message, options);
  }
}

export type ResponderErrorCode =
  | 'ERR_GAMMALOOP_RESPONDER_BUSY'
  | 'ERR_GAMMALOOP_RESPONDER_CLOSED'
  | 'ERR_GAMMALOOP_RESPONDER_KIND';

/** A responder did not carry a request out: its queue is full, it closed, or it answers in the other way (one reply, a stream). */
export class ResponderError extends CodedError<ResponderErrorCode> {}

export type PayloadErrorCode = 'ERR_GAMMALOOP_PAYLOAD' | 'ERR_GAMMALOOP_PAYLOAD_SIZE';

/** A payload or a reply cannot be sent through the port: it holds what structured cloning does not copy, or is larger than the broker takes. */
export class PayloadError extends CodedError<PayloadErrorCode> {
  constructor(message: string, options?: ErrorOptions, code: PayloadErrorCode = 'ERR_GAMMALOOP_PAYLOAD') {
    super(code, message, options);
  }
}

export type BrokerErrorCode =
  | 'ERR_GAMMALOOP_BROKER_FULL'
  | 'ERR_GAMMALOOP_BROKER_REFUSED'
  | 'ERR_GAMMALOOP_BROKER_UNCONFIRMED'
  | 'ERR_GAMMALOOP_DEAD_LETTER';

/** A broker, or the port's own buffer before it, did not take a message, or gave up delivering it. */
export class BrokerError extends CodedError<BrokerErrorCode> {}

/** An optional package is needed and not installed. */
export class PackageMissingError extends GammaloopError {
  readonly package: string;

  constructor(name: string, neededBy: string, options?: ErrorOptions) {
    super('ERR_GAMMALOOP_PACKAGE_MISSING', `${neededBy} needs the package ${name}: npm install ${name}`, options);
    this.package = name;
  }
}

/** Parts of a streamed reply were lost on the way. */
export class StreamGapError extends GammaloopError {
  constructor(message: string) {
    super('ERR_GAMMALOOP_STREAM_GAP', message);
  }
}

export interface RemoteErrorDetails {
  code: string;
  message: string;
  remoteName: string;
  remoteStack?: string | undefined;
  cause?: unknown;
  errors?: readonly Error[] | undefined;
}

/** What a handler on the other side of a port threw. `code`, `message`, `cause` and `errors` are the thrown error's own. */
export class RemoteError extends GammaloopError {
  /** The class of the thrown error. */
  readonly remoteName: string;
  /** Its stack, in the thread or process where it was thrown. */
  readonly remoteStack: string | undefined;
  /** Where an AggregateError was thrown: what it holds. */
  readonly errors: readonly Error[] | undefined;

  constructor(details: RemoteErrorDetails) {
    const { code, message, remoteName, remoteStack, cause, errors } = details;
    super(code, message, cause === undefined ? undefined : { cause });
    this.remoteName = remoteName;
    this.remoteStack = remoteStack;
    this.errors = errors;
  }
}
