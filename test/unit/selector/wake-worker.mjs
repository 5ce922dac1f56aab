// Wakes a selector of the main thread once it is told to.
import { parentPort, workerData } from 'node:worker_threads';
import { wakeSelector } from '../../../lib/selector/index.ts';

parentPort.postMessage('ready');
Atomics.wait(workerData.flag, 0, 0);
wakeSelector(workerData.id);
