/**
 * How the parts of the drop-in see each other. One HttpConnection (connection.ts) stands between a wire session of the engine and the messages on
 * it: it makes a request and a response of each head, keeps the responses in order, and makes a socket when somebody asks for one.
 */
import type { Socket } from 'node:net';
import type { WireConnection } from '../backend/wire.js';
import type { IncomingMessage } from './incoming-message.js';
import type { ReadingGate } from './reading-gate.js';
import type { Server } from './server.js';
import type { ServerResponse } from './server-response.js';

/** Called once the bytes have been handed to the system, or with an error when that will not happen. Never inside the call that wrote them. */
export type WriteCallback = (error?: Error | null) => void;

/** A connection as a request sees it. */
export interface RequestSource {
  readonly server: Server;
  /** What `req.socket` gives: made at the first call; the TLS socket or the foreign Duplex where the connection is fed by one. */
  readonly socket: Socket;
  /** Closed, or destroyed from here. */
  readonly destroyed: boolean;
  /** How much a request buffers before it asks the peer to wait: as the responses' (node's sockets have one value for both). */
  readonly writableHighWaterMark: number;
  /** The peer's next bytes of this request's body may come: as many as the application has taken. */
  consume(byteCount: number): void;
  /** A message is not read, and holds enough: as node, that is a `socket.pause()`, where there is a socket to see it. */
  pauseReading(): void;
  /** A message is read, or has been: as node, that undoes `socket.pause()`. */
  resumeReading(): void;
  /** `req.destroy()`: as node, the connection goes with it. */
  destroyFromRequest(request: IncomingMessage, error: Error | null): void;
}

/** A connection as a response sees it. */
export interface ResponseSink {
  readonly server: Server;
  readonly socket: Socket;
  /** Nothing can be sent any more: closed, or destroyed from here. */
  readonly destroyed: boolean;
  /** Written by anybody and not yet handed to the system, in bytes. */
  readonly writableLength: number;
  /** The server's `highWaterMark` option, or that of node's sockets. */
  readonly writableHighWaterMark: number;
  /** What `send` is given in this tick may be dropped if the connection is destroyed within it, as node's, which corks its socket. */
  cork(): void;
  /**
   * Sends `head` (latin1) and then `body` (text as UTF-8), for the response whose turn it is. False: the caller should wait for `onDrain`.
   * The bytes are copied.
   */
  send(head: string, body: string | Uint8Array, callback: WriteCallback | null): boolean;
  /**
   * The same for its last bytes: the response is over, the next one's turn comes (`onTurn`, before this returns), and with `close` the
   * connection ends after them. `callback` null: nobody asks when they have left.
   */
  sendLast(
    response: ServerResponse,
    head: string,
    body: string | Uint8Array,
    callback: WriteCallback | null,
    close: boolean,
  ): void;
  /** Hands the system what it takes now. */
  flush(): void;
  /** Calls back once everything that was written so far has left; at once in the next tick where it has. */
  whenFlushed(callback: WriteCallback): void;
  /** Of responses whose turn has not come: how much more (or less) they keep. The connection stops reading when it is too much. */
  onPendingBytes(delta: number): void;
  /** `res.destroy()`. */
  destroyFromResponse(response: ServerResponse, error: Error | null): void;
}

/** What was written on a connection (wire-output.ts). */
export interface SocketOutput {
  /** Modulo 2^32. */
  readonly bytesWritten: number;
  /** The engine has all of it. */
  readonly isSubmitted: boolean;
}

/**
 * A connection as its EngineSocket sees it. The connection keeps what waits to be sent and its callbacks, for responses and raw writes alike, so
 * that their bytes leave in the order of the calls; it counts itself in `server._connections` until a socket is made (`socket._server` then does).
 */
