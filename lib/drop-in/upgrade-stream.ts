/**
 * What 'upgrade' hands out where the request has a body that has not come to its end (node 26): writes go to the socket at once; what is read
 * begins behind the body, which the program gets from the request.
 */
import { Duplex } from 'node:stream';
import type { HttpSocket } from './connection-socket.js';
import type { IncomingMessage } from './incoming-message.js';

type Done = (error?: Error | null) => void;

export class UpgradeStream extends Duplex {
  readonly #socket: HttpSocket;
  /** Until its body has been read. */
  #request: IncomingMessage | null;

  constructor(socket: HttpSocket, request: IncomingMessage) {
    super({ allowHalfOpen: socket.allowHalfOpen });
    this.#socket = socket;
    this.#request = request;
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.on('end', () => {
      this.push(null);
      // As a socket that holds nothing: it ends without being read.
      if (this.readableLength === 0) this.resume();
    });
    this.on('close', () => socket.destroy());
  }

  /** The body is over; `head`: what has come behind it. */
  begin(head: Buffer): void {
    this.#request = null;
    const take = (chunk: Buffer): void => {
      if (!this.push(chunk)) this.#socket.pause();
    };
    if (head.length > 0) take(head);
    this.#socket.on('data', take);
  }

  /** Who reads this wants what is behind the body, so the body must flow. */
  override _read(): void {
    this.#request?.resume();
    this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: Done): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _final(done: Done): void {
    this.#socket.end(done as () => void);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy(error ?? undefined);
    done(error);
  }
}
