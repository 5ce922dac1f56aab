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
import { NoResponderError, NurseryError, RemoteError, ResponderError, TimeoutError } from '../../../lib/errors.js';

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

  /** As it arrives in another process. */
  const arrived = (thrown: unknown) => decodeError(structuredClone(encodeError(thrown))) as RemoteError;

  test('an AggregateError keeps its errors, with their causes and errors', () => {
    const inner = new AggregateError([new TypeError('leaf')], 'inner', { cause: new Error('why') });
    const thrown = Object.assign(new AggregateError([new RangeError('first'), inner, 'text'], 'all'), { code: 'EALL' });
    const error = arrived(thrown);
    expect(error).toMatchObject({ code: 'EALL', message: 'all', remoteName: 'AggregateError' });
    expect(error.errors).toMatchObject([
      { message: 'first', remoteName: 'RangeError', errors: undefined },
      { message: 'inner', cause: { message: 'why' }, errors: [{ message: 'leaf', remoteName: 'TypeError' }] },
      { message: 'text' },
    ]);
    for (const each of error.errors ?? []) expect(each).toBeInstanceOf(Error);
    expect(error.cause).toBeUndefined();
  });

  test("a nursery's errors keep their class, also below a cause", () => {
    const nursery = new NurseryError([new TimeoutError('late'), new Error('plain')]);
    const error = arrived(new Error('outer', { cause: nursery }));
    expect(error.cause).toMatchObject({ code: 'ERR_GAMMALOOP_NURSERY', remoteName: 'NurseryError' });
    const [first, second] = (error.cause as RemoteError).errors ?? [];
    expect(first).toBeInstanceOf(TimeoutError);
    expect(second).toBeInstanceOf(RemoteError);
  });

  /** Errors in all, and how deep they are nested. */
  const sizeOf = (error: Error): { count: number; depth: number } => {
    const { cause, errors = [] } = error as RemoteError;
    const inside = [...errors, ...(cause instanceof Error ? [cause] : [])].map(sizeOf);
    return {
      count: inside.reduce((sum, { count }) => sum + count, 1),
      depth: Math.max(0, ...inside.map(({ depth }) => depth + 1)),
    };
  };

  test('many errors, deep ones, and those that hold themselves are cut off', () => {
    const many = new AggregateError(Array.from({ length: 100_000 }, (_, i) => new Error(`${i}`)));
    expect(sizeOf(arrived(many))).toEqual({ count: 64, depth: 1 });
    expect(arrived(many).errors?.[62]).toMatchObject({ message: '62' });
    const deep = Array.from({ length: 50 }).reduce<unknown>((error) => new AggregateError([error]), new Error('leaf'));
    expect(sizeOf(arrived(deep))).toEqual({ count: 9, depth: 8 });
    const round = new AggregateError([], 'round');
    round.errors.push(round, round);
    round.cause = round;
    expect(sizeOf(arrived(round))).toEqual({ count: 64, depth: 8 });
  });

  test('what a peer sends in place of errors stays bounded, and errors', () => {
    const wire: Record<string, unknown> = { message: 'm' };
    wire['errors'] = Array.from({ length: 100_000 }, () => wire);
    expect(sizeOf(decodeError(structuredClone(wire)))).toEqual({ count: 64, depth: 8 });
    expect(decodeError({ errors: ['text', null, 5, [], { message: {} }] })).toMatchObject({
      errors: [{ message: '' }, { message: '', code: 'ERR_GAMMALOOP_REMOTE' }],
    });
    for (const errors of ['text', 5, {}, { length: 1e9 }, new Map()]) {
      expect((decodeError({ errors }) as RemoteError).errors).toBeUndefined();
    }
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
    [
      {
        errors: new Proxy([1], {
          get: () => {
            throw new Error('no');
          },
        }),
      },
    ],
    [new AggregateError([Symbol('s'), undefined, () => {}])],
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
