/** The frame reader and its parts: the same result at every split of the input. */
import { describe, expect, test } from 'vitest';
import { Found, FrameReader, type ReaderOptions } from '../../../lib/ws/frame-reader.js';
import { headBytes, writeHead } from '../../../lib/ws/frame-writer.js';
import { applyMask } from '../../../lib/ws/masking.js';
import { PieceList } from '../../../lib/ws/piece-list.js';
import { Utf8Validator } from '../../../lib/ws/utf8.js';
import { closeFrame, frame, opcodes } from '../../conformance/ws/wire.js';

const options: ReaderOptions = {
  isServer: true,
  maxPayloadBytes: 1048576,
  maxFragments: 1024,
  maxChunks: 0,
  partsAboveBytes: Number.POSITIVE_INFINITY,
  skipUtf8Validation: false,
  deflate: null,
};

function readAll(reader: FrameReader, chunks: Buffer[]): unknown[] {
  const found: unknown[] = [];
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk));
    for (let kind = reader.next(); kind !== Found.nothing; kind = reader.next()) {
      if (kind === Found.failure) found.push([kind, reader.failure, reader.failureNumber]);
      else if (kind === Found.close) found.push([kind, reader.closeCode, reader.data.toString()]);
      else if (kind === Found.message) found.push([kind, reader.isBinary, reader.data.toString('latin1')]);
      else found.push([kind, reader.data.toString('latin1')]);
    }
  }
  return found;
}

describe('FrameReader', () => {
  const { text, binary, continuation, ping, pong } = opcodes;
  const wire = Buffer.concat([
    frame(text, 'é'),
    frame(binary, Buffer.alloc(130, 7)),
    frame(text, 'one ', { fin: false }),
    frame(ping, 'p'),
    frame(continuation, 'two ', { fin: false }),
    frame(pong),
    frame(continuation, ''),
    closeFrame(4000, 'bye'),
    frame(text, 'late'),
  ]);
  const whole = readAll(new FrameReader(options), [wire]);

  test('finds messages, controls and the close, and nothing behind it', () => {
    expect(whole).toEqual([
      [Found.message, false, Buffer.from('é').toString('latin1')],
      [Found.message, true, '\x07'.repeat(130)],
      [Found.ping, 'p'],
      [Found.pong, ''],
      [Found.message, false, 'one two '],
      [Found.close, 4000, 'bye'],
    ]);
  });

  test('finds the same in any two pieces, and byte by byte', () => {
    for (let at = 0; at <= wire.length; at++)
      expect(readAll(new FrameReader(options), [wire.subarray(0, at), wire.subarray(at)])).toEqual(whole);
    expect(
      readAll(
        new FrameReader(options),
        [...wire].map((byte) => Buffer.from([byte])),
      ),
    ).toEqual(whole);
  });

  test('a client takes frames without a mask, and no others', () => {
    const client = { ...options, isServer: false };
    expect(readAll(new FrameReader(client), [frame(text, 'x', { mask: null })])).toEqual([[Found.message, false, 'x']]);
    expect(readAll(new FrameReader(client), [frame(text, 'x')])).toEqual([[Found.failure, 'UNEXPECTED_MASK', 0]]);
  });

  test('says what was wrong', () => {
    expect(readAll(new FrameReader(options), [frame(5)])).toEqual([[Found.failure, 'INVALID_OPCODE', 5]]);
    expect(readAll(new FrameReader(options), [closeFrame(1005)])).toEqual([
      [Found.failure, 'INVALID_CLOSE_CODE', 1005],
    ]);
  });

  test('large messages come in parts, small ones whole', () => {
    const reader = new FrameReader({ ...options, partsAboveBytes: 10 });
    const parts: unknown[] = [];
    for (const chunk of [
      frame(text, 'small'),
      frame(binary, Buffer.alloc(25, 0x61)).subarray(0, 20),
      frame(binary, Buffer.alloc(25, 0x61), { mask: Buffer.alloc(4) }).subarray(20),
    ]) {
      reader.push(chunk);
      for (let kind = reader.next(); kind !== Found.nothing; kind = reader.next())
        parts.push([kind, reader.data.length, reader.isLast]);
    }
    expect(parts).toEqual([
      [Found.message, 5, true],
      [Found.part, 14, false],
      [Found.part, 11, true],
    ]);
  });

  test('maxChunks: reads that one frame comes in', () => {
    const bytes = [...frame(binary, Buffer.alloc(10))].map((byte) => Buffer.from([byte]));
    expect(readAll(new FrameReader({ ...options, maxChunks: 20 }), bytes)).toHaveLength(1);
    expect(readAll(new FrameReader({ ...options, maxChunks: 3 }), bytes)).toEqual([
      [Found.failure, 'TOO_MANY_BUFFERED_PARTS', 4],
    ]);
  });
});

