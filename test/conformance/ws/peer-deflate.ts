/** A client's permessage-deflate (RFC 7692) by zlib's streams: another way than the one that is tested. */
import { constants, createDeflateRaw, createInflateRaw, type DeflateRaw, type InflateRaw } from 'node:zlib';
import { deflateTail, type Frame } from './wire.js';

export class PeerDeflate {
  readonly #deflate: DeflateRaw;
  readonly #inflate: InflateRaw;
  readonly #forgetsOut: boolean;
  readonly #forgetsIn: boolean;

  /** `answer`: the server's Sec-WebSocket-Extensions. It inflates with exactly the window that the server promised. */
  constructor(answer: string) {
    const bits = (name: string): number => Number(new RegExp(`${name}_max_window_bits=(\\d+)`).exec(answer)?.[1] ?? 15);
    this.#deflate = createDeflateRaw({ windowBits: bits('client') });
    this.#inflate = createInflateRaw({ windowBits: bits('server') });
    this.#forgetsOut = answer.includes('client_no_context_takeover');
    this.#forgetsIn = answer.includes('server_no_context_takeover');
  }

  async compress(data: Buffer): Promise<Buffer> {
    // A flush of nothing writes nothing.
    if (data.length === 0) return Buffer.from([0]);
    const bytes = await through(this.#deflate, data);
    if (this.#forgetsOut) this.#deflate.reset();
    return bytes.subarray(0, bytes.length - deflateTail.length);
  }

  /** The payload of a message in one frame, compressed or not. */
  async inflate(frame: Frame | null): Promise<Buffer> {
    if (frame === null) throw new Error('The connection ended');
    if ((frame.rsv & 4) === 0) return frame.payload;
    const bytes = await through(this.#inflate, Buffer.concat([frame.payload, deflateTail]));
    if (this.#forgetsIn) this.#inflate.reset();
    return bytes;
  }

  close(): void {
    this.#deflate.close();
    this.#inflate.close();
  }
}

async function through(stream: DeflateRaw | InflateRaw, data: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const onData = (chunk: Buffer): void => void chunks.push(chunk);
  stream.on('data', onData);
  await new Promise<void>((resolve, reject) => {
    stream.once('error', reject);
    stream.write(data);
    stream.flush(constants.Z_SYNC_FLUSH, () => {
      stream.off('error', reject);
      resolve();
    });
  });
  stream.off('data', onData);
  return Buffer.concat(chunks);
}
