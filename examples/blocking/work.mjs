// The blocking section: a synchronous computation of `ms` milliseconds. It is called in the handler, or by the runner in a worker thread.
import { pbkdf2Sync } from 'node:crypto';

export function report(ms) {
  const end = performance.now() + ms;
  let digest = Buffer.from('report');
  do digest = pbkdf2Sync(digest, 'salt', 200, 32, 'sha256');
  while (performance.now() < end);
  return digest.toString('hex');
}
