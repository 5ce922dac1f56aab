export {
  childTraceparent,
  formatTraceparent,
  isTraceId,
  newParentId,
  newTraceId,
  newTraceparent,
  parseTraceparent,
  type TraceContext,
  traceIdOf,
} from '../scope/trace-context.js';
export { currentTraceparent, TracedScope } from '../scope/traced-scope.js';
export { type HandlerEnd, handlerEnds, type WaiterEnd, waiterEnds } from './diagnostics.js';
export { type CorrelationId, createEnvelope, type Envelope, type EnvelopeInit, type EnvelopeKind } from './envelope.js';
export type {
  CloseListener,
  EnvelopeListener,
  Outcome,
  Port,
  PortStats,
  SubscribeOptions,
  Subscription,
  TransferList,
} from './port.js';
export type { ReplyStream } from './reply-stream.js';
export {
  Requester,
  type RequesterOptions,
  type RequesterStats,
  type RequestOptions,
  type StreamOptions,
} from './requester.js';
export {
  type Handler,
  type HandlerContext,
  Responder,
  type ResponderCloseReport,
  type ResponderOptions,
  type ResponderStats,
} from './responder.js';
export {
  type OpenOptions,
  type OpenWaiter,
  type RegistryStats,
  type UnmatchedKind,
  type UnmatchedReply,
  unmatchedReplies,
  type WaiterInfo,
  WaiterRegistry,
  type WaiterRegistryOptions,
} from './waiter-registry.js';
export type { WireError } from './wire-error.js';
