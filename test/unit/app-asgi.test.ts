import { describe, expect, it } from 'vitest';
import { AsgiApp, type AsgiApplication } from '../../lib/app/asgi-app.js';
import { decodePath, type HttpScope } from '../../lib/app/asgi-scope.js';
import { FakeExchange, type FakeRequest, turn, UNIX_PEER } from '../support/fake-exchange.js';

type Message = Record<string, unknown> & { type: string };
type Receive = () => Promise<Message>;
type Send = (message: unknown) => Promise<void>;

interface Run {
  exchange: FakeExchange;
  app: AsgiApp;
  errors: unknown[];
}

function run(
  application: (scope: HttpScope, receive: Receive, send: Send) => unknown,
  request: FakeRequest | FakeExchange = {},
): Run {
  const errors: unknown[] = [];
  const app = new AsgiApp(application as AsgiApplication, { onError: (error) => errors.push(error) });
  const exchange = request instanceof FakeExchange ? request : new FakeExchange(request);
  app.handle(exchange);
  return { exchange, app, errors };
}

async function answered(...args: Parameters<typeof run>): Promise<Run> {
  const result = run(...args);
  await result.exchange.over();
  await turn();
  return result;
}

function scopeOf(request: FakeRequest): HttpScope {
  let seen!: HttpScope;
  run((scope) => {
    seen = scope;
  }, request);
  return seen;
}

const START = { type: 'http.response.start', status: 200 };
const BODY = { type: 'http.response.body', body: Buffer.from('hello') };

describe('the http scope', () => {
  it('has the keys of the specification', () => {
    const scope = scopeOf({
      method: 'POST',
      target: '/a%20b/%C3%A4?q=%20&r',
      headers: ['Host', 'h', 'X-A', '1', 'x-a', 'ä'],
    });
    const { headers, ...rest } = scope;
    expect(rest).toEqual({
      type: 'http',
      asgi: { version: '3.0', spec_version: '2.5' },
      http_version: '1.1',
      method: 'POST',
      scheme: 'http',
      path: '/a b/ä',
      raw_path: Buffer.from('/a%20b/%C3%A4'),
      query_string: Buffer.from('q=%20&r'),
      root_path: '',
      client: ['127.0.0.1', 50000],
      server: ['127.0.0.1', 3000],
      state: {},
      extensions: { 'http.response.trailers': {} },
    });
    expect(headers.length).toBe(3);
    expect([...headers].map(([name, value]) => [name.toString('latin1'), value.toString('latin1')])).toEqual([
      ['host', 'h'],
      ['x-a', '1'],
      ['x-a', 'ä'],
    ]);
  });

  it('may be spread and changed', () => {
    const scope = scopeOf({ target: '/x' });
    const copy = { ...scope, path: '/mounted' };
    expect([copy.type, copy.path, copy.method, [...copy.headers].length]).toEqual(['http', '/mounted', 'GET', 1]);
    expect(scope.path).toBe('/x');
  });

  it('does not read headers before they are asked for', () => {
    const { exchange } = run(() => {});
    expect(exchange.rawHeaderReads).toBe(0);
  });

  it('has no addresses on a unix socket', () => {
    const scope = scopeOf({ peer: UNIX_PEER });
    expect([scope.client, scope.server]).toEqual([null, null]);
  });

  it.each([
    ['/', '/', ''],
    ['/a?', '/a', ''],
    ['http://h.test/a?b', '/a', 'b'],
    ['http://h.test', '/', ''],
    ['http://h.test?b', '/', 'b'],
    ['*', '*', ''],
  ])('splits %s', (target, path, query) => {
    const scope = scopeOf({ target });
    expect([scope.path, scope.raw_path.toString(), scope.query_string.toString()]).toEqual([path, path, query]);
  });

  it.each([
    ['/%41%zz%4', '/A%zz%4'],
    ['/%C3%A4', '/ä'],
    ['/\xc3\xa4', '/ä'],
    ['/%FF', '/\ufffd'],
    ['/%2F%25', '//%'],
    ['/%', '/%'],
  ])('decodes %s', (raw, path) => {
    expect(decodePath(raw)).toBe(path);
  });
});

