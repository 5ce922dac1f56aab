/** Everything that RFC 6455 does not allow, with the code that the connection is closed with, on every backend. */
import { describe, expect, test } from 'vitest';
import type { WebSocketError } from '../../../lib/index.js';
import { backends, starter } from '../../support/backends.js';
import { carriers, connected, packageServers } from './package-servers.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { continuation, text, binary, close, ping, pong } = opcodes;

interface Case {
  name: string;
  wire: Buffer;
  code: number;
  failure: string;
}

const bad = (name: string, code: number, failure: string, ...wire: Buffer[]): Case => ({
  name,
  code,
  failure,
  wire: Buffer.concat(wire),
});

const cases: Case[] = [
  ...[1, 2, 3].map((rsv) => bad(`RSV bits ${rsv}`, 1002, 'UNEXPECTED_RSV_2_3', frame(text, 'x', { rsv }))),
  bad('RSV1 without an extension', 1002, 'UNEXPECTED_RSV_1', frame(text, 'x', { rsv: 4 })),
  bad('RSV1 on a ping', 1002, 'UNEXPECTED_RSV_1', frame(ping, '', { rsv: 4 })),
  bad(
    'RSV2 in a continuation',
    1002,
    'UNEXPECTED_RSV_2_3',
    frame(text, 'a', { fin: false }),
    frame(continuation, 'b', { rsv: 2 }),
  ),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) =>
    bad(`opcode ${opcode}`, 1002, 'INVALID_OPCODE', frame(opcode, 'x')),
  ),
  bad('a continuation of nothing', 1002, 'INVALID_OPCODE', frame(continuation, 'x')),
  bad('a continuation behind a whole message', 1002, 'INVALID_OPCODE', frame(text, 'x'), frame(continuation, 'x')),
  bad('text within a message', 1002, 'INVALID_OPCODE', frame(text, 'x', { fin: false }), frame(text, 'y')),
  bad('binary within a message', 1002, 'INVALID_OPCODE', frame(binary, 'x', { fin: false }), frame(binary, 'y')),
  ...[close, ping, pong].flatMap((opcode) => [
    bad(`a fragmented control frame ${opcode}`, 1002, 'EXPECTED_FIN', frame(opcode, '', { fin: false })),
    bad(
      `126 bytes in control frame ${opcode}`,
      1002,
      'INVALID_CONTROL_PAYLOAD_LENGTH',
      frame(opcode, Buffer.alloc(126)),
    ),
    bad(
      `65536 bytes in control frame ${opcode}`,
      1002,
      'INVALID_CONTROL_PAYLOAD_LENGTH',
      frame(opcode, '', { length: 65536n }),
    ),
  ]),
  bad('a close frame of one byte', 1002, 'INVALID_CONTROL_PAYLOAD_LENGTH', frame(close, Buffer.alloc(1))),
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code) =>
    bad(`close code ${code}`, 1002, 'INVALID_CLOSE_CODE', closeFrame(code, 'x')),
  ),
  bad(
    'a close reason that is not UTF-8',
    1007,
    'INVALID_UTF8',
    closeFrame(1000, Buffer.from([0xce, 0xba, 0xed, 0xa0, 0x80])),
  ),
  bad('a close reason that is cut', 1007, 'INVALID_UTF8', closeFrame(1000, Buffer.from([0x61, 0xe2, 0x82]))),
  bad('a frame without a mask', 1002, 'EXPECTED_MASK', frame(text, 'x', { mask: null })),
  bad('a ping without a mask', 1002, 'EXPECTED_MASK', frame(ping, '', { mask: null })),
  bad('125 in two bytes', 1002, 'INVALID_PAYLOAD_LENGTH', frame(text, 'x'.repeat(125), { lengthBytes: 2 })),
  bad('0 in two bytes', 1002, 'INVALID_PAYLOAD_LENGTH', frame(binary, '', { lengthBytes: 2 })),
  bad('65535 in eight bytes', 1002, 'INVALID_PAYLOAD_LENGTH', frame(binary, Buffer.alloc(65535), { lengthBytes: 8 })),
  bad('1 in eight bytes', 1002, 'INVALID_PAYLOAD_LENGTH', frame(binary, 'x', { lengthBytes: 8 })),
  bad(
    'a length with its highest bit',
    1002,
    'INVALID_PAYLOAD_LENGTH',
    frame(binary, '', { lengthBytes: 8, length: 1n << 63n }),
  ),
  bad('2^53', 1009, 'UNSUPPORTED_MESSAGE_LENGTH', frame(binary, '', { length: 1n << 53n })),
  bad('2^63 - 1', 1009, 'UNSUPPORTED_MESSAGE_LENGTH', frame(binary, '', { length: (1n << 63n) - 1n })),
  bad('one byte above the limit', 1009, 'UNSUPPORTED_MESSAGE_LENGTH', frame(binary, '', { length: 1048577n })),
];

