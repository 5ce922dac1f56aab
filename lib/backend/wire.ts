/**
 * Wire sessions on this side of the border (native/http/wire_session.h): native code reads, parses and times out; whoever listens here frames
 * the responses and decides what becomes of the connection. The drop-in for node:http stands on it.
 */

import { loadBinding } from '../bridge/binding.js';
import { rawHeadersOf } from '../bridge/head-text.js';
import type { PlaceReceiver } from '../bridge/lent-buffers.js';
import {
  BODY_END_BYTES,
  BODY_END_HEADER_COUNT_OFFSET,
  BODY_END_TEXT_LENGTH_OFFSET,
  EXCHANGE_GENERATION_OFFSET,
  EXCHANGE_INDEX_OFFSET,
  MAX_SUBMISSION_BYTES,
  METHODS,
  REQUEST_BODY_COMPLETE_FLAG,
  REQUEST_BODY_LENGTH_OFFSET,
  REQUEST_BYTES,
  REQUEST_HEADER_COUNT_OFFSET,
  REQUEST_METHOD_OFFSET,
  REQUEST_TARGET_LENGTH_OFFSET,
  REQUEST_TEXT_LENGTH_OFFSET,
  REQUEST_VERSION_MINOR_OFFSET,
  WIRE_BODY,
  WIRE_BODY_END,
  WIRE_CLOSED,
  WIRE_CLOSED_ERRNO_OFFSET,
  WIRE_CONNECTED,
  WIRE_DATA,
  WIRE_END,
  WIRE_END_IN_MESSAGE_FLAG,
  WIRE_ERROR,
  WIRE_ERROR_BYTES,
  WIRE_ERROR_CODE_OFFSET,
  WIRE_ERROR_LENGTH_OFFSET,
  WIRE_ERROR_POSITION_OFFSET,
  WIRE_ERROR_SESSION,
  WIRE_FLUSHED,
  WIRE_FLUSHED_POSITION_OFFSET,
  WIRE_IDLE,
  WIRE_IDLE_KEEP_ALIVE,
  WIRE_IDLE_KIND_OFFSET,
  WIRE_OPEN,
  WIRE_OPEN_SERVER_OFFSET,
  WIRE_OUTPUT,
  WIRE_READABLE,
  WIRE_REQUEST,
  WIRE_TRANSPORT,
  WIRE_TRANSPORT_COMMAND_OFFSET,
  WIRE_WRITE_NOTIFY_FLAG,
} from '../bridge/records.js';
import type { RingMemory } from '../bridge/submission-writer.js';
import type { NativeLoop } from './native-loop.js';

/** Who hears of the bytes of one connection. Nothing is called after onClosed. What these throw is rethrown in the next tick: they stop no other connection. */
export interface ByteListener {
  /** A connection that was asked for is there. Where it fails: onClosed alone. */
  onConnected?(): void;
  /** Without HTTP: bytes where they stand (PlaceReceiver). `consume` as many once they have been taken. */
  onBytes?: PlaceReceiver['onBytes'];
  /** Where reading is by hand: `receive` will bring something, at last the end. */
  onReadable?(): void;
  /** The peer has sent FIN: nothing more will come. `inMessage`: in the middle of a request. */
  onEnd(inMessage: boolean): void;
  /** The connection is gone. `errno` is positive, or 0: in order, or destroyed from here. */
  onClosed(errno: number): void;
  /** `position`: bytes handed to the system so far, modulo 2^32; see WireConnection.position. */
  onFlushed(position: number): void;
  /** The server's keep-alive timeout, or the connection's inactivity timeout; nothing was done about it. */
  onIdle(keepAlive: boolean): void;
}