describe('send', () => {
  it('answers head and body in one', async () => {
    const { exchange, errors } = await answered(async (_scope, _receive, send) => {
      const started = send({
        ...START,
        headers: [
          [Buffer.from('content-type'), Buffer.from('text/x')],
          ['set-cookie', 'a'],
          ['set-cookie', 'b'],
          ['transfer-encoding', 'chunked'],
        ],
      });
      const sent = send(BODY);
      expect(started).toBe(sent);
      await sent;
    });
    expect(errors).toEqual([]);
    expect([exchange.calls, exchange.status, exchange.block, exchange.text]).toEqual([
      ['respond'],
      200,
      'content-type: text/x\r\nset-cookie: a\r\nset-cookie: b\r\n',
      'hello',
    ]);
  });

  it('takes a Uint8Array, text, an empty body, any iterable of headers, and an application that is not async', () => {
    const cases: [unknown, string][] = [
      [new Uint8Array([104]), 'h'],
      ['ä', 'ä'],
      [undefined, ''],
    ];
    for (const [body, text] of cases) {
      const { exchange, errors } = run((_scope, _receive, send) => {
        void send({ ...START, headers: new Map([['a', '1']]) });
        void send({ type: 'http.response.body', body });
      });
      expect([exchange.text, exchange.block, errors]).toEqual([text, 'a: 1\r\n', []]);
    }
  });

  it('streams with backpressure', async () => {
    const exchange = new FakeExchange();
    exchange.writeResult = false;
    let sent = 0;
    run(async (_scope, _receive, send) => {
      await send(START);
      for (let i = 0; i < 3; i++) {
        await send({ ...BODY, more_body: true });
        sent++;
      }
      await send({ type: 'http.response.body' });
    }, exchange);
    await exchange.until(() => exchange.chunks.length === 1);
    await turn();
    expect([sent, exchange.calls]).toEqual([0, ['start', 'write']]);
    exchange.becomeWritable();
    await exchange.over();
    expect([exchange.text, exchange.calls.at(-1), exchange.contentLength]).toEqual(['hellohellohello', 'end', -1]);
  });

  it('keeps to a content-length', async () => {
    const make =
      (length: string, ...bodies: string[]) =>
      async (_scope: HttpScope, _receive: Receive, send: Send) => {
        await send({ ...START, headers: [['content-length', length]] });
        for (const [index, body] of bodies.entries()) {
          await send({ type: 'http.response.body', body, more_body: index < bodies.length - 1 });
        }
      };
    const right = await answered(make('4', 'ab', 'cd'));
    expect([right.errors, right.exchange.contentLength, right.exchange.calls.at(-1)]).toEqual([[], 4, 'end']);
    expect((await answered(make('2', 'ab'))).exchange.calls).toEqual(['respond']);
    const short = await answered(make('3', 'ab'));
    expect([short.exchange.status, short.errors]).toEqual([
      500,
      [expect.objectContaining({ code: 'ERR_GAMMALOOP_ASGI' })],
    ]);
    const long = await answered(make('3', 'ab', 'cd'));
    expect([long.exchange.destroyed, long.errors.length]).toEqual([true, 1]);
  });

  it('announces a length to HEAD without a body', async () => {
    const { exchange } = await answered(
      async (_scope, _receive, send) => {
        await send({ ...START, headers: [['content-length', '100']] });
        await send({ type: 'http.response.body' });
      },
      { method: 'HEAD' },
    );
    expect([exchange.calls, exchange.contentLength]).toEqual([['start', 'end'], 100]);
  });

  it('sends trailers that were announced', async () => {
    const { exchange, errors } = await answered(async (_scope, _receive, send) => {
      await send({ ...START, trailers: true });
      await send(BODY);
      await send({ type: 'http.response.trailers', headers: [['x-a', '1']], more_trailers: true });
      await send({ type: 'http.response.trailers', headers: [['x-b', '2']] });
    });
    expect([errors, exchange.calls, exchange.trailers]).toEqual([
      [],
      ['start', 'write', 'end'],
      'x-a: 1\r\nx-b: 2\r\n',
    ]);
  });

  it('ignores messages after the response', async () => {
    const { exchange, errors } = await answered(async (_scope, _receive, send) => {
      await send(START);
      await send(BODY);
      await send(BODY);
      await send(START);
    });
    expect([exchange.calls, errors]).toEqual([['respond'], []]);
  });

  it.each<[string, unknown[]]>([
    ['a body before the start', [BODY]],
    ['two starts', [START, START]],
    ['an unknown type', [{ type: 'http.response.push' }]],
    ['no type', [{}]],
    ['no message', [undefined]],
    ['a status that is none', [{ ...START, status: '200' }]],
    ['an informational status', [{ ...START, status: 100 }]],
    ['headers that are no iterable', [{ ...START, headers: { a: '1' } }]],
    ['a header that is no pair', [{ ...START, headers: [['a']] }]],
    ['a header value that is no bytes', [{ ...START, headers: [['a', 5]] }]],
    ['CR LF in a header', [{ ...START, headers: [['a', Buffer.from('1\r\nb: 2')]] }]],
    ['a body that is no bytes', [START, { type: 'http.response.body', body: {} }]],
    ['trailers that were not announced', [START, { ...BODY, more_body: true }, { type: 'http.response.trailers' }]],
    [
      'trailers before the end of the body',
      [{ ...START, trailers: true }, { ...BODY, more_body: true }, { type: 'http.response.trailers' }],
    ],
    ['a body after the last one', [{ ...START, trailers: true }, BODY, BODY]],
  ])('throws in the application for %s', async (_case, messages) => {
    let caught: unknown;
    const { exchange } = await answered(async (_scope, _receive, send) => {
      for (const message of messages) {
        try {
          await send(message);
        } catch (error) {
          caught = error;
          throw error;
        }
      }
    });
    expect(caught).toMatchObject({ code: 'ERR_GAMMALOOP_ASGI' });
    expect(exchange.status === 500 || exchange.destroyed).toBe(true);
  });

  it('rejects streaming on after a disconnect; unawaited, that harms nobody', async () => {
    let caught: unknown;
    const { exchange, errors } = run(async (_scope, _receive, send) => {
      await send(START);
      await send({ ...BODY, more_body: true });
      await turn();
      void send({ ...BODY, more_body: true });
      try {
        await send({ ...BODY, more_body: true });
      } catch (error) {
        caught = error;
        throw error;
      }
    });
    await exchange.until(() => exchange.chunks.length === 1);
    exchange.abort('client');
    await turn();
    await turn();
    expect(caught).toMatchObject({ code: 'ERR_GAMMALOOP_CLIENT_GONE' });
    expect(errors).toEqual([]);
  });

  it('answers a client that closed its sending side', async () => {
    const exchange = new FakeExchange();
    run(async (_scope, receive, send) => {
      expect((await receive()).type).toBe('http.request');
      await turn();
      await send(START);
      await send(BODY);
    }, exchange);
    exchange.abort('client');
    await exchange.until(() => exchange.responseEnded);
    expect(exchange.text).toBe('hello');
  });

  it('ends waiting for the client when it goes', async () => {
    const exchange = new FakeExchange();
    exchange.writeResult = false;
    let isOver = false;
    run(async (_scope, _receive, send) => {
      await send(START);
      await send({ ...BODY, more_body: true });
      isOver = true;
    }, exchange);
    await exchange.until(() => exchange.chunks.length === 1);
    exchange.abort('client');
    await turn();
    expect(isOver).toBe(true);
  });
});

