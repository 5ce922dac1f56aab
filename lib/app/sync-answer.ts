/**
 * A response on its way from the worker to the server. One with a short text travels as a plain object; a larger one, or bytes, as one
 * block of bytes, of which the server sends a part without copying it: the length of the head, the head as JSON, the body.
 */
import type { HeadBlock } from '../http/header-block.js';

export interface SyncAnswer {
  readonly status: number;
  readonly reason: string;
  readonly head: Pick<HeadBlock, 'block' | 'flags' | 'contentLength'>;
  readonly body: string | Uint8Array | null;
}

/** Longer texts are made bytes in the worker, which has the time. */
const MAX_TEXT_CHARS = 1024;
const LENGTH_BYTES = 4;

export function packAnswer(answer: SyncAnswer): SyncAnswer | Uint8Array {
  const { body, ...rest } = answer;
  if (body === null || (typeof body === 'string' && body.length <= MAX_TEXT_CHARS)) {
    return answer;
  }
  const head = JSON.stringify(rest);
  const headBytes = Buffer.byteLength(head);
  const bodyAt = LENGTH_BYTES + headBytes;
  const packed = Buffer.allocUnsafe(bodyAt + (typeof body === 'string' ? Buffer.byteLength(body) : body.length));
  packed.writeUInt32LE(headBytes);
  packed.write(head, LENGTH_BYTES);
  if (typeof body === 'string') packed.write(body, bodyAt);
  else packed.set(body, bodyAt);
  return packed;
}

export function unpackAnswer(answer: SyncAnswer | Uint8Array): SyncAnswer {
  if (!(answer instanceof Uint8Array)) {
    return answer;
  }
  const packed = Buffer.from(answer.buffer, answer.byteOffset, answer.length);
  const bodyAt = LENGTH_BYTES + packed.readUInt32LE();
  return { ...JSON.parse(packed.toString('utf8', LENGTH_BYTES, bodyAt)), body: packed.subarray(bodyAt) };
}
