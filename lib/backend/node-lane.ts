import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** What a lane asks of its connection. */
export interface LaneOwner {
  /** node's parser wants more bytes. */
  onLaneRead(): void;
  /** Sends to the client; `sent` is called when the operating system has the bytes. */
  sendToClient(chunks: readonly Buffer[], sent: (error?: Error | null) => void): void;
  /** node has sent its last response on this connection. */
  onLaneEnd(): void;
  onLaneDestroy(): void;
}

/**
 * The stream that node's HTTP server takes for its socket. The connection pushes request bytes into it that have passed the strict
 * scanner, and gets the response bytes out of it. Its writable side is the connection's write buffer, so that node's own accounting
 * (`res.write` returning false, 'drain') is that of limits.writeBufferBytes.
 */
export class Lane extends Duplex {
  readonly #owner: LaneOwner;

  constructor(owner: LaneOwner, writeBufferBytes: number) {
    super({
      allowHalfOpen: true,
      writableHighWaterMark: writeBufferBytes > 0 ? writeBufferBytes : Number.MAX_SAFE_INTEGER,
      decodeStrings: true,
      emitClose: true,
    });
    this.#owner = owner;
  }

  get owner(): LaneOwner {
    return this.#owner;
  }

  override _read(): void {
    this.#owner.onLaneRead();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#owner.sendToClient([chunk], callback);
  }

  override _writev(
    chunks: Array<{ chunk: Buffer; encoding: BufferEncoding }>,
    callback: (error?: Error | null) => void,
  ): void {
    this.#owner.sendToClient(
      chunks.map((entry) => entry.chunk),
      callback,
    );
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#owner.onLaneEnd();
    callback();
  }

  override _destroy(_error: Error | null, callback: (error?: Error | null) => void): void {
    this.#owner.onLaneDestroy();
    callback();
  }
}

/** Writes all of `chunks` together. `written` is called with their length when the operating system has them. */
export function writeAll(
  socket: Socket,
  chunks: readonly Buffer[],
  written: (error: Error | null, byteLength: number) => void,
): void {
  let length = 0;
  socket.cork();
  chunks.forEach((chunk, index) => {
    length += chunk.length;
    if (index < chunks.length - 1) socket.write(chunk);
    else socket.write(chunk, (error) => written(error ?? null, length));
  });
  socket.uncork();
}

/**
 * Ends a connection with a reset, so that a response that lasts until the close is not taken for whole. Unix sockets have none, and a socket that
 * has been shut down refuses it, and would then never close.
 */
export function resetSocket(socket: Socket): void {
  if (socket.remoteAddress !== undefined && !socket.writableEnded && typeof socket.resetAndDestroy === 'function')
    socket.resetAndDestroy();
  else socket.destroy();
}
