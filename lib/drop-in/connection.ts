/**
 * One connection on which HTTP is spoken: makes a request and a response of each head that the engine brings, keeps the responses in the order of
 * the requests, and decides what node's server decides about a connection: when it closes, which errors are whose, what an upgrade hands out.
 *
 * The socket object is made when somebody asks for it. Until then nobody can see one, and what node does by way of its socket's events happens
 * here at once; from then on it happens by way of the socket (connection-socket.ts), so that programs see the events of both in node's order.
 */
import diagnostics from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { WireConnection, WireListener } from '../backend/wire.js';
import {
  REQUEST_HAS_BODY_FLAG,
  REQUEST_KEEP_ALIVE_FLAG,
  REQUEST_UPGRADE_FLAG,
  WIRE_WRITE_CLOSE_FLAG,
} from '../bridge/records.js';
import { adoptSocket, type HttpSocket, makeSocket, onSocketError } from './connection-socket.js';
import { ConnectionTimeout, tellTimeout } from './connection-timeout.js';
import {
  kDrain,
  kEndBody,
  kIdle,
  kPeerEnd,
  kPushBody,
  kPushData,
  kResponseClass,
  kRun,
  kSocketClosed,
  type RequestSource,
  type ResponseSink,
  type SocketHost,
  type WriteCallback,
} from './contract.js';
import { Exchanges } from './exchanges.js';
import type { FedTransport } from './fed-transport.js';
import { createRequest, type IncomingMessage } from './incoming-message.js';
import { readsUpgradeBodies } from './node-version.js';
import { ReadingGate } from './reading-gate.js';
import { handle, hasBodyHeaders, ruleFor } from './request-rules.js';
import type { Server } from './server.js';
import { createResponse, ServerResponse } from './server-response.js';
import type { ServerState } from './server-state.js';
import { Upgrade } from './upgrade.js';
import { answerTo, type ClientError, clientErrorOf, endOfFileError } from './wire-errors.js';
import { WireOutput } from './wire-output.js';

const requestStart = diagnostics.channel('http.server.request.start');

export class HttpConnection implements WireListener, RequestSource, ResponseSink, SocketHost {
  readonly server: Server;
  readonly wire: WireConnection;
  readonly openedAtMs = performance.now();
  destroyed = false;
  readonly #state: ServerState;
  readonly output: WireOutput;
  readonly #fed: FedTransport | null;
  #socket: HttpSocket | null = null;
  readonly #exchanges = new Exchanges(this);
  readonly #timeout: ConnectionTimeout;
  /** Whose body is arriving. */
  #reading: IncomingMessage | null = null;
  /** Whose handler is running: to node it has not been read to its end. */
  #arriving: IncomingMessage | null = null;
  #requestCount = 0;
  /** What the waiting responses keep. */
  #pendingBytes = 0;
  #needDrain = false;
  readonly gate: ReadingGate;
  #isCounted: boolean;
  #hasShutDown = false;
  /** Destroyed from here; `destroyed` is also one that ends once its output has left. */
  #isCut = false;
  #isClosed = false;
  #hasFailed = false;
  #upgrade: Upgrade | null = null;