/** Who hears of one connection with HTTP on it. */
export interface WireListener extends ByteListener {
  /**
   * A request, in the order of arrival. `body`: all of it where it came with the head (REQUEST_BODY_COMPLETE_FLAG), else null: then, if REQUEST_HAS_BODY_FLAG,
   * onBody and onBodyEnd follow before the next request. With REQUEST_UPGRADE_FLAG nothing follows before `proceed`.
   */
  onRequest(
    method: string,
    versionMinor: number,
    flags: number,
    headerCount: number,
    targetLength: number,
    text: string,
    body: Buffer | null,
  ): void;
  /** `chunk` is the receiver's own. `consume` as many bytes once they have been taken. */
  onBody(chunk: Buffer): void;
  /** The same after an upgrade. Of a tapped connection: nothing is consumed. */
  onData(chunk: Buffer): void;
  /** `trailers`: name, value, name, value ... as received. */
  onBodyEnd(trailers: string[]): void;
  /** Refused: `name` is that of an HttpError ('INVALID_METHOD') or a SessionError ('HEADERS_TIMEOUT'); what was being read, and how much of it was understood. Nothing more is read; what still comes of a refused one is told by the same name, with position 0. */
  onError(name: string, bytes: Buffer, position: number): void;
  /** Fed connections only: bytes for the transport; `sent` as many once it has taken them. */
  onOutput(chunk: Buffer): void;
  /** Fed connections only: WIRE_TRANSPORT_*. */
  onTransport(command: number): void;
}

/** A server of wire sessions. */
export interface WireServer {
  /** A connection was accepted or adopted. */
  onConnection(connection: WireConnection): ByteListener;
}

/** Texts and bytes of one submission stay below this; larger ones are split. */
const PIECE_BYTES = MAX_SUBMISSION_BYTES / 4;
// Of every record. The compiler folds the constants of a module, and looks up those that are imported each time.
const INDEX_WORD = EXCHANGE_INDEX_OFFSET >>> 2;
const GENERATION_WORD = EXCHANGE_GENERATION_OFFSET >>> 2;

/** Of one read: others are to have their turn. */
const MAX_RECEIVE_BYTES = 1024 * 1024;

/** So much is worth a system call of its own, which spares copying it. */
const LARGE_BYTES = 8 * 1024;

interface KnownConnection {
  generation: number;
  listener: ByteListener;
  /** Who had the place before, where what is told of it last is still on its way. */
  predecessor: KnownConnection | undefined;
}

/** What can be done with one connection. Calls on one that is gone are ignored. */
export class WireConnection {
  readonly loop: NativeLoop;
  readonly index: number;
  readonly generation: number;
  /** Bytes written so far, modulo 2^32: once onFlushed has brought it, they have left. */
  position = 0;

  constructor(loop: NativeLoop, index: number, generation: number) {
    this.loop = loop;
    this.index = index;
    this.generation = generation;
  }

  /** `head` as latin1, then `body` (text as UTF-8), as they are; flags: WIRE_WRITE_*. */
  write(head: string, body: string | Uint8Array, flags: number): void {
    if (head.length + body.length > PIECE_BYTES) {
      this.#writePieces(head, typeof body === 'string' ? Buffer.from(body) : body, flags);
      return;
    }
    const { submissions } = this.loop;
    const byteCount =
      typeof body === 'string'
        ? submissions.wireText(this, head, body, flags)
        : submissions.wireBytes(this, head, body, flags);
    this.position = (this.position + byteCount) >>> 0;
  }

