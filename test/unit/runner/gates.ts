/** Gates as tests of runners want them, whatever the lane: the token goes to the task (gates.mjs has its side). */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Gate } from '../../support/gate.js';

const HOLD_MS = 10_000;

export interface TaskGate {
  readonly token: unknown;
  /** Resolves when the task has come to the gate. */
  reached(): Promise<void>;
  /** What the task says at its end; it must be let go otherwise than by open(). */
  left(): Promise<number>;
  /** Holds this thread until the task has said it; throws after ten seconds, for nothing else could end the test. */
  awaitLeft(): void;
  open(): void;
  /** How often count() was called on the task's side. */
  readonly count: number;
}

/** For threads: in shared memory. */
export class SharedGate extends Gate implements TaskGate {
  get token() {
    return this.words;
  }

  get count() {
    return Atomics.load(this.words, 0);
  }

  awaitLeft(): void {
    if (Atomics.wait(this.words, 1, 0, HOLD_MS) === 'timed-out') throw new Error('the task did not end');
  }
}

/** For processes: files in a folder. */
export class FileGate implements TaskGate {
  readonly #folder: string;

  constructor(scratch: string) {
    mkdirSync(scratch, { recursive: true });
    this.#folder = mkdtempSync(join(scratch, 'gate-'));
  }

  get token() {
    return { gate: this.#folder };
  }

  get count() {
    return readdirSync(this.#folder).filter((name) => name.startsWith('count-')).length;
  }

  async reached(): Promise<void> {
    await this.#file(/^(arrived|count-.*)$/);
  }

  async left(): Promise<number> {
    return Number(readFileSync(join(this.#folder, await this.#file(/^left$/)), 'utf8'));
  }

  awaitLeft(): void {
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    const end = performance.now() + HOLD_MS;
    while (!existsSync(join(this.#folder, 'left'))) {
      if (performance.now() > end) throw new Error('the task did not end');
      Atomics.wait(nobody, 0, 0, 1);
    }
  }

  open(): void {
    writeFileSync(join(this.#folder, '.open'), '');
    renameSync(join(this.#folder, '.open'), join(this.#folder, 'open'));
  }

  /** The name of the first that matches, once it is there. */
  #file(name: RegExp): Promise<string> {
    return new Promise((resolve) => {
      const look = () => {
        const found = existsSync(this.#folder) ? readdirSync(this.#folder).find((it) => name.test(it)) : undefined;
        if (found !== undefined) {
          watcher.close();
          resolve(found);
        }
      };
      const watcher = watch(this.#folder, look);
      look();
    });
  }
}
