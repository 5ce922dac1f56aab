// The entry of the thread or process that runs peer.ts.
import { register } from 'node:module';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

register(new URL('../../support/ts-loader.mjs', import.meta.url));
const { startPeer } = await import('./peer.ts');
if (isMainThread) {
  const { ProcessPort } = await import('../../../lib/ports/process.ts');
  startPeer(new ProcessPort(process));
} else {
  const { ThreadPort } = await import('../../../lib/ports/thread.ts');
  startPeer(new ThreadPort(workerData?.channel ?? parentPort));
}
