import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { AbortReason, App, Peer } from '../http/exchange.js';
import type { WebSocketSession } from '../ws/contract.js';
import type { Limits, Timeouts } from './contract.js';
import { bodyAtHand, type ExchangeOwner, headForNode, NodeExchange, refusalBytes } from './node-exchange.js';
import { Lane, type LaneOwner, resetSocket, writeAll } from './node-lane.js';
import { ConnectionTimers, type TimeoutName } from './node-timers.js';
import { type Acceptance, asksForWebSocket } from './node-upgrade.js';
import { ChunkScanner } from './strict-chunked.js';
import { parseHead, parseTrailers, type StrictHead } from './strict-head.js';
import { HTTP_ERROR_STATUS, type HttpErrorName } from './strict-syntax.js';

/** What all connections of a server share. */
export interface ConnectionHost {
  readonly http: HttpServer;
  readonly app: App;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly closing: boolean;
  countError(name: string): void;
  countBytes(received: number, sent: number): void;
  onRequest(): void;
  onExchangeOver(exchange: NodeExchange, completed: boolean): void;
  onConnectionClosed(connection: NodeConnection): void;
  /** The socket of `connection` becomes a WebSocket: it is the host's from here on. `head`: what was read behind the request. */
  onUpgrade(connection: NodeConnection, socket: Socket, head: Buffer, acceptance: Acceptance): WebSocketSession;
}

/**
 * One client connection: socket -> strict scanner -> lane -> node's HTTP server, and back. Nothing that the scanner refuses reaches
 * node's parser. Owns its lane, its timers and its exchanges; owned by the NodeServer.
 */
export class NodeConnection implements LaneOwner, ExchangeOwner {
  readonly peer: Peer;
  readonly app: App;
  readonly lane: Lane;
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #timers: ConnectionTimers;

