/** The loop as a library: callbacks, timers, calls from other threads, measurements. docs/loop.md. */
export {
  type CallbackStats,
  callAt,
  callbackStats,
  callLater,
  callSoon,
  type Handle,
  type TimerHandle,
  time,
} from './callbacks.js';
export { type LagStats, measured, type PhaseStats, startMeasuring, stopMeasuring } from './measuring.js';
export {
  detectSlowCallbacks,
  ignoreSlowCallbacks,
  type SlowCallback,
  type SlowCallbackOptions,
} from './slow-callbacks.js';
export { callSoonThreadsafe, type ThreadsafeCallback, threadsafe } from './threadsafe.js';