export interface SocketHost {
  readonly server: Server;
  readonly wire: WireConnection;
  /** The engine reads what comes (HTTP, or a WebSocket): false after 'upgrade' and 'connect', where the socket is a plain Duplex. */
  readonly isParsed: boolean;
  /** `socket._httpMessage`: undefined before the first. */
  readonly httpMessage: ServerResponse | null | undefined;
  readonly writableLength: number;
  readonly writableHighWaterMark: number;
  readonly output: SocketOutput;
  /** `latin1`, then `bytes` (text as UTF-8), after all that was written before. */
  sendRaw(latin1: string, bytes: string | Uint8Array): void;
  /** As ResponseSink. */
  whenFlushed(callback: WriteCallback): void;
  /** The program has put a `write` of its own on the socket: responses go through it. */
  onWriteReplaced(): void;
  /** FIN after what was written; `callback` as for a write. */
  shutdown(callback: WriteCallback | null): void;
  /** The socket was destroyed (handle.close): what was written is offered to the system once more, then the connection closes. */
  closeFromSocket(reset: boolean): void;
  readonly gate: ReadingGate;
  /** Whether `chunk` is none of the socket's, since the protocol that took over has it. */
  takeData?(chunk: Buffer): boolean;
  /** Milliseconds without a byte in either direction after which kIdle comes; 0: never. */
  setInactivity(timeoutMs: number): void;
}

/** What a connection calls on its socket. */
export const kPushData = Symbol('gammaloop.pushData');
export const kPeerEnd = Symbol('gammaloop.peerEnd');
export const kSocketClosed = Symbol('gammaloop.socketClosed');
export const kIdle = Symbol('gammaloop.idle');
export const kUpgraded = Symbol('gammaloop.upgraded');
export const kTakeOver = Symbol('gammaloop.takeOver');

export interface SocketHooks {
  /** After an upgrade: `wire.consume` as many bytes once they have been read. Before: what is told by the tap. */
  [kPushData](chunk: Buffer): void;
  /** FIN from the peer: 'end' where somebody reads. */
  [kPeerEnd](): void;
  /** The connection is gone; `errno` positive: 'error' (read ECONNRESET ...) before 'close'. */
  [kSocketClosed](errno: number): void;
  /** The time set by setInactivity has passed: 'timeout'. */
  [kIdle](): void;
  /** HTTP is over: from here on a plain Duplex. */
  [kUpgraded](): void;
  /**
   * Another protocol takes the connection over below the socket, after an upgrade: `open` is given what carried the socket and what had come and was
   * not read, gives what carries it from now on, and is called in the async context of the socket's events. False, and nothing done: the program has a
   * `write` of its own on the socket, or something still waits to be written.
   */
  [kTakeOver](open: (host: SocketHost, unread: Buffer | null) => SocketHost): boolean;
}

/** On a server: the classes given to `createServer({ IncomingMessage, ServerResponse })` that derive from ours; undefined: ours. */
export const kRequestClass = Symbol('gammaloop.requestClass');
export const kResponseClass = Symbol('gammaloop.responseClass');

/** What a connection calls on its requests (methods of IncomingMessage keyed so that no program meets them). */
/** Runs `handler.call(receiver, a, b)` in the request's async scope, and then kArrived, thrown or not. */
export const kRun = Symbol('gammaloop.run');
/** As node: what came with the head (all of a body, or that there is none) is pushed only when the handler has returned. Before 'upgrade' and 'connect': call it first. */
export const kArrived = Symbol('gammaloop.arrived');
export const kPushBody = Symbol('gammaloop.pushBody');
export const kEndBody = Symbol('gammaloop.endBody');
/** The connection closed before the request was complete, or before its response was: 'aborted', ECONNRESET, 'close' as node has them. */
export const kConnectionClosed = Symbol('gammaloop.connectionClosed');
/** The response has been sent: a body that nobody reads is dumped, and 'close' may come (node's resOnFinish). */
export const kResponseDone = Symbol('gammaloop.responseDone');
/** What a connection calls on its responses. */
export const kTurn = Symbol('gammaloop.turn');
export const kDrain = Symbol('gammaloop.drain');

export interface RequestHooks {
  [kRun]<A, B>(handler: (a: A, b: B) => void, receiver: unknown, a: A, b: B): void;
  [kArrived](): void;
  [kPushBody](chunk: Buffer): void;
  [kEndBody](trailers: string[]): void;
  [kResponseDone](): void;
  [kConnectionClosed](): void;
}

export interface ResponseHooks {
  /** The responses before it are over: what it kept is sent now, and it writes straight from here on. */
  [kTurn](): void;
  /** What the connection had too much of has left: 'drain', where a write returned false. */
  [kDrain](): void;
  /** The connection is gone: 'close' without 'finish' where the response had not been sent. */
  [kConnectionClosed](): void;
}