describe('an application that does not answer', () => {
  it.each<[string, (scope: HttpScope, receive: Receive, send: Send) => unknown]>([
    ['returns', () => {}],
    ['resolves', async () => {}],
    [
      'stops after the start',
      async (_scope, _receive, send) => {
        await send(START);
      },
    ],
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
      'rejects after the start',
      async (_scope, _receive, send) => {
        await send(START);
        throw new Error('secret');
      },
    ],
  ])('and %s, is answered 500 and reported', async (_case, application) => {
    const { exchange, errors, app } = await answered(application);
    expect([exchange.status, exchange.text, errors.length, app.handlerErrors]).toEqual([
      500,
      'Internal Server Error',
      1,
      1,
    ]);
  });

  it('to its end, is cut', async () => {
    const { exchange, errors } = await answered(async (_scope, _receive, send) => {
      await send(START);
      await send({ ...BODY, more_body: true });
    });
    expect([exchange.destroyed, errors.length]).toEqual([true, 1]);
  });

  it('fails after its answer, only reported', async () => {
    const { exchange, errors } = await answered(async (_scope, _receive, send) => {
      await send(START);
      await send(BODY);
      throw new Error('late');
    });
    expect([exchange.calls, errors.length]).toEqual([['respond'], 1]);
  });
});

