/**
 * kill -9 of workers and of the broker under load: every request ends in exactly one of reply, error or timeout, and no accepted work is lost.
 * GAMMALOOP_CHAOS_REQUESTS says how many (docs/development.md); by default few.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Requester } from '../../../lib/correlation/index.js';
import { GammaloopError } from '../../../lib/errors.js';
import type { BrokerPort } from '../../../lib/ports/broker.js';
import type { BrokerPortOptions } from '../../../lib/ports/broker-options.js';
import { brokerKinds, openPort } from '../../support/broker-ports.js';
import { useBroker } from '../../support/use-broker.js';

const COUNT = Number(process.env['GAMMALOOP_CHAOS_REQUESTS'] ?? 6000);
const IN_FLIGHT = 500;
const WORKERS = 3;
const LIMIT_MS = 90_000 + COUNT * 10;
const main = new URL('chaos-worker.mjs', import.meta.url);

describe.each(brokerKinds)(`kill -9 on %s, ${COUNT} at a time of need`, (kind) => {
  const server = useBroker(kind);
  const workers: ChildProcess[] = [];
  let folder = '';
  let port: BrokerPort;
  let options: BrokerPortOptions;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gammaloop-chaos-'));
  });

  afterEach(async () => {
    for (const worker of workers.splice(0)) worker.kill('SIGKILL');
    await port.close();
    await rm(folder, { recursive: true });
  });

  const startWorker = async (): Promise<void> => {
    const worker = fork(main, [JSON.stringify({ kind, url: server.url, options, ledger: join(folder, 'ledger') })]);
    workers.push(worker);
    await once(worker, 'message');
  };

  const open = async (chosen: BrokerPortOptions): Promise<void> => {
    options = chosen;
    port = openPort(kind, server.url, options);
    await port.ready();
    await Promise.all(Array.from({ length: WORKERS }, startWorker));
    if (options.durable !== undefined)
      for (const subject of ['job', 'work']) await server.broker.stored(`${options.prefix}.work.${subject}`);
  };

  /** `COUNT` calls of `act`, `IN_FLIGHT` at a time; a third of the way a worker dies and another comes, halfway the broker does. */
  const underFire = async (act: (n: number) => Promise<void>): Promise<void> => {
    let next = 0;
    const troubles: Promise<void>[] = [];
    const client = async (): Promise<void> => {
      for (let n = next++; n < COUNT; n = next++) {
        if (n === Math.floor(COUNT / 3)) {
          workers[0]?.kill('SIGKILL');
          troubles.push(startWorker());
        }
        if (n === Math.floor(COUNT / 2)) troubles.push(server.broker.kill().then(() => server.broker.restart()));
        await act(n);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, client));
    await Promise.all(troubles);
  };

  test(
    'requests: each ends once',
    async () => {
      await open({ prefix: 'chaos' });
      const requester = new Requester(port, { timeout: 3000 });
      const ends = { reply: 0, timeout: 0, error: 0 };
      const wrong: unknown[] = [];
      await underFire((n) =>
        requester.request<number>('job', n).then(
          (value) => {
            ends.reply++;
            if (value !== n + 1) wrong.push(value);
          },
          (error) => {
            if ((error as GammaloopError).code === 'ERR_GAMMALOOP_TIMEOUT') ends.timeout++;
            else ends.error++;
            if (!(error instanceof GammaloopError)) wrong.push(error);
          },
        ),
      );
      expect(wrong).toEqual([]);
      expect(ends.reply + ends.timeout + ends.error).toBe(COUNT);
      // Those before the broker died, and those after it came back.
      expect(ends.reply).toBeGreaterThan(COUNT / 3);
      const { open: left, opened, resolved, rejected, timedOut, duplicate } = requester.stats();
      expect({ left, opened, duplicate }).toEqual({ left: 0, opened: COUNT, duplicate: 0 });
      expect(resolved + rejected + timedOut).toBe(COUNT);
      console.log(`${kind}: ${JSON.stringify(ends)}`);
      // It works as before.
      expect(await requester.request('job', 1, { timeout: 20_000 })).toBe(2);
      requester.close();
    },
    LIMIT_MS,
  );

  test(
    'durable work: none that was accepted is lost',
    async () => {
      await open({ prefix: 'chaos', durable: { ackWait: 2000, prefetch: 256 } });
      const accepted: number[] = [];
      let refused = 0;
      await underFire((n) =>
        port.submit('work', n, { key: `w${n}`, timeout: 60_000 }).then(
          () => void accepted.push(n),
          () => void refused++,
        ),
      );
      expect(accepted.length + refused).toBe(COUNT);
      let done: number[] = [];
      const missing = async (): Promise<number> => {
        done = (await readFile(join(folder, 'ledger'), 'utf8')).split('\n').filter(Boolean).map(Number);
        const set = new Set(done);
        return accepted.filter((n) => !set.has(n)).length;
      };
      await expect.poll(missing, { timeout: 60_000, interval: 100 }).toBe(0);
      const dead = await port.takeDeadLetters('work', COUNT);
      expect(dead).toEqual([]);
      const repeated = done.length - new Set(done).size;
      console.log(`${kind}: ${accepted.length} accepted, ${refused} refused, ${repeated} done again`);
      expect(repeated).toBeLessThan(COUNT / 2);
    },
    LIMIT_MS,
  );
});