  constructor(state: ServerState, wire: WireConnection, fed: FedTransport | null) {
    this.server = state.server;
    this.wire = wire;
    this.#state = state;
    this.output = new WireOutput(wire, fed);
    this.#fed = fed;
    this.gate = new ReadingGate(wire);
    this.#isCounted = fed === null;
    if (this.#isCounted) this.server._connections++;
    if (fed !== null) this.#socket = adoptSocket(fed.duplex, this);
    this.#timeout = new ConnectionTimeout(this.server, wire, this.#socket);
  }

  get isParsed(): boolean {
    return this.#upgrade === null;
  }

  get currentResponse(): ServerResponse | null {
    return this.#exchanges.response;
  }

  get httpMessage(): ServerResponse | null | undefined {
    return this.#exchanges.response ?? (this.#requestCount === 0 ? undefined : null);
  }

  get hasSocket(): boolean {
    return this.#socket !== null;
  }

  get socket(): Socket {
    const isNew = this.#socket === null;
    const socket = this.#ensureSocket();
    // Asked for too late: one that is closed.
    if (isNew && this.#isClosed) socket[kSocketClosed]?.(0);
    return socket;
  }

  // Requests.

  onRequest(
    method: string,
    versionMinor: number,
    flags: number,
    headerCount: number,
    targetLength: number,
    text: string,
    body: Buffer | null,
  ): void {
    if (this.destroyed || this.#exchanges.isAborted) return;
    this.#timeout.onRequest();
    const { server } = this;
    const made = this.#state.prepare();
    const request = createRequest(
      this,
      method,
      versionMinor,
      flags,
      headerCount,
      targetLength,
      text,
      body,
      made.request,
    );
    if ((flags & REQUEST_HAS_BODY_FLAG) !== 0 && body === null) this.#reading = request;
    if ((flags & REQUEST_UPGRADE_FLAG) !== 0 && this.#tryUpgrade(request, method, flags)) return;
    this.#requestCount++;
    if (this.#needDrain || this.#pendingBytes >= this.writableHighWaterMark) this.gate.pauseByOutput(true);
    const hasTurn = this.#exchanges.response === null;
    const keepAlive = (flags & REQUEST_KEEP_ALIVE_FLAG) !== 0;
    const Class = server[kResponseClass] ?? ServerResponse;
    const response = createResponse(Class, this, request, hasTurn, keepAlive, made.response);
    if (requestStart.hasSubscribers) requestStart.publish({ request, response, socket: this.socket, server });
    this.#exchanges.add(request, response);
    if (this.#state.optimizesEmptyRequests && !hasBodyHeaders(request)) request._dumpAndCloseReadable();
    const rule = versionMinor === 0 ? handle : ruleFor(server, response, text, headerCount, flags, this.#requestCount);
    this.#arriving = request;
    request[kRun](rule, this, request, response);
    this.#arriving = null;
  }

  onBody(chunk: Buffer): void {
    this.#reading?.[kPushBody](chunk);
  }

  onBodyEnd(trailers: string[]): void {
    const request = this.#reading;
    this.#reading = null;
    request?.[kEndBody](trailers);
    this.#upgrade?.onBodyEnd();
  }

  // RequestSource.

  consume(byteCount: number): void {
    this.wire.consume(byteCount);
  }

  destroyFromRequest(_request: IncomingMessage, error: Error | null): void {
    this.destroy(error);
  }

  // ResponseSink.

  get writableLength(): number {
    return this.output.measure();
  }

  get writableHighWaterMark(): number {
    return this.#state.highWaterMark;
  }

  cork(): void {
    this.output.cork();
  }

  send(head: string, body: string | Uint8Array, callback: WriteCallback | null): boolean {
    this.output.measure();
    this.#fed?.keepAwake();
    this.output.write(head, body, 0, callback);
    if (this.output.length < this.writableHighWaterMark) return true;
    if (!this.output.isCorked) this.output.flush();
    if (!this.#needDrain) {
      this.#needDrain = true;
      this.output.whenFlushed(() => this.#onDrained());
    }
    return false;
  }

  sendLast(
    response: ServerResponse,
    head: string,
    body: string | Uint8Array,
    callback: WriteCallback | null,
    close: boolean,
  ): void {
    this.#exchanges.sendLast(response, head, body, callback, close);
  }

  flush(): void {
    this.output.flush();
  }

  whenFlushed(callback: WriteCallback): void {
    this.output.whenFlushed(callback);
  }

  onPendingBytes(delta: number): void {
    this.#pendingBytes += delta;
    this.#mayReadAgain();
  }

  destroyFromResponse(response: ServerResponse, error: Error | null): void {
    // One whose turn has not come takes the connection with it when it comes.
    if (this.#exchanges.isPresent(response)) this.destroy(error);
  }

  /** No response is owed, for now. */
  onAllAnswered(): void {
    this.#state.refresh();
    if (!this.#timeout.isSet) return;
    // Until then the peer that does not read is what the timeout is for.
    this.output.whenFlushed(() => {
      if (this.#exchanges.response === null && !this.destroyed) this.#timeout.onIdle();
    });
  }

  // Output.

  /** `flags`: WIRE_WRITE_*. */
  write(head: string, body: string | Uint8Array, flags: number, callback: WriteCallback | null): void {
    this.#fed?.keepAwake();
    this.output.uncork();
    this.output.write(head, body, flags, callback);
  }

  onFlushed(position: number): void {
    if (this.#fed === null) this.output.onFlushed(position);
  }

  /** As onFlushed, from the transport of a fed connection. */
  onSent(position: number): void {
    this.output.onFlushed(position);
  }

  #onDrained(): void {
    this.#needDrain = false;
    if (this.destroyed) return;
    this.#mayReadAgain();
    this.#exchanges.response?.[kDrain]();
  }

  #mayReadAgain(): void {
    if (!this.#needDrain && this.#pendingBytes <= this.writableHighWaterMark) this.gate.pauseByOutput(false);
  }

  // Ends and errors.

  onEnd(inMessage: boolean): void {
    if (this.#upgrade !== null) {
      this.#upgrade.onEnd();
      return;
    }
    if (this.#fed === null) this.#socket?.[kPeerEnd]?.();
    if (this.destroyed) return;
    if (inMessage) {
      this.fail(endOfFileError());
      return;
    }
    const { last } = this.#exchanges;
    if (this.server.httpAllowHalfOpen && last !== null) last._last = true;
    else this.endAfterOutput();
  }

  onError(name: string, bytes: Buffer, position: number): void {
    if (this.destroyed) return;
    const error = clientErrorOf(name, bytes, position);
    // What follows refused bytes is an error of its own; a timeout, of which server-state.ts may have told, is not.
    if (error.code !== 'ERR_HTTP_REQUEST_TIMEOUT') this.#hasFailed = false;
    this.fail(error);
  }

  /** An error of the connection: 'clientError', or node's answer. */
  fail(error: ClientError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    if (this.#socket !== null || this.server.listenerCount('clientError') > 0)
      onSocketError.call(this.#ensureSocket(), error);
    else this.answer(error);
  }

  get hasBegunToAnswer(): boolean {
    return this.#exchanges.hasBegunToAnswer;
  }

  /** Where the program has not answered: says what was wrong if nothing of a response was sent, and closes. */
  answer(error: ClientError): void {
    if (this.destroyed) return;
    if (this.hasBegunToAnswer) {
      this.destroy(error);
      return;
    }
    this.write(answerTo(error), '', WIRE_WRITE_CLOSE_FLAG, null);
    this.destroyed = true;
  }

  /** `socket.destroy(error)`. */
  destroy(error: Error | null): void {
    if (this.#isClosed || this.#isCut) return;
    if (this.#socket === null && error !== null && this.server.listenerCount('clientError') > 0) void this.socket;
    if (this.#socket !== null) this.#socket.destroy(error ?? undefined);
    else this.closeFromSocket(false);
  }

  /** No request, and none that waits for its answer. A new connection is not idle: node waits for its first request. */
  get isIdle(): boolean {
    const { index, generation, loop } = this.wire;
    if (this.#requestCount === 0 || this.#reading !== null || this.#arriving?.complete === false) return false;
    return this.currentResponse?.finished !== false && !loop.engine.wireReceiving(index, generation);
  }

  /** No request has been read on it. */
  get isSilent(): boolean {
    return this.#requestCount === 0;
  }

  destroyIdle(): void {
    if (this.output.measure() === 0) this.destroy(null);
    else this.endAfterOutput();
  }

  endAfterOutput(): void {
    if (this.#socket !== null && this.#fed === null) {
      this.#socket.destroySoon();
      return;
    }
    this.write('', '', WIRE_WRITE_CLOSE_FLAG, null);
    this.destroyed = true;
  }

  onClosed(errno: number): void {
    this.#isClosed = true;
    if (this.#socket === null && errno !== 0 && this.server.listenerCount('clientError') > 0) this.#ensureSocket();
    this.destroyed = true;
    this.output.abandon(errno === 0 && !this.#isCut);
    this.#state.remove(this);
    this.#uncount();
    const socket = this.#socket;
    if (this.#fed !== null) {
      this.#fed.onClosed();
      if (this.#upgrade === null) this.abort();
    } else if (socket !== null) {
      socket[kSocketClosed]?.(errno);
    } else {
      this.abort();
    }
  }

  abort(): void {
    this.abortRequests();
    this.closeResponses();
  }

  abortRequests(): void {
    this.#reading = null;
    this.#exchanges.abortRequests();
  }

  closeResponses(): void {
    this.#exchanges.closeResponses();
  }

  #uncount(): void {
    if (!this.#isCounted) return;
    this.#isCounted = false;
    this.server._connections--;
    this.server._emitCloseIfDrained();
  }

  // SocketHost.

  #ensureSocket(): HttpSocket {
    if (this.#socket !== null) return this.#socket;
    const socket = makeSocket(this, this.#isCounted);
    this.#socket = socket;
    this.#isCounted = false;
    return socket;
  }

  sendRaw(latin1: string, bytes: string | Uint8Array): void {
    this.write(latin1, bytes, 0, null);
  }

  shutdown(callback: WriteCallback | null): void {
    this.#hasShutDown = true;
    this.output.shutdown(callback);
  }

  closeFromSocket(reset: boolean): void {
    if (this.#isClosed || this.#isCut) return;
    this.#isCut = true;
    this.destroyed = true;
    if (!reset && this.output.length > 0 && !this.output.isCorked) this.output.flush();
    if (!reset && this.#hasShutDown && this.output.length === 0) {
      // All is said: the engine reads on for a while, so that no reset overtakes what was sent.
      this.output.write('', '', WIRE_WRITE_CLOSE_FLAG, null);
    } else {
      this.wire.destroy(reset);
    }
    this.#uncount();
  }

  pauseReading(): void {
    if (this.#fed === null) this.#socket?.pause();
  }

  resumeReading(): void {
    if (this.gate.isPausedBySocket) this.#socket?.resume();
  }

  onWriteReplaced(): void {
    if (this.#socket !== null) this.#exchanges.goThrough(this.#socket);
  }

  setInactivity(timeoutMs: number): void {
    this.#timeout.set(timeoutMs);
  }

  // Timeouts.

  onIdle(isKeepAlive: boolean): void {
    if (this.#isCut) return;
    // Nothing has come yet: that is a matter of the headers timeout (server-state.ts).
    if (isKeepAlive && this.#requestCount === 0) return;
    const socket = this.#socket;
    if (socket === null) this.onTimeout();
    else if (this.#fed === null) socket[kIdle]?.();
    else if (isKeepAlive) socket.emit('timeout');
  }

  /** The 'timeout' of the socket: whoever listens decides, else the connection is destroyed. */
  onTimeout(): void {
    if (!tellTimeout(this, this.#reading)) this.destroy(null);
  }

  // Upgrades, and what comes after them.

  /** False: HTTP goes on. */
  #tryUpgrade(request: IncomingMessage, method: string, flags: number): boolean {
    const { server } = this;
    const isConnect = method === 'CONNECT';
    request.upgrade = isConnect || this.#state.shouldUpgrade(request);
    if (!request.upgrade) {
      this.wire.proceed(false);
      return false;
    }
    const name = isConnect ? 'connect' : 'upgrade';
    if (server.listenerCount(name) === 0) {
      this.destroy(null);
      return true;
    }
    const socket = this.#ensureSocket();
    const bodyFirst = readsUpgradeBodies && (flags & REQUEST_HAS_BODY_FLAG) !== 0;
    if (!bodyFirst) this.#reading = null;
    this.#state.leaveHttp(this);
    this.#upgrade = new Upgrade(this, socket, request, name, this.#fed, bodyFirst);
    return true;
  }

  onData(chunk: Buffer): void {
    if (this.#upgrade !== null) this.#upgrade.onData(chunk);
    else this.#socket?.[kPushData]?.(chunk);
  }

  // Fed connections.

  onOutput(chunk: Buffer): void {
    this.#fed?.onOutput(chunk);
  }

  onTransport(command: number): void {
    this.#fed?.onTransport(command);
  }
}
