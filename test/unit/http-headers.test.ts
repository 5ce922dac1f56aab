import { describe, expect, it } from 'vitest';
import { HEAD_CLOSE_FLAG, HEAD_HAS_CONNECTION_FLAG, HEAD_HAS_DATE_FLAG } from '../../lib/bridge/records.js';
import { encodeFields, encodeTrailers } from '../../lib/http/header-block.js';
import { encodeHeaders, Headers, headersOfExchange } from '../../lib/http/headers.js';
import { FakeExchange } from '../support/fake-exchange.js';

const IMPLEMENTATIONS: [string, typeof globalThis.Headers][] = [
  ['the global', globalThis.Headers],
  ['ours', Headers as unknown as typeof globalThis.Headers],
];

describe.each(IMPLEMENTATIONS)('Headers: %s', (_name, HeadersClass) => {
  it('lower-cases names, combines values, and keeps set-cookie apart', () => {
    const headers = new HeadersClass([
      ['B', '1'],
      ['a', '2'],
      ['b', '3'],
      ['Set-Cookie', 'x=1'],
      ['set-cookie', 'y=2'],
    ]);
    expect([...headers]).toEqual([
      ['a', '2'],
      ['b', '1, 3'],
      ['set-cookie', 'x=1'],
      ['set-cookie', 'y=2'],
    ]);
    expect(headers.get('B')).toBe('1, 3');
    expect(headers.get('Set-Cookie')).toBe('x=1, y=2');
    expect(headers.getSetCookie()).toEqual(['x=1', 'y=2']);
    expect([...headers.keys()]).toEqual(['a', 'b', 'set-cookie', 'set-cookie']);
    expect([...headers.values()]).toEqual(['2', '1, 3', 'x=1', 'y=2']);
  });

  it('sets over all values, deletes, tells what is there', () => {
    const headers = new HeadersClass({ A: '1' });
    headers.append('a', '2');
    headers.append('b', 'x');
    headers.set('A', '3');
    expect(headers.get('a')).toBe('3');
    headers.delete('A');
    expect(headers.has('a')).toBe(false);
    expect(headers.get('a')).toBeNull();
    expect(headers.has('B')).toBe(true);
  });

  it('joins cookie with a semicolon', () => {
    const headers = new HeadersClass([
      ['cookie', 'a=1'],
      ['Cookie', 'b=2'],
    ]);
    expect(headers.get('cookie')).toBe('a=1; b=2');
  });

  it('strips whitespace around values', () => {
    expect(new HeadersClass({ a: ' \t v w \r\n' }).get('a')).toBe('v w');
    expect(new HeadersClass({ a: '' }).get('a')).toBe('');
  });

  it('copies headers, also those of the other implementation', () => {
    const source = new HeadersClass({ a: '1' });
    const copies = [new Headers(source), new globalThis.Headers(source), new HeadersClass(source)];
    source.set('a', '2');
    for (const copy of copies) {
      expect(copy.get('a')).toBe('1');
    }
  });

  it('calls forEach with value, name and the headers', () => {
    const headers = new HeadersClass({ b: '2', a: '1' });
    const seen: unknown[] = [];
    const self = {};
    headers.forEach(function (this: unknown, value, name, all) {
      seen.push([value, name, all === headers, this === self]);
    }, self);
    expect(seen).toEqual([
      ['1', 'a', true, true],
      ['2', 'b', true, true],
    ]);
  });

  it('sees what is appended while iterating', () => {
    const headers = new HeadersClass({ a: '1' });
    const seen: string[] = [];
    for (const [name] of headers) {
      seen.push(name);
      if (name === 'a') {
        headers.append('b', '2');
      }
    }
    expect(seen).toEqual(['a', 'b']);
  });

  it.each([
    ['a name that is no token', () => new HeadersClass({ 'a b': '1' })],
    ['an empty name', () => new HeadersClass({ '': '1' })],
    ['a name outside ASCII', () => new HeadersClass().get('ä')],
    ['LF in a value', () => new HeadersClass({ a: '1\n2' })],
    ['CR in a value', () => new HeadersClass().append('a', '1\r2')],
    ['NUL in a value', () => new HeadersClass().set('a', '\0')],
    ['a value above latin1', () => new HeadersClass({ a: '\u0100' })],
    ['a pair of three', () => new HeadersClass([['a', 'b', 'c']] as never)],
    ['a string', () => new HeadersClass('a: b' as never)],
    ['null', () => new HeadersClass(null as never)],
    ['a missing value', () => (new HeadersClass().append as (name: string) => void)('a')],
    ['a symbol as a name', () => new HeadersClass({ [Symbol('a')]: '1' } as never)],
  ])('refuses %s with a TypeError', (_case, act) => {
    expect(act).toThrow(TypeError);
  });
});

