import { afterEach, describe, expect, it, vi } from 'vitest';
import { FetchApp, type FetchContext, type FetchHandler } from '../../lib/app/fetch-app.js';
import type { AppOptions, ErrorInfo } from '../../lib/app/handler-errors.js';
import type { Request } from '../../lib/http/request.js';
import { Response } from '../../lib/http/response.js';
import { FakeExchange, type FakeRequest, turn } from '../support/fake-exchange.js';

interface Run {
  exchange: FakeExchange;
  app: FetchApp;
  errors: { error: unknown; info: ErrorInfo }[];
}

function run(handler: unknown, request: FakeRequest | FakeExchange = {}, options: AppOptions = {}): Run {
  const errors: Run['errors'] = [];
  const app = new FetchApp(handler as FetchHandler, {
    onError: (error, info) => errors.push({ error, info }),
    ...options,
  });
  const exchange = request instanceof FakeExchange ? request : new FakeExchange(request);
  app.handle(exchange);
  return { exchange, app, errors };
}

async function answered(handler: unknown, request: FakeRequest | FakeExchange = {}): Promise<Run> {
  const result = run(handler, request);
  await result.exchange.over();
  return result;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a fetch handler that answers', () => {
  it('at once, is answered in the same call, with nothing read', () => {
    const { exchange, errors } = run(() => new Response('hello'));
    expect(exchange.calls).toEqual(['respond']);
    expect([exchange.status, exchange.reason, exchange.block, exchange.text]).toEqual([
      200,
      '',
      'content-type: text/plain;charset=UTF-8\r\n',
      'hello',
    ]);
    expect([exchange.headerReads, exchange.rawHeaderReads, exchange.onAbort]).toEqual([0, 0, null]);
    expect(errors).toEqual([]);
  });

  it('later, is answered in its continuation', async () => {
    const { exchange } = run(async () => new Response('hello'));
    await Promise.resolve();
    expect(exchange.calls).toEqual(['respond']);
  });

  it.each<[string, () => unknown, number, string, string]>([
    ['bytes', () => new Response(encode('hi')), 200, '', 'hi'],
    ['nothing', () => new Response(null, { status: 204 }), 204, '', ''],
    ['JSON', () => Response.json({ a: 1 }), 200, 'content-type: application/json\r\n', '{"a":1}'],
    ['a redirect', () => Response.redirect('http://a.test/'), 302, 'location: http://a.test/\r\n', ''],
    [
      'headers of an object',
      () => new Response('x', { headers: { 'Content-Type': 'a/b', 'X-A': '1' } }),
      200,
      'Content-Type: a/b\r\nX-A: 1\r\n',
      'x',
    ],
    [
      'changed headers',
      () => {
        const r = new Response('x');
        r.headers.set('content-type', 'a/b');
        r.headers.append('set-cookie', 'a');
        r.headers.append('set-cookie', 'b');
        return r;
      },
      200,
      'content-type: a/b\r\nset-cookie: a\r\nset-cookie: b\r\n',
      'x',
    ],
    [
      'URLSearchParams',
      () => new Response(new URLSearchParams({ a: '1' })),
      200,
      'content-type: application/x-www-form-urlencoded;charset=UTF-8\r\n',
      'a=1',
    ],
    ['a Blob', () => new Response(new Blob(['hi'], { type: 'a/b' })), 200, 'content-type: a/b\r\n', 'hi'],
    ['a short stream', () => new Response(new Blob(['hi']).stream()), 200, '', 'hi'],
    ['an empty stream', () => new Response(new Blob([]).stream()), 200, '', ''],
    [
      'an async iterable',
      () =>
        new Response(
          (async function* () {
            yield encode('h');
          })(),
        ),
      200,
      '',
      'h',
    ],
    [
      'a global Response',
      () => new globalThis.Response('hi', { status: 201, headers: { a: '1' } }),
      201,
      'a: 1\r\ncontent-type: text/plain;charset=UTF-8\r\n',
      'hi',
    ],
    [
      'a promise of a global Response',
      async () => globalThis.Response.json([1]),
      200,
      'content-type: application/json\r\n',
      '[1]',
    ],
    ['a global Response without a body', () => new globalThis.Response(null, { status: 304 }), 304, '', ''],
    [
      'a content-length that is not the length',
      () => new Response('four', { headers: { 'content-length': '9' } }),
      200,
      'content-type: text/plain;charset=UTF-8\r\n',
      'four',
    ],
  ])('with %s', async (_case, handler, status, block, text) => {
    const { exchange, errors } = await answered(handler);
    expect(errors).toEqual([]);
    expect(exchange.calls).toEqual(['respond']);
    expect([exchange.status, exchange.block, exchange.text]).toEqual([status, block, text]);
  });

  it('with a form', async () => {
    const form = new FormData();
    form.append('a', '1');
    const { exchange } = await answered(() => new Response(form));
    const boundary = /^content-type: multipart\/form-data; boundary=(.+)\r\n$/.exec(exchange.block)?.[1] as string;
    expect(exchange.text).toContain(`--${boundary}\r\n`);
  });

  it('with a status text', () => {
    expect(run(() => new Response('', { status: 299, statusText: 'Fine' })).exchange.reason).toBe('Fine');
  });

  it('with the same text twice', () => {
    const response = new Response('again');
    expect(run(() => response).exchange.text).toBe('again');
    expect(run(() => response).exchange.text).toBe('again');
  });

  it('with the length of a HEAD answer, by start and end', () => {
    const { exchange } = run(() => new Response(null, { headers: { 'content-length': '5' } }), { method: 'HEAD' });
    expect([exchange.calls, exchange.contentLength]).toEqual([['start', 'end'], 5]);
    expect(run(() => new Response('hello'), { method: 'HEAD' }).exchange.calls).toEqual(['respond']);
  });

  it('with a stream to HEAD, which is cancelled', () => {
    const cancel = vi.fn();
    const { exchange } = run(() => new Response(new ReadableStream({ cancel })), { method: 'HEAD' });
    expect(exchange.calls).toEqual(['start', 'end']);
    expect(cancel).toHaveBeenCalled();
  });
});

