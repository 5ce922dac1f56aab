/**
 * install(): node:http and node:https hand out our servers, to CommonJS and to ES modules, and where that is asked for node:net its sockets and servers.
 * uninstall(): they are as they were, and what was made in between goes on.
 */
import nodeHttp from 'node:http';
import nodeHttps from 'node:https';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import nodeNet from 'node:net';
import { OptionError } from '../errors.js';
import { netReplacements } from '../net/drop-in/module.js';
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
let isNetInstalled = false;
let removeRest: () => void = () => {};

export interface InstallOptions {
  /** node:net too: `connect`, `createServer`, `Socket`, `Server`. Default false. */
  net?: boolean;
}

/** Comes before the imports of the application. May be called again: then `net` may still be added, else it does nothing. */
export function install({ net = false }: InstallOptions = {}): void {
  if (typeof net !== 'boolean') throw new OptionError('net', 'true or false', net);
  if (replaced === null) installHttp();
  if (net && !isNetInstalled) {
    replaced?.push(...replace(nodeNet, netReplacements));
    isNetInstalled = true;
    syncBuiltinESMExports();
  }
}

function installHttp(): void {
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
  isNetInstalled = false;
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
