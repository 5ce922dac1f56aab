/**
 * Very many tasks, cancelled and timed out in random order, with workers dying in between, against a model that says what each must give.
 *
 * What is random comes from a seed, which a failure names. The model knows at each abort whether the promise has been settled: in a turn of
 * the event loop that begins, all that was settled has been told. So an abort's outcome is exact: Cancelled with that reason, or
 * what it was before. GAMMALOOP_MODEL_TASKS and GAMMALOOP_MODEL_SEED choose another number and another order.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { Runner, TaskOptions } from '../../../lib/runner/index.js';
import { makeRunner } from './support.js';

const TASKS = Number(process.env['GAMMALOOP_MODEL_TASKS'] ?? 10_000);
const SEED = Number(process.env['GAMMALOOP_MODEL_SEED'] ?? 20_250);
const THREADS = 2;
const CAPACITY = 400;

function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What a task gives when it is left alone; `never`: nothing, it has to be stopped. */
type Own = { value: unknown } | { error: object } | 'never';

interface Kind {
  readonly weight: number;
  make(i: number, random: (below: number) => number): { name: string; args: unknown[]; own: Own; transfer?: object[] };
}

const flags = () => new Int32Array(new SharedArrayBuffer(8));
const bytesOf = (i: number, random: (below: number) => number) => new Uint8Array(random(50_000)).fill(i);

const kinds: Kind[] = [
  { weight: 6000, make: (i) => ({ name: 'add', args: [i, 1], own: { value: i + 1 } }) },
  { weight: 1500, make: (i) => ({ name: 'addLater', args: [i, 1], own: { value: i + 1 } }) },
  { weight: 800, make: () => ({ name: 'thrower', args: [], own: { error: { name: 'TypeError', code: 'E_TASK' } } }) },
  {
    weight: 100,
    make: () => ({ name: 'unclonable', args: [], own: { error: { code: 'ERR_GAMMALOOP_TASK_RESULT' } } }),
  },
  {
    weight: 800,
    make: (i, random) => {
      const bytes = bytesOf(i, random);
      return { name: 'echo', args: [bytes], own: { value: bytes } };
    },
  },
  {
    weight: 400,
    make: (i, random) => {
      const bytes = bytesOf(i, random);
      return { name: 'move', args: [bytes], own: { value: bytes.slice() }, transfer: [bytes.buffer] };
    },
  },
  { weight: 60, make: () => ({ name: 'poll', args: [flags()], own: 'never' }) },
  {
    weight: 25,
    make: (i) => ({
      name: 'exit',
      args: [i % 100],
      own: { error: { code: 'ERR_GAMMALOOP_WORKER_EXIT', task: 'exit' } },
    }),
  },
  { weight: 5, make: () => ({ name: 'spinForever', args: [flags()], own: 'never' }) },
];
const totalWeight = kinds.reduce((sum, { weight }) => sum + weight, 0);

function drawn(at: number): Kind {
  let before = 0;
  return kinds.find(({ weight }) => {
    before += weight;
    return at < before;
  })!;
}

class Entry {
  readonly controller = new AbortController();
  settled = false;
  /** Aborted before it was settled: that it must give. */
  #reason: object | null = null;
  /** Aborted when it may have been settled already, which has not been told yet. */
  #laterReason: object | null = null;
  readonly #own: Own;
  readonly #timeout: number;
  readonly #startedAt = performance.now();
  readonly #counts: Record<string, number>;

  get endsByItself(): boolean {
    return this.#own !== 'never';
  }

  constructor(own: Own, timeout: number, counts: Record<string, number>) {
    this.#own = own;
    this.#timeout = timeout;
    this.#counts = counts;
  }

  abort(): void {
    const reason = {};
    if (!this.settled) this.#reason ??= reason;
    this.controller.abort(reason);
  }

