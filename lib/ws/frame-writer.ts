/** Frames on their way out (RFC 6455 section 5.2): heads and close payloads. */

const FIN = 0x80;
const RSV1 = 0x40;
const MASKED = 0x80;

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Largest payload of a control frame, in bytes (section 5.5). */
export const CONTROL_PAYLOAD_BYTES = 125;
/** Largest reason of a close frame, in bytes of UTF-8: what the code leaves. */
export const CLOSE_REASON_BYTES = CONTROL_PAYLOAD_BYTES - 2;
/** No head is longer. */
export const HEAD_BYTES = 14;

/** Of the head of a frame, without a masking key. */
export function headBytes(payloadBytes: number): number {
  return payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10;
}

/**
 * Writes a head at `at`, in the shortest form of the length. `mask`: the key, or null.
 * @returns where the payload begins
 */
export function writeHead(
  target: Uint8Array,
  at: number,
  opcode: number,
  isLast: boolean,
  isCompressed: boolean,
  payloadBytes: number,
  mask: Uint8Array | null,
): number {
  target[at] = opcode | (isLast ? FIN : 0) | (isCompressed ? RSV1 : 0);
  const maskBit = mask === null ? 0 : MASKED;
  let end: number;
  if (payloadBytes < 126) {
    target[at + 1] = maskBit | payloadBytes;
    end = at + 2;
  } else if (payloadBytes < 65536) {
    target[at + 1] = maskBit | 126;
    target[at + 2] = payloadBytes >>> 8;
    target[at + 3] = payloadBytes & 0xff;
    end = at + 4;
  } else {
    target[at + 1] = maskBit | 127;
    const high = Math.floor(payloadBytes / 0x100000000);
    for (let i = 0; i < 4; i++) {
      target[at + 2 + i] = (high >>> (24 - 8 * i)) & 0xff;
      target[at + 6 + i] = (payloadBytes >>> (24 - 8 * i)) & 0xff;
    }
    end = at + 10;
  }
  if (mask === null) return end;
  target.set(mask, end);
  return end + 4;
}

/** The payload of a close frame (section 5.5.1); `code` 1005: none. */
export function closePayload(code: number, reason: string | Uint8Array): Buffer {
  if (code === 1005) return Buffer.alloc(0);
  const text = typeof reason === 'string' ? Buffer.from(reason) : reason;
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(code, 0);
  payload.set(text, 2);
  return payload;
}
