/** A task while a worker runs it: what `taskContext()` gives. */
import { Cancelled } from '../errors.js';
import { CANCEL_BIT, type JobMemory, SLOT_WORDS } from './job-memory.js';
import type { TaskContext } from './task-context.js';

export class TaskRun implements TaskContext {
  readonly slot: number;
  readonly functionId: number;
  readonly name: string;
  readonly startedAt: number;
  traceId: string | undefined = undefined;
  deadline = Number.POSITIVE_INFINITY;
  readonly #memory: JobMemory;
  /** The state word while nobody has cancelled it. */
  readonly #running: number;
  #cancelled = false;
  #ended = false;
  #controller: AbortController | null = null;

  constructor(memory: JobMemory, slot: number, running: number, functionId: number, name: string, startedAt: number) {
    this.slot = slot;
    this.functionId = functionId;
    this.name = name;
    this.startedAt = startedAt;
    this.#memory = memory;
    this.#running = running;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    this.isCancelled();
    return this.#controller.signal;
  }

  isCancelled(): boolean {
    if (!this.#cancelled && !this.#ended) {
      const word = Atomics.load(this.#memory.words, this.slot * SLOT_WORDS);
      this.#cancelled = word === (this.#running | CANCEL_BIT);
    }
    if (this.#cancelled && this.#controller !== null && !this.#controller.signal.aborted) {
      this.#controller.abort(new Cancelled(`Task ${this.name} was cancelled by its caller`));
    }
    return this.#cancelled;
  }

  /** The slot is another's from now on. */
  end(): void {
    this.#ended = true;
  }
}