  #writePieces(head: string, body: Uint8Array, flags: number): void {
    let rest = body;
    let before = head;
    while (before.length + rest.length > PIECE_BYTES) {
      const headPiece = before.slice(0, PIECE_BYTES);
      const piece = rest.subarray(0, PIECE_BYTES - headPiece.length);
      this.write(headPiece, piece, 0);
      before = before.slice(headPiece.length);
      rest = rest.subarray(piece.length);
    }
    this.write(before, rest, flags);
  }

  /**
   * Sends `bytes` at once, without a copy, where all that was written before has left. Returns how many the system took; the rest, or all of them, is
   * for `write`.
   */
  sendNow(bytes: Uint8Array): number {
    const sent = this.loop.engine.wireSendNow(this.index, this.generation, bytes, this.position);
    this.position = (this.position + sent) >>> 0;
    return sent;
  }

  /**
   * Writes bytes: what is large and has nothing before it goes to the system at once, from where it stands; the rest to native memory. Returns how many have
   * left.
   */
  send(bytes: Uint8Array): number {
    const sent = bytes.length >= LARGE_BYTES ? this.sendNow(bytes) : 0;
    if (sent < bytes.length) this.write('', sent === 0 ? bytes : bytes.subarray(sent), 0);
    return sent;
  }

  /** How many bytes have left so far, modulo 2^32; -1: the connection is gone. */
  sentBytes(): number {
    return this.loop.engine.wireSent(this.index, this.generation);
  }

  /** Sends what was submitted, at once, and says how many bytes have left: see sentBytes. */
  flush(): number {
    this.loop.engine.flush();
    return this.sentBytes();
  }

  /** Asks for onFlushed with the present position. */
  notify(): void {
    this.loop.submissions.wireText(this, '', '', WIRE_WRITE_NOTIFY_FLAG);
  }

  consume(byteCount: number): void {
    this.loop.submissions.wireConsume(this, byteCount);
  }

  /** After a request with REQUEST_UPGRADE_FLAG: onData from here on (`afterBody`: from the end of its body), or HTTP goes on. */
  proceed(upgrade: boolean, afterBody = false): void {
    this.loop.submissions.wireProceed(this, upgrade, afterBody);
  }

  /** FIN after what was written; reading goes on. */
  shutdown(): void {
    this.loop.submissions.wireShutdown(this);
  }

  destroy(reset = false): void {
    this.loop.submissions.wireDestroy(this, reset);
  }

  /** `byHand`: what comes is not read before `receive`; onReadable tells, as long as there is something. Without HTTP only. */
  setReading(on: boolean, byHand = false): void {
    this.loop.submissions.wireReading(this, on, byHand);
  }

  /** Receives into `memory`, in onReadable. How many bytes; 0: none, and what else happened is told as ever. */
  receive(memory: Uint8Array): number {
    return this.loop.engine.wireReceive(this.index, this.generation, memory, MAX_RECEIVE_BYTES);
  }

  /** onIdle(false) after each such time without a byte in either direction. 0: never. */
  setInactivity(timeoutMs: number): void {
    this.loop.submissions.wireInactivity(this, timeoutMs);
  }

  /** From here on each read comes by onData too, before what it brings; until an upgrade. */
  tap(): void {
    this.loop.submissions.wireTap(this);
  }

  /** Fed connections only. */
  sent(byteCount: number): void {
    this.loop.submissions.wireSent(this, byteCount);
  }
}

/** Reads the completions of wire sessions. */
export class WireReader {
  readonly #loop: NativeLoop;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #servers: (WireServer | undefined)[] = [];
  readonly #connections: (KnownConnection | undefined)[] = [];

  constructor(loop: NativeLoop, completions: RingMemory) {
    this.#loop = loop;
    this.#bytes = completions.bytes;
    this.#words = completions.words;
  }

  addServer(index: number, server: WireServer): void {
    this.#servers[index] = server;
  }

  removeServer(index: number): void {
    this.#servers[index] = undefined;
  }

  /** A fed connection, which its opener knows already. */
  open(serverIndex: number, index: number, generation: number): WireListener {
    return this.#open(this.#servers[serverIndex] as WireServer, index, generation) as WireListener;
  }