  abortLater(): void {
    queueMicrotask(() => {
      this.#laterReason = {};
      this.controller.abort(this.#laterReason);
    });
  }

  /** What is wrong about that; null: nothing. */
  onSettled(value: unknown, error: (Error & { code?: string; cause?: unknown }) | null): string | null {
    const wrong = this.settled ? 'settled twice' : this.#judge(value, error);
    this.settled = true;
    return wrong;
  }

  #judge(value: unknown, error: (Error & { code?: string; cause?: unknown }) | null): string | null {
    const isCancelled = error?.code === 'ERR_GAMMALOOP_CANCELLED';
    if (this.#reason !== null || (isCancelled && this.#laterReason !== null)) {
      this.#counts['cancelled']!++;
      return isCancelled && error.cause === (this.#reason ?? this.#laterReason) ? null : 'aborted, not Cancelled';
    }
    if (error?.code === 'ERR_GAMMALOOP_TIMEOUT') {
      this.#counts['timedOut']!++;
      return performance.now() - this.#startedAt >= this.#timeout ? null : 'timed out too early';
    }
    if (this.#own === 'never') return 'ended though it never ends';
    if ('value' in this.#own) {
      this.#counts['done']!++;
      return error === null && isSame(value, this.#own.value) ? null : 'not its value';
    }
    this.#counts['failed']!++;
    const expected = Object.entries(this.#own.error);
    const isExpected = expected.every(([key, its]) => (error as unknown as Record<string, unknown>)?.[key] === its);
    return isExpected ? null : 'not its error';
  }
}

function isSame(a: unknown, b: unknown): boolean {
  return b instanceof Uint8Array ? a instanceof Uint8Array && Buffer.compare(a, b) === 0 : a === b;
}

class Model {
  readonly counts = { done: 0, failed: 0, cancelled: 0, timedOut: 0, refused: 0 };
  readonly #random: (below: number) => number;
  readonly #runner: Runner;
  readonly #waits: boolean;
  readonly #open = new Set<Entry>();
  readonly #promises: Promise<void>[] = [];
  readonly wrong: string[] = [];
  #made = 0;

  constructor(runner: Runner, seed: number, waits: boolean) {
    this.#runner = runner;
    this.#random = randomOf(seed);
    this.#waits = waits;
  }

  async run(tasks: number): Promise<void> {
    while (this.#made < tasks) {
      const burst = this.#random(this.#random(20) === 0 ? 2 * CAPACITY : 60);
      for (let n = burst; n > 0 && this.#made < tasks; n--) this.#add();
      await new Promise(setImmediate);
      this.#abortSome();
      if (this.#random(20) > 0) await this.#settledTo(CAPACITY / 2);
    }
    await this.#settledTo(0);
    await Promise.all(this.#promises);
  }

  async #settledTo(open: number): Promise<void> {
    while (this.#open.size > open) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      this.#abortSome();
    }
  }

  #abortSome(): void {
    for (const entry of this.#open) {
      if (this.#random(entry.endsByItself ? 500 : 4) === 0) entry.abort();
    }
  }

  #add(): void {
    const random = this.#random;
    const i = this.#made++;
    const { name, args, own, transfer } = drawn(random(totalWeight)).make(i, random);
    const timeout = random(20) === 0 ? random(12) : Number.POSITIVE_INFINITY;
    const entry = new Entry(own, timeout, this.counts);
    const how = random(40);
    if (how === 0) entry.abort();
    const options: TaskOptions = {
      priority: random(8),
      signal: entry.controller.signal,
      ...(timeout < Number.POSITIVE_INFINITY && { timeout }),
      ...(transfer !== undefined && { transfer }),
      ...(random(3) === 0 && { traceId: `trace ${i}` }),
    };
    const mayRefuse = !this.#waits && this.#open.size >= CAPACITY;
    this.#open.add(entry);
    const onEnd = (wrong: string | null) => {
      this.#open.delete(entry);
      if (wrong !== null) this.wrong.push(`task ${i}, ${name}: ${wrong}`);
    };
    this.#promises.push(
      this.#runner.run(name, args, options).then(
        (value) => onEnd(entry.onSettled(value, null)),
        (error) => {
          if (error?.code === 'ERR_GAMMALOOP_QUEUE_FULL' && mayRefuse && !entry.settled) {
            this.counts.refused++;
            entry.settled = true;
            onEnd(null);
          } else {
            onEnd(entry.onSettled(undefined, error));
          }
        },
      ),
    );
    if (how === 1) entry.abort(); // no result can be there yet
    if (how === 2) entry.abortLater(); // one may: where the queue is full, the next call looks for room
  }
}

test.each(['reject', 'wait'] as const)(`${TASKS / 2} tasks, whenFull: '%s'`, { timeout: 120_000 }, async (whenFull) => {
  const seed = whenFull === 'wait' ? SEED + 1 : SEED;
  const runner = makeRunner({ threads: THREADS, graceMs: 5, queue: { capacity: CAPACITY, whenFull } });
  await runner.start();
  const buffersBefore = await heldBuffers();
  const model = new Model(runner, seed, whenFull === 'wait');
  await model.run(TASKS / 2);
  expect(model.wrong, `seed ${seed}`).toEqual([]);
  expect(Object.values(model.counts).reduce((sum, count) => sum + count)).toBe(TASKS / 2);
  for (const [what, count] of Object.entries(model.counts)) {
    if (what !== 'refused' || whenFull === 'reject') expect(count, what).toBeGreaterThan(0);
  }
  // It is whole.
  expect(await Promise.all(Array.from({ length: 100 }, (_, i) => runner.run('add', [i, 1])))).toHaveLength(100);
  const { done, ...others } = model.counts;
  expect(runner.stats()).toMatchObject({ done: done + 100, ...others, waiting: 0, queued: 0 });
  await runner.close();
  const { threads, running } = runner.stats();
  expect([running, threads.ended]).toEqual([0, threads.started]);
  expect(await heldBuffers()).toBeLessThan(buffersBefore + 1_000_000);
});

/** Bytes of array buffers, those of parcels that have arrived included, when all garbage has gone. */
async function heldBuffers(): Promise<number> {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise(setImmediate);
  }
  return process.memoryUsage().arrayBuffers;
}
