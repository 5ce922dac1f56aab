/** Foreign promises know nothing of scopes. This makes waiting for one a checkpoint; the work behind it can't be stopped. */
import { plainOwner, Waiter } from './waiter.js';

/**
 * Waits for `promise`, or until the scope is cancelled: then throws Cancelled at once, and what becomes of the promise is ignored. The work
 * behind it goes on; where it takes an AbortSignal, give it the scope's.
 */
export function abandonOnCancel<T>(promise: PromiseLike<T>): Promise<T> {
  const waiter = new Waiter<T>(plainOwner);
  const parked = waiter.park();
  // Not the promise's own `then`, which may be missing, or throw.
  Promise.resolve(promise).then(
    (value) => void waiter.resolve(value),
    (error) => void waiter.reject(error),
  );
  return parked;
}
