/**
 * Runners from the sources. Worker threads cannot load TypeScript on every node, so what they load is compiled once for each test file, into
 * a folder of its own beside the build.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transformSync } from 'rolldown/utils';
import { afterAll, afterEach, expect } from 'vitest';
import { Runner, type RunnerOptions } from '../../../lib/runner/index.js';
import { setWorkerEntry } from '../../../lib/runner/worker-threads.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const compiled = join(root, '.cache', `runner-tests-${process.pid}`);

function compile(folder: string): void {
  mkdirSync(join(compiled, folder), { recursive: true });
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.d.ts')) continue;
    const { code } = transformSync(path, readFileSync(join(root, path), 'utf8'), {});
    writeFileSync(join(compiled, path.replace(/ts$/, 'js')), code);
  }
}

for (const folder of ['lib', 'lib/bridge', 'lib/scope', 'lib/runner']) compile(folder);
writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }');
symlinkSync(join(root, 'build'), join(compiled, 'build'));
setWorkerEntry(pathToFileURL(join(compiled, 'lib/runner/js-worker.js')));

/** For a task module to import what the package exports: workerData.library. */
export const library = pathToFileURL(join(compiled, 'lib/runner/index.js')).href;

export const tasks = new URL('./tasks.mjs', import.meta.url);

const open = new Set<Runner>();

/** One thread and the module tasks.mjs, unless told otherwise; closed after the test. */
export function makeRunner(options: RunnerOptions = {}): Runner {
  const workerData = { library, ...(options.workerData as object) };
  const runner = new Runner({ module: tasks, threads: 1, ...options, workerData });
  open.add(runner);
  return runner;
}

afterEach(async () => {
  for (const runner of open) {
    await runner.close({ deadline: 0 });
    const { queued, running, waiting, threads } = runner.stats();
    // Whatever a test did: nothing is left.
    expect({ queued, running, waiting, alive: threads.started - threads.ended }).toEqual({
      queued: 0,
      running: 0,
      waiting: 0,
      alive: 0,
    });
  }
  open.clear();
});

afterAll(() => rmSync(compiled, { recursive: true, force: true }));

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
