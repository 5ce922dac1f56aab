/** The options of a WebSocket, as the `ws` package has them, and what the session below makes of them. */
import type { NodeSessionOptions } from '../../backend/node-websocket.js';
import type { DeflateParameters } from '../../ws/contract.js';
import { type DeflateAnswer, type DeflateWishes, deflateParameters } from '../../ws/extensions.js';

export interface PerMessageDeflateOptions extends DeflateWishes {
  /** `level` and `memLevel` are used. */
  zlibDeflateOptions?:
    | { level?: number | undefined; memLevel?: number | undefined; [name: string]: unknown }
    | undefined;
  /** Taken, and of no effect: what is inflated is as large as `maxPayload` allows, and the window as was negotiated. */
  zlibInflateOptions?: object | undefined;
  /** Without context takeover smaller messages go uncompressed, in bytes. Default 1024. */
  threshold?: number | undefined;
  /** Taken, and of no effect: messages are compressed in the turn in which they are sent. */
  concurrencyLimit?: number | undefined;
}

/** Sizes in bytes, durations in milliseconds. 0: none. */
export interface SocketOptions {
  /** Several events in one turn of the loop. Default true. */
  allowSynchronousEvents?: boolean | undefined;
  /** Pings are answered. Default true. */
  autoPong?: boolean | undefined;
  /** From our close frame to the end of the connection, which is destroyed then. Default 30000. */
  closeTimeout?: number | undefined;
  /** Reads that one frame may come in. Default 1048576. */
  maxBufferedChunks?: number | undefined;
  /** Frames of one message. Default 131072. */
  maxFragments?: number | undefined;
  /** One message, inflated. Default 104857600. */
  maxPayload?: number | undefined;
  /** Text and close reasons are taken as they come. Default false. */
  skipUTF8Validation?: boolean | undefined;
  /** Own addition: what may wait to be sent; a message above it is not sent, and the connection closed with 1013. Default 0. */
  maxBufferedBytes?: number | undefined;
  /** Own addition: without a byte received for so long the connection is closed with 1001. Default 0. */
  idleTimeout?: number | undefined;
  /** Own addition: a ping is sent when nothing was received for so long. Default 0. */
  pingInterval?: number | undefined;
  generateMask?: ((key: Buffer) => void) | undefined;
}

export const MAX_BUFFERED_CHUNKS = 1048576;
const MAX_FRAGMENTS = 131072;
const MAX_PAYLOAD_BYTES = 104857600;
const CLOSE_TIMEOUT_MS = 30_000;
const THRESHOLD_BYTES = 1024;
/** zlib's own. */
const LEVEL = -1;
const MEM_LEVEL = 8;

export function sessionOptions(
  options: SocketOptions,
  isServer: boolean,
  deflate: DeflateParameters | null,
): NodeSessionOptions {
  return {
    isServer,
    deflate,
    // As ws: 32-bit signed integers.
    maxPayloadBytes: (options.maxPayload ?? MAX_PAYLOAD_BYTES) | 0,
    maxFragments: (options.maxFragments ?? MAX_FRAGMENTS) | 0,
    maxChunks: (options.maxBufferedChunks ?? MAX_BUFFERED_CHUNKS) | 0,
    maxBufferedBytes: options.maxBufferedBytes ?? 0,
    idleTimeoutMs: options.idleTimeout ?? 0,
    pingIntervalMs: options.pingInterval ?? 0,
    closeTimeoutMs: options.closeTimeout ?? CLOSE_TIMEOUT_MS,
    skipUtf8Validation: options.skipUTF8Validation === true,
    autoPong: options.autoPong !== false,
    generateMask: options.generateMask,
    textAsBuffer: true,
    partsAboveBytes: Number.POSITIVE_INFINITY,
    sharesPayloads: true,
    // As ws, whose events come in the context of the socket's.
    keepsContext: false,
  };
}

/** `isServer`: which side this is. */
export function compression(
  answer: DeflateAnswer,
  options: PerMessageDeflateOptions,
  isServer: boolean,
): DeflateParameters {
  const forgets = isServer ? answer.server_no_context_takeover : answer.client_no_context_takeover;
  const { level = LEVEL, memLevel = MEM_LEVEL } = options.zlibDeflateOptions ?? {};
  return deflateParameters(answer, {
    level,
    memLevel,
    thresholdBytes: forgets ? (options.threshold ?? THRESHOLD_BYTES) : 0,
  });
}
