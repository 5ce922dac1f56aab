/** For clients that write each message by itself: a system call for each of them costs more than the message does. */
import type { Writable } from 'node:stream';

/** What is written to the stream in one turn of the event loop, with its promises, leaves in one system call at the end of that turn. */
export function corkTurns(stream: Writable): void {
  const write = stream.write as (...args: unknown[]) => boolean;
  let corked = false;
  const release = (): void => {
    corked = false;
    stream.uncork();
  };
  // In place, for the writes are the client's own.
  stream.write = (...args: unknown[]): boolean => {
    if (!corked) {
      corked = true;
      stream.cork();
      process.nextTick(release);
    }
    return Reflect.apply(write, stream, args);
  };
}
