/** The tests of moving.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./moving.test.js');
