/**
 * The time of a call that arms a timer. Reading the clock is most of what arming costs; so in a burst, after BURST_CALLS within a millisecond, some calls
 * share one reading. None of their timers runs early for it: they get the time up to which a reading may be shared on top, and where more has
 * passed at the next reading, which is made at the end of this turn's callback at the latest, they count from that.
 */

const { performance } = globalThis;

const BURST_CALLS = 64;
const SHARING_CALLS = 32;
/** A reading that is older was not to be shared. */
const MAX_AGE_MS = 0.25;

/** A timer that was armed by a shared reading. */
export interface Postponed {
  /** Not before the instant `at`. */
  postpone(at: number): void;
}

const NONE: null[] = [];

/** Whether the last call shared a reading, and is to be told of by `shareReading`. */
export let sharesReading = false;

/** What the last call was told. */
let told = 0;
let readAt = 0;
let windowStart = 0;
let windowCalls = 0;
let endsSoon = false;
/** Of those that share the reading of the first of them; filled from the end. */
let sharesLeft = 0;
/** Another array each millisecond of a burst: it costs less to store a young timer in a young array than in an old one. */
let sharing: (Postponed | null)[] = NONE;
const sharingDelays = new Float64Array(SHARING_CALLS);

/** The time of this call, by up to MAX_AGE_MS later in a burst; never earlier than what the call before was told. */
export function armingTime(): number {
  if (sharesLeft > 0) sharesLeft--;
  else readClock();
  return told;
}

/** To be called with what was armed while sharesReading was true. */
export function shareReading(timer: Postponed, delayMs: number): void {
  sharing[sharesLeft] = timer;
  sharingDelays[sharesLeft] = delayMs;
}

function readClock(): void {
  const now = performance.now();
  if (sharesReading) settle(now);
  readAt = now;
  sharesReading = false;
  if (now - windowStart >= 1) {
    windowStart = now;
    windowCalls = 0;
    sharing = NONE;
  } else if (++windowCalls > BURST_CALLS) {
    if (sharing === NONE) sharing = new Array(SHARING_CALLS).fill(null);
    sharesReading = true;
    sharesLeft = SHARING_CALLS - 1;
    told = now + MAX_AGE_MS;
    endBurstSoon();
    return;
  }
  told = Math.max(told, now);
}

function settle(now: number): void {
  if (now <= readAt + MAX_AGE_MS) return;
  told = Math.max(told, now);
  // The first has read the clock itself.
  for (let i = SHARING_CALLS - 2; i >= sharesLeft; i--) sharing[i]?.postpone(told + sharingDelays[i]!);
}

/** Nothing of this turn is shared with the next. */
function endBurstSoon(): void {
  if (endsSoon) return;
  endsSoon = true;
  process.nextTick(endBurst);
}

function endBurst(): void {
  endsSoon = false;
  if (sharesReading) settle(performance.now());
  sharesReading = false;
  sharesLeft = 0;
  sharing = NONE;
}
