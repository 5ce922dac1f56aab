/**
 * The one interface between a WebSocket API (serve's `ws`, ASGI, `gammaloop/ws`) and what carries it: a session of the native engine, or one in
 * TypeScript on any Duplex. RFC 6455 and RFC 7692 are the session's; what a message means, and when to close, is the API's.
 */

/**
 * Why a session failed the connection (RFC 6455 7.1.7), with the close code that it sends. The names without the close code in brackets are those
 * of the `ws` package behind its `WS_ERR_`.
 */
export const CLOSE_CODE_OF_FAILURE = {
  EXPECTED_FIN: 1002,
  EXPECTED_MASK: 1002,
  UNEXPECTED_MASK: 1002,
  INVALID_OPCODE: 1002,
  INVALID_CLOSE_CODE: 1002,
  INVALID_CONTROL_PAYLOAD_LENGTH: 1002,
  UNEXPECTED_RSV_1: 1002,
  UNEXPECTED_RSV_2_3: 1002,
  /** A length that a shorter form would have held, or with its highest bit set (RFC 6455 5.2). */
  INVALID_PAYLOAD_LENGTH: 1002,
  INVALID_UTF8: 1007,
  /** What was compressed cannot be inflated. */
  INVALID_COMPRESSED_DATA: 1007,
  /** `maxPayloadBytes`, inflated size counted. */
  UNSUPPORTED_MESSAGE_LENGTH: 1009,
  /** `maxFragments`. */
  TOO_MANY_BUFFERED_PARTS: 1008,
  /** `maxBufferedBytes`: the peer reads too slowly. */
  BUFFERED_BYTES_EXCEEDED: 1013,
  /** Nothing was received for `idleTimeoutMs`. */
  IDLE_TIMEOUT: 1001,
} as const;

export type WebSocketFailure = keyof typeof CLOSE_CODE_OF_FAILURE;

/** permessage-deflate as negotiated (RFC 7692 7.1), and how to compress. */
export interface DeflateParameters {
  readonly serverNoContextTakeover: boolean;
  readonly clientNoContextTakeover: boolean;
  /** 9 to 15 (zlib has no raw window of 8: an offer of 8 is answered with 9 or declined). */
  readonly serverMaxWindowBits: number;
  readonly clientMaxWindowBits: number;
  /** zlib's, -1 to 9. */
  readonly level: number;
  /** zlib's, 1 to 9. */
  readonly memLevel: number;
  /** Messages of fewer bytes go uncompressed. */
  readonly thresholdBytes: number;
}

/** All durations in milliseconds and all sizes in bytes; 0: none, where nothing else is said. */
export interface SessionOptions {
  /** Bytes of one received message, inflated. Over it: 1009. */
  readonly maxPayloadBytes: number;
  /** Frames of one received message. Over it: 1008. */
  readonly maxFragments: number;
  /**
   * Bytes waiting to be sent. A message that would go over it is not sent, and the connection fails with 1013; where nothing waits, a message of any
   * size is taken.
   */
  readonly maxBufferedBytes: number;
  /** Without a byte received for so long: 1001. */
  readonly idleTimeoutMs: number;
  /** A ping is sent when nothing was received for so long; again after each further one. */
  readonly pingIntervalMs: number;
  /** From our close frame to the peer's, and from both to the peer's FIN: then the connection is destroyed. */
  readonly closeTimeoutMs: number;
  readonly deflate: DeflateParameters | null;
  /** A received text message comes as Buffer, too (as `ws` has it), else as string. */
  readonly textAsBuffer: boolean;
  /** Text is taken as it comes (the `ws` option of that name). */
  readonly skipUtf8Validation: boolean;
  /** Pings are answered here. */
  readonly autoPong: boolean;
  /** Messages of more bytes come in pieces, by onPart, as they arrive. Infinity: none does. */
  readonly partsAboveBytes: number;
}

export const DEFAULT_SESSION_OPTIONS: SessionOptions = Object.freeze({
  maxPayloadBytes: 1048576,
  maxFragments: 1024,
  maxBufferedBytes: 1048576,
  idleTimeoutMs: 120_000,
  pingIntervalMs: 30_000,
  closeTimeoutMs: 30_000,
  deflate: null,
  textAsBuffer: false,
  skipUtf8Validation: false,
  autoPong: true,
  partsAboveBytes: Number.POSITIVE_INFINITY,
});

