/** Larger pieces are kept as they are. */
const COPIED_BELOW_BYTES = 1024;
const TAIL_BYTES = 4096;

/**
 * The pieces of a message that is not whole yet. Small ones are copied together: a view of a few bytes would keep all of what it was read with, so
 * that tiny fragments could hold many times the memory of the message.
 */
export class PieceList {
  #pieces: Buffer[] = [];
  #tail: Buffer | null = null;
  #tailLength = 0;
  bytes = 0;

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.bytes += piece.length;
    if (this.#tail !== null && this.#tail.length - this.#tailLength < piece.length) this.#closeTail();
    if (this.#tail === null) {
      if (piece.length >= COPIED_BELOW_BYTES) {
        this.#pieces.push(piece);
        return;
      }
      this.#tail = Buffer.allocUnsafeSlow(TAIL_BYTES);
    }
    piece.copy(this.#tail, this.#tailLength);
    this.#tailLength += piece.length;
  }

  /** All of them, in one; the list is empty then. */
  take(): Buffer {
    this.#closeTail();
    const pieces = this.#pieces;
    const all = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, this.bytes);
    this.clear();
    return all;
  }

  clear(): void {
    this.#pieces = [];
    this.#tail = null;
    this.#tailLength = 0;
    this.bytes = 0;
  }

  #closeTail(): void {
    if (this.#tail !== null && this.#tailLength > 0) this.#pieces.push(this.#tail.subarray(0, this.#tailLength));
    this.#tail = null;
    this.#tailLength = 0;
  }
}
