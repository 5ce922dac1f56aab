/** `gammaloop/ws`: the `ws` package on gammaloop's sessions. By `require` it is the class WebSocket with the rest on it, as there. */
import { createWebSocketStream } from './stream.js';
import { WebSocket } from './websocket.js';
import { WebSocketServer } from './websocket-server.js';

for (const [name, value] of Object.entries({
  createWebSocketStream,
  Server: WebSocketServer,
  WebSocket,
  WebSocketServer,
})) {
  Object.defineProperty(WebSocket, name, { value, writable: true, enumerable: true, configurable: true });
}

export type { ClientOptions } from './client.js';
export type { CloseEvent, ErrorEvent, Event, MessageEvent } from './events.js';
export type { PerMessageDeflateOptions, SocketOptions } from './options.js';
export type { Sendable } from './payload.js';
export type { BinaryType, SendCallback, SendOptions } from './websocket.js';
export type { ClientInfo, ServerOptions, UpgradeCallback, VerifyClient } from './websocket-server.js';
export { createWebSocketStream, WebSocket, WebSocket as default, WebSocket as 'module.exports', WebSocketServer };
