import type { EventEmitter } from 'node:events';

/** More are not read ahead of the loop that takes them. */
const MESSAGES_AHEAD = 16;

interface Source extends EventEmitter {
  readonly readyState: number;
  pause(): void;
  resume(): void;
}

/** The messages of `socket` from now on, for `for await`. Ends with the connection; 'error' is thrown. Leaving the loop leaves it open. */
export function messagesOf(socket: Source): AsyncIterableIterator<unknown> {
  const waiting: unknown[] = [];
  let isOver = socket.readyState === 3;
  let error: Error | null = null;
  let isHeld = false;
  let wake: (() => void) | null = null;

  const onMessage = (data: Buffer, isBinary: boolean): void => {
    waiting.push(isBinary ? data : data.toString());
    if (waiting.length >= MESSAGES_AHEAD && !isHeld) {
      isHeld = true;
      socket.pause();
    }
    wake?.();
  };
  const onError = (failure: Error): void => {
    error = failure;
    wake?.();
  };
  const onClose = (): void => {
    isOver = true;
    wake?.();
  };
  socket.on('message', onMessage).on('error', onError).on('close', onClose);

  async function* messages(): AsyncGenerator<unknown, void, undefined> {
    try {
      for (;;) {
        if (waiting.length > 0) {
          yield waiting.shift();
        } else if (error !== null) {
          throw error;
        } else if (isOver) {
          return;
        } else {
          if (isHeld) {
            isHeld = false;
            socket.resume();
          }
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          wake = null;
        }
      }
    } finally {
      socket.off('message', onMessage).off('error', onError).off('close', onClose);
      if (isHeld) socket.resume();
    }
  }
  return messages();
}
