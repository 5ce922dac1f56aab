/** The border is written twice: native/ring/records.h and lib/bridge/records.ts. Here the two are compared. */
import { describe, expect, test } from 'vitest';
import * as records from '../../lib/bridge/records.js';
import { read } from './sources.js';

/** kRequestBytes -> REQUEST_BYTES */
function mirroredName(constant: string): string {
  return constant
    .slice(1)
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toUpperCase();
}

/** Constants of a C++ header whose value is a number, by their TypeScript names. */
function constantsOf(path: string): Record<string, number> {
  const constants: Record<string, number> = {};
  const text = read(path).replace(/\/\/.*$/gm, '');
  for (const [, name, value] of text.matchAll(/\bconstexpr\s+\w+\s+(k\w+)\s*=\s*([^;]+);/g)) {
    expect(value, `${name} in ${path} is a plain number`).toMatch(/^(0x[0-9a-fA-F]+|\d+)$/);
    constants[mirroredName(name as string)] = Number(value);
  }
  return constants;
}

/** Enumerators in order, without Count. */
function enumeratorsOf(path: string, name: string): string[] {
  const text = read(path).replace(/\/\/.*$/gm, '');
  const body = new RegExp(`enum class ${name}[^{]*\\{([^}]*)\\}`).exec(text)?.[1];
  if (body === undefined) throw new Error(`${path} has no enum ${name}`);
  return body
    .split(',')
    .map((item) => item.replace(/=.*/s, '').trim())
    .filter((item) => item !== '' && item !== 'Count');
}

const bare = (name: string): string => name.replace(/[^A-Za-z0-9]/g, '').toLowerCase();

describe('lib/bridge/records.ts mirrors native/ring/records.h', () => {
  const native = constantsOf('native/ring/records.h');
  const mirrored = Object.fromEntries(Object.entries(records).filter(([, value]) => typeof value === 'number'));

  test('every constant, with the same value, and none beside them', () => {
    expect(Object.keys(native).length).toBeGreaterThan(50);
    expect(mirrored).toEqual(native);
  });

  test('records and offsets are aligned and do not overlap the header', () => {
    for (const [name, value] of Object.entries(native)) {
      if (/_OFFSET$/.test(name)) expect(value % 4, name).toBe(0);
      if (/^[A-Z_]+_OFFSET$/.test(name) && !/^(SIZE|OPCODE|EXCHANGE_\w+)_OFFSET$/.test(name)) {
        expect(value, name).toBeGreaterThanOrEqual(native['HEADER_BYTES'] as number);
      }
      if (/_BYTES$/.test(name)) expect(value % (native['RECORD_ALIGN'] as number), name).toBe(0);
    }
  });
});

describe('names by number are those of native/http/http_types.h', () => {
  test('METHODS', () => {
    const methods = enumeratorsOf('native/http/http_types.h', 'Method');
    expect(records.METHODS.map(bare)).toEqual(methods.map(bare));
    expect(methods.length).toBe(constantsOf('native/http/http_types.h')['METHOD_COUNT']);
  });

  test('HEADER_NAMES', () => {
    const headers = enumeratorsOf('native/http/http_types.h', 'HeaderId');
    expect(headers[0]).toBe('Unknown');
    expect(records.HEADER_NAMES[0]).toBe('');
    expect(records.HEADER_NAMES.slice(1).map(bare)).toEqual(headers.slice(1).map(bare));
  });
});
