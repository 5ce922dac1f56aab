/** The diagnostics channels of ends: each wait and each handler once, with the trace that they share. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type HandlerEnd,
  handlerEnds,
  Requester,
  Responder,
  TracedScope,
  type WaiterEnd,
  WaiterRegistry,
  waiterEnds,
} from '../../../lib/correlation/index.js';
import { MemoryPort } from '../../../lib/ports/memory.js';
import { CancelScope, sleep } from '../../../lib/scope/index.js';
import { withVirtualClock } from '../../../lib/scope/testing.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';

let waits: WaiterEnd[];
let handled: HandlerEnd[];
const onWait = (end: unknown) => void waits.push(end as WaiterEnd);
const onHandled = (end: unknown) => void handled.push(end as HandlerEnd);

beforeEach(() => {
  waits = [];
  handled = [];
  waiterEnds.subscribe(onWait);
  handlerEnds.subscribe(onHandled);
});

afterEach(() => {
  waiterEnds.unsubscribe(onWait);
  handlerEnds.unsubscribe(onHandled);
});

/** What both sides told of one request or stream, once all is over. */
async function told(
  ask: (requester: Requester, responder: Responder) => Promise<unknown>,
): Promise<[WaiterEnd, HandlerEnd]> {
  await withVirtualClock(async () => {
    const port = new MemoryPort();
    const requester = new Requester(port, { name: 'asking' });
    const responder = new Responder(port, 'work', ({ payload }) => {
      if (payload === 'fail') throw new RangeError('failed');
      return payload === 'hang' ? sleep(3_600_000) : payload;
    });
    await new TracedScope(`00-${TRACE_ID}-b7ad6b7169203331-01`).run(() => ask(requester, responder).catch(() => {}));
    await sleep(0);
    const { open, resolved, rejected, timedOut, cancelled, closed } = requester.stats();
    expect([open, resolved + rejected + timedOut + cancelled + closed]).toEqual([0, 1]);
    await port.close();
  });
  expect([waits.length, handled.length]).toEqual([1, 1]);
  return [waits[0] as WaiterEnd, handled[0] as HandlerEnd];
}

const ends: Record<string, [(requester: Requester, responder: Responder) => Promise<unknown>, object, object]> = {
  'a reply': [(requester) => requester.request('work', 1), { outcome: 'resolved' }, { outcome: 'replied' }],
  'a stream to its end': [
    (requester) =>
      requester
        .stream('work', 1)
        .next()
        .then(async () => sleep(1)),
    { outcome: 'resolved' },
    { outcome: 'replied', kind: 'stream' },
  ],
  'an error of the handler': [
    (requester) => requester.request('work', 'fail'),
    { outcome: 'rejected', error: { message: 'failed' } },
    { outcome: 'failed', error: { name: 'RangeError' } },
  ],
  'a deadline': [
    (requester) => requester.request('work', 'hang', { timeout: 50 }),
    { outcome: 'timedOut', error: { code: 'ERR_GAMMALOOP_TIMEOUT' } },
    { outcome: expect.stringMatching(/^(expired|cancelled)$/) },
  ],
  'a scope that is cancelled': [
    (requester) => {
      const scope = new CancelScope({ timeout: 50 });
      return scope.run(() => requester.request('work', 'hang'));
    },
    { outcome: 'cancelled', error: { code: 'ERR_GAMMALOOP_CANCELLED' } },
    { outcome: expect.stringMatching(/^(expired|cancelled)$/) },
  ],
  'a signal': [
    async (requester) => {
      const controller = new AbortController();
      const asked = requester.request('work', 'hang', { signal: controller.signal });
      await sleep(1);
      controller.abort();
      return asked;
    },
    { outcome: 'cancelled', error: { name: 'AbortError' } },
    { outcome: 'cancelled' },
  ],
  'a responder that closes': [
    async (requester, responder) => {
      const asked = requester.request('work', 'hang');
      await sleep(1);
      return Promise.all([asked, responder.close({ deadline: 0 })]);
    },
    { outcome: 'rejected', error: { code: 'ERR_GAMMALOOP_RESPONDER_CLOSED' } },
    { outcome: 'cut', error: { code: 'ERR_GAMMALOOP_RESPONDER_CLOSED' } },
  ],
  'a requester that closes': [
    async (requester) => {
      const asked = requester.request('work', 'hang');
      await sleep(1);
      requester.close();
      return asked;
    },
    { outcome: 'closed', error: { code: 'ERR_GAMMALOOP_CLOSED' } },
    { outcome: 'cancelled' },
  ],
};

test.each(Object.keys(ends))('%s: told once on each side, with one trace', async (name) => {
  const [ask, wait, handler] = ends[name]!;
  const [here, there] = await told(ask);
  expect(here).toMatchObject({ registry: 'asking', label: "'work'", traceId: TRACE_ID, ...wait });
  expect(there).toMatchObject({ subject: 'work', kind: 'request', traceId: TRACE_ID, ...handler });
  // The handler works in the span of the request, which is a new one in the trace of the caller.
  expect(there.traceparent).toBe(here.traceparent);
  expect(here.traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`));
  expect(here.durationMs).toBeGreaterThanOrEqual(0);
  expect(there.durationMs).toBeGreaterThanOrEqual(0);
});

describe('of a registry', () => {
  test('what was opened before anybody heard has no duration', () => {
    waiterEnds.unsubscribe(onWait);
    const registry = new WaiterRegistry({ name: 'bare' });
    const { id } = registry.open();
    waiterEnds.subscribe(onWait);
    registry.resolve(id, 1);
    registry.resolve(id, 1); // a duplicate ends nothing
    expect(waits).toEqual([
      {
        registry: 'bare',
        id,
        outcome: 'resolved',
        label: undefined,
        traceId: undefined,
        traceparent: undefined,
        durationMs: undefined,
        error: undefined,
      },
    ]);
  });

  test("a listener that closes the registry is none of its waiters' business", async () => {
    const registry = new WaiterRegistry();
    const close = () => registry.close();
    waiterEnds.subscribe(close);
    const opened = [registry.open(), registry.open(), registry.open()] as const;
    const outcomes = Promise.allSettled(opened.map(({ promise }) => promise));
    expect(registry.resolve(opened[1].id, 'answer')).toBe(true);
    waiterEnds.unsubscribe(close);
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
    expect(waits.map(({ outcome }) => outcome).sort()).toEqual(['closed', 'closed', 'resolved']);
  });
});
