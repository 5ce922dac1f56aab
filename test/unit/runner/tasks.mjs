// The tasks of the tests.
import { getPriority } from 'node:os';
import { runInNewContext } from 'node:vm';
import { threadId, workerData } from 'node:worker_threads';
import { arrive, awaitOpen, count, isGate, leave, opened } from './gates.mjs';

const { taskContext, transfer } = await import(workerData.library);

export function init(info) {
  if (workerData.failInit) throw new RangeError('init failed');
  if (workerData.starts && count(workerData.starts) > 0) throw new Error('only one');
  globalThis.initialised = info.workerData === workerData && info.threadId === threadId;
  if (workerData.initGate) awaitOpen(workerData.initGate);
}

export async function dispose() {
  if (!workerData.disposed) return;
  await new Promise(setImmediate);
  count(workerData.disposed);
}

export const add = (a, b) => a + b;
export const addLater = async (a, b) => a + b;
export const echo = (value) => value;
export const echoAll = (...values) => values;
/** Told apart from every other worker's. */
export const worker = () => `${process.pid} ${threadId}`;
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
export function throwAborted() {
  const cause = new DOMException('stopped', { name: 'AbortError', cause: new RangeError('why') });
  throw new Error('outer', { cause });
}
export const rejecter = async (kind) => thrower(kind);
export const unclonable = () => ({ helper: () => {} });
export const unclonableSymbol = () => Symbol('x');

/** Says that it runs, then blocks until the gate opens. */
export function block(gate) {
  arrive(gate);
  awaitOpen(gate);
  return 'unblocked';
}

/** The same, without holding the thread. */
export async function pause(gate) {
  arrive(gate);
  await opened(gate);
  return taskContext().name;
}

/** Waits at the gate that it is given, fails, or gives back what it got. */
export async function pauseOrEcho(item) {
  if (item?.fail) throw new Error('asked to fail');
  return isGate(item) ? pause(item) : item;
}

/** Polls until it is cancelled; says by the second word how. */
export function poll(gate) {
  const context = taskContext();
  const { signal } = context;
  arrive(gate);
  while (!context.isCancelled());
  leave(gate, signal.aborted ? 2 : 1);
}

export async function untilAborted(gate) {
  const { signal } = taskContext();
  arrive(gate);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  leave(gate, signal.reason.code === 'ERR_GAMMALOOP_CANCELLED' ? 2 : 1);
}

export function spinForever(gate) {
  arrive(gate);
  for (;;);
}

/** Fast as a rule; true: never ends, once it has said that it runs. */
export function maybeHang(hang) {
  if (!hang) return;
  arrive(workerData.gate);
  for (;;);
}

export const context = () => {
  const { name, traceId, deadline } = taskContext();
  return { name, traceId, left: deadline - performance.now() };
};
export async function contextLater(gate) {
  if (gate) await pause(gate);
  return taskContext().traceId;
}

export const priority = () => getPriority();
export const exit = (code) => process.exit(code);
/** Of a process. */
export const die = (signal) => (signal === 'SIGABRT' ? process.abort() : process.kill(process.pid, signal) && spin());
const spin = () => {
  for (;;);
};
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
export const makeShared = () => new Int32Array(new SharedArrayBuffer(4));
export function makePort() {
  const { port1 } = new MessageChannel();
  return transfer(port1, [port1]);
}
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
/** After collections of garbage, and turns of the loop between them: what is sent is held until the system has taken it. */
export const arrayBuffers = async () => {
  const collectGarbage = runInNewContext('gc'); // the tests have exposed it
  for (let i = 0; i < 10; i++) {
    collectGarbage();
    await new Promise(setImmediate);
  }
  return process.memoryUsage().arrayBuffers;
};

let onLoan;
/** Does with bytes that were moved here what it is told. */
export function useMoved(bytes, what) {
  onLoan = bytes;
  const { buffer } = bytes;
  switch (what) {
    case 'moves':
      return transfer(bytes, [buffer]);
    case 'moves it and no more':
      return transfer(1, [buffer]);
    case 'moves it twice':
      return transfer(bytes, [buffer, buffer]);
    case 'moves it with another': {
      const other = Uint8Array.from(bytes);
      return transfer([other, bytes], [other.buffer, buffer]);
    }
    case 'moves it by message':
      return transfer([bytes, new SharedArrayBuffer(1)], [buffer]);
    case 'moves another':
      return transfer(new Uint8Array(bytes.length), [new ArrayBuffer(bytes.length)]);
    case 'moves another of its size': {
      const other = new Uint8Array(bytes.length);
      return transfer(other, [other.buffer]);
    }
    case 'copies':
      return bytes;
    case 'clones':
      return structuredClone(bytes, { transfer: [buffer] });
    case 'fails':
      throw new RangeError('asked to');
    case 'ends its worker':
      return process.exit(3);
  }
}
export const movedBefore = () => (onLoan.length === 0 ? 'gone' : onLoan);
export const forgetMoved = () => {
  onLoan = undefined;
  runInNewContext('gc')();
};
