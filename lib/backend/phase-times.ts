import type { NativeEngine } from '../bridge/binding.js';

/** What the native engine of this thread spends its time on, in milliseconds. Their sum is part of the loop's active time. */
export interface EnginePhases {
  /** Of the engine's loop. */
  readonly turns: number;
  /** Asking the poller what is ready: a look that does not wait, since node's loop does (`idle`). */
  readonly poll: number;
  /** Accepting connections, reading and parsing. */
  readonly read: number;
  /** Timeouts of connections. */
  readonly timers: number;
  /** In JavaScript: handlers, and the nextTick callbacks and promise jobs that follow them. */
  readonly dispatch: number;
  /** Carrying out what was answered, and sending it. */
  readonly write: number;
}

let engine: NativeEngine | null = null;
let measuring = false;

/** `made` is this thread's engine from now on. */
export function registerEngine(made: NativeEngine): void {
  engine = made;
  if (measuring) engine.measurePhases(true);
}

/** Begins anew, or ends; also for an engine that is made later. */
export function measurePhases(on: boolean): void {
  measuring = on;
  engine?.measurePhases(on);
}

/** Null: there is no engine. */
export function enginePhases(): EnginePhases | null {
  const times = engine?.phaseTimes();
  if (times === undefined) return null;
  const [turns, , ...phases] = times;
  const [poll, read, timers, dispatch, write] = phases.map((ns) => ns / 1e6) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { turns: turns as number, poll, read, timers, dispatch, write };
}
