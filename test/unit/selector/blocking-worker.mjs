// Blocks in a select without end.
import { parentPort, workerData } from 'node:worker_threads';
import { Selector } from '../../../lib/selector/index.ts';

const selector = new Selector({ poller: workerData });
parentPort.postMessage('ready');
selector.select();
