/**
 * The socket of a connection, as node's HTTP server has it: an EngineSocket, made when somebody asks, or the TLS socket or Duplex that feeds it.
 * While HTTP is spoken it has the listeners that node's server puts on one, by which programs see errors and timeouts in node's order.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { HttpConnection } from './connection.js';
import type { SocketHooks } from './contract.js';
import { EngineSocket } from './engine-socket.js';
import type { Server } from './server.js';
import { answerTo, type ClientError } from './wire-errors.js';

const kConnection = Symbol('gammaloop.connection');

/** A fed one has none of the hooks. */
export type HttpSocket = Socket &
  Partial<SocketHooks> & { server: Server; _server?: Server | null; [kConnection]?: HttpConnection };

/** `isCounted`: in `server._connections`, from which the socket takes itself when it is destroyed, as node's does. */
export function makeSocket(connection: HttpConnection, isCounted: boolean): HttpSocket {
  const socket = new EngineSocket(connection) as unknown as HttpSocket;
  socket._server = isCounted ? connection.server : null;
  attach(socket, connection);
  // As node's parser leaves it. What it reads there, the engine has parsed before.
  EventEmitter.prototype.on.call(socket, 'data', onSocketData);
  (socket as { readableFlowing: boolean | null }).readableFlowing = true;
  // As on node, where one of them is the parser's, and one the response's.
  socket.on('close', onSocketClose);
  socket.on('close', onSocketCloseOfResponse);
  return socket;
}

/** The socket that feeds the connection. */
export function adoptSocket(socket: HttpSocket, connection: HttpConnection): HttpSocket {
  attach(socket, connection);
  Object.defineProperty(socket, '_httpMessage', {
    get: () => connection.httpMessage,
    set() {},
    configurable: true,
    enumerable: true,
  });
  return socket;
}

/** HTTP is over on it. */
export function releaseSocket(socket: HttpSocket): void {
  socket.removeListener('error', onSocketError);
  socket.removeListener('timeout', onSocketTimeout);
  socket.removeListener('data', onSocketData);
  socket.removeListener('close', onSocketClose);
  socket.removeListener('close', onSocketCloseOfResponse);
  // It may be given to another server as any Duplex.
  delete socket[kConnection];
}

export function isSocketOfConnection(socket: object): boolean {
  return (socket as HttpSocket)[kConnection] !== undefined;
}

function attach(socket: HttpSocket, connection: HttpConnection): void {
  Object.defineProperty(socket, kConnection, { value: connection, configurable: true });
  socket.server = connection.server;
  socket.on('error', onSocketError);
  socket.on('timeout', onSocketTimeout);
}

function onSocketData(): void {}

function onSocketClose(this: HttpSocket): void {
  this[kConnection]?.abortRequests();
}

function onSocketCloseOfResponse(this: HttpSocket): void {
  this[kConnection]?.closeResponses();
}

function onSocketTimeout(this: HttpSocket): void {
  this[kConnection]?.onTimeout();
}

function ignore(): void {}

/** The program's 'clientError' decides; without one the connection ends, and with an answer where none has begun. */
export function onSocketError(this: HttpSocket, error: ClientError): void {
  const connection = this[kConnection] as HttpConnection;
  this.removeListener('error', onSocketError);
  if (this.listenerCount('error', ignore) === 0) this.on('error', ignore);
  if (connection.server.emit('clientError', error, this)) return;
  if (!(this instanceof EngineSocket)) {
    connection.answer(error);
    return;
  }
  if (this.writable && !connection.hasBegunToAnswer) this.write(answerTo(error));
  this.destroy(error);
}
