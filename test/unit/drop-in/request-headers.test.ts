import http from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { kEndBody } from '../../../lib/drop-in/contract.js';
import { makeRequest, TestSource } from './request-support.js';

/** Node's answer for the same fields. */
function nodes(fields: string[], joins = false): http.IncomingMessage {
  const message = new http.IncomingMessage(null as unknown as Socket);
  const internal = message as unknown as {
    joinDuplicateHeaders: boolean;
    _addHeaderLines(fields: string[], count: number): void;
  };
  internal.joinDuplicateHeaders = joins;
  internal._addHeaderLines(fields, fields.length);
  return message;
}

const NAMES = [
  ...['Age', 'Host', 'From', 'ETag', 'Date', 'Vary', 'Server', 'Cookie', 'Origin', 'Expect', 'Accept', 'Referer'],
  ...['Expires', 'Upgrade', 'Location', 'If-Match', 'User-Agent', 'Set-Cookie', 'Connection', 'Retry-After'],
  ...['Content-Type', 'Max-Forwards', 'Authorization', 'Last-Modified', 'Cache-Control', 'If-None-Match'],
  ...['Content-Length', 'Accept-Encoding', 'Accept-Language', 'X-Forwarded-For', 'Content-Encoding'],
  ...['X-Forwarded-Host', 'If-Modified-Since', 'Transfer-Encoding', 'X-Forwarded-Proto', 'Proxy-Authorization'],
  ...['If-Unmodified-Since', 'X-Own', 'constructor', '__proto__', 'toString', 'TE', 'Trailer', 'Via'],
];

describe('headers', () => {
  it('follow node’s rules for repeated fields, each name once, twice and thrice', () => {
    for (const name of NAMES) {
      for (const fields of [
        [name, 'a'],
        [name, 'a', 'Other', 'x', name.toLowerCase(), 'b'],
        [name, '', name.toUpperCase(), 'b', name, 'c'],
      ]) {
        for (const joins of [false, true]) {
          const source = new TestSource({ joinDuplicateHeaders: joins });
          const { request } = makeRequest({ source, fields });
          const expected = nodes(fields, joins);
          expect(request.headers, `${fields} ${joins}`).toEqual(expected.headers);
          expect(Object.keys(request.headers)).toEqual(Object.keys(expected.headers));
          expect(request.headersDistinct).toEqual(expected.headersDistinct);
          expect(request.rawHeaders).toEqual(fields);
        }
      }
    }
  });

  it('have the prototypes that node’s have', () => {
    const { request } = makeRequest();
    const node = nodes(['Host', 'example.test']);
    expect(Object.getPrototypeOf(request.headers)).toBe(Object.getPrototypeOf(node.headers));
    expect(Object.getPrototypeOf(request.headersDistinct)).toBe(Object.getPrototypeOf(node.headersDistinct));
    expect(Object.getPrototypeOf(request.trailers)).toBe(Object.getPrototypeOf(node.trailers));
  });

  it('are made once, and stay as a program changed them', () => {
    const { request } = makeRequest({ fields: ['A', '1', 'a', '2', 'B', '3'] });
    request.headers['added'] = 'x';
    expect(request.headers).toEqual({ a: '1, 2', b: '3', added: 'x' });
    expect(request.headers).toBe(request.headers);
    expect(request.rawHeaders).toBe(request.rawHeaders);
  });

  it('come of rawHeaders that a program has changed', () => {
    const { request } = makeRequest({ fields: ['A', '1'] });
    request.rawHeaders.push('X-Later', '2');
    expect(request.headers).toEqual({ a: '1', 'x-later': '2' });
  });

  it('are latin1, empty where they are empty, none where there are none', () => {
    const { request } = makeRequest({ fields: ['X-Text', 'caf\u00e9', 'X-Empty', ''], target: '/\u00fc' });
    expect(request.headers).toEqual({ 'x-text': 'caf\u00e9', 'x-empty': '' });
    expect(request.url).toBe('/\u00fc');
    const bare = makeRequest({ fields: [] }).request;
    expect([bare.headers, bare.rawHeaders]).toEqual([{}, []]);
  });

  it('take long values and many fields', () => {
    const fields: string[] = [];
    for (let i = 0; i < 300; i++) fields.push(`X-Field-${i}`, 'v'.repeat(i));
    fields.push('X-Long', 'y'.repeat(70_000));
    expect(makeRequest({ fields }).request.headers).toEqual(nodes(fields).headers);
  });
});

describe('trailers', () => {
  it('stand after the body, by the same rules', () => {
    const { request } = makeRequest({ isStreamed: true });
    const fields = ['X-Sum', '1', 'x-sum', '2', 'Age', '1', 'Age', '2', 'Set-Cookie', 'a'];
    request[kEndBody](fields);
    expect(request.rawTrailers).toEqual(fields);
    expect(request.trailers).toEqual(nodes(fields).headers);
    expect(request.trailersDistinct).toEqual(nodes(fields).headersDistinct);
    expect(request.complete).toBe(true);
  });

  it('fill the map that was read before', () => {
    const { request } = makeRequest({ isStreamed: true });
    const early = request.trailers;
    request[kEndBody](['X-Sum', '1']);
    expect(early).toEqual({ 'x-sum': '1' });
    expect(request.trailers).toBe(early);
  });
});
