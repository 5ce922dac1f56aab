import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createEnvelope, type EnvelopeInit } from '../../../lib/correlation/index.js';
import { PackageMissingError } from '../../../lib/errors.js';
import { requirePackage } from '../../../lib/ports/client-package.js';
import { decodeFrame, encodeFrame, touchFrame } from '../../../lib/ports/frame.js';
import { natsSubject, natsToken, subjectOf } from '../../../lib/ports/nats-names.js';
import { nodeBinary, testedMajors } from '../../package/nodes.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const base: EnvelopeInit = { kind: 'request', id: 7, subject: 'a.b' };

function roundTrip(init: Partial<EnvelopeInit>, now = 1000) {
  const decoded = decodeFrame(encodeFrame(createEnvelope({ ...base, ...init }), now), now + 5000);
  if (decoded === null) throw new Error('not decoded');
  expect(decoded.payloadError).toBeUndefined();
  return decoded.envelope;
}

describe('a frame', () => {
  test.each<[string, Partial<EnvelopeInit>]>([
    ['the least', {}],
    ['text ids', { id: 'ä/1' }],
    ['large ids', { id: 2 ** 52 + 1 }],
    [
      'an inbox and a trace',
      { replyTo: '_inbox.x', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    ],
    ['headers', { headers: { 'x y': 'ü', empty: '' } }],
    ['errors', { kind: 'error', error: { name: 'E', message: 'm\u0000', cause: { name: 'C' } }, count: 1 }],
    ['credit', { kind: 'credit', count: 4096 }],
    ['a subject of any letters', { subject: 'größe *> \n' }],
  ])('carries %s', (_name, init) => {
    expect(roundTrip(init)).toEqual(createEnvelope({ ...base, ...init }));
  });

  test('carries what is left of the time, corrected on departure', () => {
    expect(roundTrip({ deadline: 1250 }).deadline).toBe(6250);
    expect(roundTrip({ deadline: 500 }).deadline).toBe(6000);
    const envelope = createEnvelope({ ...base, deadline: 1250 });
    const frame = encodeFrame(envelope, 1000);
    touchFrame(frame, envelope.deadline, 1200);
    expect(decodeFrame(frame, 0)?.envelope.deadline).toBe(50);
    const stored = encodeFrame(envelope, 1000, Date.now() - 200);
    expect(decodeFrame(stored, 0)?.envelope.deadline).toBeLessThanOrEqual(50);
  });

  test.each<[string, unknown]>([
    ['holes', Object.assign(new Array(3), { 0: 1, 2: 3 })],
    ['properties beside elements', Object.assign([1], { more: 2 })],
    [
      'a cycle',
      (() => {
        const o: Record<string, unknown> = {};
        o['self'] = o;
        return o;
      })(),
    ],
    ['more than JSON is asked for', Array.from({ length: 5000 }, (_, i) => ({ i }))],
    ['a key of the prototype', JSON.parse('{"__proto__": {"a": 1}}')],
    ['a lone surrogate', '\ud800'],
    ['an object without prototype', Object.assign(Object.create(null), { a: 1 })],
    [
      'class instances',
      new (class Point {
        x = 1;
      })(),
    ],
  ])('carries %s as structured cloning does', (_name, payload) => {
    expect(roundTrip({ payload }).payload).toEqual(structuredClone(payload));
  });

  test('refuses what cannot be cloned, and names with U+0000', () => {
    expect(() => encodeFrame(createEnvelope({ ...base, payload: () => {} }), 0)).toThrow('could not be cloned');
    expect(() => encodeFrame(createEnvelope({ ...base, subject: 'a\u0000b' }), 0)).toThrow(TypeError);
    expect(() => encodeFrame(createEnvelope({ ...base, replyTo: 'a\u0000b' }), 0)).toThrow(TypeError);
    expect(() => encodeFrame(createEnvelope({ ...base, id: 'a\u0000b' }), 0)).toThrow(TypeError);
  });

  test('that is cut, changed or garbage is null or an envelope, never an exception', () => {
    const frame = encodeFrame(createEnvelope({ ...base, headers: { a: 'b' }, payload: new Map([[1, { a: 1 }]]) }), 0);
    for (let length = 0; length < frame.length; length++) decodeFrame(frame.subarray(0, length), 0);
    let seed = 1;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed % below;
    };
    let readable = 0;
    for (let i = 0; i < 20_000; i++) {
      const changed = Buffer.from(frame);
      for (let n = random(4); n >= 0; n--) changed[random(changed.length)] = random(256);
      if (decodeFrame(changed, 0) !== null) readable++;
    }
    expect(readable).toBeGreaterThan(0);
    expect(readable).toBeLessThan(20_000);
    expect(decodeFrame(Buffer.alloc(0), 0)).toBeNull();
    expect(decodeFrame(Buffer.from('{"some":"json"}'.repeat(10)), 0)).toBeNull();
  });

  test('with a payload of an unknown encoding tells so', () => {
    const frame = encodeFrame(createEnvelope({ ...base, payload: { a: 1 } }), 0);
    frame[3] = 9;
    expect(decodeFrame(frame, 0)?.payloadError).toBeInstanceOf(RangeError);
  });
});

test('every supported node reads what every other writes', async () => {
  const value =
    'new Map([[1n, { date: new Date(0), set: new Set([/x/g]), error: new RangeError("e"), bytes: new Float64Array([1.5]) }]])';
  const write = `process.stdout.write(require('node:v8').serialize(${value}))`;
  const read = `
    const got = require('node:v8').deserialize(require('node:fs').readFileSync(0));
    require('node:assert').deepStrictEqual([...got.keys()], [1n]);
    const { date, set, error, bytes } = got.get(1n);
    process.stdout.write([+date, [...set], error.name, error.message, bytes[0]].join());`;
  const nodes = await Promise.all(testedMajors.map((major) => nodeBinary(root, major)));
  for (const { path } of nodes) {
    const written = execFileSync(path, ['-e', write]);
    for (const reader of nodes) {
      expect(execFileSync(reader.path, ['-e', read], { input: written }).toString()).toBe('0,/x/g,RangeError,e,1.5');
    }
  }
}, 120_000);

test.each(['a.b', '_inbox.0af7', 'größe', 'a b', '.a', 'a.', 'a..b', '*', '>', 'a.*.>', '%41'])(
  'NATS has a name for %j',
  (subject) => {
    const name = natsSubject(subject);
    expect(name).toMatch(/^[^\s.*>]+(\.[^\s.*>]+)*$/);
    expect(subjectOf(name)).toBe(subject);
    expect(natsToken(subject)).toMatch(/^[\w=-]+$/);
  },
);

test('a client that is not installed is named, with what to do', () => {
  expect(() => requirePackage('gammaloop-not-there', 'the port')).toThrow(PackageMissingError);
  expect(() => requirePackage('gammaloop-not-there', 'the port')).toThrow('npm install gammaloop-not-there');
});
