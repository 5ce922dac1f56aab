/** The tests of values.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./values.test.js');
