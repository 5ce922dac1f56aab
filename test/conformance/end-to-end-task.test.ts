/**
 * From a client's socket to a task in a worker thread (ASYNC-03, ASYNC-04): HTTP request -> its scope -> requester -> port -> responder, in
 * another thread or process -> its scope -> task of a runner. Whatever stops the request stops each stage, in this order, once.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { Response, type Server } from '../../lib/index.js';
import { openNursery } from '../../lib/scope/index.js';
import { backends, starter } from '../support/backends.js';
import { compiledUrl } from '../support/compiled-library.js';
import { RawClient } from '../support/raw-client.js';
import { oneOfEachKind } from './ports/fixtures.js';
import { COMPILED, closeRunner } from './ports/peer-runner.js';
import type { TaskReport } from './ports/peer-tasks.mjs';
import { usePeer } from './ports/use-peer.js';

process.env[COMPILED] = compiledUrl('index.js').href;

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const GET = `GET / HTTP/1.1\r\nHost: x\r\ntraceparent: 00-${TRACE_ID}-b7ad6b7169203331-01\r\n\r\n`;

/** An instant that all processes of the machine share, in ms. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

interface Report {
  /** When the responder was told. */
  toldAt: number;
  stops: number;
  task: TaskReport & { runner: object };
  responder: object;
}

/** What ends the request; gives when that began. */
const causes: Record<string, (server: Server, client: RawClient) => Promise<number> | number> = {
  'the client hangs up': (_server, client) => {
    const at = now();
    client.reset();
    return at;
  },
  "the handler's time is over": async (_server, client) => {
    expect((await client.response()).status).toBe(503);
    return 0;
  },
  'the server closes': async (server) => {
    const at = now();
    expect(await server.close({ deadline: 0 })).toMatchObject({ drained: 0, cut: 1 });
    return at;
  },
};

describe.each(backends)('from a socket of %s', (backend) => {
  const start = starter(backend);

  describe.each(oneOfEachKind)('to a task behind $name', (fixture) => {
    afterEach(closeRunner);
    const peer = usePeer(fixture);

    test.each(Object.keys(causes))('%s: each stage is stopped, in order and once', async (cause) => {
      const handler = cause.startsWith('the handler') ? 1500 : 20_000;
      const stops: number[] = [];
      const reported: unknown[] = [];
      const server = await start({
        timeouts: { handler },
        onError: (error) => reported.push(error),
        fetch: (_request, ctx) => {
          ctx.signal.addEventListener('abort', () => stops.push(now()));
          return ctx.scope.run(async () => {
            await openNursery((nursery) => nursery.startSoon(() => peer.requester.request('work')));
            return new Response('never');
          });
        },
      });
      // Its worker begins before the handler's time does.
      await peer.requester.request('work.prepare');
      const client = await RawClient.open(server);
      client.send(GET);
      await peer.requester.request('work.started');
      const begun = await causes[cause]!(server, client);
      const report = (await peer.requester.request('work.report')) as Report;

      const { task, toldAt } = report;
      expect(report).toEqual({
        toldAt: expect.any(Number),
        stops: 1,
        responder: { running: 0, queued: 0, received: 1, failed: 0, stopped: 1 },
        task: {
          at: expect.any(Number),
          traceId: TRACE_ID,
          hasDeadline: true,
          isCurrent: true,
          isCancelled: true,
          ended: 1,
          signalled: 1,
          cancelled: 1,
          runner: { cancelled: 1, timedOut: 0, failed: 0, done: 0 },
        },
      });
      expect(stops).toHaveLength(1);
      // A deadline is known to each stage, which keeps it by its own clock, so that there is no order; else each hears it from the one before.
      const order = [begun, stops[0]!, toldAt, task.at];
      if (begun > 0) expect(order).toEqual([...order].sort((a, b) => a - b));
      await expect.poll(() => server.stats().requests.active).toBe(0);
      const { open, cancelled, timedOut, cancelsSent, rejected, late } = peer.requester.stats();
      expect([open, cancelled + timedOut, cancelsSent, rejected, late]).toEqual([0, 1, 1, 0, 0]);
      if (begun > 0) expect(cancelled).toBe(1);
      expect(reported).toEqual([]);
      client.socket.destroy();
    });
  });
});
