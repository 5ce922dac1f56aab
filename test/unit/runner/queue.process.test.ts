/** The tests of queue.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./queue.test.js');
