/** One body for every port: what lib/correlation/port.ts guarantees, as a Requester and its Responders see it. */
import { describe, expect, test } from 'vitest';
import { createEnvelope, Requester, type UnmatchedReply, unmatchedReplies } from '../../../lib/correlation/index.js';
import {
  BrokenError,
  Cancelled,
  ClosedError,
  NoResponderError,
  PayloadError,
  RemoteError,
  ResponderError,
  StreamGapError,
  TimeoutError,
} from '../../../lib/errors.js';
import { moveOnAfter } from '../../../lib/scope/index.js';
import { fixtures } from './fixtures.js';
import { usePeer } from './use-peer.js';

/** How a promise ends: the error that it rejects with. */
async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not reject');
}

describe.each(fixtures)('$name', (fixture) => {
  const peer = usePeer(fixture);

  describe('requests', () => {
    test.each([
      ['undefined', undefined],
      ['null', null],
      ['numbers', [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]],
      ['bigint', 12345678901234567890n],
      ['text', 'Grüße \u{1f600} \u0000'],
      ['objects', { a: { b: [1, { c: true }] }, none: undefined }],
      ['Map and Set', { map: new Map([[{ key: 1 }, 'value']]), set: new Set([1, 'two']) }],
      ['Date and RegExp', { date: new Date(0), pattern: /a+/gi }],
      [
        'bytes',
        { bytes: new Uint8Array([1, 2, 3]), floats: new Float64Array([1.5]), buffer: new Uint8Array([9]).buffer },
      ],
      ['errors', new RangeError('out of it')],
    ])('carry %s', async (_name, payload) => {
      expect(await peer.requester.request('echo', payload)).toEqual(payload);
    });

    test('carry eight megabytes', async () => {
      const bytes = new Uint8Array(8 * 2 ** 20).map((_, index) => index % 251);
      const back = await peer.requester.request<Uint8Array>('echo', bytes);
      expect(back.byteLength).toBe(bytes.byteLength);
      expect(Buffer.compare(back, bytes)).toBe(0);
    });

    test('a thousand at a time find their own replies', async () => {
      const replies = await Promise.all(Array.from({ length: 1000 }, (_, i) => peer.requester.request('echo', { i })));
      expect(replies).toEqual(Array.from({ length: 1000 }, (_, i) => ({ i })));
    });

    test('arrive in the order of their publishing', async () => {
      const sent = Array.from({ length: 2000 }, (_, i) => i);
      for (const i of sent) {
        peer.link.port.publish(createEnvelope({ kind: 'request', id: i, subject: 'order', payload: i }));
        // Also over several turns.
        if (i % 500 === 0) await peer.requester.request('echo');
      }
      // Order between subjects is not promised.
      await peer.requester.request('reached', ['order', sent.length]);
      expect(await peer.requester.request('order.read')).toEqual(sent);
    });

    test('bring headers, trace and the remaining time', async () => {
      const traceId = '0af7651916cd43dd8448eb211c80319c';
      const told = await peer.requester.request<Record<string, unknown>>('describe', null, {
        timeout: 5000,
        traceId,
        headers: { tenant: 'a' },
      });
      expect(told).toMatchObject({ headers: { tenant: 'a' }, subject: 'describe', traceId });
      expect(told['traceparent']).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
      expect(told['remaining']).toBeGreaterThan(1000);
      expect(told['remaining']).toBeLessThanOrEqual(5000);
    });

    test('without a responder fail at once', async () => {
      const error = await failure(peer.requester.request('nobody', 1, { timeout: Number.POSITIVE_INFINITY }));
      expect(error).toBeInstanceOf(NoResponderError);
      expect(error.code).toBe('ERR_GAMMALOOP_NO_RESPONDER');
      expect(error.message).toContain("'nobody'");
      expect(await failure(peer.requester.stream('nobody').next())).toBeInstanceOf(NoResponderError);
    });

    test("bring the handler's error with code, class, stack and causes", async () => {
      const error = (await failure(peer.requester.request('fail'))) as RemoteError;
      expect(error).toBeInstanceOf(RemoteError);
      expect(error).toMatchObject({ code: 'ENOODD', message: 'is odd', remoteName: 'Error' });
      expect(error.remoteStack).toContain('peer.ts');
      expect(error.cause).toMatchObject({ message: 'of the wrong type', remoteName: 'TypeError' });
      expect((error.cause as Error).cause).toMatchObject({ message: 'text' });
    });

    test("bring the errors of a handler's nursery", async () => {
      const error = (await failure(peer.requester.request('fail.nursery'))) as RemoteError;
      expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_NURSERY', remoteName: 'NurseryError' });
      expect(error.errors).toMatchObject([
        { code: 'ENOODD', message: 'first' },
        { message: 'second', remoteName: 'TypeError', cause: { code: 'ENOODD', message: 'why' } },
      ]);
    });

    test("show the caller's stack", async () => {
      async function whoAsked(): Promise<void> {
        await peer.requester.request('fail');
      }
      expect((await failure(whoAsked())).stack).toContain('whoAsked');
    });

    test('a stream where one reply was asked for is an error', async () => {
      const error = await failure(peer.requester.request('count', { length: 3 }));
      expect(error).toBeInstanceOf(ResponderError);
      expect(error.code).toBe('ERR_GAMMALOOP_RESPONDER_KIND');
    });
  });

  describe('replies', () => {
    test('that come twice, or for nobody, are counted and dropped', async () => {
      const seen: UnmatchedReply[] = [];
      const listener = (message: unknown) => seen.push(message as UnmatchedReply);
      unmatchedReplies.subscribe(listener);
      expect(await peer.requester.request('twice', 'x')).toBe('x');
      await peer.requester.request('echo');
      unmatchedReplies.unsubscribe(listener);
      expect(peer.requester.stats()).toMatchObject({ duplicate: 1, unknown: 2, late: 0 });
      expect(seen.map(({ kind }) => kind)).toEqual(['duplicate', 'unknown', 'unknown']);
    });

    test('that come late are counted and dropped', async () => {
      const controller = new AbortController();
      const waiting = failure(peer.requester.request('late', null, { signal: controller.signal }));
      await peer.requester.request('reached', ['late', 1]);
      controller.abort(new Error('enough'));
      expect((await waiting).message).toBe('enough');
      await peer.requester.request('echo');
      expect(peer.requester.stats()).toMatchObject({ late: 1, cancelled: 1, cancelsSent: 1 });
    });
  });

  describe('giving up', () => {
    test('at the deadline: the handler is stopped too', async () => {
      const error = await failure(peer.requester.request('hang', null, { timeout: 500 }));
      expect(error).toBeInstanceOf(TimeoutError);
      expect(error.message).toContain("'hang'");
      expect(await peer.requester.request('reached', ['hang.ended', 1])).toBe(1);
      expect(peer.requester.stats()).toMatchObject({ timedOut: 1, late: 0 });
    });

    test('by a signal: the handler is stopped at once', async () => {
      const controller = new AbortController();
      const waiting = failure(peer.requester.request('hang', null, { signal: controller.signal }));
      await peer.requester.request('reached', ['hang.started', 1]);
      controller.abort();
      expect((await waiting).name).toBe('AbortError');
      await peer.requester.request('reached', ['hang.ended', 1]);
      expect(peer.requester.stats()).toMatchObject({ cancelled: 1, cancelsSent: 1 });
    });

    test('by the scope', async () => {
      let inner: unknown;
      const outcome = await moveOnAfter(20_000, async (scope) => {
        const waiting = failure(peer.requester.request('hang'));
        await peer.requester.request('reached', ['hang.started', 1]);
        scope.deadline = performance.now() + 10;
        inner = await waiting;
        throw inner;
      });
      expect(outcome.cancelled).toBe(true);
      expect(inner).toBeInstanceOf(Cancelled);
      await peer.requester.request('reached', ['hang.ended', 1]);
    });

    test('an aborted signal sends nothing', async () => {
      const before = peer.link.port.stats().published;
      const signal = AbortSignal.abort(new Error('before'));
      expect((await failure(peer.requester.request('hang', null, { signal }))).message).toBe('before');
      expect(peer.link.port.stats().published).toBe(before);
    });

    test('by closing the requester', async () => {
      const other = new Requester(peer.link.port);
      const waiting = [failure(other.request('hang')), failure(other.request('hang'))];
      await peer.requester.request('reached', ['hang.started', 2]);
      other.close();
      for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(ClosedError);
      await peer.requester.request('reached', ['hang.ended', 2]);
      expect(await failure(other.request('echo'))).toBeInstanceOf(ClosedError);
    });
  });

  describe('streams', () => {
    async function collect(stream: AsyncIterable<unknown>): Promise<unknown[]> {
      const parts: unknown[] = [];
      for await (const part of stream) parts.push(part);
      return parts;
    }

    test('bring all parts in order', async () => {
      expect(await collect(peer.requester.stream('count', { length: 1000 }))).toEqual(
        Array.from({ length: 1000 }, (_, i) => i),
      );
      expect(await collect(peer.requester.stream('count', { length: 0 }))).toEqual([]);
      // A single value is a stream of one.
      expect(await collect(peer.requester.stream('echo', 'one'))).toEqual(['one']);
    });

    test.each([1, 2, 7])('go no further than %i parts ahead of the consumer', async (window) => {
      const stream = peer.requester.stream<number>('count', { length: 100 }, { window });
      for (let taken = 0; taken < 20; taken++) {
        expect((await stream.next()).value).toBe(taken);
        // The one beyond waits for credit.
        expect(await peer.requester.request('value', 'parts')).toBeLessThanOrEqual(taken + 1 + window + 1);
      }
      await stream.return();
      await peer.requester.request('reached', ['count.ended', 1]);
    });

    test('end when the consumer leaves', async () => {
      for await (const part of peer.requester.stream('count', { length: 1e9 })) if (part === 50) break;
      await peer.requester.request('reached', ['count.ended', 1]);
      expect(peer.requester.stats().streams).toBe(0);
    });

    test('bring what came before an error', async () => {
      const parts: unknown[] = [];
      const error = await failure(
        (async () => {
          for await (const part of peer.requester.stream('count', { length: 9, failAt: 5 })) parts.push(part);
        })(),
      );
      expect(parts).toEqual([0, 1, 2, 3, 4]);
      expect(error).toMatchObject({ code: 'ENOODD', message: 'failed on the way' });
    });

    test('end at their deadline', async () => {
      const stream = peer.requester.stream('count', { length: 1e9 }, { timeout: 500, window: 4 });
      await stream.next();
      await peer.requester.request('reached', ['count.ended', 1]);
      expect(await failure(collect(stream))).toBeInstanceOf(TimeoutError);
      expect(await stream.next()).toEqual({ value: undefined, done: true });
    });

    test('with parts lost are an error', async () => {
      const stream = peer.requester.stream('gap');
      expect(await failure(collect(stream))).toBeInstanceOf(StreamGapError);
    });

    test('several at a time', async () => {
      const lengths = [10, 200, 33];
      const all = await Promise.all(lengths.map((length) => collect(peer.requester.stream('count', { length }))));
      expect(all.map(({ length }) => length)).toEqual(lengths);
    });
  });

  if (fixture.copies)
    test('what cannot be cloned fails alone', async () => {
      const [bad, good, reply] = await Promise.all([
        failure(peer.requester.request('echo', { f: () => {} })),
        peer.requester.request('echo', 'good'),
        failure(peer.requester.request('function')),
      ]);
      expect(bad).toBeInstanceOf(PayloadError);
      expect(good).toBe('good');
      expect(reply).toBeInstanceOf(PayloadError);
      const stream = peer.requester.stream('function.part');
      expect((await stream.next()).value).toBe(1);
      expect(await failure(stream.next())).toBeInstanceOf(PayloadError);
      expect(peer.link.port.stats().unsendable).toBe(1);
    });

  describe('ending', () => {
    test('closing this side rejects who waits, and what follows', async () => {
      const closed: unknown[] = [];
      peer.link.port.onClose((error) => closed.push(error));
      const waiting = failure(peer.requester.request('hang'));
      const stream = peer.requester.stream('count', { length: 1e9 });
      await stream.next();
      await peer.link.port.close();
      expect(await waiting).toBeInstanceOf(ClosedError);
      expect(closed).toEqual([undefined]);
      expect(() => peer.link.port.publish(createEnvelope({ kind: 'request', id: 1, subject: 'echo' }))).toThrow(
        ClosedError,
      );
      expect(await failure(peer.requester.request('echo'))).toBeInstanceOf(ClosedError);
      expect(peer.link.port.closed).toBe(true);
    });

    test('closing the other side answers what it runs', async () => {
      const waiting = failure(peer.requester.request('hang'));
      await peer.requester.request('reached', ['hang.started', 1]);
      void peer.requester.request('close').catch(() => {});
      expect((await waiting).code).toBe('ERR_GAMMALOOP_RESPONDER_CLOSED');
      const code = fixture.breaks ? 'ERR_GAMMALOOP_BROKEN' : 'ERR_GAMMALOOP_NO_RESPONDER';
      if (fixture.breaks && !peer.link.port.closed) await new Promise((resolve) => peer.link.port.onClose(resolve));
      // A broker may still hold the subscription of a port that is closing.
      const ask = async () => (await failure(peer.requester.request('echo', null, { timeout: 500 }))).code;
      if (fixture.broker === undefined) expect(await ask()).toBe(code);
      else await expect.poll(ask, { timeout: 10_000 }).toBe(code);
    });

    if (fixture.breaks)
      test('the death of the other side rejects who waits, at once', async () => {
        const broken: unknown[] = [];
        peer.link.port.onClose((error) => broken.push(error));
        const asked = async () => {
          await peer.requester.request('hang', null, { timeout: Number.POSITIVE_INFINITY });
        };
        const waiting = [failure(asked()), failure(asked())];
        const stream = peer.requester.stream('hang', null, { timeout: Number.POSITIVE_INFINITY });
        const next = failure(stream.next());
        await peer.requester.request('reached', ['hang.started', 3]);
        await peer.link.kill();
        const errors = await Promise.all([...waiting, next]);
        for (const error of errors) {
          expect(error).toBeInstanceOf(BrokenError);
          expect(error.code).toBe('ERR_GAMMALOOP_BROKEN');
        }
        expect(new Set(errors).size).toBe(3);
        expect(errors[0]?.stack).toContain('asked');
        expect(broken).toHaveLength(1);
        expect(await failure(peer.requester.request('echo'))).toBeInstanceOf(BrokenError);
        expect(() => peer.link.port.publish(createEnvelope({ kind: 'request', id: 1, subject: 'echo' }))).toThrow(
          BrokenError,
        );
      });
  });
});