describe('receive', () => {
  it('gives the body, then waits for the end', async () => {
    const seen: Message[] = [];
    await answered(
      async (_scope, receive, send) => {
        seen.push(await receive());
        const next = receive().then((message) => seen.push(message));
        await turn();
        expect(seen.length).toBe(1);
        await send(START);
        await send(BODY);
        await next;
        seen.push(await receive());
      },
      { method: 'POST', body: 'abc' },
    );
    expect(seen).toEqual([
      { type: 'http.request', body: Buffer.from('abc'), more_body: false },
      { type: 'http.disconnect' },
      { type: 'http.disconnect' },
    ]);
  });

  it('gives an empty body where there is none', async () => {
    let message: unknown;
    await answered(async (_scope, receive, send) => {
      message = await receive();
      await send(START);
      await send(BODY);
    });
    expect(message).toEqual({ type: 'http.request', body: Buffer.alloc(0), more_body: false });
  });

  it('gives a streamed body in parts, acknowledging each when the next is asked for', async () => {
    const seen: Message[] = [];
    const { exchange } = run(
      async (_scope, receive, send) => {
        for (;;) {
          const message = await receive();
          seen.push(message);
          if (message.more_body !== true) {
            break;
          }
        }
        await send(START);
        await send(BODY);
      },
      { method: 'POST', streamed: true },
    );
    expect(exchange.calls).toEqual(['readBody']);
    exchange.feed('one');
    exchange.feed('two');
    await exchange.until(() => exchange.consumedBytes === 6);
    exchange.feedEnd();
    await exchange.over();
    expect(seen.map((message) => [String(message.body), message.more_body])).toEqual([
      ['one', true],
      ['two', true],
      ['', false],
    ]);
  });

  it('marks the last part where its end is known', async () => {
    const exchange = new FakeExchange({ method: 'POST', streamed: true });
    const seen: Message[] = [];
    run(async (_scope, receive, send) => {
      const first = receive();
      await turn();
      seen.push(await first, await receive());
      await send(START);
      await send(BODY);
    }, exchange);
    exchange.feed('one');
    exchange.feed('two');
    exchange.feedEnd();
    await exchange.over();
    expect(seen.map((message) => [String(message.body), message.more_body])).toEqual([
      ['one', true],
      ['two', false],
    ]);
  });

  it('gives a disconnect when the client goes', async () => {
    for (const request of [{}, { method: 'POST', streamed: true }]) {
      const seen: unknown[] = [];
      const { exchange, errors } = run(async (_scope, receive) => {
        if (!exchangeHasBody(request)) {
          await receive();
        }
        seen.push(await receive(), await receive());
      }, request);
      await turn();
      exchange.abort('client');
      await turn();
      expect(seen).toEqual([{ type: 'http.disconnect' }, { type: 'http.disconnect' }]);
      expect(errors).toEqual([]);
    }
  });
});

