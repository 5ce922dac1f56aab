/**
 * Errors between threads: class (of the standard ones), name, message, stack, code, the chain of causes, and what else was assigned to
 * them, as plain data that can be cloned. What was thrown and is no error travels as it is.
 */

import { PayloadError, TaskError, type TaskErrorCode } from '../errors.js';
import { withoutFrames } from '../scope/without-frames.js';

export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Present only where the error has a cause. */
  readonly cause?: Wrapped;
  /** A DOMException, whose name says which. */
  readonly isDom?: true;
  /** Of an AggregateError. */
  readonly errors?: readonly Wrapped[];
  readonly properties: Record<string, unknown>;
}

interface Wrapped {
  readonly error?: PlainError;
  readonly value?: unknown;
}

/** Deeper causes are cut off: a chain may be a cycle. */
const MAX_DEPTH = 8;

const CLASSES: Record<string, ErrorConstructor> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

export function isError(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

/** Never throws, whatever the error's own getters do. `canClone` says which of its properties may go along. */
export function toPlainError(error: Error, canClone: (value: unknown) => boolean, depth = 0): PlainError {
  const wrap = (value: unknown): Wrapped =>
    isError(value) ? { error: toPlainError(value, canClone, depth + 1) } : canClone(value) ? { value } : {};
  try {
    const properties: Record<string, unknown> = {};
    for (const key of Object.keys(error)) {
      const value = (error as unknown as Record<string, unknown>)[key];
      if (key !== 'stack' && key !== 'message' && canClone(value)) {
        properties[key] = value;
      }
    }
    const { code } = error as { code?: unknown };
    const isDom = error instanceof DOMException; // its code follows from its name
    if (!isDom && (typeof code === 'string' || typeof code === 'number')) {
      properties['code'] = code;
    }
    const plain = {
      name: String(error.name),
      message: String(error.message),
      stack: typeof error.stack === 'string' ? error.stack : undefined,
      properties,
      ...(isDom ? { isDom } : {}),
    };
    const hasCause = error.cause !== undefined && depth < MAX_DEPTH;
    const isAggregate = error instanceof AggregateError && depth < MAX_DEPTH;
    return {
      ...plain,
      ...(hasCause ? { cause: wrap(error.cause) } : {}),
      ...(isAggregate ? { errors: error.errors.map(wrap) } : {}),
    };
  } catch {
    return { name: 'Error', message: 'an error that cannot be read', stack: undefined, properties: {} };
  }
}

export function fromPlainError(plain: PlainError): Error {
  const unwrap = (wrapped: Wrapped) => (wrapped.error === undefined ? wrapped.value : fromPlainError(wrapped.error));
  // The frames of this thread would show the runner, not the task.
  const options = plain.cause === undefined ? undefined : { cause: unwrap(plain.cause) };
  const error = withoutFrames(() => construct(plain, options, unwrap));
  for (const [key, value] of Object.entries(plain.properties)) {
    define(error, key, value, true);
  }
  if (error.name !== plain.name) define(error, 'name', plain.name, false);
  define(error, 'stack', plain.stack ?? `${plain.name}: ${plain.message}`, false);
  return error;
}

function construct(plain: PlainError, options: ErrorOptions | undefined, unwrap: (wrapped: Wrapped) => unknown): Error {
  const { name, message, properties } = plain;
  if (plain.isDom) {
    return new DOMException(message, { name, ...options } as never); // node's types know the name alone
  }
  if (plain.errors !== undefined) {
    return new AggregateError(plain.errors.map(unwrap), message, options);
  }
  if (name === 'TaskError' && typeof properties['task'] === 'string') {
    return new TaskError(properties['code'] as TaskErrorCode, properties['task'], message, options);
  }
  if (name === 'PayloadError') {
    return new PayloadError(message, options);
  }
  return new (CLASSES[name] ?? Error)(message, options);
}

function define(error: Error, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true });
}
