/** How late the loop is, and what it spends its time on. */
import { type EventLoopUtilization, type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { type EnginePhases, enginePhases, measurePhases } from '../backend/phase-times.js';
import { OptionError } from '../errors.js';

export interface LagStats {
  /** How often the loop is asked, in milliseconds: shorter delays than it are not seen. */
  readonly resolution: number;
  readonly count: number;
  /** Milliseconds by which the loop was late; NaN where nothing was counted. */
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  /** The histogram: percentile and milliseconds. */
  readonly percentiles: readonly (readonly [percentile: number, ms: number])[];
}

export interface PhaseStats {
  /** Milliseconds that the loop waited for events, and that it worked. */
  readonly idle: number;
  readonly active: number;
  /** Of the active ones, those of the native engine, by what it did. Null where it does not run: on the backend 'node', and before the first server or connection. */
  readonly engine: EnginePhases | null;
}

interface Measuring {
  readonly resolution: number;
  readonly histogram: IntervalHistogram;
  readonly before: EventLoopUtilization;
}

let measuring: Measuring | null = null;

/** Begins to measure, anew where it was done already. `lagResolution`: whole milliseconds from 1. One native timer, and a few readings of the clock in each turn of the native
 * engine; nothing runs in JavaScript. */
export function startMeasuring({ lagResolution = 10 }: { lagResolution?: number } = {}): void {
  if (!Number.isInteger(lagResolution) || lagResolution < 1) {
    throw new OptionError('lagResolution', 'whole milliseconds from 1', lagResolution);
  }
  stopMeasuring();
  const histogram = monitorEventLoopDelay({ resolution: lagResolution });
  histogram.enable();
  measurePhases(true);
  measuring = { resolution: lagResolution, histogram, before: performance.eventLoopUtilization() };
}

/** False: nothing was measured anyway. */
export function stopMeasuring(): boolean {
  if (measuring === null) return false;
  measuring.histogram.disable();
  measurePhases(false);
  measuring = null;
  return true;
}

export function measured(): { lag: LagStats; phases: PhaseStats } | null {
  if (measuring === null) return null;
  const { resolution, histogram, before } = measuring;
  const { idle, active } = performance.eventLoopUtilization(before);
  const { count } = histogram;
  // The histogram has the time from one look to the next.
  const lag = (ns: number): number => (count === 0 ? Number.NaN : Math.max(0, ns / 1e6 - resolution));
  return {
    lag: {
      resolution,
      count,
      min: lag(histogram.min),
      mean: lag(histogram.mean),
      max: lag(histogram.max),
      p50: lag(histogram.percentile(50)),
      p90: lag(histogram.percentile(90)),
      p99: lag(histogram.percentile(99)),
      percentiles: [...histogram.percentiles].map(([percentile, ns]) => [percentile, lag(ns)] as const),
    },
    phases: { idle, active, engine: enginePhases() },
  };
}
