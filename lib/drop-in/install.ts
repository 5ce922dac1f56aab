/**
 * install(): node:http and node:https hand out our servers, to CommonJS and to ES modules. uninstall(): they are as they were, and servers made
 * in between go on.
 */
import nodeHttp from 'node:http';
import nodeHttps from 'node:https';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { guardPrototypes } from './guards.js';
import { httpReplacements } from './http.js';
import { httpsReplacements } from './https.js';
import { watchObservers } from './response-perf.js';
import { recordInstalled } from './stats.js';

interface Replaced {
  readonly target: object;
  readonly name: string;
  readonly value: unknown;
  /** What stood there before. */
  readonly descriptor: PropertyDescriptor;
}

const require = createRequire(import.meta.url);
/** Null: not installed. */
let replaced: Replaced[] | null = null;
let removeRest: () => void = () => {};

/** May be called again: does nothing then. Comes before the imports of the application. */
export function install(): void {
  if (replaced !== null) return;
  const { Server, ServerResponse, IncomingMessage } = httpReplacements;
  replaced = [
    ...replace(nodeHttp, httpReplacements),
    ...replace(nodeHttps, httpsReplacements),
    // The same classes under the names by which some programs reach them.
    ...replace(require('node:_http_server'), { Server, ServerResponse }),
    ...replace(require('node:_http_incoming'), { IncomingMessage }),
  ];
  const removers = [guardPrototypes(), watchObservers()];
  removeRest = () => {
    for (const remove of removers) remove();
  };
  syncBuiltinESMExports();
  recordInstalled(true);
}

/** A property that somebody has replaced since (a stub, a tracer's wrapper) is left to him. */
export function uninstall(): void {
  if (replaced === null) return;
  for (const { target, name, value, descriptor } of replaced) {
    if (Reflect.get(target, name) === value) Object.defineProperty(target, name, descriptor);
  }
  replaced = null;
  removeRest();
  syncBuiltinESMExports();
  recordInstalled(false);
}

function replace(target: object, replacements: Record<string, unknown>): Replaced[] {
  return Object.entries(replacements).map(([name, value]) => {
    const descriptor = Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor;
    Object.defineProperty(target, name, {
      value,
      writable: true,
      enumerable: descriptor.enumerable ?? true,
      configurable: true,
    });
    return { target, name, value, descriptor };
  });
}
