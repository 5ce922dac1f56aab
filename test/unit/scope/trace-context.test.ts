import { describe, expect, test } from 'vitest';
import {
  childTraceparent,
  formatTraceparent,
  isTraceId,
  newTraceId,
  newTraceparent,
  parseTraceparent,
  traceIdOf,
} from '../../../lib/scope/trace-context.js';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const valid = `00-${traceId}-${parentId}-01`;

describe('parseTraceparent', () => {
  test('reads the parts', () => {
    expect(parseTraceparent(valid)).toEqual({ traceId, parentId, sampled: true });
    expect(parseTraceparent(`00-${traceId}-${parentId}-00`)?.sampled).toBe(false);
    // Flags that nobody knows yet.
    expect(parseTraceparent(`00-${traceId}-${parentId}-fe`)?.sampled).toBe(false);
    expect(traceIdOf(valid)).toBe(traceId);
  });

  test('reads a later version as far as it knows it', () => {
    expect(parseTraceparent(`01-${traceId}-${parentId}-01-more`)).toEqual({ traceId, parentId, sampled: true });
    expect(parseTraceparent(`01-${traceId}-${parentId}-01`)).not.toBeNull();
  });

  test.each([
    ['nothing', undefined],
    ['no text', 5],
    ['empty', ''],
    ['upper case', valid.toUpperCase()],
    ['a short trace id', `00-${traceId.slice(1)}-${parentId}-01`],
    ['version ff', `ff-${traceId}-${parentId}-01`],
    ['more than version 00 has', `${valid}-more`],
    ['a zero trace id', `00-${'0'.repeat(32)}-${parentId}-01`],
    ['a zero parent id', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['blanks', ` ${valid}`],
    ['a line break', `${valid}\n`],
  ])('gives null for %s', (_name, value) => {
    expect(parseTraceparent(value)).toBeNull();
    expect(traceIdOf(value)).toBeNull();
  });
});

test('formatTraceparent writes what parseTraceparent reads', () => {
  for (const text of [valid, `00-${traceId}-${parentId}-00`]) {
    expect(formatTraceparent(parseTraceparent(text) as NonNullable<ReturnType<typeof parseTraceparent>>)).toBe(text);
  }
});

test('childTraceparent keeps the trace and the flags, and is another span', () => {
  const child = parseTraceparent(childTraceparent(`00-${traceId}-${parentId}-00`));
  expect(child).toMatchObject({ traceId, sampled: false });
  expect(child?.parentId).not.toBe(parentId);
  expect(parseTraceparent(childTraceparent('rubbish'))).not.toBeNull();
});

test('new ids are valid and differ', () => {
  const ids = Array.from({ length: 1000 }, newTraceId);
  expect(ids.every(isTraceId)).toBe(true);
  expect(new Set(ids).size).toBe(1000);
  expect(new Set(ids.map((id) => newTraceparent(id))).size).toBe(1000);
  expect(isTraceId('0'.repeat(32))).toBe(false);
});

test('new traceparents are valid and all different, also those of different batches', () => {
  const ids = new Set<string>();
  for (let count = 0; count < 2000; count++) {
    const sampled = count % 2 === 0;
    const context = parseTraceparent(newTraceparent(undefined, sampled));
    expect(context?.sampled).toBe(sampled);
    ids.add(context?.traceId ?? '').add(context?.parentId ?? '');
  }
  expect(ids.size).toBe(4000);
});
