/** What to add to this thread's performance.now() to get the process's monotonic clock, in ms: deadlines travel by that one. */
export const monotonicOffset: number = Number(process.hrtime.bigint()) / 1e6 - performance.now();
