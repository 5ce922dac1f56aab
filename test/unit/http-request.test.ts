import { describe, expect, it } from 'vitest';
import { AbortedError } from '../../lib/errors.js';
import { Request, requestOf } from '../../lib/http/request.js';
import { requestUrl } from '../../lib/http/request-url.js';
import { newTraceId, traceIdOf } from '../../lib/scope/trace-context.js';
import { FakeExchange, type FakeRequest, LOCAL_PEER, turn, UNIX_PEER } from '../support/fake-exchange.js';

function make(request: FakeRequest): { exchange: FakeExchange; request: Request } {
  const exchange = new FakeExchange(request);
  return { exchange, request: requestOf(exchange) };
}

const IMPLEMENTATIONS: [string, typeof globalThis.Request][] = [
  ['the global', globalThis.Request],
  ['ours', Request as unknown as typeof globalThis.Request],
];

describe.each(IMPLEMENTATIONS)('new Request: %s', (_name, RequestClass) => {
  it('takes url, method, headers and body', async () => {
    const request = new RequestClass('http://a.test/ä?b', { method: 'post', headers: { 'X-A': '1' }, body: 'text' });
    expect(request.url).toBe('http://a.test/%C3%A4?b');
    expect(request.method).toBe('POST');
    expect(request.headers.get('x-a')).toBe('1');
    expect(request.headers.get('content-type')).toBe('text/plain;charset=UTF-8');
    expect(request.bodyUsed).toBe(false);
    expect(await request.text()).toBe('text');
    expect(request.bodyUsed).toBe(true);
    await expect(request.text()).rejects.toThrow(TypeError);
  });

  it('moves the body of another request, and takes over the rest', async () => {
    const first = new RequestClass('http://a.test/', { method: 'PUT', headers: { a: '1' }, body: 'text' });
    const second = new RequestClass(first, { headers: { b: '2' } });
    expect([second.method, second.headers.get('a'), second.headers.get('b')]).toEqual(['PUT', null, '2']);
    expect(first.bodyUsed).toBe(true);
    expect(await second.text()).toBe('text');
    expect(() => new RequestClass(first)).toThrow(TypeError);
  });

  it('follows the signal given', () => {
    const controller = new AbortController();
    const request = new RequestClass('http://a.test/', { signal: controller.signal });
    const { signal } = request;
    expect(signal.aborted).toBe(false);
    controller.abort(new Error('stop'));
    expect(signal.aborted).toBe(true);
  });

  it('clones', async () => {
    const request = new RequestClass('http://a.test/', { method: 'POST', body: 'text' });
    const copy = request.clone();
    expect([await copy.text(), await request.text()]).toEqual(['text', 'text']);
  });

  it.each([
    ['a relative URL', () => new RequestClass('/a')],
    ['a body with GET', () => new RequestClass('http://a.test/', { body: 'x' })],
    ['a bad method', () => new RequestClass('http://a.test/', { method: 'a b' })],
    ['a bad header', () => new RequestClass('http://a.test/', { headers: { 'a b': '1' } })],
  ])('refuses %s', (_case, act) => {
    expect(act).toThrow(TypeError);
  });
});

