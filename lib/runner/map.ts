/** `runner.map`: a task for each item, some at a time, the results as an async iterable. */
import { OptionError } from '../errors.js';

export interface MapOptions {
  /** Tasks that are in flight at a time; items are drawn as results are consumed. Default: twice the threads. */
  concurrency?: number;
  /** Results in the order of the items (the default), or as they come. */
  ordered?: boolean;
}

export function checkMapOptions(options: MapOptions, defaultConcurrency: number): Required<MapOptions> {
  const { concurrency = defaultConcurrency, ordered = true } = options;
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
 * The first error ends the iteration. However that ends, `cancel` is then called, for the tasks that are in flight, and the source's
 * iterator is closed.
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
  try {
    for (;;) {
      while (!exhausted && inFlight.size < options.concurrency) {
        const drawn = await items.next();
        if (drawn.done === true) {
          exhausted = true;
          break;
        }
        const key = next++;
        inFlight.set(key, outcomeOf(key, run(drawn.value)));
      }
      if (inFlight.size === 0) {
        return;
      }
      const oldest = inFlight.values().next().value!;
      const outcome = await (options.ordered ? oldest : Promise.race(inFlight.values()));
      inFlight.delete(outcome.key);
      if (outcome.failed) {
        throw outcome.error;
      }
      yield outcome.value;
    }
  } finally {
    cancel();
    if (!exhausted) {
      await items.return?.();
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
