/**
 * A response on a socket whose `write` the program has replaced (to count, log or change what is sent): node's own code frames it and writes it, piece
 * by piece, through that method.
 */
import { channel } from 'node:diagnostics_channel';
import type { HttpSocket } from './connection-socket.js';
import type { IncomingMessage } from './incoming-message.js';
import { kCorked, kNeedDrain, nodeMethods } from './node-response.js';
import { leaveConnection } from './response-fields.js';
import { kChunks, kClosed, type NativeResponse } from './response-state.js';
import type { ServerResponse } from './server-response.js';

const finishChannel = channel('http.server.response.finish');

/** One that is over, or holds corked chunks, goes out as it began. */
export function canGoThroughSocket(response: ServerResponse): boolean {
  const { finished, [kCorked]: corked, [kChunks]: chunks } = response as NativeResponse;
  return !finished && !corked && chunks === null;
}

/** `onFinish`: as 'finish', before the program's listeners. */
export function sendThroughSocket(
  request: IncomingMessage,
  response: ServerResponse,
  socket: HttpSocket,
  onFinish: () => void,
): void {
  const native = response as NativeResponse;
  leaveConnection(native);
  // Node tells of the end of the socket by a listener of its own.
  native[kClosed] = true;
  const messages = socket as { _httpMessage?: unknown };
  messages._httpMessage = null;
  nodeMethods['assignSocket']?.call(response, socket);
  const onDrain = (): void => {
    if (native.finished || !native[kNeedDrain]) return;
    native[kNeedDrain] = false;
    response.emit('drain');
  };
  socket.on('drain', onDrain);
  response.prependOnceListener('finish', () => {
    if (finishChannel.hasSubscribers) {
      finishChannel.publish({ request, response, socket, server: socket.server });
    }
    socket.removeListener('drain', onDrain);
    nodeMethods['detachSocket']?.call(response, socket);
    delete messages._httpMessage;
    process.nextTick(emitClose, response);
    onFinish();
  });
}

function emitClose(response: ServerResponse & { _closed?: boolean }): void {
  if (response._closed) return;
  response.destroyed = true;
  response._closed = true;
  response.emit('close');
}