/** Not UTF-8 (after Markus Kuhn's list), each behind two whole characters. */
const notUtf8: Record<string, number[]> = {
  'a lone continuation': [0x80],
  'overlong 2': [0xc0, 0xaf],
  'overlong 2, c1': [0xc1, 0xbf],
  'overlong 3': [0xe0, 0x9f, 0xbf],
  'overlong 4': [0xf0, 0x8f, 0xbf, 0xbf],
  'a high surrogate': [0xed, 0xa0, 0x80],
  'a low surrogate': [0xed, 0xbf, 0xbf],
  'above U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
  f5: [0xf5, 0x80, 0x80, 0x80],
  'five bytes': [0xf8, 0x88, 0x80, 0x80, 0x80],
  fe: [0xfe],
  ff: [0xff],
  'a cut sequence of 2': [0xc3, 0x41],
  'a cut sequence of 3': [0xe2, 0x82, 0x41],
  'a cut sequence of 4': [0xf0, 0x9f, 0x98, 0x41],
};

describe.each(backends)('malformed frames on %s', (backend) => {
  const start = starter(backend);

  async function expectFailure(wire: Buffer[], code: number, failure: string): Promise<void> {
    const errors: WebSocketError[] = [];
    let closedWith = 0;
    const messages: unknown[] = [];
    const over = deferred();
    const server = await start({
      fetch: () => new Response(null, { status: 404 }),
      websocket: {
        message: (_ws, data) => void messages.push(data),
        error: (_ws, error) => void errors.push(error as WebSocketError),
        close(_ws, closeCode) {
          closedWith = closeCode;
          over.resolve();
        },
      },
    });
    const client = await WsClient.open(server);
    for (const part of wire) {
      client.send(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await client.closed()).toEqual({ code, reason: '' });
    await over.promise;
    expect(errors.map((error) => [error.code, error.closeCode])).toEqual([
      [`ERR_GAMMALOOP_WEBSOCKET_${failure}`, code],
    ]);
    expect(closedWith).toBe(1006);
  }

  test.each(cases)('$name: $code', async ({ wire, code, failure }) => {
    await expectFailure([wire], code, failure);
  });

  test.each(Object.entries(notUtf8))('text with %s, cut at every byte: 1007', async (_name, bytes) => {
    const payload = Buffer.concat([Buffer.from('é€'), Buffer.from(bytes), Buffer.from('z')]);
    for (let at = 0; at <= payload.length; at++) {
      const first = frame(text, payload.subarray(0, at), { fin: false });
      const second = frame(continuation, payload.subarray(at));
      await expectFailure([Buffer.concat([first, second])], 1007, 'INVALID_UTF8');
    }
    await expectFailure([frame(text, payload)], 1007, 'INVALID_UTF8');
  });

  test('text is refused before its message is whole', async () => {
    await expectFailure([frame(text, Buffer.from([0x61, 0xff]), { fin: false })], 1007, 'INVALID_UTF8');
    const whole = frame(text, Buffer.concat([Buffer.from([0x61, 0xf4, 0x90]), Buffer.alloc(1000, 0x61)]));
    await expectFailure([whole.subarray(0, 20)], 1007, 'INVALID_UTF8');
  });

  test('text that ends within a character', async () => {
    await expectFailure([frame(text, Buffer.from([0x61, 0xe2, 0x82]))], 1007, 'INVALID_UTF8');
    const parts = [frame(text, Buffer.from([0xe2]), { fin: false }), frame(continuation, Buffer.from([0x82]))];
    await expectFailure([Buffer.concat(parts)], 1007, 'INVALID_UTF8');
  });

  test('nothing behind a failure is told, and what came before it is', async () => {
    const messages: unknown[] = [];
    const server = await start({
      fetch: () => new Response(null, { status: 404 }),
      websocket: { message: (_ws, data) => void messages.push(data) },
    });
    const client = await WsClient.open(server);
    client.send(frame(text, 'before'), frame(3, ''), frame(text, 'behind'));
    expect(await client.closed()).toEqual({ code: 1002, reason: '' });
    expect(messages).toEqual(['before']);
  });
});

/** What 'error' said of a case where it was met first. */
const words = new Map<string, string>();

describe.each(carriers)('malformed frames, gammaloop/ws on $name', (carrier) => {
  const { listen } = packageServers(carrier);

  test.each(cases)('$name: $code', async ({ name, wire, code, failure }) => {
    const { wss, port } = await listen({ maxPayload: 1048576 });
    const connection = connected(wss);
    const client = await WsClient.open(port);
    const socket = await connection;
    const errors: (Error & { code?: string })[] = [];
    socket.on('error', (error) => errors.push(error));
    const closed = new Promise<unknown[]>((resolve) => socket.on('close', (...args) => resolve(args)));
    client.send(wire);
    expect(await client.closed()).toEqual({ code, reason: '' });
    expect(await closed).toEqual([1006, Buffer.alloc(0)]);
    expect(errors.map((error) => error.code)).toEqual([`WS_ERR_${failure}`]);
    const message = (errors[0] as Error).message;
    if (!words.has(name)) words.set(name, message);
    expect(message).toBe(words.get(name));
  });
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
