/** XOR with the masking key (RFC 6455 section 5.3), in place, a word at a time where it pays. */

/** Below it the view of words costs more than it saves. */
const WORDS_FROM_BYTES = 96;
const NON_ASCII_WORD = 0x80808080 | 0;

const keyBytes = new Uint8Array(4);
const keyWord = new Int32Array(keyBytes.buffer);

/**
 * Masks or unmasks `buffer[start, end)`. `phase`: how many bytes of the payload came before (its low two bits count).
 * @returns whether a byte of the result is above 0x7f: false means that it is ASCII
 */
export function applyMask(buffer: Uint8Array, start: number, end: number, mask: Uint8Array, phase: number): boolean {
  let at = start;
  let seen = 0;
  if (end - start >= WORDS_FROM_BYTES) {
    const toWords = (4 - ((buffer.byteOffset + at) & 3)) & 3;
    for (const stop = at + toWords; at < stop; at++) {
      seen |= buffer[at] = (buffer[at] as number) ^ (mask[(phase + at - start) & 3] as number);
    }
    const turn = phase + at - start;
    for (let i = 0; i < 4; i++) keyBytes[i] = mask[(turn + i) & 3] as number;
    const key = keyWord[0] as number;
    const words = new Int32Array(buffer.buffer, buffer.byteOffset + at, (end - at) >> 2);
    let seenWords = 0;
    for (let i = 0; i < words.length; i++) seenWords |= words[i] = (words[i] as number) ^ key;
    if ((seenWords & NON_ASCII_WORD) !== 0) seen |= 0x80;
    at += words.length << 2;
  }
  for (; at < end; at++) {
    seen |= buffer[at] = (buffer[at] as number) ^ (mask[(phase + at - start) & 3] as number);
  }
  return (seen & 0x80) !== 0;
}
