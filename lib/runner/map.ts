/** `runner.map`: a task for each item, some at a time, the results as an async iterable. */

import { OptionError } from '../errors.js';
import { plainOwner, Waiter } from '../scope/waiter.js';

export interface MapOptions {
  /** Tasks that are in flight at a time; items are drawn as results are consumed. Default: twice the threads. */
  concurrency?: number;
  /** Results in the order of the items (the default), or as they come. */
  ordered?: boolean;
}

export function checkMapOptions(concurrency: number, ordered: boolean): Required<MapOptions> {
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new OptionError('concurrency', 'an integer, 1 or more', concurrency);
  }
  if (typeof ordered !== 'boolean') {
    throw new OptionError('ordered', 'a boolean', ordered);
  }
  return { concurrency, ordered };
}

/** Of one item. */
interface Outcome {
  isSettled: boolean;
  isError: boolean;
  value: unknown;
}

/**
 * Draws items while results are awaited, so that a slow source does not hold back what is done. The first error, of a task or the source,
 * ends the iteration. However that ends, `cancel` is then called, for the tasks that are in flight, and the source's iterator is closed.
 */
export async function* mapTasks(
  source: Iterable<unknown> | AsyncIterable<unknown>,
  run: (item: unknown) => Promise<unknown>,
  options: Required<MapOptions>,
  cancel: () => void,
): AsyncGenerator<unknown, void, void> {
  const items = iteratorOf(source);
  let inFlight = 0;
  let exhausted = false;
  let isDrawing = false;
  /** In the order in which they are given: of the items, or of their ends. */
  const outcomes = new Set<Outcome>();
  let wake = () => {};
  const begin = (promise: Promise<unknown>) => {
    const outcome: Outcome = { isSettled: false, isError: false, value: undefined };
    const settle = (value: unknown, isError: boolean) => {
      Object.assign(outcome, { isSettled: true, isError, value });
      if (!options.ordered) outcomes.add(outcome);
      wake();
    };
    inFlight++;
    if (options.ordered) outcomes.add(outcome);
    promise.then(
      (value) => settle(value, false),
      (error) => settle(error, true),
    );
  };
  const draw = async () => {
    isDrawing = true;
    try {
      const drawn = await items.next();
      if (drawn.done === true) exhausted = true;
      else begin(run(drawn.value));
    } catch (error) {
      exhausted = true; // a source that throws is over
      begin(Promise.reject(error));
    }
    isDrawing = false;
    wake();
  };
  try {
    for (;;) {
      if (!exhausted && !isDrawing && inFlight < options.concurrency) {
        void draw();
      }
      const [outcome] = outcomes;
      if (outcome?.isSettled) {
        outcomes.delete(outcome);
        inFlight--;
        if (outcome.isError) throw outcome.value;
        yield outcome.value;
      } else if (exhausted && inFlight === 0) {
        return;
      } else {
        const change = new Waiter<void>(plainOwner);
        wake = () => void change.resolve();
        await change.park();
      }
    }
  } finally {
    cancel();
    if (!exhausted) {
      const closed = Promise.resolve(items.return?.());
      // A source that is at work on its next item ends after that, which may be never.
      if (isDrawing) closed.catch(() => {});
      else await closed;
    }
  }
}

function iteratorOf(source: Iterable<unknown> | AsyncIterable<unknown>): AsyncIterator<unknown> | Iterator<unknown> {
  if (typeof (source as AsyncIterable<unknown>)?.[Symbol.asyncIterator] === 'function') {
    return (source as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  }
  if (typeof (source as Iterable<unknown>)?.[Symbol.iterator] === 'function') {
    return (source as Iterable<unknown>)[Symbol.iterator]();
  }
  throw new OptionError('iterable', 'an iterable or async iterable', source);
}
