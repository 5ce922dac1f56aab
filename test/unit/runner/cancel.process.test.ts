/** The tests of cancel.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./cancel.test.js');