describe('a streamed response', () => {
  it('goes out as it comes', async () => {
    let controller!: ReadableStreamDefaultController;
    const { exchange } = run(
      () =>
        new Response(
          new ReadableStream({
            start: (given) => {
              controller = given;
            },
          }),
        ),
    );
    controller.enqueue(encode('one'));
    await exchange.until(() => exchange.chunks.length === 1);
    expect([exchange.calls, exchange.contentLength]).toEqual([['start', 'write'], -1]);
    controller.enqueue(encode('two'));
    await exchange.until(() => exchange.chunks.length === 2);
    controller.close();
    await exchange.over();
    expect([exchange.text, exchange.calls.at(-1)]).toEqual(['onetwo', 'end']);
  });

  it('waits where the client does not read', async () => {
    let pulls = 0;
    const stream = new ReadableStream(
      {
        pull(controller) {
          pulls++;
          controller.enqueue(encode('x'));
        },
      },
      { highWaterMark: 0 },
    );
    const exchange = new FakeExchange();
    exchange.writeResult = false;
    run(() => new Response(stream), exchange);
    await exchange.until(() => exchange.chunks.length === 1);
    await turn();
    expect([exchange.chunks.length, pulls]).toEqual([1, 2]);
    exchange.becomeWritable();
    await exchange.until(() => exchange.chunks.length >= 3);
    exchange.abort('client');
  });

  it('keeps to a known length', async () => {
    const make =
      (length: string, ...parts: string[]) =>
      () =>
        new Response(
          (async function* () {
            for (const part of parts) {
              yield encode(part);
            }
          })(),
          { headers: { 'content-length': length } },
        );
    const right = await answered(make('4', 'ab', 'cd'));
    expect([right.exchange.calls, right.exchange.contentLength, right.errors]).toEqual([
      ['start', 'write', 'write', 'end'],
      4,
      [],
    ]);
    for (const handler of [make('3', 'ab', 'cd'), make('5', 'ab', 'cd')]) {
      const { exchange, errors } = await answered(handler);
      expect(exchange.destroyed).toBe(true);
      expect(errors[0]?.error).toMatchObject({ code: 'ERR_GAMMALOOP_RESPONSE' });
    }
  });

  it('sends a large Blob with its length', async () => {
    const { exchange } = await answered(() => new Response(new Blob([Buffer.alloc(600_000, 'x')])));
    expect([exchange.contentLength, exchange.text.length, exchange.calls.at(-1)]).toEqual([600_000, 600_000, 'end']);
  });

  it('that fails before anything was sent is answered 500', async () => {
    const failure = new Error('broken');
    const { exchange, errors } = await answered(
      () => new Response(new ReadableStream({ pull: () => Promise.reject(failure) })),
    );
    expect([exchange.status, exchange.text, errors[0]?.error]).toEqual([500, 'Internal Server Error', failure]);
  });

  it('that fails in the middle is cut, and reported', async () => {
    let controller!: ReadableStreamDefaultController;
    const { exchange, errors, app } = run(
      () =>
        new Response(
          new ReadableStream({
            start: (given) => {
              controller = given;
            },
          }),
        ),
    );
    controller.enqueue(encode('one'));
    await exchange.until(() => exchange.chunks.length === 1);
    controller.error(new Error('broken'));
    await exchange.over();
    expect([exchange.destroyed, exchange.responseEnded, app.handlerErrors]).toEqual([true, false, 1]);
    expect(errors[0]?.error).toMatchObject({ message: 'broken' });
  });

  it('that gives a chunk of a wrong type is cut', async () => {
    const { exchange, errors } = await answered(
      () =>
        new Response(
          new ReadableStream({
            start(c) {
              c.enqueue('a');
              c.enqueue('b');
              c.enqueue(5);
            },
          }),
        ),
    );
    expect(exchange.destroyed).toBe(true);
    expect(errors[0]?.error).toBeInstanceOf(TypeError);
  });

  it('is cancelled when the client goes, and that is no error', async () => {
    const cancel = vi.fn();
    const { exchange, errors } = run(
      () =>
        new Response(
          new ReadableStream({
            start: (c) => {
              c.enqueue(encode('one'));
            },
            cancel,
          }),
        ),
    );
    await exchange.until(() => exchange.chunks.length === 1);
    exchange.abort('client');
    expect(cancel).toHaveBeenCalledWith(expect.objectContaining({ code: 'ERR_GAMMALOOP_CLIENT_GONE' }));
    await turn();
    expect(errors).toEqual([]);
  });

  it('is cancelled when the client goes before its first chunk, and while it does not read', async () => {
    const early = vi.fn();
    const silent = run(() => new Response(new ReadableStream({ cancel: early })));
    silent.exchange.abort('client');
    await turn();
    await turn();
    expect(early).toHaveBeenCalled();

    const late = vi.fn();
    const exchange = new FakeExchange();
    exchange.writeResult = false;
    run(() => new Response(new ReadableStream({ pull: (c) => c.enqueue(encode('x')), cancel: late })), exchange);
    await exchange.until(() => exchange.chunks.length === 1);
    exchange.abort('client');
    expect(late).toHaveBeenCalled();
  });

  it('that is at hand is sent to a client that closed its sending side', async () => {
    const exchange = new FakeExchange();
    exchange.abort('client');
    await answered(() => new Response(new Blob(['hi']).stream()), exchange);
    await exchange.until(() => exchange.responseEnded);
    expect(exchange.text).toBe('hi');
  });

  it('returns an async generator that is given up', async () => {
    let isReturned = false;
    const { exchange } = run(
      () =>
        new Response(
          (async function* () {
            try {
              for (;;) {
                yield encode('x');
                await turn();
              }
            } finally {
              isReturned = true;
            }
          })(),
        ),
    );
    await exchange.until(() => exchange.chunks.length >= 2);
    exchange.abort('client');
    await turn();
    await turn();
    expect(isReturned).toBe(true);
  });

  it('echoes a streamed request', async () => {
    const { exchange } = run((request: Request) => new Response(request.body), { method: 'POST', streamed: true });
    await exchange.until(() => exchange.sink !== null);
    exchange.feed('one');
    await exchange.until(() => exchange.chunks.length === 1);
    exchange.feed('two');
    exchange.feedEnd();
    await exchange.over();
    expect(exchange.text).toBe('onetwo');
    expect(exchange.consumedBytes).toBeGreaterThanOrEqual(3);
  });
});

