/** The tests of run.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./run.test.js');
