/** The runner's module, as its workers have it. */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { threadId } from 'node:worker_threads';
import { TaskError } from '../errors.js';
import { isError, type PlainError, toPlainError } from './task-errors.js';
import { canSerialize } from './values.js';

type Exports = Record<string, unknown>;

export type TaskFunction = (...args: unknown[]) => unknown;

/** Names that the runner itself calls. */
const HOOKS = new Set(['init', 'dispose']);

export class TaskModule {
  readonly #href: string | undefined;
  readonly #workerData: unknown;
  readonly #exports: Exports;

  private constructor(href: string | undefined, workerData: unknown, exports: Exports) {
    this.#href = href;
    this.#workerData = workerData;
    this.#exports = exports;
  }

  /** Loads it, and awaits its `init`. What it sees of its worker is as if the runner were not there. */
  static async load(href: string | undefined, workerData: unknown): Promise<TaskModule> {
    createRequire(import.meta.url)('node:worker_threads').workerData = workerData;
    syncBuiltinESMExports();
    const exports = href === undefined ? {} : ((await import(href)) as Exports);
    const module = new TaskModule(href, workerData, exports);
    await module.#callHook('init');
    return module;
  }

  /** Throws TaskError where there is no such function. */
  find(name: string): TaskFunction {
    const found = HOOKS.has(name) ? undefined : exportOf(this.#exports, name);
    if (typeof found === 'function') {
      return found as TaskFunction;
    }
    const reason =
      this.#href === undefined ? 'the runner has no module' : `${this.#href} exports no function of this name`;
    throw new TaskError('ERR_GAMMALOOP_TASK_UNKNOWN', name, `There is no task ${name}: ${reason}`);
  }

  dispose(): Promise<void> {
    return this.#callHook('dispose');
  }

  async #callHook(name: string): Promise<void> {
    const hook = exportOf(this.#exports, name);
    if (typeof hook === 'function') {
      await (hook as TaskFunction)({ threadId, workerData: this.#workerData });
    }
  }
}

/** The exports, and those of a default export that is an object (or, of CommonJS, a function with properties). */
function exportOf(exports: Exports, name: string): unknown {
  if (Object.hasOwn(exports, name)) {
    return exports[name];
  }
  const fallback = exports['default'];
  const isHolder = (typeof fallback === 'object' && fallback !== null) || typeof fallback === 'function';
  return isHolder && Object.hasOwn(fallback, name) ? (fallback as Exports)[name] : undefined;
}

/** Anything that was thrown, to be told. */
export function plainError(error: unknown): PlainError {
  return toPlainError(isError(error) ? error : new Error(String(error)), canSerialize);
}
