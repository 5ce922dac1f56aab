/** A WebSocket client that sends what it is told to, right or wrong, and reads strictly (RFC 6455 section 5). */
import { createHash, randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { inflateRawSync } from 'node:zlib';
import type { Server } from '../../../lib/index.js';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  fin?: boolean;
  /** Bits RSV1 to RSV3: 4, 2, 1. */
  rsv?: number;
  /** Null: not masked. Default: random. */
  mask?: Buffer | null;
  /** Which form of the length: by default the shortest. */
  lengthBytes?: 1 | 2 | 8;
  /** What the head says; default: the payload's. */
  length?: bigint;
}

export function frame(opcode: number, payload: string | Uint8Array = '', options: FrameOptions = {}): Buffer {
  const { fin = true, rsv = 0, mask = randomBytes(4), length } = options;
  const data = Buffer.from(payload as Uint8Array);
  const announced = length ?? BigInt(data.length);
  const form = options.lengthBytes ?? (announced < 126n ? 1 : announced < 65536n ? 2 : 8);
  const extended = Buffer.alloc(form === 1 ? 0 : form);
  if (form === 2) extended.writeUInt16BE(Number(announced));
  if (form === 8) extended.writeBigUInt64BE(announced);
  const short = form === 1 ? Number(announced) : form === 2 ? 126 : 127;
  const head = Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode, (mask === null ? 0 : 0x80) | short]);
  if (mask === null) return Buffer.concat([head, extended, data]);
  const masked = data.map((byte, at) => byte ^ (mask[at & 3] as number));
  return Buffer.concat([head, extended, mask, masked]);
}

export function closeFrame(code?: number, reason: string | Uint8Array = ''): Buffer {
  if (code === undefined) return frame(opcodes.close);
  const payload = Buffer.concat([Buffer.alloc(2), Buffer.from(reason as Uint8Array)]);
  payload.writeUInt16BE(code);
  return frame(opcodes.close, payload);
}

export interface Frame {
  fin: boolean;
  rsv: number;
  opcode: number;
  payload: Buffer;
}

export interface Closed {
  code: number;
  reason: string;
}

export interface HandshakeOptions {
  path?: string;
  extensions?: string;
  protocols?: string;
  headers?: string;
  /** Bytes in the packet of the handshake, behind it. */
  behind?: Buffer;
}