  #input: Buffer = Buffer.alloc(0);
  /** 'stopped': no further request is read from this connection. */
  #inbound: 'head' | 'length-body' | 'chunked-body' | 'stopped' = 'head';
  #bodyRemaining = 0;
  #bodyBytes = 0;
  #chunks: ChunkScanner | null = null;
  #firstByteAt = 0;
  #requestCount = 0;
  #laneFull = false;
  #pumping = false;
  #peerEnded = false;
  #ended = false;
  /** Dispatched exchanges in the order of their requests. */
  #active: NodeExchange[] = [];
  /** Exchanges that node has not reported yet. */
  #unattached: NodeExchange[] = [];
  /** The exchange whose body is being received. */
  #receiving: NodeExchange | null = null;
  /** A refused head waits for the answers before it. */
  #refusedStatus = 0;
  /** A request that may become a WebSocket: what comes behind it is not read as HTTP before it is answered. */
  #upgrading: NodeExchange | null = null;
  /** Such a request waits, unparsed, for the answers before it. */
  #holdsUpgrade = false;
  /** The socket is a WebSocket's. */
  #isGone = false;
  readonly #listeners = {
    data: (chunk: Buffer): void => this.#onData(chunk),
    end: (): void => this.#onPeerEnd(),
    close: (): void => this.#onClose(),
  };

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket;
    this.#host = host;
    this.app = host.app;
    this.peer = {
      remoteAddress: socket.remoteAddress,
      remotePort: socket.remotePort,
      localAddress: socket.localAddress,
      localPort: socket.localPort,
    };
    this.lane = new Lane(this, host.limits.writeBufferBytes);
    this.lane.on('error', () => {});
    this.#timers = new ConnectionTimers(
      host.timeouts,
      () => this.#laneFull || this.#receiving?.bodyAskedFor === false,
      (name) => this.#onTimeout(name),
    );
    for (const [name, listener] of Object.entries(this.#listeners)) socket.on(name, listener);
    socket.on('error', () => {});
    host.http.emit('connection', this.lane);
    this.#timers.startKeepAlive();
  }

  get activeExchanges(): readonly NodeExchange[] {
    return this.#active;
  }

  // From the client.

  #onData(chunk: Buffer): void {
    this.#host.countBytes(chunk.length, 0);
    if (this.#inbound === 'stopped') return;
    if (this.#receiving !== null) this.#timers.noteBodyBytes(chunk.length);
    if (this.#input.length === 0 && this.#inbound === 'head') this.#firstByteAt = performance.now();
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    this.#pump();
  }

  /** Takes what has arrived as far as the lane, the pipelining limit and the state allow. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#input.length > 0 && !this.#laneFull) {
      if (this.#inbound === 'stopped') this.#input = Buffer.alloc(0);
      else if (!(this.#inbound === 'head' ? this.#takeHead() : this.#takeBody())) break;
    }
    this.#pumping = false;
    const blocked = this.#laneFull || this.#holdsUpgrade || this.#pipelineFull();
    if (this.#receiving !== null && blocked) this.#timers.noteBodyBlocked();
    if (blocked && this.#input.length > 0 && this.#inbound !== 'stopped') this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #pipelineFull(): boolean {
    const limit = this.#host.limits.pipelinedRequests;
    const isFull = this.#upgrading !== null || (limit > 0 && this.#active.length >= limit);
    return this.#inbound === 'head' && isFull;
  }

  #takeHead(): boolean {
    if (this.#pipelineFull()) return false;
    const result = parseHead(this.#input, this.#host.limits);
    if (result.status === 'more') {
      this.#timers.startHeaders(this.#firstByteAt);
      return false;
    }
    this.#timers.stopIdle();
    if (result.status === 'error') {
      this.#refuse(result.error);
      return false;
    }
    const head = result.value;
    const mayUpgrade = this.#host.app.upgrades === true && asksForWebSocket(head);
    this.#holdsUpgrade = mayUpgrade && this.#active.length > 0;
    if (this.#holdsUpgrade) return false;
    const { bodyBytes, requestsPerConnection } = this.#host.limits;
    if (bodyBytes > 0 && head.contentLength > bodyBytes) {
      this.#refuse('BODY_TOO_LARGE');
      return false;
    }
    const bytes = this.#input;
    this.#input = bytes.subarray(head.length);
    this.#requestCount++;
    const body = bodyAtHand(this.#input, head.contentLength);
    const exchange = new NodeExchange(this, head, body, mayUpgrade);
    this.#active.push(exchange);
    this.#unattached.push(exchange);
    if (mayUpgrade) this.#upgrading = exchange;
    this.#host.onRequest();
    const last =
      !head.keepAlive ||
      this.#host.closing ||
      (requestsPerConnection > 0 && this.#requestCount >= requestsPerConnection);
    this.#closesAfterBody = last;
    if (exchange.hasBody) this.#expectBody(exchange, head);
    else this.#onRequestReceived(exchange);
    this.#pushToNode(headForNode(bytes, head));
    return true;
  }

  #closesAfterBody = false;

  #expectBody(exchange: NodeExchange, head: StrictHead): void {
    this.#receiving = exchange;
    this.#bodyBytes = 0;
    this.#bodyRemaining = head.contentLength;
    this.#inbound = head.chunked ? 'chunked-body' : 'length-body';
    this.#chunks = head.chunked ? new ChunkScanner(this.#host.limits.chunkOverheadBytes) : null;
    this.#timers.startBody(this.#firstByteAt);
  }

  #takeBody(): boolean {
    this.#receiving?.noteBodyBytes();
    if (this.#chunks === null) {
      const part = this.#input.subarray(0, this.#bodyRemaining);
      this.#input = this.#input.subarray(part.length);
      this.#bodyRemaining -= part.length;
      const whole = this.#bodyRemaining === 0;
      if (whole) this.#onRequestReceived(this.#receiving as NodeExchange);
      this.#pushToNode(part);
      return true;
    }
    return this.#takeChunks(this.#chunks);
  }

  #takeChunks(chunks: ChunkScanner): boolean {
    const trailersBefore = chunks.inTrailers;
    const scan = chunks.scan(this.#input);
    this.#bodyBytes += scan.dataBytes;
    const limit = this.#host.limits.bodyBytes;
    // What the limit refuses comes before what stands behind it.
    const error: HttpErrorName | null = limit > 0 && this.#bodyBytes > limit ? 'BODY_TOO_LARGE' : scan.error;
    if (error !== null) {
      this.#refuseBody(
        error,
        error === 'BODY_TOO_LARGE' || error === 'CHUNK_OVERHEAD_EXCEEDED' ? 'body-too-large' : 'body-invalid',
      );
      return false;
    }
    const part = this.#input.subarray(0, scan.consumed);
    this.#input = this.#input.subarray(scan.consumed);
    if (!trailersBefore) {
      this.#pushToNode(part);
      return true;
    }
    if (!scan.done) return false;
    const section = chunks.trailerSection;
    const trailers = parseTrailers(section, {
      headerBytes: this.#host.limits.headerBytes,
      headerCount: this.#host.limits.headerCount,
    });
    if (trailers.status === 'error') {
      this.#refuseBody(trailers.error, 'body-invalid');
      return false;
    }
    this.#onRequestReceived(this.#receiving as NodeExchange);
    this.#pushToNode(section);
    return true;
  }

  /** The scanner has seen the end of a request. */
  #onRequestReceived(exchange: NodeExchange): void {
    exchange.received = true;
    this.#receiving = null;
    this.#chunks = null;
    this.#timers.stopBody();
    this.#inbound = this.#closesAfterBody ? 'stopped' : 'head';
    this.#firstByteAt = performance.now(); // of the next request, whose first bytes may be here
  }

  #pushToNode(bytes: Buffer): void {
    if (bytes.length > 0 && !this.lane.destroyed && !this.lane.push(bytes)) this.#laneFull = true;
  }

  onLaneRead(): void {
    if (!this.#laneFull) return;
    this.#laneFull = false;
    setImmediate(() => this.#pump());
  }

  /** node's parser has reported the next request. */
  onNodeRequest(req: IncomingMessage, res: ServerResponse): void {
    const exchange = this.#unattached.shift();
    if (exchange === undefined) {
      this.#socket.destroy();
      return;
    }
    exchange.attach(req, res);
    if (exchange.abortReason !== null) return;
    if (this.#peerEnded) exchange.notePeerEnd();
    if (exchange.refusedStatus !== 0) {
      exchange.answerError(exchange.refusedStatus, true);
      return;
    }
    const { handler } = this.#host.timeouts;
    if (handler > 0) {
      exchange.handlerTimer = setTimeout(() => this.#onHandlerTimeout(exchange), handler);
      exchange.handlerTimer.unref();
    }
    exchange.runInAsyncScope(this.#host.app.handle, this.#host.app, exchange);
  }

  /** node's parser refuses what has passed the scanner: a version of node that is stricter than it. */
  onNodeRefused(code: string): void {
    this.#host.countError(code);
    this.#answerRefusal(code === 'HPE_HEADER_OVERFLOW' ? 431 : 400);
  }

  // Refusals and timeouts.

  #refuse(name: HttpErrorName): void {
    this.#host.countError(name);
    this.#answerRefusal(HTTP_ERROR_STATUS[name]);
  }

  #answerRefusal(status: number): void {
    this.#stopReading();
    if (this.#refusedStatus === 0) this.#refusedStatus = status;
    this.#settle();
  }

  #refuseBody(name: HttpErrorName, reason: AbortReason): void {
    this.#host.countError(name);
    this.#endReceiving(HTTP_ERROR_STATUS[name], reason);
  }

  /** The body that is being received is no good: answers where nothing has been answered, else ends the connection. */
  #endReceiving(status: number, reason: AbortReason): void {
    const exchange = this.#receiving;
    this.#stopReading();
    if (exchange === null || exchange.responseEnded) {
      this.#settle();
      return;
    }
    if (exchange.responseStarted) {
      this.#endEarly(exchange, reason);
      return;
    }
    if (exchange.attached) {
      exchange.abort(reason);
      exchange.answerError(status, true);
    } else {
      exchange.refusedStatus = status;
    }
  }

  #onTimeout(name: TimeoutName): void {
    if (name === 'KEEP_ALIVE_TIMEOUT') {
      this.#socket.destroy();
      return;
    }
    this.#host.countError(name);
    if (this.#receiving === null) this.#answerRefusal(408);
    else this.#endReceiving(408, 'body-timeout');
  }

  #onHandlerTimeout(exchange: NodeExchange): void {
    if (exchange.responseStarted || exchange.abortReason !== null) return;
    this.#host.countError('HANDLER_TIMEOUT');
    const close = this.closesAfter(exchange, !exchange.received);
    exchange.abort('handler-timeout');
    exchange.answerError(503, close);
  }

  #stopReading(): void {
    this.#inbound = 'stopped';
    this.#receiving = null;
    this.#input = Buffer.alloc(0);
    this.#timers.stopAll();
  }

  // Responses.

  closesAfter(exchange: NodeExchange, asked: boolean): boolean {
    const newest = this.#active[this.#active.length - 1] === exchange;
    const closes =
      asked ||
      (newest &&
        (this.#host.closing ||
          (this.#inbound === 'stopped' && this.#refusedStatus === 0) ||
          (this.#closesAfterBody && this.#receiving === exchange)));
    if (closes) {
      if (this.#receiving === null) this.#stopReading();
      this.#closesAfterBody = true;
    }
    return closes;
  }

  onResponseStarted(exchange: NodeExchange): void {
    if (!exchange.bodyAskedFor && this.#receiving === exchange) this.#stopReading();
  }

  onResponseFinished(exchange: NodeExchange): void {
    this.#remove(exchange, exchange.abortReason === null);
    // The application takes no more of the body: what is left would stand in the way of the next request.
    if (this.#receiving === exchange && exchange.bodyStalled) this.#stopReading();
    this.#settle();
    this.#pump();
  }

  destroyFor(exchange: NodeExchange): void {
    this.#endEarly(exchange, 'local');
  }

  /** Ends an exchange without an answer, and the connection with it. */
  #endEarly(exchange: NodeExchange, reason: AbortReason): void {
    exchange.abort(reason);
    this.#remove(exchange, false);
    resetSocket(this.#socket);
  }

  #remove(exchange: NodeExchange, completed: boolean): void {
    const index = this.#active.indexOf(exchange);
    if (index === -1) return;
    this.#active.splice(index, 1);
    if (this.#upgrading === exchange) this.#upgrading = null;
    this.#host.onExchangeOver(exchange, completed);
  }

  /** Once nothing is being answered: sends a waiting refusal, ends the connection, or waits for the next request. */
  #settle(): void {
    if (this.#active.length > 0 || this.#ended) return;
    if (this.#refusedStatus !== 0) {
      const status = this.#refusedStatus;
      this.#refusedStatus = 0;
      this.#end(refusalBytes(status));
    } else if (this.#inbound === 'stopped' || this.#peerEnded || (this.#host.closing && this.#idle)) {
      this.#end('');
    } else if (this.#idle) {
      this.#timers.startKeepAlive();
    }
  }

  get #idle(): boolean {
    return this.#active.length === 0 && this.#inbound === 'head' && this.#input.length === 0;
  }

  #end(lastBytes: string): void {
    if (this.lane.writableEnded || this.lane.destroyed) return;
    if (lastBytes === '') this.lane.end();
    else this.lane.end(lastBytes, 'latin1');
  }

  acceptWebSocket(exchange: NodeExchange, acceptance: Acceptance): WebSocketSession | null {
    if (!exchange.upgrades || this.#socket.destroyed) return null;
    const socket = this.#socket;
    const head = this.#input;
    this.#stopReading();
    for (const [name, handler] of Object.entries(this.#listeners)) socket.removeListener(name, handler);
    this.#isGone = true;
    this.#remove(exchange, true);
    this.lane.destroy();
    return this.#host.onUpgrade(this, socket, head, acceptance);
  }

  sendToClient(chunks: readonly Buffer[], sent: (error?: Error | null) => void): void {
    writeAll(this.#socket, chunks, (error, length) => {
      if (error === null) this.#host.countBytes(0, length);
      sent(error);
    });
  }

  /** Everything is with the operating system: half-closes, and lingers so that a client that still sends can read the answer. */
  onLaneEnd(): void {
    this.#ended = true;
    this.#stopReading();
    for (const exchange of this.#active.slice()) {
      if (exchange.finished) continue; // its own 'finish' is under way
      exchange.abort('local');
      this.#remove(exchange, false);
    }
    const { linger } = this.#host.timeouts;
    this.#socket.end(() => {
      if (this.#peerEnded || linger <= 0) this.#socket.destroy();
    });
    if (linger > 0) this.#timers.startLinger(() => this.#socket.destroy());
    this.#socket.resume();
  }

  onLaneDestroy(): void {
    if (!this.#isGone) this.#socket.destroy();
  }

  // Ends.

  /** The client has sent all that it will (half-close); complete requests are still answered. */
  #onPeerEnd(): void {
    this.#peerEnded = true;
    for (const exchange of this.#active.slice()) if (exchange.received) exchange.notePeerEnd();
    if (this.#ended) {
      this.#socket.destroy();
    } else if (this.#inbound === 'head' && this.#input.length > 0 && !this.#pipelineFull()) {
      this.#refuse('UNEXPECTED_END');
    } else if (this.#receiving !== null) {
      this.#host.countError('UNEXPECTED_END');
      this.#endReceiving(400, 'client');
    } else {
      this.#settle();
    }
  }

  #onClose(): void {
    this.#stopReading();
    this.#timers.stopLinger();
    for (const exchange of this.#active.slice()) {
      exchange.abort('client');
      this.#remove(exchange, false);
    }
    this.lane.destroy();
    this.#host.onConnectionClosed(this);
  }

  /** The server has begun to close: an idle connection goes at once, others after what is in flight. */
  beginClose(): void {
    if (this.#idle && !this.lane.writableEnded) this.#socket.destroy();
  }

  /** The server's deadline has passed. */
  cut(): void {
    for (const exchange of this.#active.slice()) {
      exchange.abort('server-closing');
      this.#remove(exchange, false);
    }
    resetSocket(this.#socket);
  }
}
