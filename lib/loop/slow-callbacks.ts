/**
 * Names what holds the loop: every callback that runs longer than a threshold without a pause. Stands on async_hooks, and so sees whatever node's loop calls:
 * ours, node's own timers and sockets, the pieces of async functions between two awaits. Costs nothing while it is off: there is no hook then.
 */
import { createHook, executionAsyncResource } from 'node:async_hooks';
import { fileURLToPath } from 'node:url';
import { HANDLER, type HasHandler } from '../diagnostics.js';
import { OptionError } from '../errors.js';

export interface SlowCallback {
  /** The function's name, as far as it is known: '(anonymous)' has none; else the kind of resource that called. */
  readonly name: string;
  /** The resource that node's async_hooks know: 'GammaloopTimer', 'Timeout', 'PROMISE', 'TCPWRAP' ... */
  readonly type: string;
  /** How long it ran, without what ran inside of it and was counted by itself. */
  readonly durationMs: number;
  /** Where it was made: 'file:line:column' of the first caller outside of node and gammaloop; undefined where that was before the detector was on. */
  readonly madeAt: string | undefined;
  /** The whole stack of that moment. */
  readonly stack: string | undefined;
}

export interface SlowCallbackOptions {
  /** Milliseconds; those that run as long are reported. Default 100, as asyncio's slow_callback_duration. */
  threshold?: number;
  /** Default: a process warning with the code GAMMALOOP_SLOW_CALLBACK. Called in a turn of its own. */
  report?: (slow: SlowCallback) => void;
}

/** Where a resource was made; the text of the stack is made when it is asked for. */
class Origin {
  declare readonly stack: string;
  readonly type: string;

  constructor(type: string) {
    this.type = type;
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = STACK_FRAMES;
    Error.captureStackTrace(this, Origin);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

interface Running {
  readonly asyncId: number;
  readonly resource: object;
  /** What it calls, or knows what it calls: node forgets that before it tells of the end. */
  readonly handler: unknown;
  readonly begunAt: number;
  /** What was counted by itself. */
  insideMs: number;
}

const STACK_FRAMES = 24;
const OURS = fileURLToPath(new URL('..', import.meta.url));

class Detector {
  readonly #thresholdMs: number;
  readonly #report: (slow: SlowCallback) => void;
  readonly #origins = new WeakMap<object, Origin>();
  readonly #running: Running[] = [];
  readonly #hook = createHook({
    init: (_asyncId, type, _triggerId, resource) => this.#origins.set(resource, new Origin(type)),
    before: (asyncId) => this.#begin(asyncId),
    after: (asyncId) => this.#end(asyncId),
  });

  constructor(thresholdMs: number, report: (slow: SlowCallback) => void) {
    this.#thresholdMs = thresholdMs;
    this.#report = report;
    this.#hook.enable();
  }

  stop(): void {
    this.#hook.disable();
  }

  #begin(asyncId: number): void {
    const resource = executionAsyncResource();
    this.#running.push({ asyncId, resource, handler: handlerOf(resource), begunAt: performance.now(), insideMs: 0 });
  }

  #end(asyncId: number): void {
    const now = performance.now();
    // What an exception has cut short is not ended by itself.
    while (this.#running.length > 0) {
      const running = this.#running.pop() as Running;
      if (running.asyncId !== asyncId) continue;
      const wholeMs = now - running.begunAt;
      const outer = this.#running.at(-1);
      if (outer !== undefined) outer.insideMs += wholeMs;
      if (wholeMs - running.insideMs >= this.#thresholdMs) {
        this.#found(running, wholeMs - running.insideMs);
      }
      return;
    }
  }

  #found({ resource, handler }: Running, durationMs: number): void {
    const origin = this.#origins.get(resource);
    const type = origin?.type ?? resource.constructor?.name ?? 'unknown';
    const stack = origin?.stack;
    const slow: SlowCallback = {
      name: nameOf(handler) ?? type,
      type,
      durationMs,
      madeAt: stack === undefined ? undefined : placeOf(stack),
      stack,
    };
    // Not in here: what a hook throws ends the process.
    setImmediate(this.#report, slow).unref();
  }
}

/** Of node's own immediates and timers, the function is in the resource; of ours, in the immediate's argument. */
function handlerOf(resource: object): unknown {
  const known = resource as Partial<HasHandler> & { _onTimeout?: unknown; _onImmediate?: unknown; _argv?: unknown[] };
  const first = known._argv?.[0];
  if (HANDLER in known) return known;
  if (typeof first === 'object' && first !== null && HANDLER in first) return first;
  return known._onTimeout ?? known._onImmediate;
}

function nameOf(handler: unknown): string | undefined {
  const called = typeof handler === 'object' && handler !== null ? (handler as HasHandler)[HANDLER] : handler;
  if (typeof called === 'string') return called;
  if (typeof called === 'function') return called.name || '(anonymous)';
  return undefined;
}

function placeOf(stack: string): string | undefined {
  for (const line of stack.split('\n').slice(1)) {
    const place = /(?:\(|at (?:async )?)((?:file:\/\/)?\/[^()]*:\d+:\d+|[A-Za-z]:\\[^()]*:\d+:\d+)\)?$/.exec(line)?.[1];
    if (place === undefined) continue;
    const path = place.startsWith('file://') ? fileURLToPath(place.replace(/:\d+:\d+$/, '')) : place;
    if (!path.startsWith(OURS)) return place;
  }
  return undefined;
}

function warn({ name, type, durationMs, madeAt }: SlowCallback): void {
  const place = madeAt === undefined ? '' : `, made at ${madeAt}`;
  const kind = name === type ? '' : ` (${type})`;
  process.emitWarning(`${name}${kind}${place}, held the loop for ${durationMs.toFixed(1)} ms`, {
    type: 'GammaloopWarning',
    code: 'GAMMALOOP_SLOW_CALLBACK',
  });
}

let detector: Detector | null = null;

/** Begins to report; in the place of what was asked for before. Costs several times what a small callback does: for looking for faults. */
export function detectSlowCallbacks({ threshold = 100, report = warn }: SlowCallbackOptions = {}): void {
  if (!(typeof threshold === 'number' && threshold >= 0)) {
    throw new OptionError('threshold', 'milliseconds, 0 or more', threshold);
  }
  if (typeof report !== 'function') throw new OptionError('report', 'a function', report);
  detector?.stop();
  detector = new Detector(threshold, report);
}

/** Ends that. False: nothing was reported anyway. */
export function ignoreSlowCallbacks(): boolean {
  const wasOn = detector !== null;
  detector?.stop();
  detector = null;
  return wasOn;
}
