/** The opening handshake and permessage-deflate's offers, without a connection. */
import { createInflateRaw, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { isDeflateAvailable, MessageDeflate } from '../../../lib/ws/deflate.js';
import { formatDeflate, parseExtensions } from '../../../lib/ws/extensions.js';
import { acceptValue, checkHandshake, isRefusal, negotiateDeflate, parseProtocols } from '../../../lib/ws/handshake.js';
import { TopicTable } from '../../../lib/ws/topics.js';

const fields: Record<string, string> = {
  upgrade: 'WebSocket',
  connection: 'keep-alive, Upgrade',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-version': '13',
};

function check(changes: Record<string, string | null> = {}, method = 'GET', version = '1.1') {
  return checkHandshake(method, version, (name) =>
    name in changes ? (changes[name] ?? null) : (fields[name] ?? null),
  );
}

test('a handshake is taken as it is, or refused', () => {
  expect(check({ 'sec-websocket-protocol': 'a, b', 'sec-websocket-extensions': 'x' })).toEqual({
    key: 'dGhlIHNhbXBsZSBub25jZQ==',
    protocols: ['a', 'b'],
    extensions: 'x',
    version: 13,
  });
  expect(acceptValue('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  const status = (result: ReturnType<typeof check>): number => (isRefusal(result) ? result.status : 101);
  expect(status(check({}, 'POST'))).toBe(405);
  expect(status(check({}, 'GET', '1.0'))).toBe(400);
  expect(status(check({ upgrade: 'h2c' }))).toBe(400);
  expect(status(check({ connection: 'close' }))).toBe(400);
  expect(status(check({ 'sec-websocket-version': '12' }))).toBe(426);
  expect(status(check({ 'sec-websocket-key': 'x' }))).toBe(400);
  expect(status(check({ 'sec-websocket-protocol': 'a b' }))).toBe(400);
});

test('subprotocols', () => {
  expect(parseProtocols(null)).toEqual([]);
  expect(parseProtocols(' a ,b\t, c')).toEqual(['a', 'b', 'c']);
  for (const bad of ['', ',', 'a,', 'a,a', 'a;b', 'a b']) expect(parseProtocols(bad)).toBe(null);
});

test('the extensions field', () => {
  expect(parseExtensions('foo; bar; baz=1; q="a\\b", foo')).toEqual([
    {
      name: 'foo',
      parameters: new Map<string, unknown>([
        ['bar', [true]],
        ['baz', ['1']],
        ['q', ['ab']],
      ]),
    },
    { name: 'foo', parameters: new Map() },
  ]);
  expect(parseExtensions('a;b;b=2')[0]?.parameters.get('b')).toEqual([true, '2']);
  for (const bad of ['', ' ', ',', 'a,', 'a;', 'a b', 'a;b=', 'a;b="', 'a;b=""', 'a;b="x y"', 'a;=1', 'a=b'])
    expect(() => parseExtensions(bad), bad).toThrow(SyntaxError);
  expect(formatDeflate({ server_no_context_takeover: true, server_max_window_bits: 10 })).toBe(
    'permessage-deflate; server_no_context_takeover; server_max_window_bits=10',
  );
});

const none = '; server_no_context_takeover; client_no_context_takeover';

test.each([
  ['permessage-deflate', {}, `permessage-deflate${none}`],
  [
    'x, permessage-deflate; client_max_window_bits',
    { clientMaxWindowBits: 10 },
    `permessage-deflate; client_max_window_bits=10${none}`,
  ],
  ['permessage-deflate; client_max_window_bits=9', { clientMaxWindowBits: 10 }, null],
  ['permessage-deflate', { clientMaxWindowBits: 10 }, null],
  ['permessage-deflate; server_max_window_bits=10', { serverMaxWindowBits: 12 }, null],
  [
    'permessage-deflate; server_max_window_bits=10',
    { serverMaxWindowBits: 9 },
    `permessage-deflate; server_max_window_bits=9${none}`,
  ],
  ['permessage-deflate; server_max_window_bits=8', {}, `permessage-deflate; server_max_window_bits=8${none}`],
  ['permessage-deflate; server_max_window_bits=7, permessage-deflate', {}, `permessage-deflate${none}`],
  ['permessage-deflate; server_max_window_bits=010', {}, null],
  ['permessage-deflate; unknown', {}, null],
  ['permessage-deflate; server_no_context_takeover=1', {}, null],
  ['permessage-deflate; server_no_context_takeover', { serverNoContextTakeover: false }, null],
  ['permessage-deflate', { serverNoContextTakeover: false, clientNoContextTakeover: false }, 'permessage-deflate'],
  ['deflate-stream', {}, null],
  ['permessage-deflate;', {}, null],
])('%s with %j', (offer, options, response) => {
  expect(negotiateDeflate(offer, options)?.response ?? null).toBe(response);
});

describe('MessageDeflate', () => {
  const sized = (serverMaxWindowBits: number, takeover: boolean) =>
    new MessageDeflate(
      {
        serverNoContextTakeover: !takeover,
        clientNoContextTakeover: !takeover,
        serverMaxWindowBits,
        clientMaxWindowBits: 15,
        level: 9,
        memLevel: 8,
        thresholdBytes: 0,
      },
      true,
    );
  const tail = Buffer.from([0, 0, 255, 255]);
  const data = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `${(i * 7919) % 977} `).join(''));

  test('this node has what it takes', () => {
    expect(isDeflateAvailable()).toBe(true);
  });

  test('what a window of 9 writes, one of 8 reads', async () => {
    const bytes = Buffer.concat([sized(9, false).compress(data, true, true), tail]);
    const inflate = createInflateRaw({ windowBits: 8 });
    const pieces: Buffer[] = [];
    inflate.on('data', (piece: Buffer) => pieces.push(piece));
    await new Promise<void>((resolve, reject) => {
      inflate.once('error', reject);
      inflate.write(bytes);
      inflate.flush(() => resolve());
    });
    expect(Buffer.concat(pieces).equals(data)).toBe(true);
  });

  test('with takeover a message that was sent before is short', () => {
    const deflate = sized(15, true);
    const first = deflate.compress(data.subarray(0, 5000), true, true);
    const second = deflate.compress(data.subarray(0, 5000), true, true);
    expect(second.length).toBeLessThan(first.length / 10);
    deflate.close();
  });

  test('the size that is inflated is bounded, and the next message is not harmed', () => {
    const deflate = sized(15, false);
    const bytes = deflate.compress(Buffer.alloc(1_000_000), true, true);
    expect(deflate.inflate(bytes, 999_999)).toBe('too large');
    expect(deflate.inflate(Buffer.from([0xff]), 0)).toBe('invalid');
    expect(deflate.inflate(bytes, 1_000_000)).toHaveLength(1_000_000);
    expect(deflate.inflate(bytes, 0)).toHaveLength(1_000_000);
  });

  test('a message in fragments, with others of the same kind in between', () => {
    const [one, two] = [sized(15, false), sized(15, false)];
    const first = one.compress(data.subarray(0, 10_000), true, false);
    const other = two.compress(data, true, true);
    const last = one.compress(data.subarray(10_000), false, true);
    const inflated = (bytes: Buffer): Buffer => inflateRawSync(Buffer.concat([bytes, tail]), { finishFlush: 2 });
    expect(inflated(Buffer.concat([first, last])).equals(data)).toBe(true);
    expect(inflated(other).equals(data)).toBe(true);
    expect(two.inflate(two.compress(Buffer.alloc(0), true, true), 0)).toHaveLength(0);
  });
});

test('TopicTable keeps nothing of who has gone', () => {
  const table = new TopicTable<string>();
  table.subscribe('a', 'x');
  table.subscribe('b', 'x');
  table.subscribe('a', 'y');
  table.subscribe('a', 'y');
  expect([table.subscriberCount('a'), table.subscriberCount('b'), table.subscriberCount('c')]).toEqual([2, 1, 0]);
  expect(table.topicsOf('x')).toEqual(['a', 'b']);
  table.unsubscribe('b', 'x');
  table.unsubscribe('b', 'y');
  expect(table.isSubscribed('b', 'x')).toBe(false);
  table.removeAll('x');
  expect([...table.subscribersOf('a')]).toEqual(['y']);
  expect(table.topicsOf('x')).toEqual([]);
});
