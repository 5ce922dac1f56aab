/** What native code tells of the WebSockets of an engine, brought to them; and how a connection becomes one. */
import {
  BODY_BYTES,
  BODY_LENGTH_OFFSET,
  EXCHANGE_GENERATION_OFFSET,
  EXCHANGE_INDEX_OFFSET,
  WIRE_CLOSED_ERRNO_OFFSET,
  WS_ACCEPT,
  WS_ATTACH,
  WS_ATTACHED,
  WS_AUTO_PONG_FLAG,
  WS_CLOSED,
  WS_DRAINED,
  WS_FAILURE,
  WS_FAILURE_DETAIL_OFFSET,
  WS_FAILURE_ERROR_OFFSET,
  WS_FLUSHED,
  WS_MESSAGE,
  WS_PEER_CLOSE,
  WS_PEER_CLOSE_BYTES,
  WS_PEER_CLOSE_CODE_OFFSET,
  WS_PEER_CLOSE_LENGTH_OFFSET,
  WS_PING,
  WS_PONG,
  WS_UNCHECKED_FLAG,
} from '../bridge/records.js';
import type { RecordKey, RingMemory } from '../bridge/submission-writer.js';
import type { DeflateParameters, SessionOptions, WebSocketListener } from '../ws/contract.js';
import type { NativeLoop } from './native-loop.js';
import { NativeWebSocket } from './native-websocket.js';

const MAX_UINT32 = 0xffffffff;

/** Reads the completions of WebSockets. */
export class WebSocketReader {
  readonly #loop: NativeLoop;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  /** By the connection's index. */
  readonly #sessions: (NativeWebSocket | undefined)[] = [];

  constructor(loop: NativeLoop, completions: RingMemory) {
    this.#loop = loop;
    this.#bytes = completions.bytes;
    this.#words = completions.words;
  }

  /** The exchange is answered 101 with `headerBlock`; the WebSocket's key is `connection`. */
  accept(
    exchange: RecordKey,
    connection: RecordKey,
    headerBlock: string,
    options: SessionOptions,
    listener: WebSocketListener,
  ): NativeWebSocket {
    const session = new NativeWebSocket(this.#loop, connection.index, connection.generation, options, listener);
    this.#sessions[connection.index] = session;
    this.#loop.submissions.wsOpen(WS_ACCEPT, flagsOf(options), exchange, connection, settingsOf(options), headerBlock);
    return session;
  }

  /** The wire session of the same key gives way to `session`, which hears of that by receiveAttached, if the connection is still there by then. */
  attach(session: NativeWebSocket, options: SessionOptions): void {
    this.#sessions[session.index] = session;
    this.#loop.submissions.wsOpen(WS_ATTACH, flagsOf(options), session, session, settingsOf(options), '');
  }

  /** Nothing more is told to `session`. */
  forget(session: NativeWebSocket): void {
    if (this.#sessions[session.index] === session) this.#sessions[session.index] = undefined;
  }

  /** Those that may still be told something. */
  get liveCount(): number {
    return this.#sessions.filter((session) => session !== undefined).length;
  }

  dispatch(opcode: number, flags: number, at: number, word: number): void {
    const words = this.#words;
    const index = words[word + (EXCHANGE_INDEX_OFFSET >>> 2)] as number;
    const session = this.#sessions[index];
    if (session === undefined || session.generation !== words[word + (EXCHANGE_GENERATION_OFFSET >>> 2)]) return;
    const length = words[word + (BODY_LENGTH_OFFSET >>> 2)] as number;
    switch (opcode) {
      case WS_MESSAGE:
        session.runInAsyncScope(session.receiveMessage, session, flags, at + BODY_BYTES, length);
        break;
      case WS_PING:
        session.runInAsyncScope(session.receivePing, session, this.copy(at + BODY_BYTES, length));
        break;
      case WS_PONG:
        if (session.ignoresPongs) break;
        session.runInAsyncScope(session.receivePong, session, this.copy(at + BODY_BYTES, length));
        break;
      case WS_PEER_CLOSE: {
        const code = words[word + (WS_PEER_CLOSE_CODE_OFFSET >>> 2)] as number;
        const reasonBytes = words[word + (WS_PEER_CLOSE_LENGTH_OFFSET >>> 2)] as number;
        const reason = this.copy(at + WS_PEER_CLOSE_BYTES, reasonBytes);
        session.runInAsyncScope(session.receivePeerClose, session, code, reason);
        break;
      }
      case WS_FAILURE:
        session.runInAsyncScope(
          session.receiveFailure,
          session,
          words[word + (WS_FAILURE_ERROR_OFFSET >>> 2)] as number,
          words[word + (WS_FAILURE_DETAIL_OFFSET >>> 2)] as number,
        );
        break;
      case WS_DRAINED:
        session.runInAsyncScope(session.receiveDrained, session);
        break;
      case WS_FLUSHED:
        session.runInAsyncScope(session.receiveFlushed, session, length);
        break;
      case WS_ATTACHED:
        session.runInAsyncScope(session.receiveAttached, session);
        break;
      case WS_CLOSED:
        this.#sessions[index] = undefined;
        session.runInAsyncScope(
          session.receiveClosed,
          session,
          words[word + (WIRE_CLOSED_ERRNO_OFFSET >>> 2)] as number,
        );
        break;
    }
  }

  /** The ring's memory is reused after the batch. */
  copy(start: number, length: number): Buffer {
    const chunk = Buffer.allocUnsafe(length);
    this.#bytes.copy(chunk, 0, start, start + length);
    return chunk;
  }
}

/** The words of WS_ACCEPT and WS_ATTACH from WS_PAYLOAD_LIMIT_OFFSET on. */
function settingsOf(options: SessionOptions): Uint32Array {
  const bounded = (value: number): number => (value >= MAX_UINT32 ? 0 : value);
  const { deflate } = options;
  return Uint32Array.of(
    bounded(options.maxPayloadBytes),
    bounded(options.maxFragments),
    bounded(options.maxBufferedBytes),
    bounded(options.idleTimeoutMs),
    bounded(options.pingIntervalMs),
    bounded(options.closeTimeoutMs),
    deflate === null ? 0 : deflateWord(deflate),
    deflate?.thresholdBytes ?? 0,
  );
}

function flagsOf(options: SessionOptions): number {
  return (options.autoPong ? WS_AUTO_PONG_FLAG : 0) | (options.skipUtf8Validation ? WS_UNCHECKED_FLAG : 0);
}

function deflateWord(deflate: DeflateParameters): number {
  const sizes =
    deflate.serverMaxWindowBits |
    (deflate.clientMaxWindowBits << 4) |
    ((deflate.level + 1) << 8) |
    (deflate.memLevel << 12);
  return sizes | (deflate.serverNoContextTakeover ? 0 : 1 << 16) | (deflate.clientNoContextTakeover ? 0 : 1 << 17);
}
