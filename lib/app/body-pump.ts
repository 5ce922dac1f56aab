/**
 * Sends a body that comes in chunks, at the pace of the client. Owns the reader of the body; cancels it when the exchange is aborted or
 * the body breaks its framing.
 */
import { AbortedError, ResponseError } from '../errors.js';
import { onExchangeAbort } from '../http/abort.js';
import { checkChunk } from '../http/body.js';
import type { AbortReason, Exchange } from '../http/exchange.js';
import type { HeadBlock } from '../http/header-block.js';

interface ChunkReader {
  next(): Promise<{ done?: boolean | undefined; value?: unknown }>;
  cancel(reason: unknown): void;
}

/**
 * Rejects with what the body failed with; the caller answers. Resolves when all has been submitted, or the exchange is over. A body
 * that proves to be one chunk at once is sent whole, with its length.
 */
export async function pumpBody(
  exchange: Exchange,
  status: number,
  reason: string,
  head: HeadBlock,
  body: ReadableStream | AsyncIterable<unknown>,
): Promise<void> {
  const reader = readerOf(body);
  let over = false;
  let wake: (() => void) | null = null;
  const giveUp = (abortReason: AbortReason): void => {
    if (!over) {
      over = true;
      reader.cancel(new AbortedError(abortReason));
      exchange.destroy();
      wake?.();
    }
  };
  onExchangeAbort(exchange, (abortReason) => {
    if (abortReason === 'client' && !exchange.responseStarted) {
      // It may only have closed its sending side: a body that is at hand is still sent, whole.
      setImmediate(giveUp, abortReason);
    } else {
      giveUp(abortReason);
    }
  });
  try {
    const announced = head.contentLength;
    let sentBytes = 0;
    let pending: ReturnType<ChunkReader['next']> | null = null;

    if (announced === -1 && !isOver()) {
      pending = reader.next();
      const first = await settledSoon(pending);
      if (isOver()) {
        return;
      }
      if (first?.done === true) {
        exchange.respond(status, reason, head, '');
        return;
      }
      if (first === null) {
        // Nothing yet: the client gets the head, and need not wait to know that it was heard (server-sent events).
        exchange.start(status, reason, head, -1);
      } else {
        const chunk = checkChunk(first.value);
        pending = reader.next();
        const second = await settledSoon(pending);
        if (isOver()) {
          return;
        }
        if (second?.done === true) {
          exchange.respond(status, reason, head, chunk);
          return;
        }
        if (exchange.goneReason !== null) {
          giveUp(exchange.goneReason);
          return;
        }
        exchange.start(status, reason, head, -1);
        if (chunk.length > 0) {
          await write(chunk);
        }
      }
    } else if (!isOver()) {
      exchange.start(status, reason, head, announced);
    }

    while (!isOver()) {
      const { done, value } = await (pending ?? reader.next());
      pending = null;
      if (isOver()) {
        return;
      }
      if (done === true) {
        if (announced !== -1 && sentBytes !== announced) {
          throw new ResponseError(`The body ended after ${sentBytes} bytes, but content-length said ${announced}`);
        }
        over = true;
        exchange.end('');
        return;
      }
      const chunk = checkChunk(value);
      if (announced !== -1) {
        sentBytes += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
        if (sentBytes > announced) {
          throw new ResponseError(`The body is longer than its content-length of ${announced} bytes`);
        }
      }
      if (chunk.length > 0) {
        await write(chunk);
      }
    }
  } catch (error) {
    if (isOver()) {
      // The reader failed because it was cancelled.
      return;
    }
    over = true;
    reader.cancel(error);
    throw error;
  } finally {
    over = true;
  }

  function isOver(): boolean {
    return over;
  }

  function write(chunk: Uint8Array | string): Promise<void> | undefined {
    if (exchange.write(chunk)) {
      return undefined;
    }
    return new Promise((resolve) => {
      wake = resolve;
      exchange.onceWritable(resolve);
    });
  }
}

/** Tells a body that it will not be read. */
export function discardBody(body: ReadableStream | AsyncIterable<unknown>, reason: unknown): void {
  readerOf(body).cancel(reason);
}

/** What the promise gives if it settles before the loop turns, else null. */
function settledSoon<T>(promise: Promise<T>): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const timer = setImmediate(resolve, null);
    promise.then(
      (value) => {
        clearImmediate(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearImmediate(timer);
        reject(error);
      },
    );
  });
}

function readerOf(body: ReadableStream | AsyncIterable<unknown>): ChunkReader {
  if (typeof (body as ReadableStream).getReader === 'function') {
    const reader = (body as ReadableStream).getReader();
    return {
      next: () => reader.read(),
      cancel: (reason) => {
        reader.cancel(reason).catch(ignore);
      },
    };
  }
  const iterator = (body as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  return {
    next: async () => iterator.next(),
    cancel: (reason) => {
      try {
        iterator.return?.(reason)?.catch?.(ignore);
      } catch {
        // The body is being given up.
      }
    },
  };
}

function ignore(): void {
  // The body is being given up; what its cancel says changes nothing.
}
