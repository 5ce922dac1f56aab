import { Duplex, type DuplexOptions } from 'node:stream';
import type { WebSocket } from './websocket.js';

/** A Duplex whose chunks are the messages of `socket`, both ways. Destroying it ends the connection, and ending it closes it. */
export function createWebSocketStream(socket: WebSocket, options?: DuplexOptions): Duplex {
  return new WebSocketStream(socket, options);
}

type Done = (error?: Error | null) => void;

class WebSocketStream extends Duplex {
  readonly #socket: WebSocket;
  /** After an error the connection is closing by itself, and its close frame must have time to leave. */
  #terminates = true;

  constructor(socket: WebSocket, options: DuplexOptions = {}) {
    super({ ...options, autoDestroy: false, emitClose: false, objectMode: false, writableObjectMode: false });
    this.#socket = socket;
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const chunk = !isBinary && this.readableObjectMode ? data.toString() : data;
      if (!this.push(chunk)) socket.pause();
    });
    socket.once('error', (error) => {
      if (this.destroyed) return;
      this.#terminates = false;
      this.destroy(error);
    });
    socket.once('close', () => {
      if (!this.destroyed) this.push(null);
    });
    this.on('end', () => {
      if (!this.destroyed && this.writableFinished) this.destroy();
    });
    this.on('error', this.#onError);
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: Done): void {
    if (this.#socket.readyState === 0) this.#socket.once('open', () => this._write(chunk, encoding, done));
    else this.#socket.send(chunk, done);
  }

  override _final(done: Done): void {
    const socket = this.#socket;
    if (socket.readyState === 0) {
      socket.once('open', () => this._final(done));
      return;
    }
    const stream = socket._socket;
    // The handshake has failed: 'error' is about to come.
    if (stream === null) return;
    if (stream.writableFinished) {
      done();
      if (this.readableEnded) this.destroy();
      return;
    }
    // Not destroyed yet: 'end' comes when the connection has closed.
    stream.once('finish', () => done());
    socket.close();
  }

  override _destroy(error: Error | null, done: Done): void {
    const socket = this.#socket;
    if (socket.readyState === 3) {
      done(error);
      process.nextTick(() => this.emit('close'));
      return;
    }
    let isDone = false;
    socket.once('error', (failure) => {
      isDone = true;
      done(failure);
    });
    socket.once('close', () => {
      if (!isDone) done(error);
      process.nextTick(() => this.emit('close'));
    });
    if (this.#terminates) socket.terminate();
  }

  readonly #onError = (error: Error): void => {
    this.removeListener('error', this.#onError);
    this.destroy();
    // With nobody else to hear of it, it is thrown as any unheard error.
    if (this.listenerCount('error') === 0) this.emit('error', error);
  };
}