/**
 * Who hears of one WebSocket. Every call is made inside the session's async context; what it throws is rethrown in the next tick and stops no other
 * connection. Nothing is called before the session has been returned to its opener, nor after onClose.
 */
export interface WebSocketListener {
  /** `data` is the receiver's own. Text has been checked. */
  onMessage(data: string | Buffer, isBinary: boolean): void;
  /**
   * A piece of a message larger than `partsAboveBytes`, in order; text may be split inside a character. Other messages do not come in between. After
   * a failure or a close the last piece never comes.
   */
  onPart(chunk: Buffer, isBinary: boolean, isLast: boolean): void;
  /** With `autoPong` the pong is under way already. */
  onPing(data: Buffer): void;
  onPong(data: Buffer): void;
  /** onPong does nothing, and need not be called. */
  readonly ignoresPongs?: boolean;
  /** After `send` returned false: what waits has fallen to SEND_LOW_WATER_BYTES or below. */
  onDrain(): void;
  /** The peer's close frame, which is answered here where it is not itself the answer; no message follows. 1005: it had no code. */
  onClosing(code: number, reason: Buffer): void;
  /**
   * The connection is being failed: a frame with `closeCode` is under way, no message follows, and onClose will come. `detail`: the opcode, length or
   * close code that was wrong, or 0.
   */
  onFailure(failure: WebSocketFailure, closeCode: number, detail: number): void;
  /**
   * The connection is gone: the last call. `code` and `reason` are those of the peer's close frame; 1005: it had none; 1006: there was none.
   * `wasClean`: both sides have sent one. `errno`: positive where the system broke the connection, else 0.
   */
  onClose(code: number, reason: Buffer, wasClean: boolean, errno: number): void;
}

/** Above it `send` returns false. */
export const SEND_HIGH_WATER_BYTES = 262144;
/** At it or below, onDrain is called. */
export const SEND_LOW_WATER_BYTES = 65536;

/** Flags of `send` and `publish`. */
export const SEND_BINARY = 1;
/** Compress, where that was negotiated and the message has `thresholdBytes`. Looked at in a message's first frame. */
export const SEND_COMPRESS = 2;
/** The message goes on with the next `send` (a frame without FIN). */
export const SEND_MORE = 4;

/**
 * One WebSocket. Calls after it began to close, or has gone, are ignored: `send` returns true then, since nobody need wait. What is sent in one turn of the loop leaves in one write. Not checked here: types,
 * close codes (`isValidCloseCode`), control payloads above 125 bytes.
 */
export interface WebSocketSession {
  /** 'open' until a close frame was sent or received, or the connection is being failed; 'closed' from onClose on. */
  readonly state: 'open' | 'closing' | 'closed';
  /** Bytes submitted that the system has not taken. */
  readonly bufferedBytes: number;
  /** Strings go as UTF-8; the bytes are copied, or compressed, before this returns. False: wait for onDrain. */
  send(data: string | Uint8Array, flags: number): boolean;
  ping(data: Uint8Array): void;
  pong(data: Uint8Array): void;
  /** Sends a close frame (code 1005: without a code), and ends the connection once the peer has answered, or after `closeTimeoutMs`. Messages still come until then. */
  close(code: number, reason: string): void;
  /** Closes the connection at once; onClose follows, later. */
  terminate(): void;
  /** Nothing is read, and nothing told (but what has been read), until `resume`. */
  pause(): void;
  resume(): void;
  /** Calls back, in order, once what was sent before has left; with an error where the connection has gone before that. */
  whenFlushed(callback: (error: Error | null) => void): void;

  // Topics: those of the server that the session belongs to. A session without one has none, and ignores these.

  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  isSubscribed(topic: string): boolean;
  readonly topics: readonly string[];
  /** To every subscriber but this session: encoded once. SEND_MORE has no meaning here. */
  publish(topic: string, data: string | Uint8Array, flags: number): void;
}

/** RFC 6455 7.4: codes that may stand in a close frame. */
export function isValidCloseCode(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
  );
}
