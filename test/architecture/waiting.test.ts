/**
 * Whoever waits does so by lib/scope/waiter.ts, and so inherits cancellation; all deadlines are one timer (lib/scope/clock.ts). In these layers
 * nothing else parks a promise or sets a timer, but for what stands here with its reason.
 */
import { expect, test } from 'vitest';
import { filesUnder, read } from './sources.js';

const layers = ['lib/scope', 'lib/correlation', 'lib/runner', 'lib/ports'];

const forms: Record<string, RegExp> = {
  timer: /(?<![.\w])(setTimeout|setInterval)\(|AbortSignal\.timeout\(|timers\/promises/,
  promise: /new Promise\b|withResolvers\(|Promise\.race\(|(?<![.\w])once\(/,
};

const exceptions: Record<string, string> = {
  'timer lib/scope/clock.ts': 'the one timer of all deadlines',
  'promise lib/scope/waiter.ts': 'the one place that parks',
  'promise lib/scope/testing.ts':
    'watches whether the event loop stands still, so it must not count as a waiter itself',
  'timer lib/runner/worker-pool.ts': 'a watch over a worker that starts or ends, which must not keep the process',
  'timer lib/runner/worker-loop.ts': 'the idle time of a worker, which must not keep its thread',
  'timer lib/runner/worker-process.ts': 'the same of a process',
  'timer lib/runner/runner.ts': 'the deadline of close()',
  'timer lib/ports/broker-connection.ts': 'heartbeat and reconnection, which belong to no task',
  'promise lib/ports/broker-connection.ts': 'a promise of the client against the end of close()',
  'timer lib/ports/deliveries.ts': 'signs of life and repetitions of work, which belong to no task',
  'timer lib/ports/redis-work.ts': 'looks for stalled work, which belongs to no task',
  'timer lib/ports/amqp-publisher.ts': 'before what a queue refused is sent to it again, for no task',
  'promise lib/ports/amqp-publisher.ts': "the client's callback for a confirmation, and the turn of a message",
};

test('waiting goes through waiter.ts, and time through one timer', () => {
  const found: string[] = [];
  for (const path of layers.flatMap((layer) => filesUnder(layer, ['.ts']))) {
    const code = read(path).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    for (const [form, pattern] of Object.entries(forms)) {
      if (pattern.test(code)) found.push(`${form} ${path}`);
    }
  }
  expect(found.sort()).toEqual(Object.keys(exceptions).sort());
});
