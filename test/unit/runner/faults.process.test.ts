/** The tests of faults.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./faults.test.js');
