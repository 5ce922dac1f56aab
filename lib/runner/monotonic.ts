/** Where another thread gets in between the two clocks, the difference is wrong by that: the quickest look of some counts. */
function measureOffset(): number {
  let offset = 0;
  let shortest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const before = performance.now();
    const monotonic = Number(process.hrtime.bigint()) / 1e6;
    const took = performance.now() - before;
    if (took < shortest) {
      shortest = took;
      offset = monotonic - before - took / 2;
    }
  }
  return offset;
}

/** What to add to this thread's performance.now() to get the machine's monotonic clock, in ms: deadlines travel by that one. */
export const monotonicOffset: number = measureOffset();
