/** Reading a WebSocket by `for await`, with backpressure: what waits unread makes the session pause. */
import type { WebSocketSession } from '../ws/contract.js';

interface Waiting<T> {
  readonly resolve: (result: IteratorResult<T>) => void;
  readonly reject: (error: unknown) => void;
}

/** Items that came, or takers that wait: never both. */
class Queue<T> implements AsyncIterator<T> {
  readonly #session: WebSocketSession;
  readonly #pauseAbove: number;
  readonly #items: T[] = [];
  readonly #takers: Waiting<T>[] = [];
  #end: { readonly error: unknown } | null = null;
  #isPaused = false;

  constructor(session: WebSocketSession, pauseAbove: number) {
    this.#session = session;
    this.#pauseAbove = pauseAbove;
  }

  push(item: T): void {
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.resolve({ done: false, value: item });
      return;
    }
    this.#items.push(item);
    if (this.#items.length <= this.#pauseAbove || this.#isPaused) return;
    this.#isPaused = true;
    this.#session.pause();
  }

  /** `error` null: in order. What has come is still handed out. */
  finish(error: unknown): void {
    if (this.#end !== null) return;
    this.#end = { error };
    for (const taker of this.#takers.splice(0)) this.#conclude(taker);
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#items.length > 0) {
      const value = this.#items.shift() as T;
      if (this.#items.length === 0) this.#goOn();
      return Promise.resolve({ done: false, value });
    }
    return new Promise((resolve, reject) => {
      const taker = { resolve, reject };
      if (this.#end === null) this.#takers.push(taker);
      else this.#conclude(taker);
    });
  }

  /** Nobody reads on. */
  drop(): Promise<IteratorResult<T>> {
    this.#items.length = 0;
    this.#goOn();
    return Promise.resolve({ done: true, value: undefined });
  }

  #conclude(taker: Waiting<T>): void {
    const error = this.#end?.error ?? null;
    if (error === null) taker.resolve({ done: true, value: undefined });
    else taker.reject(error);
  }

  #goOn(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#session.resume();
  }
}

const MESSAGES_AHEAD = 16;
const CHUNKS_AHEAD = 4;

export class MessageQueue extends Queue<string | Buffer | ArrayBuffer> {
  readonly #leave: () => void;

  constructor(session: WebSocketSession, leave: () => void) {
    super(session, MESSAGES_AHEAD);
    this.#leave = leave;
  }

  end(): void {
    this.finish(null);
  }

  return(): Promise<IteratorResult<string | Buffer | ArrayBuffer>> {
    this.#leave();
    return this.drop();
  }
}

/** The pieces of one large message. Those of one that nobody reads any more are dropped. */
export class ChunkStream extends Queue<Buffer> implements AsyncIterableIterator<Buffer> {
  #isDropped = false;

  constructor(session: WebSocketSession) {
    super(session, CHUNKS_AHEAD);
  }

  override push(chunk: Buffer, isLast = false): void {
    if (!this.#isDropped && chunk.length > 0) super.push(chunk);
    if (isLast) this.finish(null);
  }

  fail(error: Error): void {
    this.finish(error);
  }

  return(): Promise<IteratorResult<Buffer>> {
    this.#isDropped = true;
    return this.drop();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
