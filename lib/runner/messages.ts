/** What the caller and a worker tell each other beside the jobs, on a port of their own. */
import type { FunctionDefinition } from './functions.js';
import type { PlainError } from './task-errors.js';

/** How a worker's loop is to work. */
export interface LoopSetup {
  readonly definitions: readonly FunctionDefinition[];
  readonly tasksPerThread: number;
  readonly batchSize: number;
  /** Milliseconds; Infinity for never. */
  readonly idleTimeout: number;
  readonly recycle: { readonly tasks: number; readonly ageMs: number; readonly heapBytes: number };
}

/** A thread's workerData. The user's own is `workerData` in it, which the module sees as its workerData. */
export interface WorkerSetup extends LoopSetup {
  readonly poolId: number;
  readonly niceIncrement: number;
  readonly spinUs: number;
  readonly consumer: number;
  readonly slots: SharedArrayBuffer;
  readonly lane: SharedArrayBuffer;
  readonly port: import('node:worker_threads').MessagePort;
  /** href of the module; undefined: none, only `call`. */
  readonly module: string | undefined;
  readonly workerData: unknown;
}

export type ToWorker =
  | { readonly kind: 'define'; readonly definition: FunctionDefinition }
  /** The arguments of a job that the worker has asked for. */
  | { readonly kind: 'arguments'; readonly slot: number; readonly args: unknown[] }
  /** They cannot be sent any more. */
  | { readonly kind: 'no-arguments'; readonly slot: number; readonly error: PlainError }
  /** Finish what runs, then end. */
  | { readonly kind: 'retire' };

export type FromWorker =
  | { readonly kind: 'ready' }
  /** The module or its `init` threw. */
  | { readonly kind: 'failed'; readonly error: PlainError }
  /** An exception or rejection that nobody handled; the worker ends. */
  | { readonly kind: 'fatal'; readonly origin: NodeJS.UncaughtExceptionOrigin; readonly error: PlainError }
  /** It was given a job whose arguments come by message. */
  | { readonly kind: 'fetch'; readonly slot: number }
  /** Before the job's completion. */
  | { readonly kind: 'result'; readonly slot: number; readonly value: unknown }
  /** It takes nothing more, and ends when it has disposed of its module. */
  | { readonly kind: 'retired' };
