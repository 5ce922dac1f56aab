/** A task on the caller's side: the waiter of its promise, and what must be known of it until it has ended. */
import { deadlineAround } from '../scope/cancel-scope.js';
import { type DeadlineEntry, realDeadlines } from '../scope/deadlines.js';
import type { ScopeNode } from '../scope/scope-tree.js';
import { childTraceparent } from '../scope/trace-context.js';
import { traceparentAround } from '../scope/traced-scope.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';
import type { Snapshot } from './transfer.js';

/** Options of one task, checked. */
export interface TaskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from now on, waiting for a place in the queue included. */
  readonly timeout?: number | undefined;
  /** 0-7, 7 is the most urgent. */
  readonly priority?: number | undefined;
  /** Objects in the arguments that are moved to the worker, not copied. */
  readonly transfer?: readonly object[] | undefined;
  /** Reaches the task as `taskContext().traceId`. Default: the trace of the handler that calls. */
  readonly traceId?: string | undefined;
}

/** Of a native task. */
export interface NativeTaskOptions extends TaskOptions {
  /** 'thread': on a native thread of this process, the default; 'process': in a child process, where a crash ends that alone. */
  readonly lane?: 'thread' | 'process' | undefined;
  /** Is told how much is done, from 0 to 1, where the task says so: at most once in a turn of the event loop, and not after the end. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

const NO_OPTIONS: NativeTaskOptions = {};

export class Task extends Waiter<unknown> {
  readonly functionId: number;
  readonly name: string;
  /** Until they are encoded. */
  args: readonly unknown[] | null;
  options: NativeTaskOptions;
  /** -1: it has none, for it waits until there is room, or has ended. */
  slot = -1;
  /** The instant by performance.now() at which its time is over, its own or its scope's; Infinity for none. */
  deadline = Number.POSITIVE_INFINITY;
  /** That of the caller. */
  scope: ScopeNode | null = null;
  /** A traceparent, or the trace id that the caller gave. */
  trace: string | undefined;
  /** What can go by message only, until the worker asks for it. */
  snapshot: Snapshot | null = null;
  /** The memory of moved arguments, which the worker reads and writes while it has the slot: it must stay until then. */
  lent: readonly ArrayBuffer[] | null = null;
  /** Running after it was cancelled: when that is over, its worker is. */
  grace: DeadlineEntry | null = null;

  constructor(
    owner: WaiterOwner<unknown>,
    functionId: number,
    name: string,
    args: readonly unknown[],
    options?: NativeTaskOptions,
  ) {
    super(owner);
    this.functionId = functionId;
    this.name = name;
    this.args = args;
    this.options = options ?? NO_OPTIONS;
    this.trace = options?.traceId;
  }

  /** What it takes along from the scope of its caller: the time that is left, and the trace, of which it is a span of its own. */
  inherit(scope: ScopeNode): void {
    this.scope = scope;
    this.deadline = Math.min(this.deadline, deadlineAround(scope));
    const traceparent = this.trace === undefined ? traceparentAround(scope) : undefined;
    if (traceparent !== undefined) this.trace = childTraceparent(traceparent);
  }

  isOutOfTime(): boolean {
    return this.deadline <= (this.scope?.timers ?? realDeadlines).now();
  }
}
