import { isBlob } from './payload.js';

interface Job {
  readonly data: string | Uint8Array | Blob;
  readonly size: number;
  readonly use: (bytes: string | Uint8Array) => void;
  readonly callback: ((error: Error) => void) | undefined;
}

/** Keeps what is sent in order behind a Blob, whose bytes take their time. Owned by one WebSocket. */
export class SendQueue {
  /** Of what waits. */
  bytes = 0;
  readonly #isClosed: () => boolean;
  readonly #onError: (error: Error) => void;
  #jobs: Job[] = [];

  /** `onError`: a Blob cannot be read, and nothing further is sent. */
  constructor(isClosed: () => boolean, onError: (error: Error) => void) {
    this.#isClosed = isClosed;
    this.#onError = onError;
  }

  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  push(job: Job): void {
    this.bytes += job.size;
    this.#jobs.push(job);
    if (this.#jobs.length === 1) void this.#work();
  }

  async #work(): Promise<void> {
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      let bytes: string | Uint8Array;
      try {
        bytes = isBlob(job.data) ? new Uint8Array(await job.data.arrayBuffer()) : job.data;
        if (this.#isClosed()) throw new Error('The socket was closed while the blob was being read');
      } catch (error) {
        // Outside of the promise, so that what callbacks throw is an uncaught exception and no rejection.
        process.nextTick(() => this.#fail(error as Error));
        return;
      }
      this.#jobs.shift();
      this.bytes -= job.size;
      job.use(bytes);
    }
  }

  #fail(error: Error): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const { callback } of jobs) callback?.(error);
    if (!this.#isClosed()) this.#onError(error);
  }
}