export class WsClient {
  readonly socket: Socket;
  /** The answer's head. */
  head = '';
  #chunks: Buffer[] = [];
  #isOver = false;
  #wake: Array<() => void> = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    const over = (): void => {
      this.#isOver = true;
      this.#notify();
    };
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#notify();
    });
    socket.on('end', over).on('close', over).on('error', over);
  }

  static async connect(to: Server | number): Promise<WsClient> {
    const place = typeof to === 'number' ? { port: to } : to.address();
    if (typeof place === 'string') throw new Error(`${place} has no port`);
    const socket = connect({ port: place.port, host: '127.0.0.1', allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new WsClient(socket);
  }

  /** Connects and shakes hands. */
  static async open(to: Server | number, options: HandshakeOptions = {}): Promise<WsClient> {
    const client = await WsClient.connect(to);
    await client.upgrade(options);
    return client;
  }

  async upgrade({ path = '/', extensions, protocols, headers = '', behind }: HandshakeOptions = {}): Promise<void> {
    const key = randomBytes(16).toString('base64');
    const request =
      `GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${key}\r\n${extensions === undefined ? '' : `Sec-WebSocket-Extensions: ${extensions}\r\n`}` +
      `${protocols === undefined ? '' : `Sec-WebSocket-Protocol: ${protocols}\r\n`}${headers}\r\n`;
    this.send(Buffer.concat([Buffer.from(request), behind ?? Buffer.alloc(0)]));
    this.head = await this.readHead();
    if (!this.head.startsWith('HTTP/1.1 101 ')) throw new Error(`Not upgraded: ${this.head}`);
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    if (this.field('sec-websocket-accept') !== accept) throw new Error(`Wrong accept value: ${this.head}`);
  }

  async readHead(): Promise<string> {
    return this.#until('a head', () => {
      const end = this.#input.indexOf('\r\n\r\n');
      if (end === -1) return null;
      const head = this.#input.toString('latin1', 0, end + 4);
      this.#input = this.#input.subarray(end + 4);
      return head;
    });
  }

  /** Of the answer, by its lower-case name. */
  field(name: string): string | null {
    return new RegExp(`^${name}: *(.*)\r$`, 'im').exec(this.head)?.[1] ?? null;
  }

  send(...wire: Uint8Array[]): this {
    this.socket.write(Buffer.concat(wire));
    return this;
  }

  /** Sends byte by byte, each in a packet of its own as far as the kernel keeps them apart. */
  async trickle(wire: Buffer): Promise<void> {
    for (const byte of wire) {
      await new Promise<void>((resolve) => this.socket.write(Buffer.from([byte]), () => setImmediate(resolve)));
    }
  }

  /** The next frame, checked as a client has to. Null: the server has ended. */
  async next(): Promise<Frame | null> {
    for (;;) {
      const parsed = parseFrame(this.#input);
      if (parsed !== null) {
        this.#input = this.#input.subarray(parsed.length);
        return parsed.frame;
      }
      if (this.#isOver) {
        if (this.#input.length > 0) throw new Error(`The server ended within a frame: ${this.#input.toString('hex')}`);
        return null;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** The next data message; pongs in between are left out. */
  async message(): Promise<{ data: Buffer; isBinary: boolean; isCompressed: boolean }> {
    const parts: Buffer[] = [];
    let first: Frame | null = null;
    for (;;) {
      const next = await this.next();
      if (next === null || next.opcode === opcodes.close)
        throw new Error(
          `No message but ${next === null ? 'the end' : `a close frame ${next.payload.toString('hex')}`}`,
        );
      if (next.opcode > 2) continue;
      if ((next.opcode === 0) !== (first !== null)) throw new Error(`Opcode ${next.opcode} in the wrong place`);
      first ??= next;
      parts.push(next.payload);
      if (!next.fin) continue;
      const isCompressed = (first.rsv & 4) !== 0;
      const data = Buffer.concat(parts);
      return { data: isCompressed ? inflate(data) : data, isBinary: first.opcode === opcodes.binary, isCompressed };
    }
  }

  async text(): Promise<string> {
    return (await this.message()).data.toString();
  }

  /** The server's close frame, what comes before it dropped, and then its FIN. Null: there was none. `answers`: with one of ours. */
  async closed({ answers = false }: { answers?: boolean } = {}): Promise<Closed | null> {
    let closed: Closed | null = null;
    for (let next = await this.next(); next !== null; next = await this.next()) {
      if (closed !== null) throw new Error(`A frame behind the close frame: opcode ${next.opcode}`);
      if (next.opcode !== opcodes.close) continue;
      const { payload } = next;
      if (answers) this.send(frame(opcodes.close, payload));
      closed =
        payload.length === 0
          ? { code: 1005, reason: '' }
          : { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    }
    this.socket.end();
    return closed;
  }

  /** What has come and not been taken. */
  get #input(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] as Buffer;
  }

  set #input(rest: Buffer) {
    this.#chunks = [rest];
  }

  async #until<T>(what: string, check: () => T | null): Promise<T> {
    for (;;) {
      const result = check();
      if (result !== null) return result;
      if (this.#isOver) throw new Error(`The connection ended before ${what}: ${this.#input.toString('latin1')}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) resolve();
  }
}

/** Null: more is needed. Throws on what no server may send. */
function parseFrame(input: Buffer): { frame: Frame; length: number } | null {
  if (input.length < 2) return null;
  const [first, second] = input as unknown as [number, number];
  if ((second & 0x80) !== 0) throw new Error('A masked frame from the server');
  const short = second & 0x7f;
  const at = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (input.length < at) return null;
  const length = short === 126 ? input.readUInt16BE(2) : short === 127 ? Number(input.readBigUInt64BE(2)) : short;
  if ((short === 126 && length < 126) || (short === 127 && length < 65536))
    throw new Error('A length not in its shortest form');
  if (input.length < at + length) return null;
  const opcode = first & 0x0f;
  const fin = (first & 0x80) !== 0;
  if (opcode > 2 && (opcode < 8 || opcode > 10)) throw new Error(`Opcode ${opcode}`);
  if (opcode >= 8 && (!fin || length > 125)) throw new Error('A wrong control frame');
  const payload = Buffer.from(input.subarray(at, at + length));
  return { frame: { fin, rsv: (first >> 4) & 7, opcode, payload }, length: at + length };
}

export const deflateTail = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** A message by a compressor without context takeover. */
export function inflate(data: Buffer): Buffer {
  return inflateRawSync(Buffer.concat([data, deflateTail]), { finishFlush: 2 });
}
