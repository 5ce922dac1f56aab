import { describe, expect, test } from 'vitest';
import {
  createEnvelope,
  type Envelope,
  failureOf,
  fromWire,
  toWire,
  WIRE_FIELDS,
} from '../../../lib/correlation/envelope.js';
import { decodeError, encodeError, encodeReason } from '../../../lib/correlation/wire-error.js';
import { NoResponderError, RemoteError, ResponderError, TimeoutError } from '../../../lib/errors.js';

function wireOf(envelope: Envelope, now: number): unknown[] {
  const batch: unknown[] = [];
  toWire(batch, envelope, now);
  return batch;
}

describe('the wire', () => {
  test('carries every field; the deadline as what is left of it', () => {
    const envelope = createEnvelope({
      kind: 'request',
      id: 7,
      subject: 'work',
      replyTo: 'inbox',
      traceparent: '00-1',
      deadline: 1500,
      headers: { a: 'b' },
      payload: { deep: [1] },
      count: 3,
      error: { code: 'E', message: 'm' },
    });
    const batch = wireOf(envelope, 1000);
    expect(batch).toHaveLength(WIRE_FIELDS);
    expect(batch[5]).toBe(500);
    // Another thread, with another clock.
    expect(fromWire(structuredClone(batch), 0, 90_000)).toEqual({ ...envelope, deadline: 90_500 });
  });

  test('an envelope that is out of time stays so, one without deadline too', () => {
    const late = wireOf(createEnvelope({ kind: 'request', id: 1, subject: 'work', deadline: 10 }), 500);
    expect(fromWire(late, 0, 3)?.deadline).toBe(3);
    const endless = wireOf(createEnvelope({ kind: 'request', id: 'text', subject: 'work' }), 500);
    expect(fromWire(endless, 0, 3)).toMatchObject({ id: 'text', deadline: Number.POSITIVE_INFINITY });
  });

  test.each([
    [0, 99],
    [0, 'request'],
    [1, null],
    [2, undefined],
    [3, 5],
    [4, {}],
    [5, -1],
    [5, Number.NaN],
    [6, 'text'],
    [8, 'x'],
    [9, 'text'],
  ])('field %i as %j is no envelope', (field, value) => {
    const batch = wireOf(createEnvelope({ kind: 'reply', id: 1, subject: 'work' }), 0);
    expect(fromWire(batch, 0, 0)).not.toBeNull();
    batch[field] = value;
    expect(fromWire(batch, 0, 0)).toBeNull();
  });
});

describe('errors on the wire', () => {
  test('keep code, class, message and causes', () => {
    const cause = Object.assign(new TypeError('inner'), { code: 42 });
    const error = decodeError(structuredClone(encodeError(new RangeError('outer', { cause })))) as RemoteError;
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_REMOTE', message: 'outer', remoteName: 'RangeError' });
    expect(error.cause).toMatchObject({ code: '42', message: 'inner', remoteName: 'TypeError' });
  });

  test.each([
    new TimeoutError('t'),
    new NoResponderError('n'),
    new ResponderError('ERR_GAMMALOOP_RESPONDER_BUSY', 'b'),
  ])('of gammaloop keep their class: $name', (error) => {
    const decoded = decodeError(encodeError(error));
    expect(decoded.constructor).toBe(error.constructor);
    expect(decoded).toMatchObject({ code: error.code, message: error.message });
  });

  test('a cycle of causes ends', () => {
    const error = new Error('round') as Error & { cause: unknown };
    error.cause = error;
    expect(() => structuredClone(encodeError(error))).not.toThrow();
  });

  test.each([
    ['text'],
    [undefined],
    [null],
    [
      {
        get message() {
          throw new Error('no');
        },
      },
    ],
    [Symbol('s')],
  ])('whatever was thrown can be sent: %#', (thrown) => {
    expect(decodeError(structuredClone(encodeError(thrown)))).toBeInstanceOf(Error);
    expect(() => structuredClone(encodeReason(thrown))).not.toThrow();
  });

  test('what is no error decodes to one', () => {
    expect(decodeError({ code: 5, message: {}, cause: 'x' } as never)).toMatchObject({
      code: 'ERR_GAMMALOOP_REMOTE',
      message: '',
    });
  });
});

test('failureOf finds whoever waits', () => {
  const request = createEnvelope({ kind: 'request', id: 1, subject: 'work', replyTo: 'inbox' });
  expect(failureOf(request, new Error('x'))).toMatchObject({ kind: 'error', id: 1, subject: 'inbox' });
  expect(failureOf({ ...request, replyTo: undefined }, new Error('x'))).toBeNull();
  expect(failureOf({ ...request, kind: 'part', subject: 'inbox' }, new Error('x'))).toMatchObject({ subject: 'inbox' });
  expect(failureOf({ ...request, kind: 'cancel' }, new Error('x'))).toBeNull();
});
