import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { install, loop, Response, type SlowCallback, serve, uninstall } from '../../../lib/index.js';
import { listen } from '../../../lib/net/index.js';
import { addReader, removeReader } from '../../../lib/selector/index.js';
import { backends } from '../../support/backends.js';
import { Pipe } from '../selector/support.js';

const hasNative = backends.includes('native');
const here = 'slow-callbacks.test.ts';
let reports: SlowCallback[] = [];
let waiting: { name: string; resolve: (slow: SlowCallback) => void } | null = null;

function hold(ms = 40): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** The next report of that name: on a busy machine others are slow, too. */
function report(name: string): Promise<SlowCallback> {
  return new Promise((resolve) => {
    waiting = { name, resolve };
  });
}

beforeEach(() => {
  reports = [];
  loop.detectSlowCallbacks({
    threshold: 30,
    report(slow) {
      reports.push(slow);
      if (slow.name !== waiting?.name) return;
      waiting.resolve(slow);
      waiting = null;
    },
  });
});

afterEach(() => {
  loop.ignoreSlowCallbacks();
});

describe('the function and where it was made', () => {
  test.each([
    [
      'callSoon',
      'Immediate',
      () =>
        loop.callSoon(function soonHandler() {
          hold();
        }),
      'soonHandler',
    ],
    [
      'callLater',
      'GammaloopTimer',
      () =>
        loop.callLater(1, function laterHandler() {
          hold();
        }),
      'laterHandler',
    ],
    [
      'setTimeout',
      'Timeout',
      () =>
        setTimeout(function timeoutHandler() {
          hold();
        }, 1),
      'timeoutHandler',
    ],
    ['an anonymous one', 'Immediate', () => loop.callSoon(() => hold()), '(anonymous)'],
  ])('%s', async (_name, type, start, name) => {
    const found = report(name);
    start();
    const slow = await found;
    expect(slow).toMatchObject({ name, type });
    expect(slow.madeAt).toContain(here);
    expect(slow.durationMs).toBeGreaterThanOrEqual(30);
  });

  test('a piece of an async function: where it waited', async () => {
    const found = report('PROMISE');
    await (async function pieces() {
      await new Promise<void>((resolve) => loop.callSoon(() => resolve()));
      hold();
    })();
    expect(await found).toMatchObject({ type: 'PROMISE', madeAt: expect.stringContaining(here) });
  });

  test.runIf(hasNative)('a reader', async () => {
    const pipe = new Pipe();
    const found = report('readHandler');
    addReader(pipe.readEnd, function readHandler() {
      removeReader(pipe.readEnd);
      hold();
    });
    pipe.write('x');
    expect(await found).toMatchObject({ name: 'readHandler', type: 'GammaloopReadiness' });
    expect((await found).madeAt).toContain(here);
  });

  test.each(backends)('a request handler on the %s backend', async (backend) => {
    const server = await serve({
      backend,
      port: 0,
      fetch: function slowHandler() {
        hold();
        return new Response('late');
      },
    });
    const found = report('slowHandler');
    const response = await fetch(server.url);
    expect(await response.text()).toBe('late');
    expect(await found).toMatchObject({ name: 'slowHandler', type: 'GAMMALOOP_REQUEST' });
    await server.close();
  });

  test.runIf(hasNative)('a listener of a server of node:http that install() has put on the engine', async () => {
    install();
    const server = http.createServer(function slowListener(_request, response) {
      hold();
      response.end('late');
    });
    try {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const found = report('slowListener');
      const { port } = server.address() as AddressInfo;
      expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('late');
      expect(await found).toMatchObject({ name: 'slowListener', type: 'HTTPINCOMINGMESSAGE' });
    } finally {
      server.close();
      uninstall();
    }
  });

  test.runIf(hasNative)('a protocol', async () => {
    class SlowProtocol {
      dataReceived(): void {
        hold();
      }
    }
    const server = await listen({ hostname: '127.0.0.1', backend: 'native' }, () => new SlowProtocol());
    const { connect } = await import('node:net');
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    const found = report('protocol SlowProtocol');
    socket.write('x');
    expect(await found).toMatchObject({ name: 'protocol SlowProtocol', type: 'GammaloopTransport' });
    socket.destroy();
    await server.close();
  });
});

test('what is fast is not told; nor anything after ignoreSlowCallbacks', async () => {
  const names = () => reports.map(({ name }) => name);
  await new Promise<void>((resolve) =>
    loop.callSoon(function fast() {
      resolve();
    }),
  );
  expect(loop.ignoreSlowCallbacks()).toBe(true);
  expect(loop.ignoreSlowCallbacks()).toBe(false);
  await new Promise<void>((resolve) =>
    loop.callSoon(function unseen() {
      hold();
      resolve();
    }),
  );
  await new Promise<void>((resolve) => loop.callLater(2, () => resolve()));
  expect(names()).not.toContain('fast');
  expect(names()).not.toContain('unseen');
});

test('by default a process warning', async () => {
  loop.detectSlowCallbacks({ threshold: 30 });
  const warning = new Promise<NodeJS.ErrnoException>((resolve) => {
    process.on('warning', function look(error) {
      if (!error.message.startsWith('warned ')) return;
      process.off('warning', look);
      resolve(error);
    });
  });
  loop.callSoon(function warned() {
    hold();
  });
  const error = await warning;
  expect(error.code).toBe('GAMMALOOP_SLOW_CALLBACK');
  expect(error.message).toMatch(
    /^warned \(Immediate\), made at .*slow-callbacks.test.ts:\d+:\d+, held the loop for \d+\.\d ms$/,
  );
});
