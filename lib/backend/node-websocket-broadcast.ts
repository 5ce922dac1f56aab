import { SEND_BINARY, SEND_COMPRESS } from '../ws/contract.js';
import type { MessageDeflate } from '../ws/deflate.js';
import { HEAD_BYTES, Opcode, writeHead } from '../ws/frame-writer.js';

/** A message to many: one frame for all of them, and one more for each way in which they compress. */
export class Broadcast {
  readonly #payload: Uint8Array;
  readonly #opcode: number;
  readonly #compresses: boolean;
  readonly #frames = new Map<string, Buffer>();

  /** Bytes are copied when they are first sent. */
  constructor(data: string | Uint8Array, flags: number) {
    this.#payload = typeof data === 'string' ? Buffer.from(data) : data;
    this.#opcode = (flags & SEND_BINARY) !== 0 ? Opcode.binary : Opcode.text;
    this.#compresses = (flags & SEND_COMPRESS) !== 0;
  }

  /** For a connection that compresses by `deflate`; null: it does not. What comes back is shared, and must not change. */
  frameFor(deflate: MessageDeflate | null): Buffer {
    if (!this.#compresses || deflate === null || this.#payload.length < deflate.thresholdBytes)
      return this.#frame('', null);
    // With context takeover no two connections send the same bytes.
    if (deflate.outKey === '') return encode(this.#opcode, deflate.compress(this.#payload, true, true), true);
    return this.#frame(deflate.outKey, deflate);
  }

  #frame(key: string, deflate: MessageDeflate | null): Buffer {
    let frame = this.#frames.get(key);
    if (frame === undefined) {
      const payload = deflate === null ? this.#payload : deflate.compress(this.#payload, true, true);
      frame = encode(this.#opcode, payload, deflate !== null);
      this.#frames.set(key, frame);
    }
    return frame;
  }
}

function encode(opcode: number, payload: Uint8Array, isCompressed: boolean): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  const start = writeHead(frame, 0, opcode, true, isCompressed, payload.length, null);
  frame.set(payload, start);
  return frame.subarray(0, start + payload.length);
}
