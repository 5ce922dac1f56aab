/** What follows end() in the same turn: which events and callbacks come, in which order, on node:net and node:http, and on ours. */
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { harness, implementations } from '../../support/drop-in.js';
import { netHarness, netImplementations } from '../../support/drop-in-net.js';

const AFTER_END = 'ERR_STREAM_WRITE_AFTER_END';

type Log = string[];

const called =
  (log: Log, name: string) =>
  (error?: Error | null): void => {
    log.push(error ? `${name} ${(error as NodeJS.ErrnoException).code}` : name);
  };

/** Runs `act` on the socket, and returns what came until it was closed. */
async function eventsOf(socket: Socket, act: (log: Log) => void): Promise<Log> {
  const log: Log = [];
  for (const event of ['prefinish', 'finish', 'drain']) socket.on(event, () => log.push(event));
  socket.on('error', (error: NodeJS.ErrnoException) => log.push(`error ${error.code}`));
  const closed = new Promise<boolean>((resolve) => socket.once('close', resolve));
  act(log);
  log.push(`close ${await closed}`);
  return log;
}

/** All but callbacks: those of writes that a destroyed connection of HTTP still holds come in another order there. */
const eventsOnly = (log: Log): Log => log.filter((entry) => !/^(write|end)/.test(entry));

interface Case {
  act(socket: Socket, log: Log): void;
  readonly expected: Log;
}

const cases: Record<string, Case> = {
  'a write': {
    act(socket, log) {
      socket.end();
      socket.write('x', called(log, 'write'));
    },
    expected: [`write ${AFTER_END}`, `error ${AFTER_END}`, 'close true'],
  },
  'a write, after bytes': {
    act(socket, log) {
      socket.end('bytes', called(log, 'end'));
      socket.write('x', called(log, 'write'));
    },
    expected: [`write ${AFTER_END}`, `end ${AFTER_END}`, `error ${AFTER_END}`, 'close true'],
  },
  'a write in the next tick': {
    act(socket, log) {
      socket.end();
      process.nextTick(() => socket.write('x', called(log, 'write')));
    },
    expected: [`write ${AFTER_END}`, `error ${AFTER_END}`, 'close true'],
  },
  'a write in an immediate': {
    act(socket, log) {
      socket.end();
      setImmediate(() => socket.write('x', called(log, 'write')));
    },
    expected: ['prefinish', 'finish', `write ${AFTER_END}`, `error ${AFTER_END}`, 'close true'],
  },
  'destroy()': {
    act(socket, log) {
      socket.end(called(log, 'end'));
      socket.destroy();
    },
    expected: ['end ERR_STREAM_DESTROYED', 'close false'],
  },
  'destroy() with an error': {
    act(socket, log) {
      socket.end(called(log, 'end'));
      socket.destroy(Object.assign(new Error('mine'), { code: 'MINE' }));
    },
    expected: ['end MINE', 'error MINE', 'close true'],
  },
  nothing: {
    act(socket, log) {
      socket.end(called(log, 'end'));
    },
    expected: ['prefinish', 'end', 'finish', 'close false'],
  },
};

