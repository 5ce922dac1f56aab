/** What the engine of this thread has brought so far, of all its servers and connections. */
export interface BatchStats {
  /** Calls from native code into JavaScript. */
  count: number;
  /** What they told: requests, pieces of bodies, ends of connections ... */
  completions: number;
  /** The most that one call told. */
  largest: number;
}

export const batchStats: BatchStats = { count: 0, completions: 0, largest: 0 };
