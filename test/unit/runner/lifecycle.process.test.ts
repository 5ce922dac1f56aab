/** The tests of lifecycle.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./lifecycle.test.js');
