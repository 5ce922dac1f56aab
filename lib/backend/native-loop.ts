/**
 * The native engine of this environment (the main thread, or a worker): one for all of its servers, made with the first. Reads a batch of completions when native
 * code calls, runs the handlers, and leaves the answers in the submission ring.
 */
import { loadBinding, type NativeEngine } from '../bridge/binding.js';
import { LentBuffers } from '../bridge/lent-buffers.js';
import {
  ABORT,
  ABORT_REASON_OFFSET,
  ABORT_SOFT_FLAG,
  BODY,
  BODY_END,
  BODY_END_BYTES,
  BODY_END_HEADER_COUNT_OFFSET,
  BODY_END_TEXT_LENGTH_OFFSET,
  COMPLETION_RING_BYTES,
  EXCHANGE_GENERATION_OFFSET,
  EXCHANGE_INDEX_OFFSET,
  HEAD_WORD,
  PAD,
  REQUEST,
  REQUEST_BODY_COMPLETE_FLAG,
  REQUEST_BODY_LENGTH_OFFSET,
  REQUEST_BYTES,
  REQUEST_CONNECTION_GENERATION_OFFSET,
  REQUEST_CONNECTION_INDEX_OFFSET,
  REQUEST_HEADER_COUNT_OFFSET,
  REQUEST_METHOD_OFFSET,
  REQUEST_SERVER_OFFSET,
  REQUEST_TARGET_LENGTH_OFFSET,
  REQUEST_TEXT_LENGTH_OFFSET,
  REQUEST_VERSION_MINOR_OFFSET,
  SERVER_CLOSED,
  SUBMISSION_RING_BYTES,
  TAIL_WORD,
  WIRE_OPEN,
  WRITABLE,
  WS_MESSAGE,
} from '../bridge/records.js';
import { createRing, SubmissionWriter } from '../bridge/submission-writer.js';
import { OptionError } from '../errors.js';
import type { App, Peer } from '../http/exchange.js';
import { batchStats } from './batch-stats.js';
import { NativeExchange } from './native-exchange.js';
import { registerEngine } from './phase-times.js';
import { WebSocketReader } from './websocket-reader.js';
import { WireReader } from './wire.js';

/** A server whose last connection is waited for. */
export interface ClosingServer {
  onClosed(): void;
}

/** What a server of exchanges is to the loop. */
export interface LoopServer extends ClosingServer {
  readonly app: App;
  readonly writeBufferBytes: number;
  readonly batches: { count: number; requests: number; largest: number };
  /** Requests in the batch that is being read. */
  inBatch: number;
}

export class NativeLoop {
  readonly engine: NativeEngine;
  readonly submissions: SubmissionWriter;
  readonly completionBytes: Buffer;
  readonly lent: LentBuffers;
  readonly wire: WireReader;
  readonly webSockets: WebSocketReader;
  readonly #control: Uint32Array;
  readonly #words: Uint32Array;
  readonly #servers: (ClosingServer | undefined)[] = [];
  /** Exchanges for which completions may still come, by slab index. */
  readonly #live: (NativeExchange | undefined)[] = [];
  /** Of this batch: complete bodies that stand in the ring, and servers that got requests. */
  readonly #ringBodies: NativeExchange[] = [];
  readonly #touched: LoopServer[] = [];

  /** The ends of connections that were asked for, by slab index: one native call and one system call a connection, not a request. */
  readonly #peers: ({ generation: number; peer: Peer } | undefined)[] = [];

  #lastAddress: string | undefined;

  constructor(poller: string) {
    const completions = createRing(COMPLETION_RING_BYTES);
    const submissions = createRing(SUBMISSION_RING_BYTES);
    this.completionBytes = completions.bytes;
    this.#control = completions.control;
    this.#words = completions.words;
    const { Engine } = loadBinding();
    this.engine = new Engine(
      poller,
      completions.control,
      completions.bytes,
      submissions.control,
      submissions.bytes,
      () => this.#onBatch(),
    );
    registerEngine(this.engine);
    this.submissions = new SubmissionWriter(submissions, () => this.engine.flush());
    this.lent = new LentBuffers(this.engine, completions);
    this.wire = new WireReader(this, completions);
    this.webSockets = new WebSocketReader(this, completions);
  }

  addServer(index: number, server: ClosingServer): void {
    this.#servers[index] = server;
  }

  peer(index: number, generation: number): Peer {
    const known = this.#peers[index];
    if (known !== undefined && known.generation === generation) return known.peer;
    const ends = this.engine.peer(index, generation);
    if (ends === undefined) return NO_PEER;
    const [remote, local] = ends;
    const peer: Peer = {
      remoteAddress: remote.address,
      remotePort: remote.port,
      localAddress: local.address,
      localPort: local.port,
    };
    this.#peers[index] = { generation, peer };
    return peer;
  }

