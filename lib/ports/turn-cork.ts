/** For clients that write each message by itself: a system call for each of them costs more than the message does. */
import type { Writable } from 'node:stream';

/** What is written to the stream between `hold` and the end of that turn leaves in one system call. */
export class TurnCork {
  readonly #stream: Writable;
  readonly #schedule: (release: () => void) => void;
  #held = false;

  /** `schedule` calls back when the client has written; default: at the end of the turn. */
  constructor(stream: Writable, schedule: (release: () => void) => void = process.nextTick) {
    this.#stream = stream;
    this.#schedule = schedule;
  }

  hold(): void {
    if (this.#held) {
      return;
    }
    this.#held = true;
    this.#stream.cork();
    this.#schedule(this.#release);
  }

  readonly #release = (): void => {
    this.#held = false;
    this.#stream.uncork();
  };
}
