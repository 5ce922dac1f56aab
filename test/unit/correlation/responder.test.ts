/** Responder and Requester together on a memory port: limits, turns, closing, traces, scopes. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEnvelope } from '../../../lib/correlation/envelope.js';
import { Requester } from '../../../lib/correlation/requester.js';
import { type HandlerContext, Responder } from '../../../lib/correlation/responder.js';
import { Cancelled, OptionError, ResponderError, TimeoutError } from '../../../lib/errors.js';
import { MemoryPort } from '../../../lib/ports/memory.js';
import { CancelScope } from '../../../lib/scope/cancel-scope.js';
import { sleep } from '../../../lib/scope/sleep.js';
import { parseTraceparent } from '../../../lib/scope/trace-context.js';
import { currentTraceparent } from '../../../lib/scope/traced-scope.js';
import { HandClock } from './virtual.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'fulfilled',
    (error) => error.code ?? error.name,
  );

/** A promise that the test settles. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

let port: MemoryPort;
let requester: Requester;

beforeEach(() => {
  port = new MemoryPort();
  requester = new Requester(port);
});

afterEach(async () => {
  requester.close();
  await port.close();
  expect(port.stats().subscriptions).toBe(0);
  expect(requester.stats().open).toBe(0);
});

describe('concurrency', () => {
  test('so many handlers run at a time, the others in the order of their coming', async () => {
    const gates = Array.from({ length: 6 }, gate);
    const started: number[] = [];
    const responder = new Responder(
      port,
      'work',
      async ({ payload }) => {
        started.push(payload as number);
        await gates[payload as number]?.opened;
        return payload;
      },
      { concurrency: 2 },
    );
    const all = Promise.all(gates.map((_, i) => requester.request('work', i)));
    await turn();
    expect(started).toEqual([0, 1]);
    expect(responder.stats()).toMatchObject({ running: 2, queued: 4 });
    gates[1]?.open();
    await turn();
    expect(started).toEqual([0, 1, 2]);
    for (const { open } of gates) open();
    expect(await all).toEqual([0, 1, 2, 3, 4, 5]);
    expect(started).toEqual([0, 1, 2, 3, 4, 5]);
    expect(responder.stats()).toMatchObject({ running: 0, queued: 0, replied: 6 });
  });

  test('handlers that answer at once come one after the other, without recursion', async () => {
    const responder = new Responder(port, 'work', ({ payload }) => payload, { concurrency: 1, queue: 1e6 });
    const blocked = gate();
    const blocker = new Responder(port, 'block', () => blocked.opened);
    const replies = await Promise.all(Array.from({ length: 20_000 }, (_, i) => requester.request('work', i)));
    expect(replies.every((reply, i) => reply === i)).toBe(true);
    expect(responder.stats()).toMatchObject({ running: 0, replied: 20_000 });
    blocked.open();
    await blocker.close();
  });

  test('a full queue answers at once', async () => {
    const { opened, open } = gate();
    const responder = new Responder(port, 'work', () => opened, { concurrency: 1, queue: 1 });
    const first = requester.request('work');
    const second = requester.request('work');
    const error = await requester.request<ResponderError>('work').catch((reason) => reason);
    expect(error).toBeInstanceOf(ResponderError);
    expect(error.code).toBe('ERR_GAMMALOOP_RESPONDER_BUSY');
    open();
    await Promise.all([first, second]);
    expect(responder.stats()).toMatchObject({ refused: 1, replied: 2 });
  });

  test('what is given up in the queue never starts, and makes room', async () => {
    const { opened, open } = gate();
    let started = 0;
    const responder = new Responder(
      port,
      'work',
      () => {
        started++;
        return opened;
      },
      { concurrency: 1, queue: 100 },
    );
    const first = requester.request('work');
    for (let round = 0; round < 5; round++) {
      const controller = new AbortController();
      const queued = Array.from({ length: 100 }, () =>
        code(requester.request('work', 0, { signal: controller.signal })),
      );
      await turn();
      expect(responder.stats().queued).toBe(100);
      controller.abort();
      expect(new Set(await Promise.all(queued))).toEqual(new Set([20]));
      await turn();
      expect(responder.stats()).toMatchObject({ queued: 0, cancelled: 100 * (round + 1), refused: 0 });
    }
    const last = requester.request('work');
    open();
    await Promise.all([first, last]);
    expect(started).toBe(2);
  });

  test('what is out of time in the queue never starts', async () => {
    const clock = new HandClock();
    await clock.run(async () => {
      const { opened, open } = gate();
      let started = 0;
      const responder = new Responder(
        port,
        'work',
        () => {
          started++;
          return opened;
        },
        { concurrency: 1 },
      );
      const first = requester.request('work', 0, { timeout: Number.POSITIVE_INFINITY });
      // The requester hangs on longer than it says: only the responder can tell.
      const inbox: unknown[] = [];
      port.subscribe('inbox', (envelope) => inbox.push(envelope));
      port.publish(createEnvelope({ kind: 'request', id: 1, subject: 'work', replyTo: 'inbox', deadline: 50 }));
      await turn();
      clock.advance(60);
      open();
      await first;
      await turn();
      expect(started).toBe(1);
      expect(responder.stats()).toMatchObject({ expired: 1, replied: 1 });
      expect(inbox).toMatchObject([{ kind: 'error', id: 1, error: { code: 'ERR_GAMMALOOP_TIMEOUT' } }]);
    });
  });

  test('a handler that takes no notice keeps its place until it ends', async () => {
    const { opened, open } = gate();
    const responder = new Responder(port, 'deaf', () => opened, { concurrency: 1 });
    const controller = new AbortController();
    const waiting = code(requester.request('deaf', 0, { signal: controller.signal }));
    await turn();
    controller.abort();
    await waiting;
    await turn();
    expect(responder.stats()).toMatchObject({ running: 1, cancelled: 1 });
    open();
    await turn();
    expect(responder.stats()).toMatchObject({ running: 0, replied: 0, failed: 0 });
    expect(requester.stats().late).toBe(0);
  });

  test('a request that comes again while it is answered is answered once', async () => {
    const { opened, open } = gate();
    const responder = new Responder(port, 'work', () => opened);
    const replies: unknown[] = [];
    port.subscribe('inbox', (envelope) => replies.push(envelope));
    const request = createEnvelope({ kind: 'request', id: 'a', subject: 'work', replyTo: 'inbox' });
    port.publish(request);
    port.publish(request);
    await turn();
    open();
    await turn();
    expect(responder.stats()).toMatchObject({ received: 2, duplicates: 1, replied: 1 });
    expect(replies).toHaveLength(1);
  });

  test('requests that await no reply are handled too, and drained', async () => {
    let done = 0;
    const responder = new Responder(port, 'log', async () => {
      await turn();
      done++;
    });
    for (let i = 0; i < 5; i++) port.publish(createEnvelope({ kind: 'request', id: 0, subject: 'log' }));
    await turn();
    expect(await responder.close()).toEqual({ drained: 5, cut: 0 });
    expect(done).toBe(5);
  });

  test('several responders of one subject share the requests', async () => {
    const shares = [0, 1, 2].map((i) => new Responder(port, 'work', () => i));
    const replies = await Promise.all(Array.from({ length: 30 }, () => requester.request<number>('work')));
    for (const i of [0, 1, 2]) expect(replies.filter((reply) => reply === i)).toHaveLength(10);
    await shares[0]?.close();
    expect(new Set(await Promise.all(Array.from({ length: 10 }, () => requester.request('work'))))).toEqual(
      new Set([1, 2]),
    );
  });
});

describe('close', () => {
  test('answers what is in flight, and takes nothing new', async () => {
    const { opened, open } = gate();
    const responder = new Responder(port, 'work', () => opened.then(() => 'done'), { concurrency: 1 });
    const inFlight = [requester.request('work'), requester.request('work')];
    await turn();
    const closing = responder.close();
    expect(responder.close()).toBe(closing);
    expect(await code(requester.request('work'))).toBe('ERR_GAMMALOOP_NO_RESPONDER');
    open();
    expect(await Promise.all(inFlight)).toEqual(['done', 'done']);
    expect(await closing).toEqual({ drained: 2, cut: 0 });
  });

  test('at the deadline cuts the rest', async () => {
    const clock = new HandClock();
    await clock.run(async () => {
      let reason: unknown;
      const responder = new Responder(
        port,
        'work',
        async (_message, { signal }: HandlerContext) => {
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          reason = signal.reason;
        },
        { concurrency: 1 },
      );
      const cut = [code(requester.request('work')), code(requester.request('work'))];
      await turn();
      const closing = responder.close({ deadline: 100 });
      clock.advance(99);
      await turn();
      expect(reason).toBeUndefined();
      clock.advance(1);
      expect(await closing).toEqual({ drained: 0, cut: 2 });
      expect(await Promise.all(cut)).toEqual(['ERR_GAMMALOOP_RESPONDER_CLOSED', 'ERR_GAMMALOOP_RESPONDER_CLOSED']);
      expect(reason).toBeInstanceOf(Cancelled);
      expect((reason as Cancelled).reason).toBeInstanceOf(ResponderError);
      expect(clock.deadlines.size).toBe(0);
    });
  });

  test('from within a handler waits for that handler, whether it answers at once or later', async () => {
    for (const later of [false, true]) {
      let closing: Promise<unknown> | undefined;
      const responder = new Responder(port, 'work', () => {
        closing = responder.close();
        return later ? turn().then(() => 'answer') : 'answer';
      });
      expect(await requester.request('work')).toBe('answer');
      expect(await closing).toEqual({ drained: 1, cut: 0 });
    }
  });

  test('of the port, from within a handler, cuts that handler', async () => {
    let signal: AbortSignal | undefined;
    const other = new MemoryPort({ bus: port });
    const responder = new Responder(other, 'work', (_request, context) => {
      signal = context.signal;
      void other.close();
      return 'too late';
    });
    expect(await code(requester.request('work'))).toBe('ERR_GAMMALOOP_RESPONDER_CLOSED');
    expect(signal?.aborted).toBe(true);
    expect(await responder.close()).toEqual({ drained: 0, cut: 1 });
    expect(responder.stats()).toMatchObject({ running: 0, replied: 0, cut: 1 });
  });

  test('of the port, by one of the handlers that it stops, cuts each of them once', async () => {
    const other = new MemoryPort({ bus: port });
    const started = gate();
    const responder = new Responder(other, 'work', ({ payload }, { signal }) => {
      signal.addEventListener('abort', () => void other.close());
      if (payload === 2) started.open();
      return sleep(3_600_000);
    });
    const codes = Promise.all([0, 1, 2].map((payload) => code(requester.request('work', payload))));
    await started.opened;
    expect(await responder.close({ deadline: 0 })).toEqual({ drained: 0, cut: 3 });
    expect(new Set(await codes)).toEqual(new Set(['ERR_GAMMALOOP_RESPONDER_CLOSED']));
    expect(responder.stats()).toMatchObject({ running: 0, queued: 0, cut: 3 });
  });

  test('a deadline that is none is refused, and closes nothing', async () => {
    const responder = new Responder(port, 'work', () => 1);
    expect(await code(responder.close({ deadline: -1 }))).toBe('ERR_GAMMALOOP_OPTION');
    expect(await requester.request('work')).toBe(1);
    expect(await responder.close()).toEqual({ drained: 0, cut: 0 });
  });

  test('an idle one closes at once', async () => {
    expect(await new Responder(port, 'work', () => 1).close()).toEqual({ drained: 0, cut: 0 });
  });
});

describe('scopes', () => {
  test("the handler's scope has the deadline of the request, and stops what it waits for", async () => {
    const clock = new HandClock();
    await clock.run(async () => {
      const seen: unknown[] = [];
      const responder = new Responder(port, 'work', async (_message, { deadline, scope }) => {
        seen.push(deadline, scope.deadline);
        try {
          await sleep(1000);
        } catch (error) {
          seen.push(error);
          throw error;
        }
      });
      const waiting = requester.request('work', 0, { timeout: 70 }).catch((error) => error);
      await turn();
      clock.advance(70);
      expect(await waiting).toBeInstanceOf(TimeoutError);
      await turn();
      expect(seen).toEqual([70, 70, expect.any(Cancelled)]);
      expect(responder.stats()).toMatchObject({ running: 0 });
      expect(clock.deadlines.size).toBe(0);
    });
  });

  test("the requester's scope gives its deadline on", async () => {
    const clock = new HandClock();
    await clock.run(async () => {
      new Responder(port, 'work', (_message, { deadline }) => deadline);
      const scope = new CancelScope({ deadline: 40 });
      expect(await scope.run(() => requester.request('work'))).toBe(40);
      expect(await requester.request('work', 0, { deadline: 90, timeout: 1000 })).toBe(90);
    });
  });

  test('the deadline of a given scope counts, not that of the current one', async () => {
    const clock = new HandClock();
    await clock.run(async () => {
      new Responder(port, 'work', (_message, { deadline }) => deadline);
      const outer = new CancelScope({ deadline: 400 });
      await outer.run(() =>
        new CancelScope({ deadline: 40 }).run(async () => {
          expect(await requester.request('work', 0, { scope: outer })).toBe(400);
        }),
      );
    });
  });

  test('a given scope that has ended counts as the next one above', async () => {
    new Responder(port, 'work', () => sleep(3_600_000));
    const outer = new CancelScope();
    await outer.run(async () => {
      const ended = new CancelScope();
      await ended.run(() => {});
      const asked = code(requester.request('work', 0, { scope: ended }));
      await turn();
      outer.cancel();
      expect(await asked).toBe('ERR_GAMMALOOP_CANCELLED');
    });
    expect(await code(requester.request('work', 0, { scope: {} as CancelScope }))).toBe('ERR_GAMMALOOP_OPTION');
  });

  test.each(['request', 'stream'] as const)(
    'a %s is cancelled by its scope also where the responder notices first that the time is up',
    async (kind) => {
      const clock = new HandClock();
      await clock.run(async () => {
        port.subscribe('work', ({ id, replyTo = '' }) => {
          clock.stall(50);
          const error = { code: 'ERR_GAMMALOOP_TIMEOUT' };
          port.publish(createEnvelope({ kind: 'error', id, subject: replyTo, count: 1, error }));
        });
        const ask = (): Promise<unknown> =>
          kind === 'request' ? requester.request('work') : requester.stream('work').next();
        const scope = new CancelScope({ deadline: 40 });
        let thrown: unknown;
        await scope.run(() =>
          ask().catch((error: unknown) => {
            thrown = error;
            throw error;
          }),
        );
        expect([scope.cancelledCaught, thrown]).toEqual([true, expect.any(Cancelled)]);
        expect(requester.stats()).toMatchObject({ cancelled: 1, timedOut: 0, late: 0 });
        expect(clock.deadlines.size).toBe(0);
      });
    },
  );

  test('handlers belong to the scope that the responder was made in', async () => {
    const scope = new CancelScope();
    const running = scope.run(async () => {
      new Responder(port, 'work', () => sleep(1e6));
      await sleep(1e6);
    });
    await turn();
    const waiting = code(requester.request('work'));
    await turn();
    scope.cancel();
    expect(await waiting).toBe('ERR_GAMMALOOP_RESPONDER_CLOSED');
    await running;
    expect(await code(requester.request('work'))).toBe('ERR_GAMMALOOP_RESPONDER_CLOSED');
  });

  test("a handler is not in its requester's context", async () => {
    const storage = new AsyncLocalStorage<string>();
    new Responder(port, 'work', () => storage.getStore());
    const replies = await storage.run('mine', () =>
      Promise.all([requester.request('work'), requester.request('work')]),
    );
    expect(replies).toEqual([undefined, undefined]);
    // And the requester keeps its own.
    await storage.run('mine', async () => {
      await requester.request('work');
      expect(storage.getStore()).toBe('mine');
    });
  });
});

describe('traces', () => {
  test('go on from handler to handler', async () => {
    const seen: string[] = [];
    new Responder(port, 'inner', (_message, { traceparent }) => seen.push(traceparent));
    new Responder(port, 'outer', async (_message, { traceparent, traceId }) => {
      seen.push(traceparent);
      expect(currentTraceparent()).toBe(traceparent);
      expect(traceId).toBe(parseTraceparent(traceparent)?.traceId);
      await requester.request('inner');
    });
    await requester.request('outer', 0, { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00' });
    const parts = seen.map(parseTraceparent);
    expect(parts.map((each) => each?.traceId)).toEqual(Array(2).fill('4bf92f3577b34da6a3ce929d0e0e4736'));
    expect(parts.every((each) => each?.sampled === false)).toBe(true);
    expect(new Set(parts.map((each) => each?.parentId)).add('00f067aa0ba902b7').size).toBe(3);
    expect(currentTraceparent()).toBeUndefined();
  });

  test('a request that brings none, or rubbish, begins one', async () => {
    const seen: (string | undefined)[] = [];
    new Responder(port, 'work', (_message, { traceparent }) => void seen.push(traceparent));
    for (const traceparent of [undefined, 'rubbish']) {
      port.publish(createEnvelope({ kind: 'request', id: 1, subject: 'work', traceparent }));
    }
    await turn();
    expect(seen.map(parseTraceparent)).toEqual([expect.anything(), expect.anything()]);
  });

  test.each([{ traceparent: 'rubbish' }, { traceId: 'XYZ' }, { timeout: -1 }])('refuses %j', async (options) => {
    await expect(requester.request('work', 0, options)).rejects.toBeInstanceOf(OptionError);
  });
});

test.each([
  ['subject', () => new Responder(port, '', () => 1)],
  ['handler', () => new Responder(port, 'work', 5 as never)],
  ['concurrency', () => new Responder(port, 'work', () => 1, { concurrency: 0 })],
  ['queue', () => new Responder(port, 'work', () => 1, { queue: -1 })],
  ['window', () => new Requester(port, { window: 0 })],
  ['window', () => requester.stream('work', 0, { window: 1.5 })],
  ['subject', () => requester.stream('')],
])('refuses a wrong %s', (option, make) => {
  expect(make).toThrow(OptionError);
  expect(make).toThrow(`'${option}'`);
});

test('a requester that is full refuses, and sends nothing', async () => {
  const small = new Requester(port, { capacity: 1 });
  new Responder(port, 'work', () => new Promise(() => {}));
  const first = code(small.request('work'));
  const { published } = port.stats();
  expect(await code(small.request('work'))).toBe('ERR_GAMMALOOP_TOO_MANY_WAITERS');
  expect(port.stats().published).toBe(published);
  small.close();
  expect(await first).toBe('ERR_GAMMALOOP_CLOSED');
});
