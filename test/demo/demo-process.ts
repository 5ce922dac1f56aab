/** examples/demo/server.mjs in a process of its own, and its counters. */
import type { ServerStats } from '../../lib/index.js';
import type { BackendName } from '../support/backends.js';
import { ExampleProcess } from '../support/example-process.js';

export class DemoProcess extends ExampleProcess {
  constructor(backend: BackendName, env?: Record<string, string>) {
    super('demo/server.mjs', backend, env);
  }

  async stats(): Promise<ServerStats> {
    const response = await fetch(`${this.url}/stats`);
    return (await response.json()) as ServerStats;
  }

  /** Asks for the counters, again and again, until they are as wanted; the test's own timeout is the limit. */
  async statsWhere(wanted: (stats: ServerStats) => boolean): Promise<ServerStats> {
    for (;;) {
      const stats = await this.stats();
      if (wanted(stats)) return stats;
    }
  }

  /** Until `count` requests are being handled, beside the one that asks. */
  async active(count: number): Promise<ServerStats> {
    return this.statsWhere(({ requests }) => requests.active === count + 1);
  }
}

export async function startDemo(backend: BackendName, env?: Record<string, string>): Promise<DemoProcess> {
  return new DemoProcess(backend, env).started();
}