describe('the request of an exchange', () => {
  it('is a Request, and reads nothing before it is asked', () => {
    const { exchange, request } = make({});
    expect(request).toBeInstanceOf(Request);
    expect(request).toBeInstanceOf(globalThis.Request);
    expect([exchange.headerReads, exchange.rawHeaderReads]).toEqual([0, 0]);
    expect(exchange.onAbort).toBeNull();
    expect(request.method).toBe('GET');
    expect(request.headers).toBe(request.headers);
    expect(request.signal).toBe(request.signal);
  });

  it('reads a body that has arrived, in each form', async () => {
    const body = '\ufeff{"a":1}';
    expect(await make({ method: 'POST', body }).request.json()).toEqual({ a: 1 });
    expect(await make({ method: 'POST', body }).request.text()).toBe('{"a":1}');
    expect((await make({ method: 'POST', body }).request.arrayBuffer()).byteLength).toBe(10);
    expect((await make({ method: 'POST', body }).request.blob()).size).toBe(10);
    const form = make({
      method: 'POST',
      body: 'a=1',
      headers: ['content-type', 'application/x-www-form-urlencoded'],
    }).request;
    expect((await form.formData()).get('a')).toBe('1');
    const { request } = make({ method: 'POST', body });
    await request.text();
    expect(request.bodyUsed).toBe(true);
    await expect(request.json()).rejects.toThrow(TypeError);
  });

  it('has no body where none was sent', async () => {
    const { request } = make({});
    expect(request.body).toBeNull();
    expect(await request.text()).toBe('');
    expect(request.bodyUsed).toBe(false);
    await expect(make({}).request.json()).rejects.toThrow(SyntaxError);
  });

  it('collects a streamed body without a stream, acknowledging each part', async () => {
    const { exchange, request } = make({ method: 'POST', streamed: true });
    const text = request.text();
    exchange.feed('hä');
    exchange.feed('llo');
    expect(exchange.consumedBytes).toBe(6);
    exchange.feedEnd();
    expect(await text).toBe('hällo');
  });

  it('asks for a streamed body at the first read, and acknowledges what was read', async () => {
    const { exchange, request } = make({ method: 'POST', streamed: true });
    const stream = request.body as ReadableStream<Uint8Array>;
    await turn();
    expect(exchange.calls).toEqual([]);
    const reader = stream.getReader();
    const first = reader.read();
    await exchange.until(() => exchange.sink !== null);
    exchange.feed('one');
    exchange.feed('two');
    expect(Buffer.from((await first).value as Uint8Array).toString()).toBe('one');
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toBe('two');
    const last = reader.read();
    await exchange.until(() => exchange.consumedBytes === 6);
    exchange.feedEnd();
    expect((await last).done).toBe(true);
    expect(request.bodyUsed).toBe(true);
  });

  it('does not acknowledge what nobody reads', async () => {
    const { exchange, request } = make({ method: 'POST', streamed: true });
    const reader = (request.body as ReadableStream<Uint8Array>).getReader();
    const first = reader.read();
    await exchange.until(() => exchange.sink !== null);
    exchange.feed('one');
    await first;
    exchange.feed('two');
    await turn();
    expect(exchange.consumedBytes).toBeLessThanOrEqual(3);
    await reader.cancel();
    exchange.feed('three');
    exchange.feedEnd();
  });

  it('fails reads with a coded error when the client goes', async () => {
    const collecting = make({ method: 'POST', streamed: true });
    const text = collecting.request.text();
    collecting.exchange.feed('x');
    collecting.exchange.abort('client');
    await expect(text).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BODY_ABORTED' });

    const streaming = make({ method: 'POST', streamed: true });
    const read = (streaming.request.body as ReadableStream).getReader().read();
    await streaming.exchange.until(() => streaming.exchange.sink !== null);
    streaming.exchange.abort('body-too-large');
    await expect(read).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BODY_TOO_LARGE' });
  });

  it.each(['client', 'handler-timeout', 'server-closing'] as const)('aborts the signal on %s', (reason) => {
    const { exchange, request } = make({});
    const { signal } = request;
    exchange.abort(reason);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBeInstanceOf(AbortedError);
    expect(signal.reason).toMatchObject({ reason });
    const late = requestOf(exchange);
    expect(late.signal.aborted).toBe(true);
  });

  it('clones before reading', async () => {
    const whole = make({ method: 'POST', body: 'text' }).request;
    const wholeCopy = whole.clone();
    expect([await whole.text(), await wholeCopy.text()]).toEqual(['text', 'text']);

    const { exchange, request } = make({ method: 'POST', streamed: true });
    const copy = request.clone();
    const texts = Promise.all([request.text(), copy.text()]);
    await exchange.until(() => exchange.sink !== null);
    exchange.feed('text');
    exchange.feedEnd();
    expect(await texts).toEqual(['text', 'text']);
    expect(copy.url).toBe(request.url);
  });

  it('becomes a new Request with changes', async () => {
    const { request } = make({ method: 'POST', body: 'text', headers: ['Host', 'h', 'X-A', '1'] });
    const changed = new Request(request, { headers: { 'x-b': '2' } });
    expect([changed.method, changed.url, changed.headers.get('x-b')]).toEqual(['POST', 'http://h/', '2']);
    expect(await changed.text()).toBe('text');
    expect(request.bodyUsed).toBe(true);
  });
});