describe.each(netImplementations)('after end() on $name', (implementation) => {
  const on = netHarness(implementation);

  for (const [name, { act, expected }] of Object.entries(cases)) {
    test(`${name}: both sides`, async () => {
      for (const side of ['near', 'far'] as const) {
        const pair = await on.pair({ allowHalfOpen: true }, { allowHalfOpen: true });
        const other = pair[side === 'near' ? 'far' : 'near'].resume();
        // Not in the turn that tells of the end: a FIN of its own would be another reason not to write.
        pair[side].on('finish', () => setImmediate(() => setImmediate(() => other.end())));
        other.on('error', () => {});
        const log = await eventsOf(pair[side].resume(), (log) => {
          // In a turn of its own, as in an event of the socket.
          other.once('data', () => act(pair[side], log));
          pair[side].write('begin');
        });
        expect(log, side).toEqual(expected);
      }
    });
  }

  test('a write after end() while the system does not take the one before: that is told after the error', async () => {
    const { near, far } = await on.pair();
    far.pause().on('error', () => {});
    const log = await eventsOf(near, (log) => {
      near.write(Buffer.alloc(16 * 1024 * 1024), () => log.push('first'));
      near.end(called(log, 'end'));
      near.write('x', called(log, 'write'));
    });
    expect(log).toEqual([`write ${AFTER_END}`, `error ${AFTER_END}`, 'first', `end ${AFTER_END}`, 'close true']);
  });

  test("a write's callback that throws when its socket is destroyed: an uncaughtException, and 'close' comes all the same", async () => {
    const { near, far } = await on.pair();
    far.pause().on('error', () => {});
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    try {
      const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve));
      const log = await eventsOf(near, () => {
        near.write(Buffer.alloc(32 * 1024 * 1024), () => {
          throw new Error('mine');
        });
        near.destroy();
      });
      expect(await uncaught).toMatchObject({ message: 'mine' });
      expect(log).toEqual(['close false']);
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  test('an end() that the system refuses since the connection was reset: nothing, or ECONNRESET', async () => {
    const server = await on.serve({}, () => {});
    server.maxConnections = 1;
    const first = await on.connect(server);
    for (let round = 0; round < 10; round++) {
      const dropped = await on.connect(server);
      const log = await eventsOf(dropped.resume(), () => dropped.write('never read'));
      expect(log.filter((entry) => entry.startsWith('error') && entry !== 'error ECONNRESET')).toEqual([]);
    }
    first.destroy();
  });
});

describe.each(implementations)('after end() on a socket of $name', (implementation) => {
  const on = harness(implementation);

  for (const [name, { act, expected }] of Object.entries(cases)) {
    test(`${name}: at the connection, and at a request`, async () => {
      for (const event of ['connection', 'request'] as const) {
        const server = await on.serve(() => {});
        server.on('clientError', () => {});
        const log = new Promise<Log>((resolve) => {
          const begin = (socket: Socket) => eventsOf(socket, (log) => act(socket, log)).then(resolve);
          if (event === 'connection') server.on('connection', begin);
          else server.on('request', (req) => begin(req.socket));
        });
        const client = await on.open(server);
        client.socket.on('error', () => {}).on('end', () => client.socket.end());
        if (event === 'request') client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        expect(await log, event).toEqual(expected);
      }
    });
  }

  test("a write after end() while the system does not take the one before: 'error', then 'close'", async () => {
    const server = await on.serve(() => {});
    server.on('clientError', () => {});
    const log = new Promise<Log>((resolve) => {
      server.on('connection', (socket: Socket) => {
        eventsOf(socket, () => {
          socket.write(Buffer.alloc(16 * 1024 * 1024), () => {});
          socket.end();
          socket.write('x');
        }).then(resolve);
      });
    });
    (await on.open(server)).socket.on('error', () => {});
    expect(eventsOnly(await log)).toEqual([`error ${AFTER_END}`, 'close true']);
  });

  test('a reset while end() waits for the bytes to leave is the only error', async () => {
    const server = await on.serve(() => {});
    server.on('clientError', () => {});
    const log = new Promise<Log>((resolve) => {
      server.on('connection', (socket: Socket) => {
        eventsOf(socket, () => {
          socket.write(Buffer.alloc(16 * 1024 * 1024));
          socket.end();
        }).then(resolve);
      });
    });
    const { socket } = await on.open(server);
    socket.on('error', () => {});
    socket.resetAndDestroy();
    const events = eventsOnly(await log);
    expect(events.filter((entry) => !/^(error (ECONNRESET|EPIPE)|close true)$/.test(entry))).toEqual([]);
    expect(events).toHaveLength(2);
  });
});
