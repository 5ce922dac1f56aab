import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/http/response.js';

type AnyResponse = typeof globalThis.Response;
const IMPLEMENTATIONS: [string, AnyResponse][] = [
  ['the global', globalThis.Response],
  ['ours', Response as unknown as AnyResponse],
];

function streamOf(...chunks: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(new TextEncoder().encode(chunk));
      }
      controller.close();
    },
  });
}

async function* generate(...chunks: string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    yield new TextEncoder().encode(chunk);
  }
}

function formOf(): FormData {
  const form = new FormData();
  form.append('a', '1');
  form.append('file', new Blob(['content'], { type: 'text/x' }), 'name.txt');
  return form;
}

describe.each(IMPLEMENTATIONS)('Response: %s', (_name, ResponseClass) => {
  it('has the standard defaults', () => {
    const response = new ResponseClass();
    expect(response.status).toBe(200);
    expect(response.ok).toBe(true);
    expect(response.statusText).toBe('');
    expect(response.type).toBe('default');
    expect(response.url).toBe('');
    expect(response.redirected).toBe(false);
    expect(response.body).toBeNull();
    expect(response.bodyUsed).toBe(false);
    expect([...response.headers]).toEqual([]);
    expect(Object.prototype.toString.call(response)).toBe('[object Response]');
  });

  it.each<[string, () => unknown, string | null, string]>([
    ['a string', () => 'häl\ud800lo', 'text/plain;charset=UTF-8', 'häl\ufffdlo'],
    ['an empty string', () => '', 'text/plain;charset=UTF-8', ''],
    ['a number', () => 12, 'text/plain;charset=UTF-8', '12'],
    ['bytes', () => new Uint8Array([104, 105]), null, 'hi'],
    ['a part of a buffer', () => new Uint8Array([0, 104, 105, 0]).subarray(1, 3), null, 'hi'],
    ['a DataView', () => new DataView(new Uint8Array([0, 104, 105]).buffer, 1), null, 'hi'],
    ['16-bit elements', () => new Uint16Array([0x6968]), null, 'hi'],
    ['an ArrayBuffer', () => new Uint8Array([104, 105]).buffer, null, 'hi'],
    ['a Blob with a type', () => new Blob(['hi'], { type: 'text/x' }), 'text/x', 'hi'],
    ['a Blob without a type', () => new Blob(['hi']), null, 'hi'],
    [
      'URLSearchParams',
      () => new URLSearchParams({ a: '1 2', b: 'ä' }),
      'application/x-www-form-urlencoded;charset=UTF-8',
      'a=1+2&b=%C3%A4',
    ],
    ['a stream', () => streamOf('h', 'i'), null, 'hi'],
    ['an async iterable', () => generate('h', 'i'), null, 'hi'],
  ])('takes %s, with its content-type', async (_case, body, type, text) => {
    const make = () => new ResponseClass(body() as BodyInit);
    expect(make().headers.get('content-type')).toBe(type);
    expect(await make().text()).toBe(text);
    expect(Buffer.from(await make().arrayBuffer()).toString()).toBe(text);
    expect(Buffer.from(await (make() as unknown as { bytes(): Promise<Uint8Array> }).bytes()).toString()).toBe(text);
    const blob = await make().blob();
    expect(await blob.text()).toBe(text);
    const reading = make();
    const parts: Buffer[] = [];
    for await (const part of reading.body as unknown as AsyncIterable<Uint8Array>) {
      expect(part).toBeInstanceOf(Uint8Array);
      parts.push(Buffer.from(part));
    }
    expect(Buffer.concat(parts).toString()).toBe(text);
    expect(reading.bodyUsed).toBe(true);
    await expect(reading.text()).rejects.toThrow(TypeError);
  });

  it('keeps a content-type that was given', () => {
    for (const headers of [
      { 'Content-Type': 'a/b' },
      [['content-type', 'a/b']],
      new Headers({ 'content-type': 'a/b' }),
    ]) {
      expect(new ResponseClass('x', { headers: headers as HeadersInit }).headers.get('content-type')).toBe('a/b');
    }
    expect(new ResponseClass(null, { headers: { a: '1' } }).headers.get('content-type')).toBeNull();
    expect([...new ResponseClass('x', { headers: { a: '1' } }).headers]).toEqual([
      ['a', '1'],
      ['content-type', 'text/plain;charset=UTF-8'],
    ]);
  });

  it('writes and reads forms', async () => {
    const response = new ResponseClass(formOf());
    expect(response.headers.get('content-type')).toMatch(/^multipart\/form-data; boundary=/);
    const form = await response.formData();
    expect(form.get('a')).toBe('1');
    expect(await (form.get('file') as File).text()).toBe('content');
    const encoded = await new ResponseClass(new URLSearchParams({ a: '1' })).formData();
    expect(encoded.get('a')).toBe('1');
    await expect(new ResponseClass('x').formData()).rejects.toThrow(TypeError);
  });

  it('takes the type of a blob from the headers', async () => {
    const blob = await new ResponseClass('x', { headers: { 'content-type': 'Text/X;A=B' } }).blob();
    expect(blob.type).toBe('text/x;a=b');
  });

  it('strips a BOM from text, not from bytes', async () => {
    expect(await new ResponseClass('\ufeffa').text()).toBe('a');
    expect(await new ResponseClass('\ufeff1').json()).toBe(1);
    expect((await new ResponseClass('\ufeffa').arrayBuffer()).byteLength).toBe(4);
  });

  it('rejects JSON that is none with a SyntaxError', async () => {
    await expect(new ResponseClass('{').json()).rejects.toThrow(SyntaxError);
    await expect(new ResponseClass().json()).rejects.toThrow(SyntaxError);
  });

  it('reads a body once', async () => {
    const response = new ResponseClass('x');
    expect(await response.text()).toBe('x');
    expect(response.bodyUsed).toBe(true);
    await expect(response.text()).rejects.toThrow(TypeError);
    expect(() => response.clone()).toThrow(TypeError);
    const empty = new ResponseClass();
    expect(await empty.text()).toBe('');
    expect(empty.bodyUsed).toBe(false);
    expect(await empty.text()).toBe('');
  });

  it('refuses a body whose stream is locked', async () => {
    const response = new ResponseClass(streamOf('x'));
    (response.body as ReadableStream).getReader();
    await expect(response.text()).rejects.toThrow(TypeError);
    expect(() => response.clone()).toThrow(TypeError);
    const stream = streamOf('x');
    stream.getReader();
    expect(() => new ResponseClass(stream)).toThrow(TypeError);
  });

  it('gives the same stream each time', () => {
    const response = new ResponseClass('x');
    expect(response.body).toBe(response.body);
    expect(response.body).toBeInstanceOf(ReadableStream);
  });

  it('clones', async () => {
    for (const body of ['xy', new Uint8Array([120, 121]), new Blob(['xy']), streamOf('x', 'y'), generate('x', 'y')]) {
      const response = new ResponseClass(body as BodyInit, { status: 201, statusText: 'Made', headers: { a: '1' } });
      const copy = response.clone();
      response.headers.set('a', '2');
      expect([copy.status, copy.statusText, copy.headers.get('a')]).toEqual([201, 'Made', '1']);
      expect(await copy.text()).toBe('xy');
      expect(await response.text()).toBe('xy');
    }
  });

  it('rejects with the error of a stream', async () => {
    const failure = new Error('broken');
    const response = new ResponseClass(new ReadableStream({ pull: () => Promise.reject(failure) }));
    await expect(response.text()).rejects.toBe(failure);
  });

  it('makes JSON, redirects and errors', async () => {
    const json = ResponseClass.json({ a: 1 }, { status: 201, headers: { x: 'y' } });
    expect([json.status, json.headers.get('content-type'), json.headers.get('x')]).toEqual([
      201,
      'application/json',
      'y',
    ]);
    expect(await json.json()).toEqual({ a: 1 });
    expect(ResponseClass.json(1).headers.get('content-type')).toBe('application/json');
    expect(ResponseClass.json(1, { headers: { 'content-type': 'a/b' } }).headers.get('content-type')).toBe('a/b');
    expect(() => ResponseClass.json(undefined)).toThrow(TypeError);

    const redirect = ResponseClass.redirect('http://a.test/ä', 307);
    expect([redirect.status, redirect.headers.get('location')]).toEqual([307, 'http://a.test/%C3%A4']);
    expect(ResponseClass.redirect(new URL('http://a.test')).status).toBe(302);
    expect(() => redirect.headers.set('a', '1')).toThrow(TypeError);
    expect(() => ResponseClass.redirect('http://a.test', 200)).toThrow(RangeError);
    expect(() => ResponseClass.redirect('/relative')).toThrow(TypeError);

    const error = ResponseClass.error();
    expect([error.type, error.status, error.ok, error.body]).toEqual(['error', 0, false, null]);
    expect(() => error.headers.set('a', '1')).toThrow(TypeError);
  });

  it.each([
    ['status 199', () => new ResponseClass('', { status: 199 }), RangeError],
    ['status 600', () => new ResponseClass('', { status: 600 }), RangeError],
    ['status 101', () => new ResponseClass(null, { status: 101 }), RangeError],
    ['a status that is no number', () => new ResponseClass('', { status: 'x' as never }), RangeError],
    ['a body with 204', () => new ResponseClass('', { status: 204 }), TypeError],
    ['a body with 304', () => new ResponseClass('x', { status: 304 }), TypeError],
    ['a body with 205', () => new ResponseClass('x', { status: 205 }), TypeError],
    ['CR LF in statusText', () => new ResponseClass('', { statusText: 'a\r\nb' }), TypeError],
    ['statusText above latin1', () => new ResponseClass('', { statusText: '\u0100' }), TypeError],
    ['a bad header name', () => new ResponseClass('', { headers: { 'a b': '1' } }), TypeError],
    ['a bad header value', () => new ResponseClass('', { headers: { a: '1\r\nb: 2' } }), TypeError],
    ['a bad only header value', () => new ResponseClass(null, { headers: { 'content-type': 'a\nb' } }), TypeError],
    ['a bad value among several', () => new ResponseClass('', { headers: { a: '1', b: '\0' } }), TypeError],
    ['an init that is no object', () => new ResponseClass('', 5 as never), TypeError],
  ])('refuses %s', (_case, act, kind) => {
    expect(act).toThrow(kind);
  });

  it('converts what WebIDL converts', () => {
    expect(new ResponseClass('', { status: '201' as never }).status).toBe(201);
    expect(new ResponseClass('', { status: 201.9 }).status).toBe(201);
    expect(new ResponseClass('', null as never).status).toBe(200);
    expect(new ResponseClass(null, { status: 204 }).status).toBe(204);
    expect(new ResponseClass('', { headers: { a: 5 as never } }).headers.get('a')).toBe('5');
    expect(new ResponseClass('', { headers: { A: ' 1 ' } }).headers.get('a')).toBe('1');
    expect(new ResponseClass(undefined).body).toBeNull();
  });

  it('holds unusual headers as they are', () => {
    const response = new ResponseClass('abc', {
      headers: { 'Content-Length': '99', 'Transfer-Encoding': 'chunked', 'Set-Cookie': 'a' },
    });
    expect(response.headers.get('content-length')).toBe('99');
    expect(response.headers.get('transfer-encoding')).toBe('chunked');
    expect(response.headers.getSetCookie()).toEqual(['a']);
  });

  it('reads a byte stream into a buffer of the reader', async () => {
    const reader = (new ResponseClass('hello').body as ReadableStream).getReader({ mode: 'byob' });
    const { value } = await reader.read(new Uint8Array(2));
    expect(Buffer.from(value as Uint8Array).toString()).toBe('he');
  });
});

describe('Response', () => {
  it('is instanceof the global Response and prints itself', () => {
    const response = new Response('x', { headers: { a: '1' } });
    expect(response).toBeInstanceOf(globalThis.Response);
    expect(inspect(response)).toContain('status: 200');
  });

  it('can be the source of a global Response', async () => {
    const ours = new Response('x', { status: 201, headers: { a: '1' } });
    const theirs = new globalThis.Response(ours.body, ours as unknown as ResponseInit);
    expect([theirs.status, theirs.headers.get('a'), await theirs.text()]).toEqual([201, '1', 'x']);
  });

  it('takes strings from streams and iterables as UTF-8', async () => {
    const strings = (async function* () {
      yield 'ä';
      yield 'b';
    })();
    expect(await new Response(strings).text()).toBe('äb');
  });

  it('cancels an async iterable through its stream', async () => {
    let isCancelled = false;
    const endless = (async function* () {
      try {
        for (;;) {
          yield 'x';
        }
      } finally {
        isCancelled = true;
      }
    })();
    const reader = (new Response(endless).body as ReadableStream).getReader();
    await reader.read();
    await reader.cancel();
    expect(isCancelled).toBe(true);
  });
});
