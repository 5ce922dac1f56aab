/** What a task knows of itself, while it runs. */
import { GammaloopError } from '../errors.js';
import type { CancelScope } from '../scope/cancel-scope.js';

export interface TaskContext {
  /** Of the function, as `run` was given it. */
  readonly name: string;
  /** Aborted when the caller has cancelled the task or its time is over. A task that does not return to its loop sees that by asking `isCancelled()`. */
  readonly signal: AbortSignal;
  /** Whether the caller has cancelled the task. Costs a read of memory: it sees a cancellation at once, also in a loop that never ends. */
  isCancelled(): boolean;
  /** The scope that the task runs in: what waits in it by gammaloop/scope is cancelled with it. */
  readonly scope: CancelScope;
  /** The caller's, where it gave one, or has one. */
  readonly traceId: string | undefined;
  /** The same as W3C Trace Context; a new trace where the caller has none. */
  readonly traceparent: string;
  /** The instant by this thread's `performance.now()` at which the task's time is over, the caller's scope included; Infinity for none. */
  readonly deadline: number;
}

/** Of the process's every copy of this module. Set in workers. */
const CURRENT = Symbol.for('gammaloop.runner.currentTask');

type Holder = { [CURRENT]?: () => TaskContext | undefined };

/** The task that runs here, also after an await. Throws where none does. */
export function taskContext(): TaskContext {
  const context = (globalThis as Holder)[CURRENT]?.();
  if (context === undefined) {
    throw new GammaloopError('ERR_GAMMALOOP_NO_TASK', 'taskContext() was called outside of a task of a runner');
  }
  return context;
}

/** @internal */
export function provideTaskContext(current: () => TaskContext | undefined): void {
  (globalThis as Holder)[CURRENT] = current;
}
