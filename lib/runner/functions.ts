/**
 * What a worker can be asked to run: functions of the runner's module by name, functions that were given to `call`, by their source, and
 * native tasks, by library and symbol.
 * Each has a number, which is all that a job carries. The caller defines them; a worker hears of a definition before the first job
 * that uses it.
 */
import { TaskError } from '../errors.js';

export interface FunctionDefinition {
  readonly id: number;
  /** Its name; of a function without one 'anonymous'. */
  readonly name: string;
  /** Of a function that was given to `call`. */
  readonly source?: string;
  /** Of a native task: the path. */
  readonly library?: string;
}

/** Names and sources are the program's text, and few; where they are made up as it runs, the oldest are forgotten by nobody. */
const MAX_FUNCTIONS = 100_000;

/** The caller's side. */
export class FunctionTable {
  readonly definitions: FunctionDefinition[] = [];
  /** Called with each new definition, before it is used; where it throws there is none. */
  readonly #onDefine: (definition: FunctionDefinition) => void;
  readonly #named = new Map<string, number>();
  readonly #sources = new Map<string, number>();
  /** By path: by symbol. */
  readonly #libraries = new Map<string, Map<string, number>>();
  /** By identity, so that a function's text is not looked at each time. */
  readonly #functions = new WeakMap<object, number>();

  constructor(onDefine: (definition: FunctionDefinition) => void) {
    this.#onDefine = onDefine;
  }

  named(name: string): number {
    return this.#named.get(name) ?? this.#define(this.#named, name, { name });
  }

  /** Throws TaskError for what does not stand alone. */
  function(fn: (...args: never[]) => unknown): number {
    const known = this.#functions.get(fn);
    if (known !== undefined) {
      return known;
    }
    const source = sourceOf(fn);
    const name = fn.name || 'anonymous';
    const id = this.#sources.get(source) ?? this.#define(this.#sources, source, { name, source });
    this.#functions.set(fn, id);
    return id;
  }

  /** undefined: not known yet. */
  knownNative(path: string, symbol: string): number | undefined {
    return this.#libraries.get(path)?.get(symbol);
  }

  /** Throws TaskError where the lane can tell already that there is no such task. */
  native(path: string, symbol: string): number {
    let symbols = this.#libraries.get(path);
    if (symbols === undefined) {
      symbols = new Map();
      this.#libraries.set(path, symbols);
    }
    return symbols.get(symbol) ?? this.#define(symbols, symbol, { name: symbol, library: path });
  }

  #define(table: Map<string, number>, key: string, what: Omit<FunctionDefinition, 'id'>): number {
    const id = this.definitions.length;
    if (id >= MAX_FUNCTIONS) {
      throw new TaskError(
        'ERR_GAMMALOOP_TASK_FUNCTION',
        what.name,
        `The runner knows ${MAX_FUNCTIONS} functions, which is as many as it can; pass what differs as an argument`,
      );
    }
    const definition = { id, ...what };
    this.#onDefine(definition);
    this.definitions.push(definition);
    table.set(key, id);
    return id;
  }
}

function sourceOf(fn: (...args: never[]) => unknown): string {
  const source = Function.prototype.toString.call(fn);
  try {
    compile(source);
    return source;
  } catch (error) {
    throw new TaskError(
      'ERR_GAMMALOOP_TASK_FUNCTION',
      fn.name || 'anonymous',
      `${fn.name === '' ? 'The function' : `Function ${fn.name}`} cannot be sent to a worker: give a function expression or arrow ` +
        'function that uses only its arguments and globals, or put it into the module of the runner and use its name',
      { cause: error },
    );
  }
}

/** The worker's side too. Native and bound functions and methods are no expression: SyntaxError. */
export function compile(source: string): (...args: unknown[]) => unknown {
  // biome-ignore lint/security/noGlobalEval: a function by its text is what `call` is
  const fn = globalThis.eval(`'use strict';(${source}\n)`) as unknown;
  if (typeof fn !== 'function' || /^class\b/.test(source)) {
    throw new SyntaxError('not a function that can be called');
  }
  return fn as (...args: unknown[]) => unknown;
}
