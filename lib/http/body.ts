/**
 * Bodies of requests and responses: what may be one, and reading one in each form. What is rare (FormData both ways, Blobs out) is left
 * to node's own Response, which is made only then.
 */

import stream from 'node:stream';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import { BodyError } from '../errors.js';
import { plainOwner, Waiter } from '../scope/waiter.js';
import { type BodySink, Exchange } from './exchange.js';
import { TEXT_TYPE } from './header-block.js';

// Both exist since Node 16; the types leave them out.
const isDisturbed = (stream as unknown as { isDisturbed(value: unknown): boolean }).isDisturbed;

export type BodyInit =
  | string
  | ArrayBuffer
  | SharedArrayBuffer
  | ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | ReadableStream
  | NodeReadableStream
  | AsyncIterable<Uint8Array | string>;

/** A body at rest; an Exchange stands for the body of its request. */
export type BodySource = string | Uint8Array | Blob | ReadableStream | AsyncIterable<unknown> | Exchange;

export interface ExtractedBody {
  source: BodySource;
  /** The default content-type, or null. */
  type: string | null;
}

/** Throws TypeError for a stream that is locked or was read from. */
export function extractBody(body: unknown): ExtractedBody {
  if (typeof body === 'object' && body !== null) {
    if (body instanceof Uint8Array) {
      return { source: body, type: null };
    }
    if (body instanceof ReadableStream) {
      if (body.locked || isDisturbed(body)) {
        throw new TypeError('The body is a stream that is locked or was read from; use a fresh one');
      }
      return { source: body, type: null };
    }
    if (body instanceof URLSearchParams) {
      return { source: body.toString(), type: 'application/x-www-form-urlencoded;charset=UTF-8' };
    }
    if (body instanceof Blob) {
      return { source: body, type: body.type === '' ? null : body.type };
    }
    if (ArrayBuffer.isView(body)) {
      return { source: new Uint8Array(body.buffer, body.byteOffset, body.byteLength), type: null };
    }
    if (
      body instanceof ArrayBuffer ||
      (typeof SharedArrayBuffer !== 'undefined' && body instanceof SharedArrayBuffer)
    ) {
      return { source: new Uint8Array(body), type: null };
    }
    if (body instanceof FormData) {
      const encoded = new globalThis.Response(body);
      return { source: encoded.body as ReadableStream, type: encoded.headers.get('content-type') };
    }
    if (typeof (body as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function') {
      return { source: body as AsyncIterable<unknown>, type: null };
    }
  }
  return { source: wellFormed(`${body as string}`), type: TEXT_TYPE };
}

/** Whether something has begun to read a body, or holds its lock. */
export function isSourceDisturbed(source: BodySource | null): boolean {
  return source instanceof ReadableStream && isDisturbed(source);
}

export function isSourceLocked(source: BodySource | null): boolean {
  return source instanceof ReadableStream && source.locked;
}

export function bodyUsedError(): TypeError {
  return Object.assign(new TypeError('The body was used already; read it once, or clone() before'), {
    code: 'ERR_GAMMALOOP_BODY_USED',
  });
}

/** At once where the body is at hand, so that the common case costs one promise only. */
export function readText(source: BodySource | null): string | Promise<string> {
  if (source === null) {
    return '';
  }
  if (typeof source === 'string') {
    return stripBom(wellFormed(source));
  }
  if (source instanceof Exchange && source.bodyComplete) {
    return stripBom(source.takeBodyText());
  }
  const bytes = readBytes(source);
  return bytes instanceof Promise ? bytes.then(decode) : decode(bytes);
}

/** The bytes may be shared with the source, or part of a larger buffer. */
export function readBytes(source: BodySource | null): Uint8Array | Promise<Uint8Array> {
  if (source === null) {
    return new Uint8Array(0);
  }
  if (typeof source === 'string') {
    return Buffer.from(source, 'utf8');
  }
  if (source instanceof Uint8Array) {
    return source;
  }
  if (source instanceof Exchange) {
    return readExchange(source);
  }
  if (source instanceof Blob) {
    return source.arrayBuffer().then((buffer) => new Uint8Array(buffer));
  }
  return collect(source);
}

/** Bytes in a buffer of their own. */
export function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

export function readForm(source: BodySource | null, contentType: string | null): Promise<FormData> {
  return viaGlobal(source, contentType).then((response) => response.formData() as Promise<FormData>);
}

export function readBlob(source: BodySource | null, contentType: string | null): Promise<Blob> {
  return viaGlobal(source, contentType).then((response) => response.blob());
}

async function viaGlobal(source: BodySource | null, contentType: string | null): Promise<globalThis.Response> {
  const bytes = source === null ? null : await readBytes(source);
  return new globalThis.Response(
    bytes as Uint8Array<ArrayBuffer> | null,
    contentType === null ? {} : { headers: { 'content-type': contentType } },
  );
}

/** A ReadableStream over the source; from then on the stream is the body. */
export function toStream(source: BodySource): ReadableStream<Uint8Array> {
  if (source instanceof ReadableStream) {
    return source;
  }
  if (source instanceof Blob) {
    return source.stream();
  }
  if (source instanceof Exchange) {
    return exchangeStream(source);
  }
  if (typeof source === 'string' || source instanceof Uint8Array) {
    return bytesStream(() => readBytes(source) as Uint8Array);
  }
  return iterableStream(source);
}

/** Two bodies from one. The first takes the place of the source. */
export function teeSource(source: BodySource | null): [BodySource | null, BodySource | null] {
  if (source === null || typeof source === 'string' || source instanceof Uint8Array || source instanceof Blob) {
    return [source, source];
  }
  if (source instanceof Exchange) {
    if (!source.hasBody) {
      return [null, null];
    }
    if (source.bodyComplete) {
      const bytes = source.takeBody();
      return [bytes, bytes];
    }
  }
  return toStream(source).tee();
}

/** A chunk of a body stream as bytes or text. Throws TypeError for what is neither. */
export function checkChunk(chunk: unknown): Uint8Array | string {
  if (chunk instanceof Uint8Array || typeof chunk === 'string') {
    return chunk;
  }
  if (chunk instanceof ArrayBuffer) {
    return new Uint8Array(chunk);
  }
  if (ArrayBuffer.isView(chunk)) {
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  throw new TypeError(
    `A body stream gave a chunk of type ${chunk === null ? 'null' : typeof chunk}; give Uint8Array or strings`,
  );
}

/** With U+FFFD for lone surrogates, as everything that becomes UTF-8. */
function wellFormed(text: string): string {
  return (text as unknown as { toWellFormed(): string }).toWellFormed();
}

function stripBom(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

function decode(bytes: Uint8Array): string {
  return stripBom(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
}

async function collect(source: ReadableStream | AsyncIterable<unknown>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source as AsyncIterable<unknown>) {
    const checked = checkChunk(chunk);
    chunks.push(typeof checked === 'string' ? Buffer.from(checked, 'utf8') : checked);
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
}

/** All of a request's body: at once where it has arrived, else collected without making a stream; a scope's cancellation ends the wait. */
function readExchange(exchange: Exchange): Uint8Array | Promise<Uint8Array> {
  if (!exchange.hasBody) {
    return new Uint8Array(0);
  }
  if (exchange.bodyComplete) {
    return exchange.takeBody();
  }
  const waiter = new Waiter<Uint8Array>(plainOwner);
  const parked = waiter.park();
  let chunks: Buffer[] = [];
  exchange.readBody({
    onData(chunk) {
      // Given up: what still comes is let go.
      if (waiter.settled) chunks = [];
      else chunks.push(chunk);
      exchange.consumed(chunk.length);
    },
    onEnd() {
      waiter.resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    },
    onAbort(reason) {
      waiter.reject(BodyError.fromAbort(reason));
    },
  });
  return parked;
}

/** A byte stream over the body of a request. It is asked for at the first read, and no more is taken than was read. */
function exchangeStream(exchange: Exchange): ReadableStream<Uint8Array> {
  if (exchange.bodyComplete) {
    return bytesStream(() => exchange.takeBody());
  }
  let started = false;
  let ended = false;
  /** Bytes that stand in the stream's queue and have not been acknowledged. */
  let unread = 0;
  let wake: (() => void) | null = null;
  let controller: ReadableByteStreamController;

  const settle = (): void => {
    const waiting = wake;
    wake = null;
    waiting?.();
  };
  const sink: BodySink = {
    onData(chunk) {
      if (ended) {
        return;
      }
      unread += chunk.length;
      controller.enqueue(ownBytes(chunk));
      settle();
    },
    onEnd() {
      if (!ended) {
        ended = true;
        closeByteStream(controller);
        settle();
      }
    },
    onAbort(reason) {
      if (!ended) {
        ended = true;
        controller.error(BodyError.fromAbort(reason));
        settle();
      }
    },
  };
  return byteStream({
    start(given) {
      controller = given;
    },
    pull() {
      if (unread > 0) {
        const taken = unread;
        unread = 0;
        exchange.consumed(taken);
      }
      return new Promise<void>((resolve) => {
        wake = resolve;
        if (!started) {
          started = true;
          exchange.readBody(sink);
        }
      });
    },
    cancel() {
      ended = true;
      settle();
    },
  });
}

function bytesStream(read: () => Uint8Array): ReadableStream<Uint8Array> {
  return byteStream({
    pull(controller) {
      const bytes = read();
      if (bytes.length > 0) {
        controller.enqueue(ownBytes(bytes));
      }
      closeByteStream(controller);
    },
  });
}

function byteStream(source: Omit<UnderlyingByteSource, 'type'>): ReadableStream<Uint8Array> {
  return new ReadableStream({ ...source, type: 'bytes' } as UnderlyingByteSource as never);
}

/** A reader that brought its own buffer (BYOB) waits until its request is answered with nothing. */
function closeByteStream(controller: ReadableByteStreamController): void {
  controller.close();
  controller.byobRequest?.respond(0);
}

function iterableStream(source: AsyncIterable<unknown>): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return byteStream({
    async pull(controller) {
      for (;;) {
        const { done, value } = await iterator.next();
        if (done === true) {
          closeByteStream(controller);
          return;
        }
        const chunk = checkChunk(value);
        if (chunk.length > 0) {
          controller.enqueue(ownBytes(typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk));
          return;
        }
      }
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  });
}
