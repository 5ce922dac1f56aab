export type * from './app/asgi-app.js';
export type { FetchContext, FetchHandler, FetchResult } from './app/fetch-app.js';
export type { ErrorHook, ErrorInfo } from './app/handler-errors.js';
export { type LoopStats, loop } from './app/loop.js';
export type { NodeHandler } from './app/node-app.js';
export { type CloseOptions, type Server, serve } from './app/serve.js';
export type { ServeOptions } from './app/serve-options.js';
export type { SendOptions, ServerWebSocket, WebSocketData } from './app/server-websocket.js';
export type { SyncOptions } from './app/sync-app.js';
export type { SyncRequest } from './app/sync-request.js';
export type { SyncHandler, SyncResponse, SyncResult } from './app/sync-worker.js';
export type { UpgradeResult, WebSocketAcceptance, WebSocketOptions } from './app/websocket-options.js';
export type { BatchStats } from './backend/batch-stats.js';
export type { BackendChoice, BackendName } from './backend/choose.js';
export type { CloseReport, Limits, ServerStats, Timeouts } from './backend/contract.js';
export type { EnginePhases } from './backend/phase-times.js';
export { type InstallOptions, install, uninstall } from './drop-in/install.js';
export type { DropInStats, FallbackReason } from './drop-in/stats.js';
export * from './errors.js';
export type { AbortReason } from './http/exchange.js';
export { Headers } from './http/headers.js';
export { Request } from './http/request.js';
export { Response } from './http/response.js';
export type {
  CallbackStats,
  Handle,
  LagStats,
  PhaseStats,
  SlowCallback,
  SlowCallbackOptions,
  ThreadsafeCallback,
  TimerHandle,
} from './loop/index.js';
export { WebSocketError } from './ws/error.js';
