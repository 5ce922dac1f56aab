/** gammaloop/runner: blocking work off the event loop. docs/runner.md. */
export { QueueFullError, TaskError, type TaskErrorCode } from '../errors.js';
export type { DurationStats } from './histogram.js';
export type { MapOptions } from './map.js';
export type { QueueOptions, RecycleOptions, RunnerOptions } from './options.js';
export { Runner, type RunnerCloseReport, type RunnerStats, type WorkerStats } from './runner.js';
export type { NativeTaskOptions, TaskOptions } from './task.js';
export { type TaskContext, taskContext } from './task-context.js';
export { transfer } from './transfer.js';
