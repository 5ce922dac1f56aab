/** How many callbacks the loop was given, and what became of them. */
export interface CallbackStats {
  /** Handed to callSoon, callLater, callAt, or sent from another thread. */
  readonly created: number;
  readonly run: number;
  readonly cancelled: number;
  /** created - run - cancelled. */
  readonly waiting: number;
}

export const counters = { created: 0, run: 0, cancelled: 0 };

export function callbackStats(): CallbackStats {
  const { created, run, cancelled } = counters;
  return { created, run, cancelled, waiting: created - run - cancelled };
}
