/**
 * ChunkScanner: RFC 9112 7.1 transfer coding, byte by byte resumable: the counterpart of native/http/chunked_decoder.cc. It measures and
 * refuses; the data itself is taken from node's parser, which sees only what has passed here.
 */
import { CR, type HttpErrorName, isTchar, isValueByte, LF } from './strict-syntax.js';

const MAX_SIZE_DIGITS = 16;

type State =
  | 'size'
  | 'size-digits'
  | 'extension-name'
  | 'extension-value'
  | 'quoted'
  | 'quoted-pair'
  | 'quoted-end'
  | 'size-lf'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'trailers'
  | 'done';

export interface ChunkScan {
  /** Bytes of the input that belong to this body and are sound. */
  consumed: number;
  /** Data bytes (without framing) among them. */
  dataBytes: number;
  /** The end of the body was seen; `trailerSection` is whole. */
  done: boolean;
  error: HttpErrorName | null;
}

export class ChunkScanner {
  #state: State = 'size';
  #remaining = 0;
  #digits = 0;
  #tokenEmpty = true;
  #overhead = 0;
  #trailers: number[] = [];
  readonly #overheadLimit: number;

  /** `overheadLimit`: extensions, needless zeros of sizes, and trailers together, per body. 0: none. */
  constructor(overheadLimit: number) {
    this.#overheadLimit = overheadLimit > 0 ? overheadLimit : Number.MAX_SAFE_INTEGER;
  }

  /** Where the trailer section is being read: its bytes must not go further before all of it has been checked. */
  get inTrailers(): boolean {
    return this.#state === 'trailers';
  }

  get trailerSection(): Buffer {
    return Buffer.from(this.#trailers);
  }

  /** Stops before the trailer section (so that the caller can hold it back), at the end of the body, and at an error. */
  scan(input: Buffer): ChunkScan {
    let at = 0;
    let dataBytes = 0;
    const begunInTrailers = this.#state === 'trailers';
    while (at < input.length) {
      if (this.#state === 'done' || (this.#state === 'trailers' && !begunInTrailers)) break;
      if (this.#state === 'data') {
        const length = Math.min(this.#remaining, input.length - at);
        this.#remaining -= length;
        at += length;
        dataBytes += length;
        if (this.#remaining === 0) this.#state = 'data-cr';
        continue;
      }
      const error = this.#takeByte(input[at] as number);
      if (error !== null) return { consumed: at, dataBytes, done: false, error };
      at++;
    }
    return { consumed: at, dataBytes, done: this.#state === 'done', error: null };
  }

  #takeByte(byte: number): HttpErrorName | null {
    switch (this.#state) {
      case 'size':
      case 'size-digits':
        return this.#takeSizeByte(byte);
      case 'size-lf':
        if (byte !== LF) return 'INVALID_CHUNK_SIZE';
        this.#state = this.#remaining === 0 ? 'trailers' : 'data';
        return null;
      case 'data-cr':
        this.#state = 'data-lf';
        return byte === CR ? null : 'INVALID_CHUNK_TERMINATOR';
      case 'data-lf':
        this.#state = 'size';
        this.#digits = 0;
        return byte === LF ? null : 'INVALID_CHUNK_TERMINATOR';
      case 'trailers':
        return this.#takeTrailerByte(byte);
      default:
        return this.#takeExtensionByte(byte);
    }
  }

  #takeSizeByte(byte: number): HttpErrorName | null {
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : hexLetter(byte);
    if (digit >= 0) {
      if (this.#digits === MAX_SIZE_DIGITS) return 'INVALID_CHUNK_SIZE';
      const needless = this.#digits > 0 && this.#remaining === 0;
      this.#remaining = this.#digits === 0 ? digit : this.#remaining * 16 + digit;
      this.#digits++;
      this.#state = 'size-digits';
      if (this.#remaining > Number.MAX_SAFE_INTEGER) return 'INVALID_CHUNK_SIZE';
      return needless ? this.#countOverhead() : null;
    }
    if (this.#digits === 0) return 'INVALID_CHUNK_SIZE';
    if (byte === CR) {
      this.#state = 'size-lf';
      return null;
    }
    if (byte !== 0x3b) return 'INVALID_CHUNK_SIZE';
    this.#state = 'extension-name';
    this.#tokenEmpty = true;
    return this.#countOverhead();
  }

  // chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the "bad whitespace" that a recipient may take.
  #takeExtensionByte(byte: number): HttpErrorName | null {
    const quoting = this.#state === 'quoted' || this.#state === 'quoted-pair';
    const tokenDone = this.#state === 'quoted-end' || (!this.#tokenEmpty && !quoting);
    if (tokenDone && byte === CR) {
      this.#state = 'size-lf';
      return null;
    }
    const over = this.#countOverhead();
    if (over !== null) return over;
    if (tokenDone && byte === 0x3b) {
      this.#state = 'extension-name';
      this.#tokenEmpty = true;
      return null;
    }
    switch (this.#state) {
      case 'extension-name':
        if (byte === 0x3d && !this.#tokenEmpty) {
          this.#state = 'extension-value';
          this.#tokenEmpty = true;
          return null;
        }
        break;
      case 'extension-value':
        if (byte === 0x22 && this.#tokenEmpty) {
          this.#state = 'quoted';
          return null;
        }
        break;
      case 'quoted':
        if (byte === 0x22) this.#state = 'quoted-end';
        else if (byte === 0x5c) this.#state = 'quoted-pair';
        return isValueByte(byte) ? null : 'INVALID_CHUNK_EXTENSION';
      case 'quoted-pair':
        this.#state = 'quoted';
        return isValueByte(byte) ? null : 'INVALID_CHUNK_EXTENSION';
      default: // after the closing quote only ";" and CR may follow
        return 'INVALID_CHUNK_EXTENSION';
    }
    this.#tokenEmpty = false;
    return isTchar(byte) ? null : 'INVALID_CHUNK_EXTENSION';
  }

  // Only the line ends are checked here, to know the end of the section; parseTrailers reads the fields.
  #takeTrailerByte(byte: number): HttpErrorName | null {
    const seen = this.#trailers;
    if ((seen[seen.length - 1] === CR) !== (byte === LF)) return 'INVALID_LINE_ENDING';
    const over = this.#countOverhead();
    if (over !== null) return over;
    seen.push(byte);
    if (byte === LF && (seen.length === 2 || seen[seen.length - 3] === LF)) this.#state = 'done';
    return null;
  }

  #countOverhead(): HttpErrorName | null {
    if (this.#overhead === this.#overheadLimit) return 'CHUNK_OVERHEAD_EXCEEDED';
    this.#overhead++;
    return null;
  }
}

function hexLetter(byte: number): number {
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}
