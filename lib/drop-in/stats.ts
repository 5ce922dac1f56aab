/** How many servers were made, where they run, and why not natively. GAMMALOOP_DEBUG=1 says it on stderr as well, a line each time. */

/** Why a server runs on node's own implementation. docs/drop-in.md explains each. */
export type FallbackReason =
  /** GAMMALOOP_BACKEND=node, or a platform or runtime that has no native backend. */
  | 'backend'
  /** The addon could not be loaded. */
  | 'addon'
  | 'insecureHTTPParser'
  /** `createServer({ IncomingMessage })` with a class that does not derive from ours. */
  | 'IncomingMessage'
  | 'ServerResponse';

export interface DropInStats {
  /** install() is in force. */
  installed: boolean;
  /** Servers of node:http and node:https that were made so far and run on the engine. */
  native: number;
  /** Those that run on node's own implementation. */
  fallback: { reason: FallbackReason; count: number }[];
}

const fallbacks = new Map<FallbackReason, number>();
let native = 0;
let installed = false;

/** Called once a server, when it is made. `detail`: for people, in the debug line only. */
export function recordServer(protocol: 'http' | 'https', fallback: FallbackReason | null, detail = ''): void {
  if (fallback === null) {
    native++;
    debug(`${protocol} server: native`);
    return;
  }
  fallbacks.set(fallback, (fallbacks.get(fallback) ?? 0) + 1);
  debug(`${protocol} server: node's own (${fallback}${detail === '' ? '' : `: ${detail}`})`);
}

export function recordInstalled(on: boolean): void {
  installed = on;
  debug(on ? 'installed in node:http and node:https' : 'uninstalled');
}

export function dropInStats(): DropInStats {
  return { installed, native, fallback: [...fallbacks].map(([reason, count]) => ({ reason, count })) };
}

/** Read each time: a program may set it for its children, or for itself later. */
export function debug(line: string): void {
  const wanted = process.env['GAMMALOOP_DEBUG'];
  if (wanted === undefined || wanted === '' || wanted === '0') return;
  process.stderr.write(`gammaloop ${process.pid}: ${line}\n`);
}
