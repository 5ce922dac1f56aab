/**
 * The caller's stack on errors that come from a timer or a message, where the stack of the moment shows nothing of use. V8 knows which async
 * functions await the present one, so asking *after* the await costs nothing as long as nothing fails.
 */
import {
  BrokenError,
  ClosedError,
  NoResponderError,
  PayloadError,
  RemoteError,
  ResponderError,
  StreamGapError,
  TimeoutError,
} from '../errors.js';

/** Made for one waiter each. Others (a scope's Cancelled, a signal's reason) are shared, and are left alone. */
const OWN = [TimeoutError, RemoteError, NoResponderError, ResponderError, PayloadError, StreamGapError];

/** To be called in an async function after its await; `error` with the frames of those who wait for it. */
export function withCallerStack(error: unknown): unknown {
  if (error instanceof BrokenError) {
    // One for all waiters of the port: each gets its own, which has the right stack of itself.
    return new BrokenError(error.message, { cause: error });
  }
  if (error instanceof ClosedError) {
    const fresh = new ClosedError('');
    fresh.message = error.message;
    return fresh;
  }
  if (!(error instanceof Error) || !OWN.some((each) => error instanceof each)) {
    return error;
  }
  const here: { stack?: string } = {};
  Error.captureStackTrace(here, withCallerStack);
  const frames = here.stack ?? '';
  // Under what `stacks` has put there, if anything; the error's own frames are those of a timer or a message.
  error.stack = `${error.stack ?? String(error)}\n${frames.slice(frames.indexOf('\n') + 1)}`;
  return error;
}
