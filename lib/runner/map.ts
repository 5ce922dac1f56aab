/** `runner.map`: a task for each item, some at a time, the results as an async iterable. */

import { OptionError } from '../errors.js';
import { abandonOnCancel } from '../scope/abandon.js';

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

interface Outcome {
  readonly key: number;
  readonly value?: unknown;
  readonly error?: unknown;
  readonly failed: boolean;
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
  const inFlight = new Map<number, Promise<Outcome>>();
  let next = 0;
  let exhausted = false;
  let drawing: Promise<null> | null = null;
  let sourceWorks = false;
  const draw = async (): Promise<null> => {
    try {
      sourceWorks = true;
      const drawn = await items.next();
      if (drawn.done === true) {
        exhausted = true;
      } else {
        const key = next++;
        inFlight.set(key, outcomeOf(key, run(drawn.value)));
      }
    } catch (error) {
      exhausted = true; // a source that throws is over
      const key = next++;
      inFlight.set(key, Promise.resolve({ key, error, failed: true }));
    }
    sourceWorks = false;
    return null;
  };
  try {
    for (;;) {
      if (!exhausted && drawing === null && inFlight.size < options.concurrency) {
        drawing = draw();
      }
      const awaited: Promise<Outcome | null>[] = drawing === null ? [] : [drawing];
      for (const outcome of inFlight.values()) {
        awaited.push(outcome);
        if (options.ordered) break;
      }
      if (awaited.length === 0) {
        return;
      }
      const outcome = await abandonOnCancel(Promise.race(awaited));
      if (outcome === null) {
        drawing = null;
        continue;
      }
      inFlight.delete(outcome.key);
      if (outcome.failed) {
        throw outcome.error;
      }
      yield outcome.value;
    }
  } finally {
    cancel();
    if (!exhausted) {
      const closed = Promise.resolve(items.return?.());
      // A source that is at work on its next item ends after that, which may be never.
      if (sourceWorks) closed.catch(() => {});
      else await closed;
    }
  }
}

function outcomeOf(key: number, promise: Promise<unknown>): Promise<Outcome> {
  return promise.then(
    (value) => ({ key, value, failed: false }),
    (error) => ({ key, error, failed: true }),
  );
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
