/**
 * Structured concurrency: what a nursery, a cancelled scope and a million deadlines cost. `npm run build:ts && node --expose-gc bench/scope.mjs`.
 * Prints a table with the targets. One process, no warm servers, the median of some rounds; close other work before quoting a number.
 */
import { pathToFileURL } from 'node:url';

const dist = process.env.GAMMALOOP_DIST ?? new URL('../dist/', import.meta.url).href;
const { CancelScope, checkpoint, openNursery, sleep } = await import(new URL('scope/index.js', asUrl(dist)).href);

const CHILDREN = 10_000;
const WAITERS = 100_000;
const SCOPES = 1_000_000;
const ROUNDS = 9;

const rows = [];
const report = (what, value, target) => rows.push({ what, value, target });

function asUrl(place) {
  return place.startsWith('file:') ? place : `${pathToFileURL(place).href}/`;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

function heapBytes() {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** The median of some rounds: `cold`, each after a full collection, which also shrinks the young generation; or one after the other, as in a server. */
async function rounds(fn, cold) {
  const times = [];
  globalThis.gc?.();
  for (let round = 0; round < ROUNDS; round++) {
    if (cold) globalThis.gc?.();
    const start = performance.now();
    await fn();
    times.push(performance.now() - start);
  }
  return median(times);
}

/** Promise.all before any AsyncLocalStorage is used, then with, as a program that uses scopes has it. */
async function nurseries() {
  const work = {
    'returns at once': async () => 1,
    'awaits a promise': async () => {
      await null;
    },
    'awaits an immediate': () => new Promise((resolve) => setImmediate(resolve)),
  };
  const before = {};
  const plain = (fn, cold) => rounds(() => Promise.all(Array.from({ length: CHILDREN }, fn)), cold);
  const inNursery = (fn, cold) =>
    rounds(
      () =>
        openNursery((nursery) => {
          for (let child = 0; child < CHILDREN; child++) nursery.startSoon(fn);
        }),
      cold,
    );
  for (const [name, fn] of Object.entries(work)) before[name] = await plain(fn, false);
  await openNursery(checkpoint);
  for (const [name, fn] of Object.entries(work)) {
    const ratios = [];
    for (const cold of [false, true]) {
      const all = await plain(fn, cold);
      const nursery = await inNursery(fn, cold);
      ratios.push(`${nursery.toFixed(2)} ms, ${(nursery / all).toFixed(2)}x`);
      if (!cold) ratios.push(`(${(nursery / before[name]).toFixed(2)}x without any AsyncLocalStorage)`);
    }
    const [warm, without, cold] = ratios;
    const text = `${warm} ${without}; after a full collection ${cold}`;
    report(`nursery with ${CHILDREN} children that ${name}`, text, 'at most 3x of Promise.all');
  }
}

async function cancelling() {
  for (const others of [0, WAITERS]) {
    const scope = new CancelScope();
    const single = Array.from({ length: 101 }, () => new CancelScope());
    const ended = scope.run(() =>
      openNursery((nursery) => {
        for (let waiter = 0; waiter < others; waiter++) {
          nursery.startSoon(() => sleep(3_600_000));
        }
        for (const one of single) {
          nursery.startSoon(() => one.run(() => sleep(3_600_000)));
        }
      }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc?.();
    const times = single.map((one) => {
      const start = performance.now();
      one.cancel();
      return (performance.now() - start) * 1000;
    });
    report(`cancelling one among ${others} waiters`, `${median(times).toFixed(1)} us`, 'independent of the number');
    const start = performance.now();
    scope.cancel();
    const called = performance.now() - start;
    await ended;
    const all = performance.now() - start;
    if (others > 0) {
      report(
        `cancelling a scope with ${others} waiters`,
        `${called.toFixed(1)} ms in the call, ${all.toFixed(1)} ms until all have ended`,
        'at most 100 ms',
      );
    }
  }
}

/** Each scope is entered, waits, and is left before its deadline: the cost of a request's scope. */
async function manyScopes() {
  const finish = new Array(SCOPES);
  const ends = new Array(SCOPES);
  const bytesBefore = heapBytes();
  let start = performance.now();
  for (let index = 0; index < SCOPES; index++) {
    const scope = new CancelScope({ timeout: 60_000 + ((index * 7919) % 600_000) });
    ends[index] = scope.run(
      () =>
        new Promise((resolve) => {
          finish[index] = resolve;
        }),
    );
  }
  const created = performance.now() - start;
  const bytes = heapBytes() - bytesBefore;
  const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  start = performance.now();
  for (const end of finish) {
    end();
  }
  await Promise.all(ends);
  const settled = performance.now() - start;
  // A timer that nobody needs any more is cleared at the end of the turn.
  await new Promise((resolve) => setImmediate(resolve));
  report(`${SCOPES} scopes with deadlines: create`, `${((created * 1000) / SCOPES).toFixed(2)} us each`, '');
  report('... settle', `${((settled * 1000) / SCOPES).toFixed(2)} us each`, '');
  report('... heap (with the promise and closure of the work)', `${Math.round(bytes / SCOPES)} B each`, '');
  report(
    '... timers meanwhile, and after',
    `${timers}, ${process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length}`,
    '1, 0',
  );
}

/** The waiter alone, as the correlation registry uses it. */
async function manyWaiters() {
  const { Waiter } = await import(new URL('scope/waiter.js', asUrl(dist)).href);
  const { realDeadlines } = await import(new URL('scope/deadlines.js', asUrl(dist)).href);
  const owner = { onAbort: () => true };
  const waiters = new Array(SCOPES);
  const bytesBefore = heapBytes();
  let start = performance.now();
  const now = realDeadlines.now();
  for (let index = 0; index < SCOPES; index++) {
    const waiter = new Waiter(owner);
    waiter.park();
    waiter.expireAt(now + 60_000 + ((index * 7919) % 600_000), realDeadlines);
    waiters[index] = waiter;
  }
  const created = performance.now() - start;
  const bytes = heapBytes() - bytesBefore;
  const promises = new Array(SCOPES).fill(null);
  const promiseBytesBefore = heapBytes();
  for (let index = 0; index < SCOPES; index++) promises[index] = new Promise(() => {});
  const promiseBytes = heapBytes() - promiseBytesBefore;
  start = performance.now();
  for (const waiter of waiters) {
    waiter.resolve(1);
  }
  const settled = performance.now() - start;
  report(
    `${SCOPES} waiters with deadlines: create + settle`,
    `${(((created + settled) * 1000) / SCOPES).toFixed(2)} us each`,
    'at most 2.5 us',
  );
  // Scopes are in use in this process: Node before 24 keeps its async ids and contexts on every promise. bench/correlation.mjs measures without.
  report(
    '... heap',
    `${Math.round(bytes / SCOPES)} B each, a bare promise in this process ${Math.round(promiseBytes / promises.length)} B`,
    'at most 320 B',
  );
}

await nurseries();
await cancelling();
await manyWaiters();
await manyScopes();
if (globalThis.gc === undefined) {
  console.log('Without --expose-gc the bytes mean little.');
}
const width = Math.max(...rows.map((row) => row.what.length));
for (const { what, value, target } of rows) {
  console.log(`${what.padEnd(width)}  ${value}${target === '' ? '' : `   [${target}]`}`);
}
