import { Duplex, type DuplexOptions } from 'node:stream';
import type { WebSocket } from './websocket.js';

type Done = (error?: Error | null) => void;

/** A Duplex whose chunks are the messages of `socket`, both ways. Ending it closes the connection, and destroying it ends it at once. */
export function createWebSocketStream(socket: WebSocket, options?: DuplexOptions): Duplex {
  /** After an error the connection is closing by itself, and its close frame must have time to leave. */
  let terminates = true;

  const stream = new Duplex({
    ...options,
    autoDestroy: false,
    emitClose: false,
    objectMode: false,
    writableObjectMode: false,
    read() {
      if (socket.isPaused) socket.resume();
    },
    write,
    final,
    destroy,
  });

  function write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    if (socket.readyState === socket.CONNECTING) socket.once('open', () => write(chunk, _encoding, done));
    else socket.send(chunk, done);
  }

  function final(done: Done): void {
    if (socket.readyState === socket.CONNECTING) {
      socket.once('open', () => final(done));
      return;
    }
    const below = socket._socket;
    // The handshake has failed: 'error' is about to come.
    if (below === null) return;
    if (below.writableFinished) {
      done();
      if (stream.readableEnded) stream.destroy();
      return;
    }
    // 'end' comes when the connection has closed.
    below.once('finish', () => done());
    socket.close();
  }

  function destroy(error: Error | null, done: Done): void {
    if (socket.readyState === socket.CLOSED) {
      done(error);
      process.nextTick(emitClose, stream);
      return;
    }
    let isDone = false;
    socket.once('error', (failure) => {
      isDone = true;
      done(failure);
    });
    socket.once('close', () => {
      if (!isDone) done(error);
      process.nextTick(emitClose, stream);
    });
    if (terminates) socket.terminate();
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    const chunk = !isBinary && stream.readableObjectMode ? data.toString() : data;
    if (!stream.push(chunk)) socket.pause();
  });
  socket.once('error', (error) => {
    if (stream.destroyed) return;
    terminates = false;
    stream.destroy(error);
  });
  socket.once('close', () => {
    if (!stream.destroyed) stream.push(null);
  });
  stream.on('end', () => {
    if (!stream.destroyed && stream.writableFinished) stream.destroy();
  });
  stream.on('error', function onError(error) {
    stream.removeListener('error', onError);
    stream.destroy();
    // With nobody else to hear of it, it is thrown as any unheard error.
    if (stream.listenerCount('error') === 0) stream.emit('error', error);
  });
  return stream;
}

function emitClose(stream: Duplex): void {
  stream.emit('close');
}