  /** Kept by nobody here; from one proxy all have the same string. */
  remoteAddress(index: number, generation: number): string | undefined {
    const known = this.#peers[index];
    if (known !== undefined && known.generation === generation) return known.peer.remoteAddress;
    const address = this.engine.peer(index, generation)?.[0].address;
    if (address !== this.#lastAddress) this.#lastAddress = address;
    return this.#lastAddress;
  }

  /** No completion is of interest for it any more. */
  retire(exchange: NativeExchange): void {
    if (this.#live[exchange.index] === exchange) this.#live[exchange.index] = undefined;
  }

  /** One call a batch. Nothing that a handler throws may stop the others. */
  #onBatch(): void {
    const control = this.#control;
    const words = this.#words;
    const mask = COMPLETION_RING_BYTES - 1;
    let head = control[HEAD_WORD] as number;
    let completions = 0;
    while (head !== control[TAIL_WORD]) {
      const at = head & mask;
      const word = at >>> 2;
      head = (head + (words[word] as number)) >>> 0;
      const opcode = words[word + 1] as number;
      if ((opcode & 0xffff) !== PAD) completions++;
      try {
        this.#dispatch(opcode & 0xffff, opcode >>> 16, at, word);
      } catch (error) {
        process.nextTick(rethrow, error);
      }
    }
    while (this.#ringBodies.length > 0) (this.#ringBodies.pop() as NativeExchange).keepBody();
    while (this.#touched.length > 0) {
      const server = this.#touched.pop() as LoopServer;
      server.batches.count++;
      server.batches.requests += server.inBatch;
      if (server.inBatch > server.batches.largest) server.batches.largest = server.inBatch;
      server.inBatch = 0;
    }
    batchStats.count++;
    batchStats.completions += completions;
    if (completions > batchStats.largest) batchStats.largest = completions;
    this.lent.replenish();
    control[HEAD_WORD] = head;
  }

  #dispatch(opcode: number, flags: number, at: number, word: number): void {
    if (opcode === REQUEST) {
      this.#onRequest(flags, at, word);
      return;
    }
    if (opcode >= WS_MESSAGE) {
      this.webSockets.dispatch(opcode, flags, at, word);
      return;
    }
    if (opcode >= WIRE_OPEN) {
      this.wire.dispatch(opcode, flags, at, word);
      return;
    }
    const index = this.#words[word + (EXCHANGE_INDEX_OFFSET >>> 2)] as number;
    if (opcode === SERVER_CLOSED) {
      const server = this.#servers[index];
      this.#servers[index] = undefined;
      server?.onClosed();
      return;
    }
    const exchange = this.#live[index];
    if (exchange === undefined || exchange.generation !== this.#words[word + (EXCHANGE_GENERATION_OFFSET >>> 2)])
      return;
    switch (opcode) {
      case BODY:
        exchange.runInAsyncScope(exchange.receiveBody, exchange, this.lent.read(flags, at, word));
        break;
      case BODY_END: {
        const start = at + BODY_END_BYTES;
        const length = this.#words[word + (BODY_END_TEXT_LENGTH_OFFSET >>> 2)] as number;
        const count = this.#words[word + (BODY_END_HEADER_COUNT_OFFSET >>> 2)] as number;
        const text = length === 0 ? '' : this.completionBytes.latin1Slice(start, start + length);
        exchange.runInAsyncScope(exchange.receiveBodyEnd, exchange, text, count);
        break;
      }
      case ABORT: {
        const reason = this.#words[word + (ABORT_REASON_OFFSET >>> 2)] as number;
        exchange.runInAsyncScope(exchange.receiveAbort, exchange, reason, (flags & ABORT_SOFT_FLAG) !== 0);
        break;
      }
      case WRITABLE:
        exchange.runInAsyncScope(exchange.receiveWritable, exchange);
        break;
    }
  }

  #onRequest(flags: number, at: number, word: number): void {
    const words = this.#words;
    const server = this.#servers[words[word + (REQUEST_SERVER_OFFSET >>> 2)] as number] as LoopServer;
    const textStart = at + REQUEST_BYTES;
    const textEnd = textStart + (words[word + (REQUEST_TEXT_LENGTH_OFFSET >>> 2)] as number);
    const isComplete = (flags & REQUEST_BODY_COMPLETE_FLAG) !== 0;
    const index = words[word + (EXCHANGE_INDEX_OFFSET >>> 2)] as number;
    const exchange = new NativeExchange(
      this,
      index,
      words[word + (EXCHANGE_GENERATION_OFFSET >>> 2)] as number,
      words[word + (REQUEST_METHOD_OFFSET >>> 2)] as number,
      words[word + (REQUEST_VERSION_MINOR_OFFSET >>> 2)] as number,
      flags,
      words[word + (REQUEST_HEADER_COUNT_OFFSET >>> 2)] as number,
      words[word + (REQUEST_TARGET_LENGTH_OFFSET >>> 2)] as number,
      this.completionBytes.latin1Slice(textStart, textEnd),
      isComplete ? textEnd : -1,
      words[word + (REQUEST_BODY_LENGTH_OFFSET >>> 2)] as number,
      words[word + (REQUEST_CONNECTION_INDEX_OFFSET >>> 2)] as number,
      words[word + (REQUEST_CONNECTION_GENERATION_OFFSET >>> 2)] as number,
      server,
    );
    if (server.inBatch++ === 0) this.#touched.push(server);
    if (isComplete) this.#ringBodies.push(exchange);
    this.#live[index] = exchange;
    exchange.runInAsyncScope(server.app.handle, server.app, exchange);
  }
}

const NO_PEER: Peer = {
  remoteAddress: undefined,
  remotePort: undefined,
  localAddress: undefined,
  localPort: undefined,
};

let loop: NativeLoop | null = null;

/** The loop of this environment; made at the first call. */
export function nativeLoop(): NativeLoop {
  loop ??= openLoop();
  return loop;
}

const POLLERS = ['auto', 'epoll', 'kqueue', 'uv'];

/** GAMMALOOP_POLLER chooses the poller: for comparisons, and for tests of the one that Windows will have. */
function openLoop(): NativeLoop {
  const poller = process.env['GAMMALOOP_POLLER'] || 'auto';
  const option = 'GAMMALOOP_POLLER (environment)';
  if (!POLLERS.includes(poller)) throw new OptionError(option, `one of ${POLLERS.join(', ')}`, poller);
  try {
    return new NativeLoop(poller);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new OptionError(option, `a poller that ${process.platform} has`, poller);
  }
}

function rethrow(error: unknown): never {
  throw error;
}
