/**
 * ASYNC-03: 80,000 random interleavings of replies, errors, deadlines, signals, scopes, `cancel`, `close`, late, duplicate and unknown replies, against a
 * model of what the registry promises. (20,000 more, with a requester and a port, are in requester-model.test.ts.)
 */
import { expect, test } from 'vitest';
import { WaiterRegistry } from '../../../lib/correlation/waiter-registry.js';
import { CancelScope } from '../../../lib/scope/cancel-scope.js';
import { callIn } from '../../../lib/scope/scope-tree.js';
import { HandClock, Random } from './virtual.js';

const SCENARIOS = 80_000;
const SEED = 20260101;

interface Modelled {
  readonly id: number;
  readonly deadline: number;
  readonly controller: AbortController | null;
  readonly inScope: boolean;
  /** null while open. */
  expected: string | null;
  readonly seen: string[];
}

const OPS = [
  'open',
  'resolve',
  'reject',
  'late',
  'unknown',
  'advance',
  'abort',
  'cancel',
  'scope',
  'close',
  'expire',
] as const;

/** What became of a promise, as a word. */
function nameOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  return code ?? message;
}

/** `expect` is too slow for millions. */
function same(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${String(actual)} is not ${String(expected)}`);
}

function scenario(
  random: Random,
  clock: HandClock,
): { registry: WaiterRegistry; waiters: Modelled[]; counts: Record<string, number> } {
  const capacity = 1 + random.below(4);
  const abandoned: number[] = [];
  const registry = new WaiterRegistry({ capacity, timeout: 50, onAbandon: (id) => abandoned.push(id) });
  const scope = new CancelScope();
  scope.enter(null);
  const waiters: Modelled[] = [];
  const counts = {
    opened: 0,
    resolved: 0,
    rejected: 0,
    timedOut: 0,
    cancelled: 0,
    closed: 0,
    refused: 0,
    unmatched: 0,
    unknown: 0,
  };
  let closed = false;
  let scopeCancelled = false;
  const openOnes = () => waiters.filter(({ expected }) => expected === null);
  const abandon = (waiter: Modelled, outcome: string, count: 'timedOut' | 'cancelled' | 'closed') => {
    waiter.expected = outcome;
    counts[count]++;
  };

  const open = () => {
    const timeout = random.pick([undefined, 0, 1, 20, 100, Number.POSITIVE_INFINITY]);
    const controller = random.below(3) === 0 ? new AbortController() : null;
    if (random.below(8) === 0) controller?.abort(new Error('signal'));
    const inScope = random.below(2) === 0;
    const before = openOnes().length;
    const make = () => registry.open({ timeout, signal: controller?.signal });
    let opened: ReturnType<typeof make>;
    try {
      opened = inScope ? callIn(scope, make) : make();
    } catch (error) {
      same(nameOf(error), closed ? 'closed' : 'ERR_GAMMALOOP_TOO_MANY_WAITERS');
      same(closed || before === capacity, true);
      if (!closed) counts.refused++;
      return;
    }
    same(!closed && before < capacity, true);
    counts.opened++;
    const seen: string[] = [];
    opened.promise.then(
      (value) => seen.push(`value ${String(value)}`),
      (error) => seen.push(nameOf(error)),
    );
    const deadline = clock.now() + (timeout ?? 50);
    const waiter: Modelled = { id: opened.id, deadline, controller, inScope, expected: null, seen };
    waiters.push(waiter);
    if (inScope && scopeCancelled) abandon(waiter, 'ERR_GAMMALOOP_CANCELLED', 'cancelled');
    else if (controller?.signal.aborted) abandon(waiter, 'signal', 'cancelled');
  };

  for (let step = 4 + random.below(12); step > 0; step--) {
    const any = waiters.length > 0 ? random.pick(waiters) : null;
    switch (waiters.length === 0 ? 'open' : random.pick(OPS)) {
      case 'open':
        open();
        break;
      case 'resolve':
      case 'reject': {
        const waiter = any as Modelled;
        const isReply = random.below(2) === 0;
        const done = isReply
          ? registry.resolve(waiter.id, step)
          : registry.reject(waiter.id, new Error(`error ${step}`));
        same(done, waiter.expected === null);
        if (!done) counts.unmatched++;
        else {
          waiter.expected = isReply ? `value ${step}` : `error ${step}`;
          counts[isReply ? 'resolved' : 'rejected']++;
        }
        break;
      }
      case 'late': {
        const settled = waiters.filter(({ expected }) => expected !== null);
        if (settled.length === 0) break;
        same(registry.resolve(random.pick(settled).id, 'late'), false);
        counts.unmatched++;
        break;
      }
      case 'unknown':
        same(registry.resolve(random.pick([0, -1, 1.5, Number.NaN, 'x', undefined, 2 ** 52, 2 ** 24 + 9]), 1), false);
        counts.unknown++;
        break;
      case 'advance': {
        clock.advance(random.pick([0, 1, 3, 30, 80]));
        for (const waiter of openOnes()) {
          // Whole milliseconds, rounded up; one that is due now expires at the next alarm.
          if (waiter.deadline < clock.now()) abandon(waiter, 'ERR_GAMMALOOP_TIMEOUT', 'timedOut');
          else if (!registry.has(waiter.id)) {
            same(waiter.deadline, clock.now());
            abandon(waiter, 'ERR_GAMMALOOP_TIMEOUT', 'timedOut');
          }
        }
        break;
      }
      case 'abort': {
        const waiter = any as Modelled;
        waiter.controller?.abort(new Error('signal'));
        if (waiter.controller !== null && waiter.expected === null) abandon(waiter, 'signal', 'cancelled');
        break;
      }
      case 'cancel': {
        const waiter = any as Modelled;
        same(registry.cancel(waiter.id, new Error('given up')), waiter.expected === null);
        if (waiter.expected === null) abandon(waiter, 'given up', 'cancelled');
        break;
      }
      case 'expire': {
        const waiter = any as Modelled;
        same(registry.expire(waiter.id), waiter.expected === null);
        if (waiter.expected === null) abandon(waiter, 'ERR_GAMMALOOP_TIMEOUT', 'timedOut');
        break;
      }
      case 'scope':
        if (random.below(3) > 0) break;
        scope.cancel();
        scopeCancelled = true;
        for (const waiter of openOnes()) if (waiter.inScope) abandon(waiter, 'ERR_GAMMALOOP_CANCELLED', 'cancelled');
        break;
      case 'close':
        if (random.below(4) > 0) break;
        registry.close(new Error('closed'));
        for (const waiter of openOnes()) abandon(waiter, 'closed', 'closed');
        closed = true;
        break;
    }
    same(registry.size, openOnes().length);
  }
  registry.close(new Error('closed'));
  for (const waiter of openOnes()) abandon(waiter, 'closed', 'closed');
  scope.exit();
  const answered = waiters.filter(({ expected }) => /^(value|error)/.test(expected as string)).length;
  same(abandoned.length, waiters.length - answered);
  same(new Set(abandoned).size, abandoned.length);
  same(new Set(waiters.map(({ id }) => id)).size, waiters.length);
  // Settled, each of them is a late or a duplicate reply.
  for (const { id } of waiters) {
    same(registry.resolve(id, 'after'), false);
    counts.unmatched++;
  }
  return { registry, waiters, counts };
}

test(`${SCENARIOS} interleavings settle each waiter once, as the model says, and leave nothing`, {
  timeout: 60_000,
}, async () => {
  const clock = new HandClock();
  const random = new Random(SEED);
  const waiting: (ReturnType<typeof scenario> & { number: number })[] = [];
  const kinds = new Map<string, number>();
  for (let number = 0; number < SCENARIOS; number++) {
    try {
      waiting.push({ ...clock.run(() => scenario(random, clock)), number });
      if (clock.deadlines.size !== 0 || clock.alarmSet) throw new Error('a deadline is left');
    } catch (cause) {
      throw new Error(`scenario ${number} of seed ${SEED}`, { cause });
    }
    if (waiting.length < 500 && number < SCENARIOS - 1) continue;
    await new Promise((resolve) => setImmediate(resolve));
    for (const { registry, waiters, counts, number: which } of waiting) {
      for (const { expected, seen } of waiters) {
        if (seen.length !== 1 || seen[0] !== expected) {
          throw new Error(`scenario ${which} of seed ${SEED}: expected ${expected}, seen ${seen.join()}`);
        }
        const kind = (expected as string).split(' ')[0] as string;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
      const { late, duplicate, ...rest } = registry.stats();
      const { unmatched, ...expectedRest } = counts;
      same(late + duplicate, unmatched);
      for (const [name, count] of Object.entries(rest)) same(count, name === 'open' ? 0 : expectedRest[name]);
    }
    waiting.length = 0;
  }
  // Every way to end has been walked, often.
  for (const kind of [
    'value',
    'error',
    'ERR_GAMMALOOP_TIMEOUT',
    'ERR_GAMMALOOP_CANCELLED',
    'signal',
    'given',
    'closed',
  ]) {
    expect(kinds.get(kind), kind).toBeGreaterThan(1000);
  }
});