test.each([0, 1, 125, 126, 65535, 65536, 2 ** 32 + 5])('writeHead and its length, %i bytes', (length) => {
  const target = Buffer.alloc(14);
  expect(writeHead(target, 0, 2, true, false, length, null)).toBe(headBytes(length));
  const mask = Buffer.from([1, 2, 3, 4]);
  expect(writeHead(target, 0, 2, true, false, length, mask)).toBe(headBytes(length) + 4);
  const expected = frame(2, '', { mask, length: BigInt(length) });
  expect(target.subarray(0, headBytes(length) + 4)).toEqual(expected);
});

test('applyMask at every offset, phase and length is a byte by byte XOR, and notices what is not ASCII', () => {
  const mask = Buffer.from([0x11, 0x22, 0x44, 0x08]);
  for (const length of [0, 1, 3, 31, 95, 96, 97, 200, 1000]) {
    for (let offset = 0; offset < 8; offset++) {
      const plain = Buffer.from(Array.from({ length }, (_, i) => i % 128));
      for (let phase = 0; phase < 4; phase++) {
        const buffer = Buffer.alloc(length + 16);
        for (let i = 0; i < length; i++) buffer[offset + i] = (plain[i] as number) ^ (mask[(i + phase) & 3] as number);
        expect(applyMask(buffer, offset, offset + length, mask, phase)).toBe(false);
        expect(buffer.subarray(offset, offset + length).equals(plain)).toBe(true);
        if (length === 0) continue;
        buffer[offset + length - 1] = 0x80 ^ (mask[(length - 1 + phase) & 3] as number);
        for (let i = 0; i < length - 1; i++)
          buffer[offset + i] = (plain[i] as number) ^ (mask[(i + phase) & 3] as number);
        expect(applyMask(buffer, offset, offset + length, mask, phase)).toBe(true);
      }
    }
  }
});

describe('Utf8Validator', () => {
  const good = Buffer.from('aé€😀\u{10ffff}\ud7ff\ue000z');

  test('takes good text at every split in three', () => {
    for (let i = 0; i <= good.length; i++) {
      for (let j = i; j <= good.length; j++) {
        const validator = new Utf8Validator();
        for (const piece of [good.subarray(0, i), good.subarray(i, j), good.subarray(j)])
          expect(validator.push(piece)).toBe(true);
        expect(validator.finish()).toBe(true);
      }
    }
  });

  test.each([
    [0x80],
    [0xc0, 0x80],
    [0xe0, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x80, 0x80, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf5],
    [0xff],
    [0xe2, 0x41],
  ])('refuses %j at every split', (...bytes) => {
    const bad = Buffer.concat([good, Buffer.from(bytes), good]);
    for (let at = 0; at <= bad.length; at++) {
      const validator = new Utf8Validator();
      expect(validator.push(bad.subarray(0, at)) && validator.push(bad.subarray(at)) && validator.finish()).toBe(false);
    }
  });

  test('text that is cut is whole when the rest has come, and is ready for the next', () => {
    const validator = new Utf8Validator();
    expect(validator.push(good.subarray(0, 2))).toBe(true);
    expect(validator.isCut).toBe(true);
    expect(validator.finish()).toBe(false);
    expect(validator.push(good)).toBe(true);
    expect(validator.finish()).toBe(true);
  });
});

test('PieceList keeps the order, and copies what is small', () => {
  const list = new PieceList();
  const all: Buffer[] = [];
  for (let i = 0; i < 200; i++) {
    const piece = Buffer.alloc(i % 7 === 0 ? 3000 : i % 5, i);
    all.push(Buffer.from(piece));
    list.add(piece);
    if (piece.length < 1024) piece.fill(0);
  }
  expect(list.take().equals(Buffer.concat(all))).toBe(true);
  expect(list.bytes).toBe(0);
  expect(list.take()).toHaveLength(0);
});
