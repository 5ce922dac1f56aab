/** The loop as a library: callbacks, timers, calls from other threads, measurements. docs/loop.md. */
export { callSoon, type Handle } from './callbacks.js';
export { type CallbackStats, callbackStats } from './counters.js';
export { type LagStats, measured, type PhaseStats, startMeasuring, stopMeasuring } from './measuring.js';
export {
  detectSlowCallbacks,
  ignoreSlowCallbacks,
  type SlowCallback,
  type SlowCallbackOptions,
} from './slow-callbacks.js';
export { callSoonThreadsafe, type ThreadsafeCallback, threadsafe } from './threadsafe.js';
export { callAt, callLater, type TimerHandle, time } from './timers.js';
