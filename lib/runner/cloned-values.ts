/**
 * What JavaScript tasks get and give, as structured clones: in the slot and its parcel, or, to and from threads, by message where only a
 * message can carry it.
 */
import type { NativeRunnerPool } from '../bridge/binding.js';
import { PayloadError } from '../errors.js';
import {
  INPUT_BY_MESSAGE,
  INPUT_HAS_PARCEL,
  INPUT_HAS_TRACE,
  INPUT_IS_LENT,
  type JobMemory,
  OUTPUT_BY_MESSAGE,
  OUTPUT_HAS_PARCEL,
  SLOT_FLAGS,
  SLOT_KIND,
  SLOT_WORDS,
} from './job-memory.js';
import type { JobValues } from './job-table.js';
import type { Task } from './task.js';
import { canBeLent, canBeTaken, checkAttached, type Snapshot, takeAway, takeSnapshot } from './transfer.js';
import { NotPlain, ValueCodec } from './values.js';

const NO_BUFFERS: readonly ArrayBuffer[] = [];

/** Who brings what goes by message. */
export interface Messages {
  /** What the job's worker has posted as its result. */
  takeMessage(slot: number): unknown;
}

export class ClonedValues implements JobValues {
  readonly #memory: JobMemory;
  readonly #pool: NativeRunnerPool;
  /** null: the workers have no memory in common with the caller, and what needs a message is refused. */
  readonly #messages: Messages | null;
  readonly #codec: ValueCodec;

  constructor(memory: JobMemory, pool: NativeRunnerPool, messages: Messages | null) {
    this.#memory = memory;
    this.#pool = pool;
    this.#messages = messages;
    this.#codec = new ValueCodec(memory);
  }

  /** Throws PayloadError. */
  write(slot: number, task: Task): void {
    const { words } = this.#memory;
    const { trace } = task;
    const { transfer } = task.options;
    const args = task.args!;
    const index = slot * SLOT_WORDS;
    words[index + SLOT_KIND] = args.length;
    let flags = trace === undefined ? 0 : INPUT_HAS_TRACE;
    if (transfer !== undefined) {
      checkAttached(transfer);
    }
    try {
      if (transfer !== undefined && !this.#canMove(transfer)) {
        throw new NotPlain();
      }
      flags |= this.#writeArguments(slot, task, trace, args, transfer ?? NO_BUFFERS);
    } catch (error) {
      if (!(error instanceof NotPlain)) {
        throw error;
      }
      task.snapshot = this.#snapshotOf(task, args, transfer ?? [], error);
      flags |= INPUT_BY_MESSAGE | this.#writeArguments(slot, task, trace, [], NO_BUFFERS);
    }
    words[index + SLOT_FLAGS] = flags;
  }

  read(slot: number, task: Task): unknown {
    const kind = this.#memory.words[slot * SLOT_WORDS + SLOT_KIND]!;
    const { lent } = task;
    if ((kind & OUTPUT_HAS_PARCEL) !== 0) {
      return this.#codec.readResult(slot, this.#pool.takeOutput(slot, lent ?? NO_BUFFERS));
    }
    if (lent !== null) {
      this.#pool.discard(slot, lent);
    }
    return (kind & OUTPUT_BY_MESSAGE) === 0
      ? this.#codec.readResult(slot, NO_BUFFERS)
      : this.#messages!.takeMessage(slot);
  }

  discard(slot: number, task: Task, hasEnded: boolean): void {
    if (hasEnded && (this.#memory.words[slot * SLOT_WORDS + SLOT_KIND]! & OUTPUT_BY_MESSAGE) !== 0) {
      this.#messages!.takeMessage(slot);
    }
    this.#pool.discard(slot, task.lent);
  }

  #canMove(list: readonly object[]): list is readonly ArrayBuffer[] {
    return this.#messages === null ? list.every(canBeTaken) : canBeLent(list);
  }

  #writeArguments(
    slot: number,
    task: Task,
    trace: string | undefined,
    args: readonly unknown[],
    moved: readonly ArrayBuffer[],
  ): number {
    const parts = this.#codec.writeArguments(slot, trace, args, moved);
    let flags = 0;
    if (moved.length > 0) {
      const taken = takeAway(moved);
      const lent: ArrayBuffer[] = [];
      for (const [index, part] of parts.entries()) {
        if (part instanceof ArrayBuffer) {
          parts[index] = taken[moved.indexOf(part)]!;
          lent.push(parts[index]);
        }
      }
      if (lent.length > 0) {
        task.lent = lent;
        flags = INPUT_IS_LENT;
      }
    }
    if (parts.length > 0) {
      this.#pool.setInput(slot, parts);
      flags |= INPUT_HAS_PARCEL;
    }
    return flags;
  }

  #snapshotOf(task: Task, args: readonly unknown[], transfer: readonly object[], reason: NotPlain): Snapshot {
    if (this.#messages === null) {
      throw new PayloadError(
        `An argument of task ${task.name} cannot be cloned into another process, which shares no memory and no ports; pass plain data`,
        { cause: reason.cause },
      );
    }
    try {
      return takeSnapshot(args, transfer);
    } catch (error) {
      const message = `An argument of task ${task.name} cannot be cloned; pass plain data, or list what can be moved in \`transfer\``;
      throw new PayloadError(message, { cause: error });
    }
  }
}
