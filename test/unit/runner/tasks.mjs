// The tasks of the tests.
import { runInNewContext } from 'node:vm';
import { threadId, workerData } from 'node:worker_threads';

const { taskContext, transfer } = await import(workerData.library);

export function init(info) {
  if (workerData.failInit) throw new RangeError('init failed');
  globalThis.initialised = info.workerData === workerData && info.threadId === threadId;
  if (workerData.initGate) Atomics.wait(workerData.initGate, 1, 0);
}

export async function dispose() {
  if (!workerData.disposed) return;
  await new Promise(setImmediate);
  Atomics.add(workerData.disposed, 0, 1);
  Atomics.notify(workerData.disposed, 0);
}

export const add = (a, b) => a + b;
export const addLater = async (a, b) => a + b;
export const echo = (value) => value;
export const echoAll = (...values) => values;
export const thread = () => threadId;
export const initialised = () => globalThis.initialised;
export const kindOf = (value) => Object.prototype.toString.call(value);
export const getWorkerData = () => ({ ...workerData, library: undefined });
export const notAFunction = 1;

export function thrower(kind) {
  if (kind === 'number') throw 42;
  if (kind === 'unclonable') throw Object.assign(new Error('has a function'), { helper: () => {}, size: 3 });
  if (kind === 'aggregate') throw new AggregateError([new TypeError('one'), 2], 'several');
  const cause = Object.assign(new RangeError('the cause'), { code: 'E_CAUSE' });
  throw Object.assign(new TypeError('the error', { cause }), { code: 'E_TASK', detail: { a: 1 } });
}
export const rejecter = async (kind) => thrower(kind);
export const unclonable = () => ({ helper: () => {} });
export const unclonableSymbol = () => Symbol('x');

/** Says that it runs, then blocks until the gate opens. */
export function block(words) {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  Atomics.wait(words, 1, 0);
  return 'unblocked';
}

/** The same, without holding the thread. */
export async function pause(words) {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  await Atomics.waitAsync(words, 1, 0).value;
  return taskContext().name;
}

/** Waits at the gate that it is given, fails, or gives back what it got. */
export async function pauseOrEcho(item) {
  if (item?.fail) throw new Error('asked to fail');
  return item instanceof Int32Array ? pause(item) : item;
}

/** Polls until it is cancelled; says by the second word how. */
export function poll(words) {
  const context = taskContext();
  const { signal } = context;
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  while (!context.isCancelled());
  Atomics.store(words, 1, signal.aborted ? 2 : 1);
  Atomics.notify(words, 1);
}

export async function untilAborted(words) {
  const { signal } = taskContext();
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  Atomics.store(words, 1, signal.reason.code === 'ERR_GAMMALOOP_CANCELLED' ? 2 : 1);
  Atomics.notify(words, 1);
}

export function spinForever(words) {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  for (;;);
}

/** Fast as a rule; true: never ends, once it has said that it runs. */
export function maybeHang(hang) {
  if (!hang) return;
  Atomics.store(workerData.gate, 0, 1);
  Atomics.notify(workerData.gate, 0);
  for (;;);
}

export const context = () => {
  const { name, traceId, deadline } = taskContext();
  return { name, traceId, left: deadline - performance.now() };
};
export async function contextLater(words) {
  if (words) await pause(words);
  return taskContext().traceId;
}

export const exit = (code) => process.exit(code);
export const never = () => new Promise(() => {});
export function uncaught() {
  setImmediate(() => {
    throw Object.assign(new TypeError('nobody catches'), { code: 'E_UNCAUGHT' });
  });
  return never();
}
export function unhandled() {
  Promise.reject(new RangeError('nobody handles'));
  return never();
}
export function outOfMemory() {
  const hoard = [];
  for (;;) hoard.push(new Array(10_000).fill({}));
}

export const move = (bytes) => transfer(bytes, [bytes.buffer]);
export const movePort = (port) => {
  port.postMessage('from the worker');
  return transfer({ port }, [port]);
};
export const addShared = (words) => {
  Atomics.add(words, 0, 1);
  return words;
};

/** Timers and promises go on while the thread waits for work. */
let ticks = 0;
export function startTicking() {
  setInterval(() => ticks++, 1).unref();
}
export async function ticksSeen(from) {
  while (ticks <= from) await new Promise((resolve) => setTimeout(resolve, 1));
  return ticks;
}

/** What the worker was given, and gives away: later it has it no more. */
let kept;
export const keepAndMove = (bytes) => {
  kept = bytes;
  return transfer(bytes, [bytes.buffer]);
};
export const keptLength = () => kept.buffer.byteLength;
export const sizeOf = (bytes) => bytes.byteLength;
export const reversed = (first, second) => transfer([second, first], [first.buffer, second.buffer]);
export const filled = (bytes, value) => new Uint8Array(bytes.byteLength).fill(value);
export const describeView = (view) => ({
  view: view.constructor.name,
  offset: view.byteOffset,
  length: view.length,
  whole: [...new Uint8Array(view.buffer, 0, 8)],
  size: view.buffer.byteLength,
});
export const moveMiddle = (bytes) => transfer(bytes.subarray(8, 16), [bytes.buffer]);
export const moveTwice = (bytes) => transfer(bytes, [bytes.buffer, bytes.buffer]);
export const isResizable = (bytes) => bytes.buffer.resizable && bytes.buffer.maxByteLength;
export const arrayBuffers = () => {
  const collectGarbage = runInNewContext('gc'); // the tests have exposed it
  collectGarbage();
  collectGarbage(); // buffers are freed beside the first, before the second
  return process.memoryUsage().arrayBuffers;
};
