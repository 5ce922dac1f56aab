/**
 * The end of a response: its last bytes, and 'finish' and 'close' after them. Where nobody listens, nothing comes back over the border: what has
 * become of the bytes is asked when somebody wants to know.
 */
import { channel } from 'node:diagnostics_channel';
import type { WriteCallback } from './contract.js';
import {
  hasEndCallbacks,
  kCorked,
  kEndCallbacks,
  kErrored,
  kFlushError,
  kWritableFinished,
  mergesChunks,
  nodeEmit,
} from './node-response.js';
import {
  type Chunk,
  type Encoding,
  holdChunk,
  isUtf8,
  isWideHead,
  lengthOf,
  output,
  releaseChunks,
  releaseQueue,
  sendChunk,
  sendPlain,
  takeHead,
} from './response-output.js';
import {
  kChunks,
  kClosed,
  kDestroyed,
  kEndTick,
  kNoticed,
  kQueue,
  kSink,
  kTurnState,
  type NativeResponse,
  TURN_DETACHED,
  TURN_MINE,
  TURN_PASSED,
  TURN_WAITING,
} from './response-state.js';

const finishChannel = channel('http.server.response.finish');

/** Counts the ticks in which a response ended. */
let tick = 0;
let tickEnds = false;

function presentTick(): number {
  if (!tickEnds) {
    tickEnds = true;
    process.nextTick(endTick);
  }
  return tick;
}

/** 'finish' would come in this tick, 'close' in the next one. */
function endTick(): void {
  process.nextTick(nextTick);
}

function nextTick(): void {
  tickEnds = false;
  tick++;
}

/** Up to here head and body in one string are quicker than each on its own. */
const SHORT_TEXT_LENGTH = 4096;

/**
 * Sends the last chunk ('' for none; of a length above 0 if the message has chunks) with what terminates the message. `isAscii`: text that
 * is the same in latin1 and UTF-8.
 */
export function sendEnd(response: NativeResponse, chunk: Chunk, encoding: Encoding, isAscii: boolean): void {
  const isChunked = response._hasBody && response.chunkedEncoding;
  if (response[kChunks] !== null) {
    if (chunk.length > 0 && mergesChunks) {
      holdChunk(response, chunk, encoding, null);
      chunk = '';
    }
    response[kCorked] = 0;
    releaseChunks(response);
  } else {
    response[kCorked] = 0;
  }
  releaseQueue(response);
  response.finished = true;
  if (response[kTurnState] === TURN_WAITING || response[kSink]?.destroyed) {
    if (isChunked) {
      if (chunk.length > 0) sendChunk(response, chunk, encoding, null);
      output(response, `${takeHead(response)}0\r\n${response._trailer}\r\n`, '', null, null);
    } else {
      sendPlain(response, chunk, chunk === '' ? 'latin1' : encoding, null);
    }
    return;
  }
  let head = takeHead(response);
  if (!isChunked) {
    if (typeof chunk !== 'string' || chunk === '') passTurn(response, head, chunk);
    else if (isAscii && chunk.length <= SHORT_TEXT_LENGTH && !isWideHead(response, head))
      passTurn(response, head + chunk, '');
    else if (!isUtf8(encoding)) passTurn(response, head, Buffer.from(chunk, encoding as BufferEncoding));
    else if (isWideHead(response, head)) passTurn(response, '', head + chunk);
    else passTurn(response, head, chunk);
    return;
  }
  if (chunk.length > 0) {
    head += `${lengthOf(chunk, encoding).toString(16)}\r\n`;
    if (typeof chunk === 'string' && isUtf8(encoding) && response._trailer === '') {
      passTurn(response, head, `${chunk}\r\n0\r\n\r\n`);
      return;
    }
    output(response, head, chunk, encoding, null);
    head = '\r\n';
  }
  passTurn(response, `${head}0\r\n${response._trailer}\r\n`, '');
}

/** The last bytes of a response whose turn it is. */
export function passTurn(response: NativeResponse, head: string, body: Chunk): void {
  const callback = wantsNotice(response) ? makeNotice(response) : null;
  response[kTurnState] = TURN_PASSED;
  response[kEndTick] = presentTick();
  response[kSink]?.sendLast(response, head, body, callback, response._last);
}

function wantsNotice(response: NativeResponse): boolean {
  const events = response._events;
  return (
    (events !== undefined && (events['finish'] !== undefined || events['close'] !== undefined)) ||
    (hasEndCallbacks && response[kEndCallbacks] !== null) ||
    response.emit !== nodeEmit ||
    finishChannel.hasSubscribers
  );
}

function makeNotice(response: NativeResponse): WriteCallback {
  response[kNoticed] = true;
  return (error) => onLastBytes(response, error);
}

/** A listener or callback that came after end(): it is told if the bytes have not left yet. */
export function noticeLate(response: NativeResponse): void {
  if (response[kTurnState] === TURN_PASSED && !response[kNoticed] && !haveBytesLeft(response)) {
    response[kSink]?.whenFlushed(makeNotice(response));
  }
}

function onLastBytes(response: NativeResponse, error: Error | null | undefined): void {
  if (response[kTurnState] === TURN_DETACHED) return;
  if (error || response[kErrored]) {
    if (hasEndCallbacks) {
      response[kFlushError] = error ?? response[kErrored];
      runEndCallbacks(response, response[kFlushError]);
    }
    process.nextTick(emitClose, response);
    return;
  }
  response[kWritableFinished] = true;
  if (hasEndCallbacks) runEndCallbacks(response, null);
  if (finishChannel.hasSubscribers) {
    const { req: request, socket } = response;
    finishChannel.publish({ request, response, socket, server: response[kSink]?.server });
  }
  response[kTurnState] = TURN_DETACHED;
  process.nextTick(emitClose, response);
  response.emit('finish');
}

function runEndCallbacks(response: NativeResponse, error: Error | null): void {
  const callbacks = response[kEndCallbacks] as WriteCallback[] | null;
  if (callbacks === null) return;
  response[kEndCallbacks] = null;
  for (const callback of callbacks) callback(error);
}

export function emitClose(response: NativeResponse): void {
  if (response[kClosed]) return;
  response[kClosed] = true;
  response[kDestroyed] = true;
  response.emit('close');
}

/** Where nobody is told of it, the connection is asked; not in the tick of the end, for then 'finish' is still to come. */
export function haveBytesLeft(response: NativeResponse): boolean {
  if (response[kTurnState] !== TURN_PASSED) return response[kTurnState] === TURN_DETACHED;
  if (response[kNoticed] || response[kEndTick] === tick) return false;
  response[kSink]?.flush();
  if (response[kSink]?.writableLength !== 0) return false;
  response[kTurnState] = TURN_DETACHED;
  response[kWritableFinished] = true;
  response[kDestroyed] = true;
  response[kClosed] = true;
  return true;
}

/** Its turn has come: what was kept is sent. */
export function takeTurn(response: NativeResponse): boolean | undefined {
  response[kTurnState] = TURN_MINE;
  if (response.finished) response[kCorked] = 0;
  const accepted = releaseQueue(response);
  if (response.finished && response[kQueue] === null) passTurn(response, '', '');
  return accepted;
}
