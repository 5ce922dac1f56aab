/** What a response tells of its end, on node:http and natively: the same events, callbacks and values, in the same order and async context. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import nodeHttp from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { finished, pipeline, Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import ourHttp from '../../../lib/drop-in/http.js';
import { isNativeResponse } from '../../../lib/drop-in/server-response.js';

type Log = (value: unknown) => void;
/** Calls `over` once nothing more is to be seen. */
// biome-ignore lint/suspicious/noExplicitAny: private names are looked at too
type Program = (res: any, log: Log, over: () => void) => void;

async function run(http: typeof nodeHttp, program: Program, persistent: boolean): Promise<unknown> {
  const log: unknown[] = [];
  let native = false;
  let over: () => void = () => {};
  const isOver = new Promise<void>((resolve) => {
    over = resolve;
  });
  const server = http.createServer((_req, res) => {
    native = isNativeResponse(res);
    program(res, (value) => log.push(value), over);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  let received = '';
  client.setEncoding('latin1').on('data', (text: string) => {
    received += text;
  });
  const closed = once(client, 'close');
  client.write(`GET / HTTP/1.1\r\nHost: x\r\n${persistent ? '' : 'Connection: close\r\n'}\r\n`);
  await isOver;
  expect(native).toBe(http !== nodeHttp);
  await setImmediate();
  if (persistent) client.end();
  await closed;
  const stopped = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await stopped;
  return { log, received: received.length < 1000 ? received.replace(/Date: [^\r]+/, 'Date: now') : received.length };
}

const store = new AsyncLocalStorage<number>();

const programs: Record<string, Program> = {
  'listeners that were there before': (res, log, over) => {
    for (const event of ['prefinish', 'finish', 'close']) res.on(event, () => log(event));
    res.on('close', over);
    res.end('x');
    log('sync');
    process.nextTick(log, 'tick');
  },
  'listeners that came after the end': (res, log, over) => {
    res.end('x');
    res.on('finish', () => log(['finish', res.destroyed, res.closed]));
    res.once('close', () => log(['close', res.destroyed, res.closed, res.socket]));
    res.on('close', over);
    log([res.destroyed, res.closed, res.socket !== null]);
  },
  'asked long after the end': (res, log, over) => {
    res.end('x');
    (async () => {
      for (let i = 0; i < 5; i++) await setImmediate();
      log([res.writableFinished, res.destroyed, res.closed, res.socket, res.writableEnded, res.writableLength]);
      res.on('finish', () => log('never'));
      over();
    })();
  },
  'callbacks of write and end': (res, log, over) => {
    res.write('a', () => log('written'));
    res.end('b', () => log('ended'));
    res.on('close', over);
    log('sync');
  },
  'async contexts': (res, log, over) => {
    store.run(7, () => {
      res.on('finish', () => log(['finish', store.getStore()]));
      res.write('a', () => log(['write', store.getStore()]));
      res.end('x', () => log(['end', store.getStore()]));
      res.on('close', over);
    });
  },
  'a wrapped emit': (res, log, over) => {
    const { emit } = res;
    res.emit = function wrapped(event: string, ...args: unknown[]) {
      log(event);
      if (event === 'close') over();
      return emit.call(this, event, ...args);
    };
    res.end('x');
  },
  'stream.finished': (res, log, over) => {
    finished(res, (error: unknown) => {
      log(['finished', error]);
      over();
    });
    res.end('x');
  },
  'stream.pipeline': (res, log, over) => {
    pipeline(Readable.from(['a', 'b', 'c']), res, (error: unknown) => {
      log(['pipeline', error]);
      over();
    });
  },
  'more than the kernel takes': (res, log, over) => {
    log(res.write(Buffer.alloc(8_000_000), () => log('written')));
    res.on('drain', () => {
      log(['drain', res.writableNeedDrain, res.writableLength]);
      res.end(() => log('ended'));
    });
    res.on('close', over);
  },
  'much at the end': (res, log, over) => {
    res.on('finish', () => log(['finish', res.writableFinished]));
    res.on('close', () => log(['close', res.writableFinished]));
    res.on('close', over);
    res.end(Buffer.alloc(8_000_000));
  },
  'cork and uncork': (res, log, over) => {
    res.flushHeaders();
    res.cork();
    res.cork();
    res.write('a');
    res.write('b', () => log('written'));
    log([res.writableCorked, res.writableLength > 0]);
    res.uncork();
    log(res.writableCorked);
    res.uncork();
    log(res.writableCorked);
    res.on('close', over);
    setImmediate().then(() => res.end('c'));
  },
};

describe.each([true, false])('the end of a response, persistent connection: %s', (persistent) => {
  for (const [name, program] of Object.entries(programs)) {
    it(name, async () => {
      expect(await run(ourHttp as typeof nodeHttp, program, persistent)).toEqual(
        await run(nodeHttp, program, persistent),
      );
    });
  }
});
