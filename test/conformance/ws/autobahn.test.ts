/**
 * The families of cases of Autobahn's fuzzing client, by their numbers, against an echo on every backend: 1 framing, 2 pings and pongs, 3 reserved
 * bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 close handling, 9 limits and sizes, 10 chopping, 12 and 13 compression. Where the suite calls a
 * behaviour non-strict, the strict one is asked for.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { backends, type Start, starter } from '../../support/backends.js';
import { PeerDeflate } from './peer-deflate.js';
import { closeFrame, type Frame, frame, opcodes, WsClient } from './wire.js';

const { continuation, text, binary, ping, pong } = opcodes;

async function echo(start: Start, perMessageDeflate: object | boolean = false, maxPayloadBytes = 0): Promise<number> {
  const server = await start({
    fetch: () => new Response(null, { status: 404 }),
    websocket: { message: (ws, data) => ws.send(data), perMessageDeflate, maxPayloadBytes },
  });
  const place = server.address();
  if (typeof place === 'string') throw new Error('no port');
  return place.port;
}

/** Closes in order: nothing else was sent, and the server answers and ends. */
async function finish(client: WsClient): Promise<void> {
  client.send(closeFrame(1000));
  expect(await client.closed()).toEqual({ code: 1000, reason: '' });
}

async function expectFrames(client: WsClient, expected: Array<[opcode: number, payload: Buffer]>): Promise<void> {
  for (const [opcode, payload] of expected) {
    const next = (await client.next()) as Frame;
    expect([next.opcode, next.fin, next.rsv]).toEqual([opcode, true, 0]);
    expect(next.payload.equals(payload)).toBe(true);
  }
}

const sizes = [0, 125, 126, 127, 128, 65535, 65536];

