import { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { NodeApp, type NodeHandler } from '../../lib/app/node-app.js';
import { FakeExchange, type FakeRequest, turn } from '../support/fake-exchange.js';

interface Run {
  exchange: FakeExchange;
  app: NodeApp;
  errors: unknown[];
}

function run(handler: NodeHandler, request: FakeRequest | FakeExchange = {}): Run {
  const errors: unknown[] = [];
  const app = new NodeApp(handler, { onError: (error) => errors.push(error) });
  const exchange = request instanceof FakeExchange ? request : new FakeExchange(request);
  app.handle(exchange);
  return { exchange, app, errors };
}

function listen(emitter: NodeJS.EventEmitter, log: string[], ...events: string[]): void {
  for (const event of events) {
    emitter.on(event, () => log.push(event));
  }
}

describe('req', () => {
  it('tells what node tells', () => {
    let req!: IncomingMessage;
    run(
      (given) => {
        req = given;
      },
      {
        method: 'POST',
        target: '/x?y',
        httpVersion: '1.0',
        headers: [
          'Host',
          'a',
          'host',
          'b',
          'X-A',
          '1',
          'x-a',
          '2',
          'Cookie',
          'a=1',
          'cookie',
          'b=2',
          'Set-Cookie',
          'c',
          '__proto__',
          'x',
        ],
      },
    );
    expect(req).toBeInstanceOf(IncomingMessage);
    expect(req).toBeInstanceOf(Readable);
    expect([req.method, req.url, req.httpVersion, req.httpVersionMajor, req.httpVersionMinor]).toEqual([
      'POST',
      '/x?y',
      '1.0',
      1,
      0,
    ]);
    expect({ ...req.headers }).toMatchObject({ host: 'a', 'x-a': '1, 2', cookie: 'a=1; b=2', 'set-cookie': ['c'] });
    expect(Object.getPrototypeOf(req.headers)).toBeNull();
    expect(req.rawHeaders.slice(0, 4)).toEqual(['Host', 'a', 'host', 'b']);
    expect(req.headersDistinct['x-a']).toEqual(['1', '2']);
    expect([req.socket.remoteAddress, req.socket.remotePort, req.socket.localPort]).toEqual(['127.0.0.1', 50000, 3000]);
    expect([req.complete, req.aborted]).toEqual([false, false]);
  });

  it('ends at once without a body', async () => {
    let req!: IncomingMessage;
    const log: string[] = [];
    run((given) => {
      req = given;
      listen(req, log, 'data', 'end', 'close');
    });
    await turn();
    await turn();
    expect([log, req.complete]).toEqual([['end', 'close'], true]);
  });

  it('gives a body that has arrived', async () => {
    let text = '';
    run(
      async (req, res) => {
        req.setEncoding('utf8');
        for await (const chunk of req) {
          text += chunk;
        }
        res.end();
      },
      { method: 'POST', body: 'häl' },
    );
    await turn();
    await turn();
    expect(text).toBe('häl');
  });

  it('gives a streamed body, with trailers, and acknowledges what is taken', async () => {
    let req!: IncomingMessage;
    const { exchange } = run(
      (given) => {
        req = given;
      },
      { method: 'POST', streamed: true },
    );
    expect(exchange.sink).toBeNull();
    const reading = req.toArray();
    await exchange.until(() => exchange.sink !== null);
    exchange.feed('one');
    exchange.feed('two');
    exchange.feedEnd(['X-Sum', '1']);
    expect(Buffer.concat(await reading).toString()).toBe('onetwo');
    expect([exchange.consumedBytes, req.trailers['x-sum'], req.complete]).toEqual([6, '1', true]);
  });

  it('holds back when it is not read', async () => {
    let req!: IncomingMessage;
    const { exchange } = run(
      (given) => {
        req = given;
      },
      { method: 'POST', streamed: true },
    );
    req.read(0);
    await exchange.until(() => exchange.sink !== null);
    exchange.feed(Buffer.alloc(100_000));
    expect(exchange.consumedBytes).toBe(0);
    req.resume();
    await exchange.until(() => exchange.consumedBytes === 100_000);
  });

  it('is aborted when the client goes', async () => {
    const log: string[] = [];
    let req!: IncomingMessage;
    let code = '';
    const { exchange } = run(
      (given, res) => {
        req = given;
        listen(req, log, 'aborted', 'error', 'close');
        req.on('error', (error: NodeJS.ErrnoException) => {
          code = error.code ?? '';
        });
        res.on('close', () => log.push('res close'));
        req.resume();
      },
      { method: 'POST', streamed: true },
    );
    await exchange.until(() => exchange.sink !== null);
    exchange.abort('client');
    await turn();
    expect([log.sort(), code, req.aborted, req.destroyed]).toEqual([
      ['aborted', 'close', 'error', 'res close'],
      'ECONNRESET',
      true,
      true,
    ]);
  });

  it('that nobody listens to may be aborted', async () => {
    const { exchange } = run(() => {}, { method: 'POST', streamed: true });
    exchange.abort('client');
    await turn();
  });
});

describe('res', () => {
  it('answers in one call', async () => {
    const log: string[] = [];
    let res!: ServerResponse;
    const { exchange } = run((_req, given) => {
      res = given;
      listen(res, log, 'finish', 'close', 'prefinish');
      res.setHeader('Content-Type', 'text/x');
      res.setHeader('Set-Cookie', ['a', 'b']);
      expect(res.headersSent).toBe(false);
      expect(res.end('hello', () => log.push('callback'))).toBe(res);
    });
    expect(res).toBeInstanceOf(ServerResponse);
    expect([exchange.calls, exchange.status, exchange.reason, exchange.block, exchange.text]).toEqual([
      ['respond'],
      200,
      'OK',
      'Content-Type: text/x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n',
      'hello',
    ]);
    expect([res.headersSent, res.finished, res.writableEnded, res.writableFinished]).toEqual([true, true, true, false]);
    expect(log).toEqual([]);
    exchange.flush();
    await turn();
    expect(log.sort()).toEqual(['callback', 'close', 'finish']);
    expect(res.writableFinished).toBe(true);
  });

  it.each<[string, NodeHandler, number, string, string]>([
    [
      'writeHead with an object',
      (_req, res) => res.writeHead(201, { A: '1', b: ['2', '3'] }).end('x'),
      201,
      'Created',
      'A: 1\r\nb: 2\r\nb: 3\r\n',
    ],
    [
      'writeHead with a reason',
      (_req, res) => res.writeHead(200, 'Fine', { A: '1' }).end('x'),
      200,
      'Fine',
      'A: 1\r\n',
    ],
    [
      'writeHead with a flat list',
      (_req, res) => res.writeHead(200, ['A', '1', 'A', '2']).end('x'),
      200,
      'OK',
      'A: 1\r\nA: 2\r\n',
    ],
    [
      'writeHead over setHeader',
      (_req, res) => {
        res.setHeader('A', '1');
        res.setHeader('b', '2');
        res.writeHead(200, { a: '3' }).end('x');
      },
      200,
      'OK',
      'a: 3\r\nb: 2\r\n',
    ],
    [
      'statusCode and statusMessage',
      (_req, res) => {
        res.statusCode = 299;
        res.statusMessage = 'Own';
        res.end('x');
      },
      299,
      'Own',
      '',
    ],
    [
      'appendHeader and removeHeader',
      (_req, res) => {
        res.appendHeader('a', '1');
        res.appendHeader('a', '2');
        res.setHeader('b', '1');
        res.removeHeader('b');
        res.end('x');
      },
      200,
      'OK',
      'a: 1\r\na: 2\r\n',
    ],
    [
      'framing fields',
      (_req, res) => res.writeHead(200, { 'Content-Length': 1, 'Transfer-Encoding': 'identity' }).end('x'),
      200,
      'OK',
      '',
    ],
  ])('takes %s', (_case, handler, status, reason, block) => {
    const { exchange, errors } = run(handler);
    expect(errors).toEqual([]);
    expect([exchange.status, exchange.reason, exchange.block, exchange.text]).toEqual([status, reason, block, 'x']);
  });

  it('answers through an own writeHead of a framework', () => {
    const { exchange } = run((_req, res) => {
      const before = res.writeHead;
      res.writeHead = function (this: ServerResponse, ...args: unknown[]) {
        this.setHeader('x-late', '1');
        return (before as (...args: unknown[]) => ServerResponse).apply(this, args);
      } as typeof res.writeHead;
      res.end('x');
    });
    expect(exchange.block).toBe('x-late: 1\r\n');
  });

  it('survives another prototype', async () => {
    const reqProto = Object.create(IncomingMessage.prototype);
    const resProto = Object.create(ServerResponse.prototype);
    const { exchange } = run(
      async (req, res) => {
        Object.setPrototypeOf(req, reqProto);
        Object.setPrototypeOf(res, resProto);
        const body = Buffer.concat(await req.toArray());
        res.setHeader('a', '1');
        res.write(body);
        res.end();
      },
      { method: 'POST', body: 'abc' },
    );
    await exchange.over();
    expect([exchange.text, exchange.block, exchange.calls]).toEqual(['abc', 'a: 1\r\n', ['start', 'write', 'end']]);
  });

  it('streams with backpressure, callbacks and drain', async () => {
    const exchange = new FakeExchange();
    exchange.writeResult = false;
    const log: string[] = [];
    let res!: ServerResponse;
    run((_req, given) => {
      res = given;
      listen(res, log, 'drain', 'finish');
      expect(res.write('one', () => log.push('written'))).toBe(false);
      expect(res.writableNeedDrain).toBe(true);
    }, exchange);
    await turn();
    expect(log).toEqual([]);
    exchange.becomeWritable();
    expect(log).toEqual(['written', 'drain']);
    expect(res.write(Buffer.from('two'))).toBe(true);
    expect(res.write('6869', 'hex')).toBe(true);
    res.end('!');
    exchange.flush();
    expect([exchange.text, exchange.calls, log]).toEqual([
      'onetwohi!',
      ['start', 'write', 'write', 'write', 'write', 'end'],
      ['written', 'drain', 'finish'],
    ]);
  });

  it('is the end of a pipeline from req', async () => {
    const { exchange } = run(async (req, res) => pipeline(req, res), { method: 'POST', streamed: true });
    await exchange.until(() => exchange.sink !== null);
    exchange.feed('one');
    exchange.feed('two');
    exchange.feedEnd();
    await exchange.over();
    exchange.flush();
    expect(exchange.text).toBe('onetwo');
  });

  it('sends its head at flushHeaders, and trailers', () => {
    const { exchange } = run((_req, res) => {
      res.flushHeaders();
      res.write('x');
      res.addTrailers({ 'X-Sum': '1' });
      res.end();
    });
    expect([exchange.calls, exchange.trailers]).toEqual([['start', 'write', 'end'], 'X-Sum: 1\r\n']);
  });

  it('announces a length to HEAD and drops the body', () => {
    const head = run(
      (_req, res) => {
        res.setHeader('content-length', '7');
        res.end();
      },
      { method: 'HEAD' },
    );
    expect([head.exchange.calls, head.exchange.contentLength]).toEqual([['start', 'end'], 7]);
    const dropped = run(
      (_req, res) => {
        res.write('x');
        res.end('y');
      },
      { method: 'HEAD' },
    );
    expect(dropped.exchange.calls).toEqual(['start', 'end']);
  });

  it('reports misuse as node does', async () => {
    const codes: (string | undefined)[] = [];
    const { exchange } = run((_req, res) => {
      const attempt = (act: () => void): void => {
        try {
          act();
        } catch (error) {
          codes.push((error as NodeJS.ErrnoException).code);
        }
      };
      attempt(() => res.setHeader('a b', '1'));
      attempt(() => res.setHeader('a', '1\r\nb: 2'));
      attempt(() => res.writeHead(99));
      attempt(() => res.writeHead(200, 'a\r\nb'));
      res.statusMessage = '';
      attempt(() => res.write(null as never));
      attempt(() => res.write(5 as never));
      res.end('x');
      attempt(() => res.setHeader('a', '1'));
      attempt(() => res.writeHead(200));
      res.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code));
      res.write('late', (error) => codes.push((error as NodeJS.ErrnoException).code));
      res.end((error?: Error) => codes.push((error as NodeJS.ErrnoException).code));
    });
    await turn();
    expect(exchange.text).toBe('x');
    expect(codes).toEqual([
      'ERR_INVALID_HTTP_TOKEN',
      'ERR_INVALID_CHAR',
      'ERR_HTTP_INVALID_STATUS_CODE',
      'ERR_INVALID_CHAR',
      'ERR_STREAM_NULL_VALUES',
      'ERR_INVALID_ARG_TYPE',
      'ERR_HTTP_HEADERS_SENT',
      'ERR_HTTP_HEADERS_SENT',
      'ERR_STREAM_WRITE_AFTER_END',
      'ERR_STREAM_WRITE_AFTER_END',
      'ERR_STREAM_ALREADY_FINISHED',
    ]);
  });

  it('closes without finish when the client goes', async () => {
    const log: string[] = [];
    let failure: unknown;
    const exchange = new FakeExchange();
    exchange.writeResult = false;
    run((_req, res) => {
      listen(res, log, 'finish', 'close');
      res.write('x', (error) => {
        failure = error;
      });
    }, exchange);
    exchange.abort('client');
    await turn();
    expect([log, failure]).toEqual([['close'], expect.objectContaining({ code: 'ERR_STREAM_DESTROYED' })]);
  });

  it('still answers a client that closed its sending side', async () => {
    const log: string[] = [];
    const { exchange } = run(async (_req, res) => {
      listen(res, log, 'close');
      await turn();
      res.end('late');
    });
    exchange.abort('client');
    await exchange.until(() => exchange.responseEnded);
    expect([exchange.text, log]).toEqual(['late', ['close']]);
  });

  it('cuts the connection when req is destroyed', async () => {
    const log: string[] = [];
    const { exchange } = run(
      (req, res) => {
        listen(req, log, 'aborted', 'close');
        listen(res, log, 'close');
        req.destroy();
      },
      { method: 'POST', streamed: true },
    );
    await turn();
    expect([exchange.destroyed, log.sort()]).toEqual([true, ['aborted', 'close', 'close']]);
  });

  it('cuts the connection when destroyed', async () => {
    const log: string[] = [];
    const { exchange } = run((_req, res) => {
      listen(res, log, 'close', 'error');
      res.write('x');
      res.destroy(new Error('no more'));
      expect(res.destroyed).toBe(true);
    });
    await turn();
    expect([exchange.destroyed, log.sort()]).toEqual([true, ['close', 'error']]);
  });
});

describe('a node handler that fails', () => {
  it.each<[string, NodeHandler]>([
    [
      'throws',
      () => {
        throw new Error('secret');
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('secret');
      },
    ],
    [
      'throws after setting headers',
      (_req, res) => {
        res.setHeader('a', '1');
        throw new Error('secret');
      },
    ],
  ])('and %s, is answered 500 and reported', async (_case, handler) => {
    const { exchange, errors, app } = run(handler);
    await turn();
    expect([exchange.status, exchange.text, exchange.block, errors.length, app.handlerErrors]).toEqual([
      500,
      'Internal Server Error',
      'content-type: text/plain\r\n',
      1,
      1,
    ]);
  });

  it('in the middle, is cut', async () => {
    const { exchange, errors } = run(async (_req, res) => {
      res.write('x');
      throw new Error('secret');
    });
    await turn();
    expect([exchange.destroyed, errors.length]).toEqual([true, 1]);
  });
});