describe('Headers', () => {
  it('is instanceof the global Headers, and prints its content', async () => {
    const headers = new Headers({ a: '1' });
    expect(headers).toBeInstanceOf(globalThis.Headers);
    expect(Object.prototype.toString.call(headers)).toBe('[object Headers]');
    expect((await import('node:util')).inspect(headers)).toBe("Headers { a: '1' }");
  });

  it('names the header in a coded error', () => {
    expect(() => new Headers({ 'x-thing': 'a\nb' })).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_HEADER', message: expect.stringContaining('x-thing') }),
    );
  });

  it('reads single fields of a request without making a list', () => {
    const exchange = new FakeExchange({
      headers: ['Host', 'h', 'X-A', ' 1 ', 'x-a', '2', 'Cookie', 'a=1', 'cookie', 'b=2'],
    });
    const headers = headersOfExchange(exchange);
    expect(headers.get('Host')).toBe('h');
    expect(headers.has('nothing')).toBe(false);
    expect(headers.get('cookie')).toBe('a=1; b=2');
    expect(exchange.rawHeaderReads).toBe(0);
    headers.append('x-b', '3');
    expect([...headers.keys()]).toEqual(['cookie', 'host', 'x-a', 'x-b']);
    expect(exchange.rawHeaderReads).toBe(1);
  });
});

describe('header block', () => {
  it('leaves framing out and keeps the rest in order', () => {
    const head = encodeFields([
      'A',
      '1',
      'Content-Length',
      '12',
      'Transfer-Encoding',
      'chunked',
      'Set-Cookie',
      'x',
      'set-cookie',
      'y',
    ]);
    expect(head.block).toBe('A: 1\r\nSet-Cookie: x\r\nset-cookie: y\r\n');
    expect(head.contentLength).toBe(12);
    expect(head.flags).toBe(0);
  });

  it.each([
    ['connection', 'close', HEAD_CLOSE_FLAG | HEAD_HAS_CONNECTION_FLAG],
    ['Connection', 'upgrade, Close', HEAD_CLOSE_FLAG | HEAD_HAS_CONNECTION_FLAG],
    ['Connection', 'keep-alive', HEAD_HAS_CONNECTION_FLAG],
    ['Connection', 'closed', HEAD_HAS_CONNECTION_FLAG],
    ['Date', 'now', HEAD_HAS_DATE_FLAG],
  ])('%s: %s sets flags', (name, value, flags) => {
    const head = encodeFields([name, value]);
    expect(head.flags).toBe(flags);
    expect(head.block).toBe(`${name}: ${value}\r\n`);
  });

  it.each([
    ['a b', '1'],
    ['a:', '1'],
    ['', '1'],
    ['a\r\nb', '1'],
    ['a', '\r'],
    ['a', '\n'],
    ['a', '1\r\nb: 2'],
    ['a', '\0'],
    ['a', '\u2028'],
    ['content-length', '-1'],
    ['content-length', '1, 2'],
    ['content-length', '1e3'],
    ['content-length', ''],
  ])('refuses %j: %j', (name, value) => {
    expect(() => encodeFields([name, value])).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_HEADER' }));
  });

  it('refuses two different lengths, and takes the same twice', () => {
    expect(() => encodeFields(['content-length', '1', 'Content-Length', '2'])).toThrow(/content-length/);
    expect(encodeFields(['content-length', '1', 'Content-Length', '1']).contentLength).toBe(1);
  });

  it('checks a value again after a valid one of the same name', () => {
    const headers = new Headers({ 'x-again': 'good' });
    expect(encodeHeaders(headers).block).toBe('x-again: good\r\n');
    expect(() => encodeFields(['x-again', 'good', 'x-again', 'bad\n'])).toThrow(/x-again/);
  });

  it('refuses framing fields in trailers', () => {
    expect(encodeTrailers(['X-Sum', '1'])).toBe('X-Sum: 1\r\n');
    expect(() => encodeTrailers(['Content-Length', '1'])).toThrow(/trailer/);
    expect(() => encodeTrailers(['x', '\r\n'])).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_HEADER' }));
  });
});
