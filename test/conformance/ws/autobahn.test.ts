/** Autobahn's cases (autobahn-cases.ts) against an echo on every backend. GAMMALOOP_AUTOBAHN_MESSAGES=1000: as many messages as the suite sends. */
import { describe, expect, test } from 'vitest';
import { Response } from '../../../lib/index.js';
import { backends, starter } from '../../support/backends.js';
import { type AutobahnCase, autobahnCases } from './autobahn-cases.js';
import { WsClient } from './wire.js';

const groups = new Map<string, AutobahnCase[]>();
for (const one of autobahnCases()) {
  const group = one.id.slice(0, one.id.lastIndexOf('.'));
  groups.set(group, [...(groups.get(group) ?? []), one]);
}

/** Of a case that sends the most: some seconds on a busy machine. */
const TIME_LIMIT_MS = process.env['GAMMALOOP_AUTOBAHN_MESSAGES'] === undefined ? 60_000 : 600_000;

test('as many as the suite has in these groups', () => {
  const cases = [...groups.values()].flat();
  expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
  const count = (prefix: string): number => cases.filter(({ id }) => id.startsWith(prefix)).length;
  const counts = ['1.', '2.', '3.', '4.', '5.', '6.', '7.', '9.', '10.', '12.', '13.'].map(count);
  expect(counts).toEqual([16, 11, 7, 10, 20, 145, 37, 54, 1, 90, 126]);
});

describe.each(backends)("Autobahn's cases on %s", (backend) => {
  const start = starter(backend);

  test.each([...groups.keys()])('%s', { timeout: TIME_LIMIT_MS }, async (group) => {
    const cases = groups.get(group) as AutobahnCase[];
    // An option that says false declines an offer that asks for it.
    const isAsked = cases[0]?.extensions?.includes('server_no_context_takeover') === true;
    const takeover = isAsked ? {} : { serverNoContextTakeover: false, clientNoContextTakeover: false };
    const server = await start({
      fetch: () => new Response(null, { status: 404 }),
      websocket: {
        message: (ws, data) => ws.send(data),
        perMessageDeflate: { threshold: 0, ...takeover },
        maxPayloadBytes: 0,
        maxFragments: 0,
        maxBufferedBytes: 0,
      },
    });
    for (const { id, extensions, run } of cases) {
      const client = await WsClient.open(server, extensions === undefined ? {} : { extensions });
      try {
        await run(client);
      } catch (error) {
        throw new Error(`${id}: ${(error as Error).message}`, { cause: error });
      } finally {
        client.socket.destroy();
      }
    }
  });
});
