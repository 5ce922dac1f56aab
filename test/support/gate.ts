/** What tests of worker threads wait by. */

/** The error that a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!('error' in outcome)) throw new Error(`it did not reject, but gave ${String(outcome.value)}`);
  return outcome.error as Error & Record<string, unknown>;
}

// ES2024: every node has it, the `lib` of tsconfig.json not yet.
const { waitAsync } = Atomics as unknown as {
  waitAsync(words: Int32Array, index: number, value: number): { async: boolean; value: Promise<string> | string };
};

/** A flag in shared memory, which a task sets and waits for: a way to know that it runs, and to let it go on. */
export class Gate {
  readonly words = new Int32Array(new SharedArrayBuffer(8));

  /** Resolves when the task has come to the gate. */
  async reached(): Promise<void> {
    const { async, value } = waitAsync(this.words, 0, 0);
    if (async) await value;
  }

  /** What the task says at its end; it must be let go otherwise than by open(). */
  async left(): Promise<number> {
    const { async, value } = waitAsync(this.words, 1, 0);
    if (async) await value;
    return Atomics.load(this.words, 1);
  }

  open(): void {
    Atomics.store(this.words, 1, 1);
    Atomics.notify(this.words, 1);
  }
}
