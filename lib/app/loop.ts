/** `loop`: the event loop of this thread, and what runs on it. docs/loop.md. */
import { type BatchStats, batchStats } from '../backend/batch-stats.js';
import { chosenBackend } from '../backend/choose.js';
import type { ServerStats } from '../backend/contract.js';
import { type DropInStats, dropInStats } from '../drop-in/stats.js';
import {
  type CallbackStats,
  callAt,
  callbackStats,
  callLater,
  callSoon,
  callSoonThreadsafe,
  detectSlowCallbacks,
  ignoreSlowCallbacks,
  type LagStats,
  measured,
  type PhaseStats,
  startMeasuring,
  stopMeasuring,
  threadsafe,
  time,
} from '../loop/index.js';
import { openServers } from './serve.js';

export interface LoopStats {
  /** Of the server started last, or null before the first. */
  backend: 'native' | 'node' | null;
  /** An entry for each open server of `serve`. */
  servers: ServerStats[];
  /** The servers of node:http and node:https (docs/drop-in.md). */
  dropIn: DropInStats;
  /** Of callSoon, callLater and callAt, and of calls from other threads. */
  callbacks: CallbackStats;
  /** Of the native engine; zeros where it does not run. */
  batches: BatchStats;
  /** Since startMeasuring; null while nothing is measured. */
  lag: LagStats | null;
  phases: PhaseStats | null;
}

export const loop = {
  /** The backend of the server started last, or null before the first. */
  backend: chosenBackend,
  time,
  callSoon,
  callLater,
  callAt,
  threadsafe,
  callSoonThreadsafe,
  startMeasuring,
  stopMeasuring,
  detectSlowCallbacks,
  ignoreSlowCallbacks,
  stats(): LoopStats {
    const measurement = measured();
    return {
      backend: chosenBackend(),
      servers: [...openServers].map((server) => server.stats()),
      dropIn: dropInStats(),
      callbacks: callbackStats(),
      batches: { ...batchStats },
      lag: measurement?.lag ?? null,
      phases: measurement?.phases ?? null,
    };
  },
};
