/** gammaloop/scope: structured concurrency over Promises. docs/scope.md. */
export {
  BrokenResourceError,
  BusyResourceError,
  Cancelled,
  ClosedResourceError,
  EndOfChannel,
  NurseryError,
  ScopeError,
  TimeoutError,
  WouldBlockError,
} from '../errors.js';
export { abandonOnCancel } from './abandon.js';
export {
  CancelScope,
  type CancelScopeOptions,
  currentDeadline,
  currentScope,
  failAfter,
  failAt,
  moveOnAfter,
  moveOnAt,
  type Outcome,
  shield,
  throwIfCancelled,
} from './cancel-scope.js';
export { CapacityLimiter, type Permit } from './capacity-limiter.js';
export { type ChannelStatistics, openChannel, type Receiver, type Sender } from './channel.js';
export {
  type ChildFunction,
  type Nursery,
  type NurseryOptions,
  openNursery,
  type StartingFunction,
} from './nursery.js';
export { currentTime } from './scope-tree.js';
export { checkpoint, sleep, sleepUntil } from './sleep.js';
export { Condition, Event, Lock } from './sync.js';
