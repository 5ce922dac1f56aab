/** The tests of scope.test.ts, with child processes. */
import { useLane } from './support.js';

useLane('process');
await import('./scope.test.js');