  /** A connection that is to be made. Throws where it could not be begun. */
  connect(
    serverIndex: number,
    target: Parameters<NativeLoop['engine']['connect']>[1],
    onConnection: (connection: WireConnection) => ByteListener,
  ): void {
    const [index, generation] = this.#loop.engine.connect(serverIndex, target);
    const listener = onConnection(new WireConnection(this.#loop, index, generation));
    this.#know(index, generation, listener);
  }

  #open(server: WireServer, index: number, generation: number): ByteListener {
    const listener = server.onConnection(new WireConnection(this.#loop, index, generation));
    this.#know(index, generation, listener);
    return listener;
  }

  /** A connection that is begun from here may get the place of one that is gone before its WIRE_CLOSED has been read. */
  #know(index: number, generation: number, listener: ByteListener): void {
    this.#connections[index] = { generation, listener, predecessor: this.#connections[index] };
  }

  #forget(index: number, gone: KnownConnection): void {
    const latest = this.#connections[index];
    if (latest === gone) {
      this.#connections[index] = gone.predecessor;
      return;
    }
    let successor = latest;
    while (successor !== undefined && successor.predecessor !== gone) successor = successor.predecessor;
    if (successor !== undefined) successor.predecessor = gone.predecessor;
  }

  /** Places of connections that may still be told something. */
  get liveCount(): number {
    return this.#connections.filter((connection) => connection !== undefined).length;
  }

  dispatch(opcode: number, flags: number, at: number, word: number): void {
    const words = this.#words;
    const index = words[word + INDEX_WORD] as number;
    const generation = words[word + GENERATION_WORD] as number;
    if (opcode === WIRE_OPEN) {
      const known = this.#connections[index];
      if (known !== undefined && known.generation === generation) return;
      const server = this.#servers[words[word + (WIRE_OPEN_SERVER_OFFSET >>> 2)] as number];
      // A server that was removed since has no taker, and the engine closes what it had.
      if (server !== undefined) this.#open(server, index, generation);
      return;
    }
    let connection = this.#connections[index];
    while (connection !== undefined && connection.generation !== generation) connection = connection.predecessor;
    if (connection === undefined) return;
    const listener = connection.listener as WireListener;
    switch (opcode) {
      case WIRE_DATA:
        if (listener.onBytes === undefined) listener.onData(this.#loop.lent.read(flags, at, word));
        else this.#loop.lent.pass(listener as PlaceReceiver, flags, at, word);
        break;
      case WIRE_REQUEST: {
        const textStart = at + REQUEST_BYTES;
        const textEnd = textStart + (words[word + (REQUEST_TEXT_LENGTH_OFFSET >>> 2)] as number);
        listener.onRequest(
          METHODS[words[word + (REQUEST_METHOD_OFFSET >>> 2)] as number] as string,
          words[word + (REQUEST_VERSION_MINOR_OFFSET >>> 2)] as number,
          flags,
          words[word + (REQUEST_HEADER_COUNT_OFFSET >>> 2)] as number,
          words[word + (REQUEST_TARGET_LENGTH_OFFSET >>> 2)] as number,
          this.#bytes.latin1Slice(textStart, textEnd),
          (flags & REQUEST_BODY_COMPLETE_FLAG) === 0
            ? null
            : this.#copy(textEnd, words[word + (REQUEST_BODY_LENGTH_OFFSET >>> 2)] as number),
        );
        break;
      }
      case WIRE_BODY:
        listener.onBody(this.#loop.lent.read(flags, at, word));
        break;
      case WIRE_BODY_END: {
        const start = at + BODY_END_BYTES;
        const length = words[word + (BODY_END_TEXT_LENGTH_OFFSET >>> 2)] as number;
        const count = words[word + (BODY_END_HEADER_COUNT_OFFSET >>> 2)] as number;
        listener.onBodyEnd(count === 0 ? [] : rawHeadersOf(this.#bytes.latin1Slice(start, start + length), count, 0));
        break;
      }
      case WIRE_READABLE:
        listener.onReadable?.();
        break;
      case WIRE_END:
        listener.onEnd((flags & WIRE_END_IN_MESSAGE_FLAG) !== 0);
        break;
      case WIRE_ERROR:
        listener.onError(
          errorName(words[word + (WIRE_ERROR_CODE_OFFSET >>> 2)] as number),
          this.#copy(at + WIRE_ERROR_BYTES, words[word + (WIRE_ERROR_LENGTH_OFFSET >>> 2)] as number),
          words[word + (WIRE_ERROR_POSITION_OFFSET >>> 2)] as number,
        );
        break;
      case WIRE_CONNECTED:
        listener.onConnected?.();
        break;
      case WIRE_CLOSED:
        this.#forget(index, connection);
        listener.onClosed(words[word + (WIRE_CLOSED_ERRNO_OFFSET >>> 2)] as number);
        break;
      case WIRE_FLUSHED:
        listener.onFlushed(words[word + (WIRE_FLUSHED_POSITION_OFFSET >>> 2)] as number);
        break;
      case WIRE_IDLE:
        listener.onIdle(words[word + (WIRE_IDLE_KIND_OFFSET >>> 2)] === WIRE_IDLE_KEEP_ALIVE);
        break;
      case WIRE_OUTPUT:
        listener.onOutput(this.#loop.lent.read(flags, at, word));
        break;
      case WIRE_TRANSPORT:
        listener.onTransport(words[word + (WIRE_TRANSPORT_COMMAND_OFFSET >>> 2)] as number);
        break;
    }
  }

  /** The ring's memory is reused after the batch. */
  #copy(start: number, length: number): Buffer {
    const chunk = Buffer.allocUnsafe(length);
    this.#bytes.copy(chunk, 0, start, start + length);
    return chunk;
  }
}

/** `httpErrors` is indexed by HttpError, `sessionErrors` by SessionError. */
function errorName(code: number): string {
  const { httpErrors, sessionErrors } = loadBinding();
  const name = code >= WIRE_ERROR_SESSION ? sessionErrors[code - WIRE_ERROR_SESSION] : httpErrors[code];
  return name ?? 'UNKNOWN';
}
