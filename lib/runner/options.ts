/** The options of a runner: checked, and with their defaults. */
import { availableParallelism } from 'node:os';
import { isAbsolute } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ResourceLimits } from 'node:worker_threads';
import { OptionError } from '../errors.js';
import { MAX_TIMER_MS } from '../scope/clock.js';
import { MAX_BATCH } from './job-memory.js';
import type { NativeTaskOptions } from './task.js';
import { checkTransferList } from './transfer.js';

export interface QueueOptions {
  /** Tasks that may wait beside those that the threads can have at a time. Default 1024. */
  capacity?: number;
  /** What `run` does when that many wait: reject with QueueFullError (the default), or wait for room. */
  whenFull?: 'reject' | 'wait';
  /** Waiting for this many ms counts as one priority. Default 1000. */
  agingMs?: number;
}

export interface RecycleOptions {
  /** A worker ends, and another begins, after so many tasks. */
  tasks?: number;
  /** ... this many ms after its start. */
  ageMs?: number;
  /** ... when its heap has as many bytes in use. */
  heapBytes?: number;
}

export interface RunnerOptions {
  /** What the workers are: threads (the default), or child processes, where what crashes or leaks ends alone. */
  lane?: 'thread' | 'process';
  /** Whose functions are the tasks: a URL, or an absolute path. Left out: only `call`. */
  module?: string | URL;
  /** Workers at most; they are started as they are needed. Default: as many as the machine has processors. */
  threads?: number;
  /** Tasks that a worker may have begun at a time. More than one is for async tasks, and excludes `graceMs`. Default 1. */
  tasksPerThread?: number;
  /** Tasks of quick functions that a worker may take at a time. 1: none waits behind another while a worker has nothing to do. Default 64. */
  batchSize?: number;
  queue?: QueueOptions;
  /** Milliseconds without work after which a worker ends. Default: never. */
  idleTimeout?: number;
  /** Milliseconds in which a worker must have loaded the module and run its `init`. Default 30,000. */
  startTimeout?: number;
  /** Milliseconds that a cancelled task is given to end by itself before its worker is terminated. Default 1000; Infinity: never. */
  graceMs?: number;
  /**
   * Microseconds in which the caller looks for a result before the event loop goes on, and at least as long a worker that has just had a task looks
   * for the next one. Default: a worker 50, the caller 30 (0 for tasks in processes, and on one processor). 0: neither.
   */
  spinUs?: number;
  /**
   * Where processors are short, the event loop goes first: how much less urgent (0 to 19, as nice(1) counts) the workers are than the thread that
   * makes the runner. Of threads on Linux only; elsewhere theirs is that of the process. Default 0.
   */
  niceIncrement?: number;
  recycle?: RecycleOptions;
  /** As for a Worker of node:worker_threads. */
  resourceLimits?: ResourceLimits;
  workerData?: unknown;
  env?: NodeJS.Dict<string>;
  argv?: unknown[];
  execArgv?: string[];
}

export interface CheckedRunnerOptions {
  readonly lane: 'thread' | 'process';
  readonly module: string | undefined;
  readonly threads: number;
  readonly tasksPerThread: number;
  readonly batchSize: number;
  readonly capacity: number;
  /** Tasks that may be queued or running at a time. */
  readonly slots: number;
  readonly waits: boolean;
  readonly agingMs: number;
  readonly idleTimeout: number;
  readonly startTimeout: number;
  readonly graceMs: number;
  /** Of the caller. */
  readonly spinUs: number;
  /** Of the caller of native tasks, which are quick as a rule. */
  readonly nativeSpinUs: number;
  readonly workerSpinUs: number;
  readonly niceIncrement: number;
  readonly recycle: { readonly tasks: number; readonly ageMs: number; readonly heapBytes: number };
  readonly worker: Pick<RunnerOptions, 'resourceLimits' | 'env' | 'argv' | 'execArgv'>;
  readonly workerData: unknown;
}

const MAX_SLOTS = 1_000_000;
/** As long as a wake-up takes: two of them would be most of the time of a quick task. */
const CALLER_SPIN_US = 30;
/**
 * Of a worker that has just had a task: longer than its caller takes to wake up, or the worker would be asleep again each time that the next
 * one comes, and the caller wait for it in vain.
 */
const WORKER_SPIN_US = 50;

const KNOWN = new Set([
  'lane',
  'module',
  'threads',
  'tasksPerThread',
  'batchSize',
  'queue',
  'idleTimeout',
  'startTimeout',
  'graceMs',
  'spinUs',
  'niceIncrement',
  'recycle',
  'resourceLimits',
  'workerData',
  'env',
  'argv',
  'execArgv',
]);

