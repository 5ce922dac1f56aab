/** Names on an AMQP broker have at most 255 bytes of UTF-8: longer ones end in a hash. */
import { createHash } from 'node:crypto';

const MAX_BYTES = 255;
const KEPT_CHARS = 40;

export function amqpName(name: string): string {
  if (name.length * 3 <= MAX_BYTES || Buffer.byteLength(name) <= MAX_BYTES) {
    return name;
  }
  return `${name.slice(0, KEPT_CHARS)}.${createHash('sha256').update(name).digest('hex')}`;
}
