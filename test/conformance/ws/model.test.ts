/**
 * Random conversations against an echo: messages of every size and form, fragments, controls between them, cut into packets anywhere, on every
 * backend, through serve and through gammaloop/ws. What comes back has to be, in order, what a model of RFC 6455 says. The seed is in the name of
 * a test that fails.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from '../../../lib/drop-in/ws/index.js';
import { backends, starter } from '../../support/backends.js';
import { PeerDeflate } from './peer-deflate.js';
import { closeFrame, frame, opcodes, WsClient } from './wire.js';

const { continuation, text, binary, ping, pong } = opcodes;

/** mulberry32: the same numbers for the same seed. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to `below` - 1. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  }

  /** Mostly small; each form of the length occurs. */
  size(): number {
    const kind = this.below(20);
    if (kind < 12) return this.below(130);
    if (kind < 18) return this.below(4000);
    return kind === 18 ? 65_530 + this.below(12) : this.below(150_000);
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }

  text(length: number): Buffer {
    const alphabet = ['a', 'z', '0', ' ', 'é', 'ü', '€', '語', '😀', '\u{10ffff}', '\0'];
    let made = '';
    while (made.length < length) made += (alphabet[this.below(alphabet.length)] as string).repeat(1 + this.below(40));
    return Buffer.from(made);
  }
}

interface Expected {
  opcode: number;
  payload: Buffer;
}

/** The wire of a conversation, and what the echo has to answer. */
async function conversation(
  random: Random,
  messages: number,
  peer: PeerDeflate | null,
): Promise<{ wire: Buffer; expected: Expected[] }> {
  const wire: Buffer[] = [];
  const expected: Expected[] = [];
  const control = (): void => {
    const payload = random.bytes(random.below(126));
    const isPing = random.below(2) === 0;
    wire.push(frame(isPing ? ping : pong, payload));
    if (isPing) expected.push({ opcode: pong, payload });
  };
  for (let i = 0; i < messages; i++) {
    const opcode = random.below(2) === 0 ? text : binary;
    const size = random.size();
    const payload = opcode === text ? random.text(size) : random.bytes(size);
    const isCompressed = peer !== null && random.below(2) === 0;
    const data = isCompressed ? await (peer as PeerDeflate).compress(payload) : payload;
    const fragments = random.below(3) === 0 ? 1 + random.below(6) : 1;
    let at = 0;
    for (let n = 0; n < fragments; n++) {
      const end = n === fragments - 1 ? data.length : at + random.below(data.length - at + 1);
      const rsv = isCompressed && n === 0 ? 4 : 0;
      wire.push(frame(n === 0 ? opcode : continuation, data.subarray(at, end), { fin: n === fragments - 1, rsv }));
      at = end;
      // What stands within a fragmented message is answered before it.
      if (n < fragments - 1 && random.below(3) === 0) control();
    }
    expected.push({ opcode, payload });
    if (random.below(6) === 0) control();
  }
  return { wire: Buffer.concat(wire), expected };
}

const digest = (payload: Buffer): string => createHash('sha1').update(payload).digest('hex');

async function converse(port: number, seed: number, extensions?: string): Promise<void> {
  const client = await WsClient.open(port, extensions === undefined ? {} : { extensions });
  try {
    await talk(client, new Random(seed), extensions);
  } finally {
    client.socket.destroy();
  }
}

async function talk(client: WsClient, random: Random, extensions: string | undefined): Promise<void> {
  const peer = extensions === undefined ? null : new PeerDeflate(client.field('sec-websocket-extensions') ?? '');
  const { wire, expected } = await conversation(random, 40, peer);
  const sending = (async () => {
    for (let at = 0; at < wire.length; ) {
      const end = Math.min(wire.length, at + 1 + random.below(random.below(4) === 0 ? 20 : 20_000));
      client.send(wire.subarray(at, end));
      at = end;
      if (random.below(3) > 0) await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  // Of pings that wait to be answered only the last need be (RFC 6455 section 5.5.3): pongs come in order, and may be fewer.
  const pongs = expected.filter(({ opcode }) => opcode === pong).map(({ payload }) => digest(payload));
  let answered = 0;
  for (const { opcode, payload } of expected.filter((message) => message.opcode !== pong)) {
    let next = await client.next();
    for (; next?.opcode === pong; next = await client.next()) {
      const at = pongs.indexOf(digest(next.payload), answered);
      expect(at).toBeGreaterThanOrEqual(answered);
      answered = at + 1;
    }
    const data = peer === null ? (next?.payload ?? Buffer.alloc(0)) : await peer.inflate(next);
    expect([next?.opcode, next?.fin, data.length, digest(data)]).toEqual([
      opcode,
      true,
      payload.length,
      digest(payload),
    ]);
  }
  await sending;
  peer?.close();
  client.send(closeFrame(1000, 'done'));
  expect(await client.closed()).toEqual({ code: 1000, reason: 'done' });
}

const seeds = Array.from({ length: 6 }, (_, i) => 1000 + i * 7919);
const offers: Array<string | undefined> = [
  undefined,
  'permessage-deflate',
  'permessage-deflate; server_max_window_bits=9; client_max_window_bits=10',
];

describe.each(backends)('conversations through serve on %s', (backend) => {
  const start = starter(backend);

  test.each(seeds.flatMap((seed) => offers.map((offer) => [seed, offer] as const)))(
    'seed %i, %s',
    async (seed, offer) => {
      const server = await start({
        fetch: () => new Response(null, { status: 404 }),
        websocket: {
          perMessageDeflate: { threshold: 200, serverNoContextTakeover: false, clientNoContextTakeover: false },
          message: (ws, data) => void ws.send(data),
        },
      });
      const place = server.address();
      await converse((place as { port: number }).port, seed, offer);
    },
  );
});

describe.each(backends)('conversations through gammaloop/ws on %s', (backend) => {
  let wss: WebSocketServer;
  let before: string | undefined;
  beforeAll(async () => {
    before = process.env['GAMMALOOP_BACKEND'];
    process.env['GAMMALOOP_BACKEND'] = backend;
    wss = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 200 } });
    wss.on('connection', (ws) =>
      ws.on('message', (data: Buffer, isBinary: boolean) => ws.send(data, { binary: isBinary })),
    );
    await new Promise((resolve) => wss.once('listening', resolve));
  });
  afterAll(async () => {
    if (before === undefined) delete process.env['GAMMALOOP_BACKEND'];
    else process.env['GAMMALOOP_BACKEND'] = before;
    await new Promise((resolve) => wss.close(resolve));
  });

  test.each(seeds.flatMap((seed) => offers.map((offer) => [seed, offer] as const)))(
    'seed %i, %s',
    async (seed, offer) => {
      await converse((wss.address() as { port: number }).port, seed, offer);
    },
  );
});
