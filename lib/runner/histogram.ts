/**
 * Durations by size: eight buckets for each doubling, so that a percentile is right within an eighth. Unit: an eighth of a microsecond.
 * native/runner/histogram.h has the same buckets.
 */
export const HISTOGRAM_BUCKETS = 240;
const UNITS_PER_MS = 8000;
const MAX_UNITS = 0xffffffff;

export interface DurationStats {
  readonly count: number;
  /** Milliseconds. NaN where nothing was counted. */
  readonly p50: number;
  readonly p99: number;
}

/** Counts a duration in the 240 words from `at`. */
export function addDuration(counts: Int32Array, at: number, ms: number): void {
  const units = Math.min(Math.max(0, ms * UNITS_PER_MS), MAX_UNITS) >>> 0;
  const exponent = 31 - Math.clz32(units);
  const bucket = units < 8 ? units : (exponent - 2) * 8 + ((units >>> (exponent - 3)) & 7);
  counts[at + bucket]!++;
}

/** The histograms, each of 240 words, taken together. */
export function summarize(histograms: readonly ArrayLike<number>[]): DurationStats {
  const sums = new Float64Array(HISTOGRAM_BUCKETS);
  let count = 0;
  for (const histogram of histograms) {
    for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
      const counted = histogram[bucket]! >>> 0;
      sums[bucket]! += counted;
      count += counted;
    }
  }
  return { count, p50: percentile(sums, count, 0.5), p99: percentile(sums, count, 0.99) };
}

function percentile(sums: Float64Array, count: number, part: number): number {
  if (count === 0) {
    return Number.NaN;
  }
  let left = Math.ceil(count * part);
  let bucket = 0;
  while (left > sums[bucket]!) {
    left -= sums[bucket]!;
    bucket++;
  }
  return upperEdgeMs(bucket);
}

/** No duration of the bucket is longer. */
function upperEdgeMs(bucket: number): number {
  if (bucket < 8) {
    return (bucket + 1) / UNITS_PER_MS;
  }
  const exponent = Math.floor(bucket / 8) + 2;
  return ((8 + (bucket % 8) + 1) * 2 ** (exponent - 3)) / UNITS_PER_MS;
}
