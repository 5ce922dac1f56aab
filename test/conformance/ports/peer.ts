/** The other side of a port under test: responders, and raw subscribers that break the rules. Runs in this thread, another one, or a process. */
import { setImmediate } from 'node:timers/promises';
import { controlSubject } from '../../../lib/correlation/envelope.js';
import { createEnvelope, type Envelope, type Port, Responder } from '../../../lib/correlation/index.js';
import { openNursery } from '../../../lib/scope/index.js';
import { prepareRunner, reportOf, runWaitingTask } from './peer-runner.js';

/** An instant that all processes of the machine share, in ms. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Counts that can be waited for. */
class Counter {
  #value = 0;
  #waiting: { at: number; resolve: () => void }[] = [];

  add(): void {
    this.#value++;
    for (const { at, resolve } of this.#waiting) if (this.#value >= at) resolve();
    this.#waiting = this.#waiting.filter(({ at }) => this.#value < at);
  }

  get value(): number {
    return this.#value;
  }

  reached(at: number): Promise<void> {
    return this.#value >= at ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ at, resolve }));
  }
}

class Odd extends Error {
  readonly code = 'ENOODD';
}

export function startPeer(port: Port): Responder[] {
  const counters = new Map<string, Counter>();
  const counter = (name: string): Counter => {
    let found = counters.get(name);
    if (found === undefined) {
      found = new Counter();
      counters.set(name, found);
    }
    return found;
  };
  const order: unknown[] = [];
  port.subscribe('order', ({ payload }) => {
    order.push(payload);
    counter('order').add();
  });
  // One reply too many, and one for an id that nobody gave.
  port.subscribe('twice', ({ id, replyTo, payload }) => {
    for (const each of [id, id, 'nobody', 2 ** 52]) {
      port.publish(createEnvelope({ kind: 'reply', id: each, subject: replyTo as string, payload }));
    }
  });
  // Answers when it is cancelled, and not before.
  port.subscribe('late', () => counter('late').add());
  port.subscribe('_control.late', ({ id, replyTo }) =>
    port.publish(createEnvelope({ kind: 'reply', id, subject: replyTo as string, payload: 'late' })),
  );
  // A stream that has lost its second part.
  port.subscribe('gap', ({ id, replyTo }) => {
    for (const count of [0, 2]) {
      port.publish(createEnvelope({ kind: 'part', id, subject: replyTo as string, payload: count, count }));
    }
  });
  const shared = new SharedArrayBuffer(16);
  // A task of a runner is the last stage of it.
  let toldAt = 0;
  let stops = 0;
  port.subscribe(controlSubject('work'), () => {
    toldAt = now();
  });
  const work = new Responder(port, 'work', async (_message, { signal }) => {
    signal.addEventListener('abort', () => stops++);
    return await runWaitingTask(shared);
  });
  return [
    work,
    new Responder(port, 'work.prepare', () => prepareRunner()),
    new Responder(port, 'work.started', async () => {
      const { waitAsync } = Atomics as unknown as { waitAsync(...args: unknown[]): { value: unknown } };
      await waitAsync(new Int32Array(shared), 0, 0).value;
    }),
    new Responder(port, 'work.report', async () => {
      const task = await reportOf(shared);
      const { running, queued, received, cancelled, expired, failed } = work.stats();
      return { toldAt, stops, task, responder: { running, queued, received, failed, stopped: cancelled + expired } };
    }),
    new Responder(port, 'echo', ({ payload }) => payload, { concurrency: 10_000 }),
    new Responder(port, 'order.read', () => order),
    new Responder(port, 'describe', ({ headers, subject }, { traceId, traceparent, deadline }) => ({
      headers,
      subject,
      traceId,
      traceparent,
      remaining: deadline - performance.now(),
    })),
    new Responder(port, 'hang', async (_message, { signal }) => {
      counter('hang.started').add();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      counter('hang.ended').add();
      counter(`hang.${(signal.reason as { reason?: { code?: string } }).reason?.code}`).add();
      throw signal.reason;
    }),
    new Responder(port, 'count', async function* ({ payload }: Envelope) {
      const { length, failAt = -1 } = payload as { length: number; failAt?: number };
      try {
        for (let i = 0; i < length; i++) {
          if (i === failAt) throw new Odd('failed on the way');
          counter('parts').add();
          yield i;
        }
      } finally {
        counter('count.ended').add();
      }
    }),
    new Responder(port, 'fail', () => {
      throw new Odd('is odd', { cause: new TypeError('of the wrong type', { cause: 'text' }) });
    }),
    new Responder(port, 'fail.nursery', () =>
      openNursery((nursery) => {
        nursery.startSoon(() => Promise.reject(new Odd('first')));
        nursery.startSoon(() => Promise.reject(new TypeError('second', { cause: new Odd('why') })));
      }),
    ),
    new Responder(port, 'function', () => () => {}),
    new Responder(port, 'function.part', function* () {
      yield 1;
      yield () => {};
      yield 3;
    }),
    new Responder(port, 'reached', async ({ payload }) => {
      const [name, at] = payload as [string, number];
      await counter(name).reached(at);
      return counter(name).value;
    }),
    new Responder(port, 'value', async ({ payload }) => {
      // What is on its way gets done first.
      for (let i = 0; i < 3; i++) await setImmediate();
      return counter(payload as string).value;
    }),
    new Responder(port, 'close', () => {
      void port.close();
    }),
  ];
}
