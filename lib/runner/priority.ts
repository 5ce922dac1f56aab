/** The priority of workers: where processors are short, the caller's event loop goes first. */
import { constants, getPriority, setPriority } from 'node:os';

/** `increment`: as nice(1) counts. Of the calling thread on Linux; of its process elsewhere. */
export function giveWay(increment: number): void {
  if (increment > 0) {
    setPriority(Math.min(getPriority() + increment, constants.priority.PRIORITY_LOW));
  }
}
