/** examples/cluster: the gateway and three workers over NATS, one killed under load. */
import { beforeAll, describe, expect, test } from 'vitest';
import { backends } from '../support/backends.js';
import { ExampleProcess } from '../support/example-process.js';
import { useBroker } from '../support/use-broker.js';

const REQUESTS = 120;
const CONCURRENCY = 16;
const PRIMES_BELOW_200000 = 17_984;

describe('the cluster', () => {
  const nats = useBroker('nats');
  let cluster: ExampleProcess;

  beforeAll(async () => {
    if (nats.url === '') return;
    cluster = new ExampleProcess('cluster/server.mjs', backends[0] as (typeof backends)[number], {
      NATS_URL: nats.url,
    });
    await cluster.started();
  });

  const get = async <T>(path: string): Promise<{ status: number; body: T }> => {
    const response = await fetch(cluster.url + path);
    return { status: response.status, body: (await response.json()) as T };
  };

  test('answers every request while a worker is killed, and drains', async () => {
    const { pids } = (await get<{ pids: number[] }>('/workers')).body;
    expect(pids).toHaveLength(3);
    const seen = new Map<number, number>();
    const statuses: number[] = [];
    let next = 0;
    const client = async (): Promise<void> => {
      while (next++ < REQUESTS) {
        const { status, body } = await get<{ count: number; pid: number }>('/primes?below=200000');
        statuses.push(status);
        if (status === 200) expect(body.count).toBe(PRIMES_BELOW_200000);
        seen.set(body.pid, (seen.get(body.pid) ?? 0) + 1);
        // A third of the way, one that works.
        if (statuses.length === REQUESTS / 3) process.kill(body.pid, 'SIGKILL');
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, client));
    expect(statuses).toHaveLength(REQUESTS);
    expect(statuses.every((status) => status === 200)).toBe(true);
    expect(seen.size).toBeGreaterThan(1);
    expect((await get<{ replaced: number }>('/workers')).body.replaced).toBe(1);
    cluster.kill('SIGTERM');
    expect(await cluster.exited).toBe(0);
    expect(cluster.stdout).toContain('0 cut');
  }, 60_000);
});
