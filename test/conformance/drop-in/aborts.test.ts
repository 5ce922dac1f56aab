import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, isToldAsOn20 } from '../../support/drop-in.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const PART = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc';

interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
}

describe.each(implementations)('aborts on $name', (implementation) => {
  const on = harness(implementation);

  function watched(log: EventLog): {
    handler: (req: IncomingMessage, res: ServerResponse) => void;
    started: Promise<Exchange>;
  } {
    const { promise, resolve } = deferred<Exchange>();
    return {
      started: promise,
      handler: (req, res) => {
        log.watch('req', req, ['end', 'aborted', 'error', 'close']);
        log.watch('res', res, ['finish', 'error', 'close']);
        resolve({ req, res });
      },
    };
  }

  it('a client that resets while a response is awaited', async () => {
    const log = new EventLog();
    const { handler, started } = watched(log);
    const server = await on.serve((req, res) => {
      req.resume();
      handler(req, res);
    });
    const client = await on.open(server);
    client.send(GET);
    const { req, res } = await started;
    await log.until('req end');
    client.reset();
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req end",
        "req close",
        "res close",
      ]
    `);
    if (isToldAsOn20([req.aborted, req.destroyed, res.destroyed, res.writableEnded, res.writableFinished]))
      expect([
        req.aborted,
        req.destroyed,
        res.destroyed,
        res.writableEnded,
        res.writableFinished,
      ]).toMatchInlineSnapshot(`
      [
        false,
        true,
        true,
        false,
        false,
      ]
    `);
  });

  it('a client that goes in the middle of its upload', async () => {
    const log = new EventLog();
    const { handler, started } = watched(log);
    const server = await on.serve((req, res) => {
      req.on('data', (chunk) => log.add(`data ${chunk}`));
      handler(req, res);
    });
    const client = await on.open(server);
    client.send(PART);
    const { req, res } = await started;
    await log.until('data abc');
    client.socket.destroy();
    await log.until('req close');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "data abc",
        "req aborted",
        "res close",
        "req error ECONNRESET",
        "req close",
      ]
    `);
    if (isToldAsOn20([req.aborted, req.complete, req.destroyed, req.errored?.message, res.destroyed]))
      expect([req.aborted, req.complete, req.destroyed, req.errored?.message, res.destroyed]).toMatchInlineSnapshot(`
      [
        true,
        false,
        true,
        "aborted",
        true,
      ]
    `);
  });

  it('a client that goes in the middle of an upload that nobody reads', async () => {
    const log = new EventLog();
    const { handler, started } = watched(log);
    const server = await on.serve(handler);
    const client = await on.open(server);
    client.send(PART);
    await started;
    client.reset();
    await log.until('req close');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req aborted",
        "res close",
        "req error ECONNRESET",
        "req close",
      ]
    `);
  });

  it('a client that goes in the middle of a download', async () => {
    const log = new EventLog();
    const { handler, started } = watched(log);
    const server = await on.serve((req, res) => {
      req.resume();
      handler(req, res);
      res.write('first');
    });
    const client = await on.open(server);
    client.send(GET);
    const { res } = await started;
    await client.until('the first bytes', () => (client.pending.includes('first') ? true : null));
    client.reset();
    await log.until('res close');
    const late = await new Promise((resolve) => res.write('late', resolve));
    if (isToldAsOn20((late as NodeJS.ErrnoException | undefined)?.code))
      expect((late as NodeJS.ErrnoException | undefined)?.code).toMatchInlineSnapshot(`"ERR_STREAM_DESTROYED"`);
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req end",
        "req close",
        "res close",
      ]
    `);
  });

  it('an error without listeners for it ends nothing but the request', async () => {
    const gone = deferred();
    const server = await on.serve((req, res) => {
      if (req.url === '/next') {
        res.end('alive');
        return;
      }
      req.on('data', () => {});
      res.on('close', gone.resolve);
    });
    const client = await on.open(server);
    client.send(PART);
    await new Promise((resolve) => server.once('request', resolve));
    client.reset();
    await gone.promise;
    const next = await (await on.open(server)).send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n').response();
    expect(next.body.toString()).toBe('alive');
  });

  it('res.destroy() cuts the connection', async () => {
    const log = new EventLog();
    const { handler } = watched(log);
    const server = await on.serve((req, res) => {
      req.resume();
      handler(req, res);
      res.write('part', () => res.destroy());
    });
    const client = await on.open(server);
    const text = await client.send(GET).rest();
    await log.until('res close');
    await log.until('req close');
    expect(text.endsWith('4\r\npart\r\n')).toBe(true);
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req end",
        "req close",
        "res close",
      ]
    `);
  });

  it.each<[string, string, (res: ServerResponse) => void]>([
    ['in chunks', '', (res) => res.write('part')],
    [
      'of a known length',
      '',
      (res) => {
        res.setHeader('Content-Length', 10);
        res.write('part');
      },
    ],
    ['a large one', '', (res) => res.write('part'.repeat(300_000))],
    ['ended', '4\r\npart\r\n0\r\n\r\n', (res) => res.write('part') && res.end()],
  ])('a part written in the tick of res.destroy() is not sent: %s', async (_name, sent, answer) => {
    const server = await on.serve((_req, res) => {
      answer(res);
      res.destroy();
    });
    server.keepAliveTimeout = 0;
    const text = await (await on.open(server)).send(GET).rest();
    expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toBe(sent);
  });

  it('res.destroy(error) reports it', async () => {
    const log = new EventLog();
    const { handler } = watched(log);
    const server = await on.serve((req, res) => {
      handler(req, res);
      res.destroy(Object.assign(new Error('mine'), { code: 'MINE' }));
    });
    expect(await (await on.open(server)).send(GET).rest()).toBe('');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req aborted",
        "res close",
        "req error ECONNRESET",
        "req close",
      ]
    `);
  });

  it('req.destroy() cuts the connection', async () => {
    const log = new EventLog();
    const { handler } = watched(log);
    const server = await on.serve((req, res) => {
      handler(req, res);
      req.destroy();
    });
    expect(await (await on.open(server)).send(PART).rest()).toBe('');
    await log.until('res close');
    await log.until('req close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req aborted",
        "req close",
        "res close",
      ]
    `);
  });

  it('req.socket.destroy() cuts it as well', async () => {
    const log = new EventLog();
    const { handler } = watched(log);
    const server = await on.serve((req, res) => {
      req.resume();
      handler(req, res);
      req.socket.destroy();
    });
    expect(await (await on.open(server)).send(GET).rest()).toBe('');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "req end",
        "req close",
        "res close",
      ]
    `);
  });

  it('a second end and a write after it are errors of the response', async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => {
      log.watch('res', res, ['error', 'finish', 'close']);
      res.end('x');
      res.end((error?: Error) => log.add(`end again ${(error as NodeJS.ErrnoException | undefined)?.code}`));
      log.add(
        `write returns ${res.write('late', (error) => log.add(`written ${(error as NodeJS.ErrnoException)?.code}`))}`,
      );
    });
    expect((await (await on.open(server)).send(GET).response()).body.toString()).toBe('x');
    await log.until('res close');
    if (isToldAsOn20(log.entries))
      expect(log.entries).toMatchInlineSnapshot(`
      [
        "end again ERR_STREAM_ALREADY_FINISHED",
        "write returns false",
        "res finish",
        "written ERR_STREAM_WRITE_AFTER_END",
        "res error ERR_STREAM_WRITE_AFTER_END",
        "res close",
      ]
    `);
  });

  it('a half-closed client still gets its answer', async () => {
    const { promise, resolve } = deferred<ServerResponse>();
    const server = await on.serve((_req, res) => resolve(res));
    const client = await on.open(server);
    client.send(GET).end();
    const res = await promise;
    setImmediate(() => res.end('answered'));
    expect(await client.rest()).toMatch(/answered$/);
  });
});
