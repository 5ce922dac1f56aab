/** Messages on a byte stream between two processes: a length of four bytes, then the message as V8 serializes it. */
import { deserialize, serialize } from 'node:v8';

const HEAD_BYTES = 4;

/** Throws what V8 throws for what it cannot clone. */
export function toFrame(message: unknown): Buffer {
  const body = serialize(message);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + body.byteLength);
  frame.writeUInt32LE(body.byteLength);
  body.copy(frame, HEAD_BYTES);
  return frame;
}

export class FrameReader {
  #chunks: Buffer[] = [];
  #size = 0;
  /** What the next step needs: a head, or a head and its body. */
  #needed = HEAD_BYTES;

  /** The messages that are complete with this chunk. Their bytes are their own. */
  *push(chunk: Buffer): Generator<unknown> {
    this.#chunks.push(chunk);
    this.#size += chunk.byteLength;
    while (this.#size >= this.#needed) {
      const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
      const end = HEAD_BYTES + all.readUInt32LE();
      if (all.byteLength < end) {
        this.#chunks = [all];
        this.#needed = end;
        return;
      }
      const rest = all.subarray(end);
      this.#chunks = rest.byteLength === 0 ? [] : [rest];
      this.#size = rest.byteLength;
      this.#needed = HEAD_BYTES;
      yield deserialize(all.subarray(HEAD_BYTES, end));
    }
  }
}

/** The bytes alone, as a buffer of their own. */
export function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
