import { isUtf8 } from 'node:buffer';

/** How many bytes a sequence has that begins with `lead`; 0: none begins so (RFC 3629). */
function sequenceLength(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/** Whether `second` may follow `lead`: no overlong forms, no surrogates, nothing above U+10FFFF. */
function maySecond(lead: number, second: number): boolean {
  if ((second & 0xc0) !== 0x80) return false;
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second < 0x90;
  return true;
}

/**
 * UTF-8 that comes in pieces, split anywhere: the first byte that cannot be right is noticed in the piece that brings it. Keeps the sequence
 * that a piece ended within.
 */
export class Utf8Validator {
  readonly #cut = new Uint8Array(4);
  #cutLength = 0;
  #missing = 0;

  /** The last piece ended within a sequence. */
  get isCut(): boolean {
    return this.#missing > 0;
  }

  /** @returns false as soon as the text cannot be UTF-8 any more; then it is of no further use */
  push(piece: Uint8Array): boolean {
    let at = 0;
    while (this.#missing > 0 && at < piece.length) {
      const byte = piece[at++] as number;
      const isRight = this.#cutLength === 1 ? maySecond(this.#cut[0] as number, byte) : (byte & 0xc0) === 0x80;
      if (!isRight) return false;
      this.#cut[this.#cutLength++] = byte;
      this.#missing -= 1;
    }
    if (this.#missing > 0) return true;
    this.#cutLength = 0;
    const end = this.#keepCut(piece, at);
    if (end < 0) return false;
    return end === at || isUtf8(piece.subarray(at, end));
  }

  /** @returns whether the text may end here. Ready for the next one. */
  finish(): boolean {
    const isWhole = this.#missing === 0;
    this.#missing = 0;
    this.#cutLength = 0;
    return isWhole;
  }

  /** Keeps a sequence that the end of the piece cuts. @returns where it begins; -1: it cannot be right */
  #keepCut(piece: Uint8Array, start: number): number {
    for (let back = 1; back <= 3 && piece.length - back >= start; back++) {
      const from = piece.length - back;
      const lead = piece[from] as number;
      if ((lead & 0xc0) === 0x80) continue;
      const length = sequenceLength(lead);
      if (length === 0) return -1;
      if (length <= back) return piece.length;
      if (back > 1 && !maySecond(lead, piece[from + 1] as number)) return -1;
      for (let i = 0; i < back; i++) this.#cut[i] = piece[from + i] as number;
      this.#cutLength = back;
      this.#missing = length - back;
      return from;
    }
    return piece.length;
  }
}
