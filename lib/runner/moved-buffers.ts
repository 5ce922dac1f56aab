/**
 * What tasks get and give away as buffers, in the worker. The bytes are copied into a buffer of its own, or, where a function has just moved
 * back what it got, are its caller's memory itself: nothing is copied then, but memory that a task keeps would be its caller's for as long.
 */
import type { NativeRunnerConsumer } from '../bridge/binding.js';
import type { TaskRun } from './task-run.js';
import { CAN_SHOW_LENT, takeAway } from './transfer.js';

export class MovedBuffers {
  readonly #consumer: NativeRunnerConsumer;
  /** What a task has given away last: the next argument of its size comes in it. */
  #spare: ArrayBuffer | null = null;
  /** By function: its last task has moved back what was moved to it. */
  readonly #movesBack: boolean[] = [];

  constructor(consumer: NativeRunnerConsumer) {
    this.#consumer = consumer;
  }

  /** The parts of the task's input. `isLent`: some were moved to it. */
  take(task: TaskRun, isLent: boolean): ArrayBuffer[] {
    const loans: ArrayBuffer[] | null = isLent && this.#movesBack[task.functionId] === true ? [] : null;
    const buffers = this.#consumer.takeInput(task.slot, this.#spare, loans);
    if (this.#spare !== null && buffers.includes(this.#spare)) {
      this.#spare = null;
    }
    if (isLent) {
      task.input = buffers;
      task.loans = loans !== null && loans.length > 0 ? loans : null;
    }
    return buffers;
  }

  /** What it moves; `null`: nothing. */
  onResult({ functionId, input }: TaskRun, list: readonly object[] | null): void {
    if (CAN_SHOW_LENT && input !== null) {
      this.#movesBack[functionId] = list?.some((buffer) => input.includes(buffer as ArrayBuffer)) ?? false;
    }
  }

  /** They are the task's no more: those that it had on loan are given back. All or none. Throws PayloadError. */
  takeAway({ loans }: TaskRun, list: readonly ArrayBuffer[]): void {
    if (loans === null) {
      this.#spare = takeAway(list)[0] ?? null;
      return;
    }
    const own = list.filter((buffer) => !loans.includes(buffer));
    if (own.length > 0) {
      this.#spare = takeAway(own)[0]!;
    }
    this.#consumer.endLoans(loans.filter((buffer) => list.includes(buffer)));
  }

  /** `list` has gone by message, as copies of what was on loan. */
  afterMessage({ loans }: TaskRun, list: readonly object[]): void {
    if (loans !== null) {
      this.#consumer.endLoans(loans.filter((buffer) => list.includes(buffer)));
    }
  }
}