export function checkRunnerOptions(options: RunnerOptions): CheckedRunnerOptions {
  checkObject('options', options, KNOWN);
  const queue = options.queue ?? {};
  checkObject('queue', queue, new Set(['capacity', 'whenFull', 'agingMs']), 'queue.');
  const recycle = options.recycle ?? {};
  checkObject('recycle', recycle, new Set(['tasks', 'ageMs', 'heapBytes']), 'recycle.');
  const whenFull = queue.whenFull ?? 'reject';
  if (whenFull !== 'reject' && whenFull !== 'wait') {
    throw new OptionError('queue.whenFull', "'reject' or 'wait'", whenFull);
  }
  const tasksPerThread = integer('tasksPerThread', options.tasksPerThread ?? 1, 1, 10_000);
  const graceMs = duration('graceMs', options.graceMs ?? (tasksPerThread === 1 ? 1000 : Number.POSITIVE_INFINITY));
  if (tasksPerThread > 1 && graceMs < Number.POSITIVE_INFINITY) {
    throw new OptionError(
      'graceMs',
      'Infinity where tasksPerThread is more than 1: ending a worker would end its other tasks',
    );
  }
  const threads = integer('threads', options.threads ?? availableParallelism(), 1, 1024);
  const capacity = integer('queue.capacity', queue.capacity ?? 1024, 0, MAX_SLOTS);
  const { resourceLimits, env, argv, execArgv } = options;
  const callerSpinUs = availableParallelism() > 1 ? CALLER_SPIN_US : 0;
  return {
    lane: checkLane(options.lane ?? 'thread'),
    module: options.module === undefined ? undefined : moduleHref(options.module),
    threads,
    tasksPerThread,
    batchSize: integer('batchSize', options.batchSize ?? MAX_BATCH, 1, MAX_BATCH),
    capacity,
    slots: capacity + threads * tasksPerThread,
    waits: whenFull === 'wait',
    agingMs: integer('queue.agingMs', queue.agingMs ?? 1000, 1, 3_600_000),
    idleTimeout: duration('idleTimeout', options.idleTimeout ?? Number.POSITIVE_INFINITY),
    startTimeout: duration('startTimeout', options.startTimeout ?? 30_000),
    graceMs,
    spinUs: integer('spinUs', options.spinUs ?? (options.lane === 'process' ? 0 : callerSpinUs), 0, 10_000),
    nativeSpinUs: options.spinUs ?? callerSpinUs,
    workerSpinUs: options.spinUs === 0 ? 0 : Math.max(options.spinUs ?? 0, WORKER_SPIN_US),
    niceIncrement: integer('niceIncrement', options.niceIncrement ?? 0, 0, 19),
    recycle: {
      tasks: duration('recycle.tasks', recycle.tasks ?? Number.POSITIVE_INFINITY, 'a number of tasks', 1),
      ageMs: duration('recycle.ageMs', recycle.ageMs ?? Number.POSITIVE_INFINITY),
      heapBytes: duration('recycle.heapBytes', recycle.heapBytes ?? Number.POSITIVE_INFINITY, 'a number of bytes', 1),
    },
    worker: {
      ...(resourceLimits && { resourceLimits }),
      ...(env && { env }),
      ...(argv && { argv }),
      ...(execArgv && { execArgv }),
    },
    workerData: options.workerData,
  };
}

/** Throws OptionError. */
export function checkTaskOptions(options: NativeTaskOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new OptionError('options', 'an object', options);
  }
  const { signal, timeout, priority, transfer, traceId, lane, onProgress } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new OptionError('signal', 'an AbortSignal', signal);
  }
  if (timeout !== undefined) {
    duration('timeout', timeout);
  }
  if (priority !== undefined) {
    integer('priority', priority, 0, 7);
  }
  if (transfer !== undefined) {
    checkTransferList(transfer);
  }
  if (traceId !== undefined && (typeof traceId !== 'string' || traceId.length > 128)) {
    throw new OptionError('traceId', 'a string of at most 128 characters', traceId);
  }
  if (lane !== undefined) {
    checkLane(lane);
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new OptionError('onProgress', 'a function', onProgress);
  }
}

/** A duration that setTimeout can take, or Infinity. */
export function timerMs(ms: number): number {
  return ms > MAX_TIMER_MS ? Number.POSITIVE_INFINITY : ms;
}

function checkLane(lane: unknown): 'thread' | 'process' {
  if (lane !== 'thread' && lane !== 'process') {
    throw new OptionError('lane', "'thread' or 'process'", lane);
  }
  return lane;
}

/** The path of a shared library. */
export function libraryPath(library: unknown): string {
  if (library instanceof URL && library.protocol === 'file:') {
    return fileURLToPath(library);
  }
  if (typeof library === 'string' && isAbsolute(library)) {
    return library;
  }
  throw new OptionError('path', 'a file URL or an absolute path (new URL(..., import.meta.url))', library);
}

/** @internal Throws OptionError. */
export function moduleHref(module: unknown): string {
  if (module instanceof URL) {
    return module.href;
  }
  if (typeof module === 'string' && isAbsolute(module)) {
    return pathToFileURL(module).href;
  }
  if (typeof module === 'string' && /^(file|data|node):/.test(module)) {
    return module;
  }
  throw new OptionError('module', 'a URL or an absolute path (new URL(..., import.meta.url))', module);
}

function checkObject(name: string, value: unknown, known: Set<string>, prefix = ''): void {
  if (typeof value !== 'object' || value === null) {
    throw new OptionError(name, 'an object', value);
  }
  for (const key of Object.keys(value)) {
    if (!known.has(key)) {
      throw new OptionError(`${prefix}${key}`, `one of ${[...known].join(', ')}`);
    }
  }
}

function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new OptionError(name, `an integer from ${min} to ${max}`, value);
  }
  return value;
}

function duration(name: string, value: unknown, what = 'milliseconds', min = 0): number {
  if (typeof value !== 'number' || !(value >= min)) {
    throw new OptionError(name, `${what}, ${min} or more, or Infinity`, value);
  }
  return value;
}