describe('the URL of a request', () => {
  it.each<[FakeRequest, string]>([
    [{ target: '/' }, 'http://example.test/'],
    [{ target: '/a/b?c=d&e=%20' }, 'http://example.test/a/b?c=d&e=%20'],
    [{ target: '/.well-known/x' }, 'http://example.test/.well-known/x'],
    [{ target: '/a/../b' }, 'http://example.test/b'],
    [{ target: '/a/%2e%2E/b' }, 'http://example.test/b'],
    [{ target: '/a/.' }, 'http://example.test/a/'],
    [{ target: '//evil.test/x' }, 'http://example.test//evil.test/x'],
    [{ target: '/a b"<>`{}' }, 'http://example.test/a%20b%22%3C%3E%60%7B%7D'],
    [{ target: "/?'" }, 'http://example.test/?%27'],
    [{ target: '/a\\b' }, 'http://example.test/a/b'],
    [{ target: 'http://Other.test:80/x' }, 'http://other.test/x'],
    [{ target: '*', method: 'OPTIONS' }, 'http://example.test/'],
    [{ target: 'example.test:443', method: 'CONNECT' }, 'http://example.test:443/'],
    [{ headers: ['Host', 'EXAMPLE.test:80'] }, 'http://example.test/'],
    [{ headers: ['Host', 'example.test:80'], scheme: 'https' }, 'https://example.test:80/'],
    [{ headers: ['Host', '[::1]:8080'] }, 'http://[::1]:8080/'],
    [{ headers: [] }, 'http://127.0.0.1:3000/'],
    [{ headers: ['Host', ''] }, 'http://127.0.0.1:3000/'],
    [{ headers: [], peer: { ...LOCAL_PEER, localAddress: '::1' } }, 'http://[::1]:3000/'],
    [{ headers: [], peer: UNIX_PEER }, 'http://localhost/'],
    [{ headers: ['Host', 'user@evil.test'] }, 'http://127.0.0.1:3000/'],
    [{ headers: ['Host', 'a.test/path'] }, 'http://127.0.0.1:3000/'],
    [{ headers: ['Host', 'a b'] }, 'http://127.0.0.1:3000/'],
  ])('%j', (request, url) => {
    expect(requestUrl(new FakeExchange(request))).toBe(url);
  });

  it('is what URL makes of it, for generated targets', () => {
    const parts = [
      'a',
      '/',
      '.',
      '..',
      '%2e',
      '%',
      '%41',
      '?',
      '&',
      '=',
      "'",
      '"',
      '|',
      '^',
      '[',
      ']',
      '{',
      ' ',
      'ä',
      '\\',
      ';',
      '@',
      ':',
      '~',
    ];
    let seed = 7;
    for (let i = 0; i < 3000; i++) {
      let target = '/';
      for (let k = 0; k < 8; k++) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
        target += parts[(seed >> 8) % parts.length];
      }
      expect(requestUrl(new FakeExchange({ target }))).toBe(new URL(`http://example.test${target}`).href);
    }
  });
});

describe('trace ids', () => {
  const id = '0af7651916cd43dd8448eb211c80319c';
  it.each([
    [`00-${id}-b7ad6b7169203331-01`, id],
    [`01-${id}-b7ad6b7169203331-01-more`, id],
    [`00-${id}-b7ad6b7169203331-01-more`, null],
    [`ff-${id}-b7ad6b7169203331-01`, null],
    [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, null],
    [`00-${id}-${'0'.repeat(16)}-01`, null],
    [`00-${id.toUpperCase()}-b7ad6b7169203331-01`, null],
    ['', null],
  ])('%s', (traceparent, expected) => {
    expect(traceIdOf(traceparent)).toBe(expected);
  });

  it('are new each time', () => {
    const ids = new Set(Array.from({ length: 1000 }, newTraceId));
    expect(ids.size).toBe(1000);
    for (const one of ids) {
      expect(one).toMatch(/^[0-9a-f]{32}$/);
    }
  });
});
