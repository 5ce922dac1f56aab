/**
 * The way of a response's bytes: framed as node frames them, kept while it is not the response's turn or while it is corked, else given to the
 * connection, which copies them.
 */
import { Buffer } from 'node:buffer';
import type { WriteCallback } from './contract.js';
import { kBytesWritten, kCorked, kErrored, mergesChunks, nodeError } from './node-response.js';
import {
  kChunks,
  kPlainHead,
  kQueue,
  kSink,
  kTurnState,
  type NativeResponse,
  TURN_MINE,
  TURN_WAITING,
} from './response-state.js';

export type Chunk = string | Uint8Array;
export type Encoding = string | null | undefined;
export type Callback = WriteCallback | null | undefined;

const WIDE = /[^\t\r\n -~]/;

export function isUtf8(encoding: Encoding): boolean {
  return !encoding || encoding === 'utf8' || encoding === 'utf-8';
}

function isLatin1(encoding: Encoding): boolean {
  return encoding === 'latin1' || encoding === 'binary' || encoding === 'ascii';
}

export function lengthOf(chunk: Chunk, encoding: Encoding): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding as BufferEncoding) : chunk.byteLength;
}

/** Throws where the message holds back more or less than its Content-Length says. */
export function checkLength(response: NativeResponse, written: number, isLast: boolean): void {
  const expected = response._contentLength;
  if (
    expected != null &&
    response._hasBody &&
    !response._removedContLen &&
    !response.chunkedEncoding &&
    !response.hasHeader('transfer-encoding') &&
    (isLast ? written !== expected : written > expected)
  ) {
    throw nodeError(
      Error,
      'ERR_HTTP_CONTENT_LENGTH_MISMATCH',
      `Response body's content-length of ${written} byte(s) does not match the content-length of ${expected} byte(s) set in header`,
    );
  }
}

export function countBytes(response: NativeResponse, chunk: Chunk, encoding: Encoding, isLast: boolean): void {
  const length = lengthOf(chunk, encoding);
  checkLength(response, response[kBytesWritten] + length, isLast);
  response[kBytesWritten] += length;
}

/** The head, where it has not been taken before; latin1. */
export function takeHead(response: NativeResponse): string {
  if (response._headerSent || response._header === null) return '';
  response._headerSent = true;
  return response._header;
}

/** Sends head (if still due) and data as they are. */
export function sendPlain(response: NativeResponse, data: Chunk, encoding: Encoding, callback: Callback): boolean {
  const head = takeHead(response);
  // Node joins the two and encodes both.
  if (typeof data === 'string' && isUtf8(encoding) && isWideHead(response, head)) {
    return output(response, '', head + data, encoding, callback);
  }
  return output(response, head, data, encoding, callback);
}

export function isWideHead(response: NativeResponse, head: string): boolean {
  return head !== '' && !response[kPlainHead] && WIDE.test(head);
}

/** Sends head (if still due) and one chunk; keeps the chunk while corked, where this node makes one of all that comes then. */
export function sendChunk(response: NativeResponse, data: Chunk, encoding: Encoding, callback: Callback): boolean {
  if (mergesChunks && response[kCorked] > 0 && (response._headerSent || response[kChunks] !== null)) {
    return holdChunk(response, data, encoding, callback);
  }
  const head = `${takeHead(response)}${lengthOf(data, encoding).toString(16)}\r\n`;
  if (typeof data === 'string' && isUtf8(encoding)) return output(response, head, `${data}\r\n`, null, callback);
  const accepted = output(response, head, data, encoding, null);
  return output(response, '\r\n', '', null, callback) && accepted;
}

export function holdChunk(response: NativeResponse, data: Chunk, encoding: Encoding, callback: Callback): boolean {
  response[kChunks] ??= [];
  response[kChunks].push(data, encoding, callback);
  return response.writableLength < response.writableHighWaterMark;
}

export function heldBytes(response: NativeResponse): number {
  const chunks = response[kChunks];
  let length = 0;
  for (let i = 0; chunks !== null && i < chunks.length; i += 3) {
    length += lengthOf(chunks[i] as Chunk, chunks[i + 1] as Encoding);
  }
  return length;
}

/** What was written while corked, as one chunk. */
export function releaseChunks(response: NativeResponse): void {
  const chunks = response[kChunks];
  if (chunks === null) return;
  const length = heldBytes(response);
  response[kChunks] = null;
  const callbacks = chunks.filter((_, i) => i % 3 === 2 && chunks[i]) as WriteCallback[];
  let head = `${takeHead(response)}${length.toString(16)}\r\n`;
  for (let i = 0; i < chunks.length; i += 3) {
    output(response, head, chunks[i] as Chunk, chunks[i + 1] as Encoding, null);
    head = '';
  }
  const callback: Callback =
    callbacks.length === 0
      ? null
      : (error) => {
          for (const done of callbacks) done(error);
        };
  output(response, '\r\n', '', null, callback);
}

export function dropChunks(response: NativeResponse): void {
  const chunks = response[kChunks];
  if (chunks === null) return;
  response[kChunks] = null;
  const error =
    response[kErrored] ?? nodeError(Error, 'ERR_STREAM_DESTROYED', 'Cannot call write after a stream was destroyed');
  for (let i = 2; i < chunks.length; i += 3) if (chunks[i]) process.nextTick(chunks[i] as WriteCallback, error);
}

/** `head` is latin1. False: the caller should wait for 'drain'; or the connection is gone, and the callback with it, as on node. */
export function output(
  response: NativeResponse,
  head: string,
  data: Chunk,
  encoding: Encoding,
  callback: Callback,
): boolean {
  const sink = response[kSink];
  if (sink === undefined || sink.destroyed || response[kTurnState] > TURN_MINE) return false;
  if (response[kTurnState] === TURN_WAITING || response[kCorked] > 0 || response[kQueue] !== null) {
    return keep(response, head, data, encoding, callback);
  }
  if (head === '' && data.length === 0 && !callback) return true;
  const done = callback ?? null;
  if (typeof data !== 'string' || isUtf8(encoding)) return sink.send(head, data, done);
  if (isLatin1(encoding)) return sink.send(head + data, '', done);
  return sink.send(head, Buffer.from(data, encoding as BufferEncoding), done);
}

function keep(response: NativeResponse, head: string, data: Chunk, encoding: Encoding, callback: Callback): boolean {
  response[kQueue] ??= [];
  if (head !== '') response[kQueue].push({ data: head, encoding: 'latin1', callback: null });
  response[kQueue].push({ data, encoding, callback });
  const length = head.length + data.length;
  response.outputSize += length;
  response._onPendingData(length);
  return response.outputSize < response.writableHighWaterMark;
}

/** Sends what was kept. Undefined: nothing was. */
export function releaseQueue(response: NativeResponse): boolean | undefined {
  const queue = response[kQueue];
  if (queue === null || response[kTurnState] !== TURN_MINE || response[kCorked] > 0) return undefined;
  response[kQueue] = null;
  const size = response.outputSize;
  response.outputSize = 0;
  let accepted = true;
  for (const { data, encoding, callback } of queue) accepted = output(response, '', data, encoding, callback);
  response._onPendingData(-size);
  return accepted;
}
