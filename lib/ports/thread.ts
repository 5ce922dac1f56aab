/**
 * A port between two threads: over a `Worker` and its `parentPort`, or over the two ends of a `MessageChannel`.
 *
 *     const port = new ThreadPort(new Worker(new URL('./worker.js', import.meta.url)));    // here
 *     const port = new ThreadPort(parentPort);                                             // in worker.js
 *
 * Messages wait until the other thread has made its port. A worker's end, orderly or not, breaks the port. `close` closes a MessagePort of a channel; a
 * Worker or a parentPort is only let go.
 */
import { EventEmitter } from 'node:events';
import { MessagePort, parentPort, Worker } from 'node:worker_threads';
import { OptionError } from '../errors.js';
import { LinkPort } from './link.js';

export class ThreadPort extends LinkPort {
  readonly kind = 'thread';
  readonly #channel: Worker | MessagePort;
  /** An error of the worker that nobody caught. */
  #fatal: unknown;
  #lost = 0;

  constructor(channel: Worker | MessagePort) {
    super();
    if (!(channel instanceof Worker || channel instanceof MessagePort)) {
      throw new OptionError('channel', 'a Worker, a MessagePort or parentPort', channel);
    }
    this.#channel = channel;
    const emitter = channel as EventEmitter;
    if (channel instanceof Worker) {
      emitter.on('exit', this.#onExit);
      // Seen without being handled: what an 'error' does is the application's business.
      emitter.on(EventEmitter.errorMonitor, this.#onError);
      if (channel.threadId === -1) queueMicrotask(() => this.break(undefined, 'the worker has ended'));
    } else {
      emitter.on('close', this.#onClosed);
    }
    emitter.on('messageerror', this.#onMessageError);
    emitter.on('message', this.receive);
  }

  /** The port keeps this thread alive (the default, as long as the channel does). */
  ref(): void {
    this.#channel.ref();
  }

  unref(): void {
    this.#channel.unref();
  }

  override stats() {
    return { ...super.stats(), lost: this.#lost };
  }

  protected post(message: readonly unknown[], transfer: readonly object[]): void {
    this.#channel.postMessage(message, transfer as never);
  }

  protected flushed(): void {}

  protected detach(): void {
    const emitter = this.#channel as EventEmitter;
    emitter.off('messageerror', this.#onMessageError);
    emitter.off('message', this.receive);
    if (this.#channel instanceof Worker) {
      emitter.off('exit', this.#onExit);
      emitter.off(EventEmitter.errorMonitor, this.#onError);
      return;
    }
    emitter.off('close', this.#onClosed);
    if (this.#channel !== parentPort) this.#channel.close();
  }

  readonly #onError = (error: unknown): void => {
    this.#fatal = error;
  };

  readonly #onExit = (code: number): void => {
    this.break(this.#fatal, `the worker ended with exit code ${code}`);
  };

  readonly #onClosed = (): void => {
    this.break(undefined, 'the other end of the channel was closed, or its thread ended');
  };

  /** A message that this thread cannot deserialize: what it held is lost, which its deadline tells. */
  readonly #onMessageError = (): void => {
    this.#lost++;
  };
}