describe('a handler that fails', () => {
  const secret = new Error('secret');

  it.each<[string, () => unknown]>([
    [
      'by throwing',
      () => {
        throw secret;
      },
    ],
    ['by rejecting', () => Promise.reject(secret)],
  ])('%s, is answered 500 without detail and reported', async (_case, handler) => {
    const { exchange, errors, app } = await answered(handler, {
      target: '/x?y',
      headers: ['Host', 'h', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
    });
    expect([exchange.status, exchange.block, exchange.text]).toEqual([
      500,
      'content-type: text/plain\r\n',
      'Internal Server Error',
    ]);
    expect(errors).toEqual([
      {
        error: secret,
        info: {
          method: 'GET',
          url: 'http://h/x?y',
          traceId: '0af7651916cd43dd8448eb211c80319c',
          remoteAddress: '127.0.0.1',
        },
      },
    ]);
    expect(app.handlerErrors).toBe(1);
  });

  it.each<[string, () => unknown]>([
    ['undefined', () => undefined],
    ['null', () => null],
    ['a string', () => 'text'],
    ['an object', () => ({ status: 200 })],
    ['a promise of nothing', async () => {}],
    ['Response.error()', () => Response.error()],
    ['the global Response.error()', () => globalThis.Response.error()],
    [
      'a used Response',
      async () => {
        const response = new Response('x');
        await response.text();
        return response;
      },
    ],
    [
      'a used global Response',
      async () => {
        const response = new globalThis.Response('x');
        await response.text();
        return response;
      },
    ],
    [
      'a locked Response',
      () => {
        const response = new Response('x');
        response.body?.getReader();
        return response;
      },
    ],
    [
      'a locked global Response',
      () => {
        const response = new globalThis.Response('x');
        response.body?.getReader();
        return response;
      },
    ],
    ['a Class', () => Response],
  ])('by giving %s, gets a coded error in the hook', async (_case, handler) => {
    const { exchange, errors } = await answered(handler);
    expect(exchange.status).toBe(500);
    expect(errors[0]?.error).toMatchObject({ code: 'ERR_GAMMALOOP_RESPONSE' });
  });

  it('by a content-length that is none, is answered 500', async () => {
    const { exchange, errors } = await answered(() => new Response('x', { headers: { 'content-length': 'many' } }));
    expect(exchange.status).toBe(500);
    expect(errors[0]?.error).toMatchObject({ code: 'ERR_GAMMALOOP_HEADER' });
  });

  it('with a stream sent twice, fails the second time', async () => {
    const response = new Response(new Blob(['x']).stream());
    expect((await answered(() => response)).exchange.status).toBe(200);
    expect((await answered(() => response)).exchange.status).toBe(500);
  });

  it('because its request was aborted, is not reported', async () => {
    const { exchange, errors } = run(
      (request: Request) =>
        new Promise((_resolve, reject) => {
          request.signal.addEventListener('abort', () => reject(request.signal.reason));
        }),
    );
    exchange.abort('client');
    await turn();
    expect(errors).toEqual([]);
  });

  it('for another reason after an abort, is reported', async () => {
    const { exchange, errors } = run(async () => {
      await turn();
      throw secret;
    });
    exchange.abort('client');
    await turn();
    await turn();
    expect(errors.length).toBe(1);
  });

  it('prints by default: one line, and the stack', async () => {
    const print = vi.spyOn(console, 'error').mockImplementation(() => {});
    const app = new FetchApp(() => {
      throw secret;
    });
    app.handle(new FakeExchange({ target: '/x' }));
    expect(print).toHaveBeenCalledWith(
      expect.stringMatching(
        /^gammaloop: error in the handler of GET http:\/\/example\.test\/x \(trace [0-9a-f]{32}\)\nError: secret\n/,
      ),
    );
  });

  it('survives a hook that fails', async () => {
    const print = vi.spyOn(console, 'error').mockImplementation(() => {});
    for (const onError of [
      () => {
        throw new Error('hook');
      },
      async () => {
        throw new Error('hook');
      },
    ]) {
      const exchange = run(
        () => {
          throw secret;
        },
        {},
        { onError },
      ).exchange;
      await turn();
      expect(exchange.status).toBe(500);
    }
    expect(print).toHaveBeenCalledTimes(2);
  });

  it.each([undefined, null, 0, 'text', Object.create(null)])('may throw %s', async (thrown) => {
    const print = vi.spyOn(console, 'error').mockImplementation(() => {});
    const app = new FetchApp(() => {
      throw thrown;
    });
    const exchange = new FakeExchange();
    app.handle(exchange);
    expect([exchange.status, print.mock.calls.length]).toEqual([500, 1]);
  });
});

describe('ctx', () => {
  it('tells what it knows, when asked', () => {
    let ctx!: FetchContext;
    let request!: Request;
    const { exchange } = run((given: Request, second: FetchContext) => {
      request = given;
      ctx = second;
      return new Response('');
    });
    expect(ctx.remoteAddress).toBe('127.0.0.1');
    expect(ctx.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(ctx.traceId).toBe(ctx.traceId);
    expect(ctx.deadline).toBeNull();
    expect(ctx.signal).toBe(request.signal);
    expect(exchange.responseEnded).toBe(true);
  });

  it('has the deadline of timeouts.handler, and the same trace id as the hook', () => {
    let ctx!: FetchContext;
    const before = performance.now();
    const { errors } = run(
      (_request: Request, given: FetchContext) => {
        ctx = given;
        void ctx.traceId;
        throw new Error('x');
      },
      {},
      { handlerTimeout: 5000 },
    );
    expect(ctx.deadline).toBeGreaterThanOrEqual(before + 5000);
    expect(ctx.deadline).toBeLessThanOrEqual(performance.now() + 5000);
    expect(errors[0]?.info.traceId).toBe(ctx.traceId);
  });
});
