/**
 * A task while a worker runs it: what `taskContext()` gives, and the scope that it runs in. The scope is made when something asks for it; its
 * deadline and its cancellation are those of the caller.
 */
import { Cancelled } from '../errors.js';
import { isTraceId, newTraceparent, traceIdOf } from '../scope/trace-context.js';
import { TracedScope } from '../scope/traced-scope.js';
import { CANCEL_BIT, type JobMemory, SLOT_WORDS } from './job-memory.js';
import type { TaskContext } from './task-context.js';

export class TaskRun implements TaskContext {
  readonly slot: number;
  readonly functionId: number;
  readonly name: string;
  readonly startedAt: number;
  /** As it came: a traceparent, or what the caller gave as trace id. */
  trace: string | undefined = undefined;
  deadline = Number.POSITIVE_INFINITY;
  /** Bytes of the caller's memory that take what the task returns. */
  room = 0;
  /** The parts of its input where some were moved to it, and those of them that are the caller's memory itself. */
  input: readonly ArrayBuffer[] | null = null;
  loans: readonly ArrayBuffer[] | null = null;
  readonly #memory: JobMemory;
  /** The state word while nobody has cancelled it. */
  readonly #running: number;
  #cancelled = false;
  #ended = false;
  #scope: TaskScope | null = null;

  constructor(memory: JobMemory, slot: number, running: number, functionId: number, name: string, startedAt: number) {
    this.slot = slot;
    this.functionId = functionId;
    this.name = name;
    this.startedAt = startedAt;
    this.#memory = memory;
    this.#running = running;
  }

  get traceId(): string | undefined {
    return traceIdOf(this.trace) ?? this.trace;
  }

  get traceparent(): string {
    return this.scope.traceparent;
  }

  get scope(): TracedScope {
    if (this.#scope === null) {
      this.#scope = new TaskScope(this);
      if (!this.#ended) this.#scope.enter(null);
      if (this.isCancelled()) this.#scope.stop();
    }
    return this.#scope;
  }

  get signal(): AbortSignal {
    return this.scope.signal;
  }

  isCancelled(): boolean {
    if (!this.#cancelled && !this.#ended) {
      const word = Atomics.load(this.#memory.words, this.slot * SLOT_WORDS);
      this.#cancelled = word === (this.#running | CANCEL_BIT);
      if (this.#cancelled) this.#scope?.stop();
    }
    return this.#cancelled;
  }

  /** The slot is another's from now on. */
  end(): void {
    this.#ended = true;
    this.#scope?.exit();
  }
}

class TaskScope extends TracedScope {
  readonly #run: TaskRun;

  constructor(run: TaskRun) {
    super(isTraceId(run.trace) ? newTraceparent(run.trace) : run.trace, { deadline: run.deadline });
    this.#run = run;
  }

  /** Also for code that never waits: `throwIfCancelled()` asks here. */
  override get cancelled(): boolean {
    this.#run.isCancelled();
    return super.cancelled;
  }

  /** The caller has cancelled the task, by itself or because the time is over. */
  stop(): void {
    if (!super.cancelled) {
      this.cancelWith(new Cancelled(`Task ${this.#run.name} was cancelled by its caller`));
    }
  }
}
