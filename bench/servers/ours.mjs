// What our three servers share.
import process from 'node:process';
import { backlog, keepAliveMs, ready } from './common.mjs';

export const options = { port: 0, hostname: '127.0.0.1', backlog, timeouts: { keepAlive: keepAliveMs } };

export function announce(server) {
  const { backend, poller } = server.stats();
  ready(server.address().port, `gammaloop on ${backend}${poller ? ` (${poller})` : ''}, node ${process.version}`);
}