function exchangeHasBody(request: FakeRequest): boolean {
  return request.streamed === true;
}

describe('lifespan', () => {
  it('starts before, shuts down after, and hands its state to requests as a copy', async () => {
    const log: string[] = [];
    const pool = {};
    const app = new AsgiApp(async (scope, receive, send) => {
      if (scope.type === 'lifespan') {
        expect(scope.asgi).toEqual({ version: '3.0', spec_version: '2.0' });
        log.push((await receive()).type);
        scope.state.pool = pool;
        await send({ type: 'lifespan.startup.complete' });
        log.push((await receive()).type);
        await send({ type: 'lifespan.shutdown.complete' });
        log.push('done');
        return;
      }
      expect(scope.state.pool).toBe(pool);
      expect(scope.state.own).toBeUndefined();
      scope.state.own = 1;
      await send(START);
      await send(BODY);
    });
    await app.startup();
    expect(log).toEqual(['lifespan.startup']);
    for (let i = 0; i < 2; i++) {
      const exchange = new FakeExchange();
      app.handle(exchange);
      await exchange.over();
      expect(exchange.status).toBe(200);
    }
    await app.shutdown();
    await turn();
    expect(log).toEqual(['lifespan.startup', 'lifespan.shutdown', 'done']);
    await Promise.all([app.startup(), app.shutdown()]);
  });

  it('that fails to start, refuses', async () => {
    const app = new AsgiApp(async (_scope, receive, send) => {
      await receive();
      await send({ type: 'lifespan.startup.failed', message: 'no database' });
    });
    await expect(app.startup()).rejects.toMatchObject({
      code: 'ERR_GAMMALOOP_LIFESPAN',
      message: expect.stringContaining('no database'),
    });
    await app.shutdown();
  });

  it.each<[string, AsgiApplication]>([
    [
      'throws',
      () => {
        throw new Error('no such scope');
      },
    ],
    [
      'rejects',
      async (scope) => {
        throw new Error(`no scope ${scope.type}`);
      },
    ],
    [
      'rejects after receiving',
      async (_scope, receive) => {
        await receive();
        throw new Error('x');
      },
    ],
    ['returns', async () => {}],
  ])('that is not supported (the application %s), is left out', async (_case, application) => {
    const errors: unknown[] = [];
    const app = new AsgiApp(application, { onError: (error) => errors.push(error) });
    await app.startup();
    await app.shutdown();
    expect(errors).toEqual([]);
  });

  it.each<[string, (send: Send) => unknown]>([
    ['fails', (send) => send({ type: 'lifespan.shutdown.failed', message: 'stuck' })],
    [
      'throws',
      () => {
        throw new Error('stuck');
      },
    ],
  ])('whose shutdown %s, is reported and lets go', async (_case, stop) => {
    const errors: unknown[] = [];
    const app = new AsgiApp(
      async (_scope, receive, send) => {
        await receive();
        await send({ type: 'lifespan.startup.complete' });
        await receive();
        await stop(send);
      },
      { onError: (error) => errors.push(error) },
    );
    await app.startup();
    await app.shutdown();
    expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining('stuck') })]);
  });

  it('waits for nobody where the application has returned already', async () => {
    const app = new AsgiApp(async (_scope, _receive, send) => {
      await send({ type: 'lifespan.startup.complete' });
    });
    await app.startup();
    await turn();
    await app.shutdown();
  });

  it('checks the order of messages', async () => {
    const seen: unknown[] = [];
    const app = new AsgiApp(async (_scope, _receive, send) => {
      for (const type of [
        'lifespan.shutdown.complete',
        'http.response.start',
        'lifespan.startup.complete',
        'lifespan.startup.complete',
      ]) {
        try {
          await send({ type });
        } catch (error) {
          seen.push(error);
        }
      }
    });
    await app.startup();
    await turn();
    expect(seen.length).toBe(3);
    for (const error of seen) {
      expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_ASGI' });
    }
  });
});