describe.each(backends)("Autobahn's cases on %s", (backend) => {
  const start = starter(backend);

  test.each([text, binary])('1.%i: payloads of every form of length, whole and in chops', async (opcode) => {
    const client = await WsClient.open(await echo(start));
    for (const size of sizes) {
      const payload = Buffer.alloc(size, 0x2a);
      client.send(frame(opcode, payload));
      await expectFrames(client, [[opcode, payload]]);
    }
    const payload = Buffer.alloc(65536, 0xfe % 0x7f);
    const wire = frame(opcode, payload);
    for (let at = 0; at < wire.length; at += 997) client.send(wire.subarray(at, at + 997));
    await expectFrames(client, [[opcode, payload]]);
    await finish(client);
  });

  test('2.1 to 2.4, 2.10, 2.11: pings are answered in order, with their payloads', async () => {
    const client = await WsClient.open(await echo(start));
    const payloads = ['', 'Hello, world!', Buffer.from([0, 255, 254, 253, 0]), Buffer.alloc(125, 0xfe)].map((data) =>
      Buffer.from(data as string),
    );
    for (const payload of payloads) client.send(frame(ping, payload));
    await expectFrames(
      client,
      payloads.map((payload) => [pong, payload]),
    );
    const many = Array.from({ length: 10 }, (_, i) => Buffer.from(`payload-${i}`));
    client.send(...many.map((payload) => frame(ping, payload)));
    await expectFrames(
      client,
      many.map((payload) => [pong, payload]),
    );
    await client.trickle(frame(ping, 'in chops'));
    await expectFrames(client, [[pong, Buffer.from('in chops')]]);
    await finish(client);
  });

  test('2.7 to 2.9: pongs that nobody asked for are ignored', async () => {
    const client = await WsClient.open(await echo(start));
    client.send(frame(pong), frame(pong, 'unsolicited'), frame(ping, 'and a ping'));
    await expectFrames(client, [[pong, Buffer.from('and a ping')]]);
    await finish(client);
  });

  test.each([
    ['3.1', 0, 2],
    ['3.2 to 3.4', 1, 4],
    ['3.5 to 3.7', 1, 7],
  ])('%s: reserved bits fail the connection behind %i messages', async (_name, before, rsv) => {
    const client = await WsClient.open(await echo(start));
    const good = frame(text, 'good');
    client.send(...Array<Buffer>(before).fill(good), frame(binary, 'bad', { rsv }), frame(ping));
    if (before > 0) expect(await client.text()).toBe('good');
    expect(await client.closed()).toEqual({ code: 1002, reason: '' });
  });

  test.each([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])('4.1 and 4.2: reserved opcode %i', async (opcode) => {
    const client = await WsClient.open(await echo(start));
    client.send(frame(text, 'good'), frame(opcode, 'bad'), frame(ping));
    expect(await client.text()).toBe('good');
    expect((await client.closed())?.code).toBe(1002);
  });

  test('5.3 to 5.8: fragments, with pings between them, in one packet and byte by byte', async () => {
    const client = await WsClient.open(await echo(start));
    const wire = Buffer.concat([
      frame(text, 'fragment1', { fin: false }),
      frame(ping, 'ping'),
      frame(continuation, 'fragment2'),
    ]);
    client.send(wire);
    await expectFrames(client, [
      [pong, Buffer.from('ping')],
      [text, Buffer.from('fragment1fragment2')],
    ]);
    await client.trickle(wire);
    await expectFrames(client, [
      [pong, Buffer.from('ping')],
      [text, Buffer.from('fragment1fragment2')],
    ]);
    await finish(client);
  });

  test.each([
    ['5.9 to 5.14', [frame(continuation, 'non-continuation', { fin: true }), frame(text, 'Hello')]],
    [
      '5.15',
      [
        frame(text, 'a', { fin: false }),
        frame(continuation, 'b'),
        frame(continuation, 'c', { fin: false }),
        frame(text, 'd'),
      ],
    ],
    [
      '5.16, 5.17',
      [frame(continuation, 'a', { fin: false }), frame(text, 'b', { fin: false }), frame(continuation, 'c')],
    ],
    ['5.18', [frame(text, 'a', { fin: false }), frame(text, 'b')]],
    ['5.1, 5.2', [frame(ping, 'a', { fin: false }), frame(continuation, 'b')]],
  ])('%s: fragments in the wrong place', async (_name, frames) => {
    const client = await WsClient.open(await echo(start));
    client.send(...frames);
    expect((await client.closed())?.code).toBe(1002);
  });

  test('5.19 and 5.20: fragments with pings between them, in two bursts', async () => {
    const client = await WsClient.open(await echo(start));
    client.send(frame(text, '1', { fin: false }), frame(continuation, '2', { fin: false }), frame(ping, 'p1'));
    await expectFrames(client, [[pong, Buffer.from('p1')]]);
    client.send(
      frame(continuation, '3', { fin: false }),
      frame(continuation, '4', { fin: false }),
      frame(ping, 'p2'),
      frame(continuation, '5'),
    );
    await expectFrames(client, [
      [pong, Buffer.from('p2')],
      [text, Buffer.from('12345')],
    ]);
    await finish(client);
  });

  test('6.1 and 6.2: empty fragments, and UTF-8 cut at every byte', async () => {
    const client = await WsClient.open(await echo(start));
    client.send(frame(text, '', { fin: false }), frame(continuation, '', { fin: false }), frame(continuation, ''));
    client.send(
      frame(text, '', { fin: false }),
      frame(continuation, 'middle', { fin: false }),
      frame(continuation, ''),
    );
    await expectFrames(client, [
      [text, Buffer.alloc(0)],
      [text, Buffer.from('middle')],
    ]);
    const payload = Buffer.from('Hello-µ@ßöäüàá-UTF-8!! κόσμε 😀');
    for (let at = 0; at <= payload.length; at++) {
      client.send(frame(text, payload.subarray(0, at), { fin: false }), frame(continuation, payload.subarray(at)));
    }
    client.send(
      ...[...payload].map((byte, at) =>
        frame(at === 0 ? text : continuation, Buffer.from([byte]), { fin: at === payload.length - 1 }),
      ),
    );
    await expectFrames(
      client,
      Array.from({ length: payload.length + 2 }, () => [text, payload]),
    );
    await finish(client);
  });

  test('6.4: text is failed as soon as it cannot be UTF-8, though its frame goes on', async () => {
    const head = Buffer.from('κόσμε');
    for (const rest of [Buffer.from([0xf4, 0x90]), Buffer.from([0xed, 0xa0]), Buffer.from([0xff])]) {
      const client = await WsClient.open(await echo(start));
      const wire = frame(text, Buffer.concat([head, rest, Buffer.alloc(100, 0x65)]));
      client.send(wire.subarray(0, 6 + head.length + rest.length));
      expect((await client.closed())?.code).toBe(1007);
    }
  });

  test('6.5 to 6.23: every boundary of UTF-8', async () => {
    const client = await WsClient.open(await echo(start));
    const points = [
      0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x1fffe, 0x2ffff, 0x10fffe,
      0x10ffff,
    ];
    for (const point of points) {
      client.send(frame(text, String.fromCodePoint(point)));
      expect(await client.text()).toBe(String.fromCodePoint(point));
    }
    await finish(client);
  });

  test.each([0, 1])('7.1: what follows a close frame is ignored (%i)', async (kind) => {
    const client = await WsClient.open(await echo(start));
    const after = [frame(text, 'late'), frame(ping)][kind] as Buffer;
    client.send(frame(text, 'early'), closeFrame(1000), after, closeFrame(1000));
    expect(await client.text()).toBe('early');
    expect(await client.closed()).toEqual({ code: 1000, reason: '' });
  });

  test('7.1.6: a close frame behind 256 KiB', async () => {
    const client = await WsClient.open(await echo(start));
    client.send(frame(text, 'x'.repeat(262144)), frame(text, 'y'), closeFrame(1000));
    expect(await client.text()).toHaveLength(262144);
    expect(await client.text()).toBe('y');
    expect(await client.closed()).toEqual({ code: 1000, reason: '' });
  });

  test.each([
    ['7.3.1 empty', closeFrame(), { code: 1005, reason: '' }],
    ['7.3.3 a code', closeFrame(1000), { code: 1000, reason: '' }],
    ['7.3.4 a reason', closeFrame(1000, 'Hello World!'), { code: 1000, reason: 'Hello World!' }],
    ['7.3.5 a reason of 123 bytes', closeFrame(1000, '*'.repeat(123)), { code: 1000, reason: '*'.repeat(123) }],
  ])('%s', async (_name, wire, expected) => {
    const client = await WsClient.open(await echo(start));
    client.send(wire);
    expect(await client.closed()).toEqual(expected);
  });

  test.each([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])(
    '7.7: close code %i is valid, and answered',
    async (code) => {
      const client = await WsClient.open(await echo(start));
      client.send(closeFrame(code));
      expect((await client.closed())?.code).toBe(code);
    },
  );

  test.each([text, binary])('9.1 to 9.4: large messages (opcode %i), whole and in fragments', async (opcode) => {
    const client = await WsClient.open(await echo(start));
    for (const size of [65536, 262144, 1048576, 4194304]) {
      const payload = Buffer.alloc(size, 0x2a);
      client.send(frame(opcode, payload));
      expect((await client.message()).data.equals(payload)).toBe(true);
      const fragments: Buffer[] = [];
      for (let at = 0; at < size; at += 65536)
        fragments.push(
          frame(at === 0 ? opcode : continuation, payload.subarray(at, at + 65536), { fin: at + 65536 >= size }),
        );
      client.send(...fragments);
      expect((await client.message()).data.equals(payload)).toBe(true);
    }
    await finish(client);
  });

  test('9.5 to 9.8: 1000 messages of each size', async () => {
    const client = await WsClient.open(await echo(start));
    for (const size of [0, 16, 64, 256, 1024]) {
      const wire = frame(binary, Buffer.alloc(size, 1));
      for (let i = 0; i < 1000; i++) client.send(wire);
      for (let i = 0; i < 1000; i++) expect((await client.message()).data.length).toBe(size);
    }
    await finish(client);
  });

  test('10.1: a message in one frame, answered in one', async () => {
    const client = await WsClient.open(await echo(start));
    const payload = Buffer.alloc(65536, 0x62);
    for (const size of [65536, 1300]) {
      const wire = frame(text, payload);
      for (let at = 0; at < wire.length; at += size) client.send(wire.subarray(at, at + size));
      await expectFrames(client, [[text, payload]]);
    }
    await finish(client);
  });

  const offers: Array<[string, string, object | boolean]> = [
    ['12 and 13.1 the plain offer', 'permessage-deflate', true],
    [
      '13.2 takeover on both sides',
      'permessage-deflate; client_max_window_bits',
      { serverNoContextTakeover: false, clientNoContextTakeover: false },
    ],
    ['13.3 a window of 9', 'permessage-deflate; client_max_window_bits; server_max_window_bits=9', true],
    ['13.4 a window of 15', 'permessage-deflate; server_max_window_bits=15', { serverNoContextTakeover: false }],
    ['13.5 no takeover', 'permessage-deflate; server_no_context_takeover; client_no_context_takeover', true],
    ['13.6 both, and a window', 'permessage-deflate; server_no_context_takeover; server_max_window_bits=9', true],
    [
      '13.7 several offers',
      'permessage-deflate; server_max_window_bits=99, x-unknown, permessage-deflate; client_max_window_bits',
      true,
    ],
  ];

  test.each(offers)('%s: compressed messages both ways', async (_name, extensions, options) => {
    const client = await WsClient.open(await echo(start, { ...(options as object), threshold: 0 }), { extensions });
    const answer = client.field('sec-websocket-extensions') ?? '';
    expect(answer).toMatch(/^permessage-deflate/);
    const peer = new PeerDeflate(answer);
    for (const payload of compressible()) {
      const whole = await peer.compress(payload);
      client.send(frame(text, whole, { rsv: 4 }));
      expect((await peer.inflate(await client.next())).equals(payload)).toBe(true);
      const cut = await peer.compress(payload);
      const at = cut.length >> 1;
      client.send(
        frame(text, cut.subarray(0, at), { rsv: 4, fin: false }),
        frame(ping, 'in between'),
        frame(continuation, cut.subarray(at)),
      );
      expect((await client.next())?.opcode).toBe(pong);
      expect((await peer.inflate(await client.next())).equals(payload)).toBe(true);
      // Not every message need be compressed.
      client.send(frame(text, 'plain'));
      expect((await peer.inflate(await client.next())).toString()).toBe('plain');
    }
    peer.close();
    await finish(client);
  });
});

function compressible(): Buffer[] {
  const json = JSON.stringify(
    Array.from({ length: 20 }, (_, id) => ({ id, name: `user ${id * 7919}`, isActive: id % 3 === 0 })),
  );
  return ['', 'x', json, 'κόσμε '.repeat(20_000), randomBytes(40_000).toString('hex')].map((data) => Buffer.from(data));
}
