/** Frames on their way in (RFC 6455 sections 5 and 6): bytes in, whole messages out. Partial input is a normal result. */
import { isUtf8 } from 'node:buffer';
import { isValidCloseCode, type WebSocketFailure } from './contract.js';
import type { MessageDeflate } from './deflate.js';
import { CONTROL_PAYLOAD_BYTES, Opcode } from './frame-writer.js';
import { applyMask } from './masking.js';
import { PieceList } from './piece-list.js';
import { Utf8Validator } from './utf8.js';

/** What `next` found; the reader's fields have the rest. */
export const Found = { nothing: 0, message: 1, part: 2, ping: 3, pong: 4, close: 5, failure: 6 } as const;
export type Found = (typeof Found)[keyof typeof Found];

export interface ReaderOptions {
  /** A server's frames come masked, a client's do not. */
  readonly isServer: boolean;
  readonly maxPayloadBytes: number;
  readonly maxFragments: number;
  /** Reads that one frame may come in; 0: any number. */
  readonly maxChunks: number;
  readonly partsAboveBytes: number;
  readonly skipUtf8Validation: boolean;
  readonly deflate: MessageDeflate | null;
}

const EMPTY = Buffer.alloc(0);
const HEAD_BYTES_MAX = 14;

const PROCEED = -1;

/**
 * The state of one connection's incoming side. Owned by its session, which pushes what it reads and takes results until there is nothing. Payloads
 * are unmasked in the chunks that they came in, and handed out as views of them.
 */
export class FrameReader {
  /** Of a message, a part, a ping or pong; the reason of a close. */
  data: Buffer = EMPTY;
  isBinary = false;
  /** Of a part: the message's last. */
  isLast = true;
  /** Of a close; 1005: it had none. */
  closeCode = 1005;
  failure: WebSocketFailure = 'INVALID_OPCODE';
  /** The opcode, length or close code that was wrong. */
  failureNumber = 0;

  readonly #options: ReaderOptions;
  #chunk: Buffer = EMPTY;
  #at = 0;
  /** Pushed while another chunk was not read to its end. */
  readonly #waiting: Buffer[] = [];
  /** After a close frame or a failure nothing more is read. */
  #isOver = false;

  /** A head that chunks cut. */
  #head: Buffer | null = null;
  #headLength = 0;

  // The frame whose payload is being read.
  #inPayload = false;
  #opcode = 0;
  #isFinal = false;
  readonly #mask = new Uint8Array(4);
  #length = 0;
  #missing = 0;
  #chunksOfFrame = 0;
  #control: Buffer | null = null;

  // The message that frames are read of; opcode 0: none.
  #messageOpcode = 0;
  #isCompressed = false;
  #fragments = 0;
  /** By the lengths of its frames. */
  #announcedBytes = 0;
  #inParts = false;
  readonly #pieces = new PieceList();
  #utf8: Utf8Validator | null = null;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Something was pushed that `next` has not looked at. */
  get hasInput(): boolean {
    return this.#at < this.#chunk.length || this.#waiting.length > 0;
  }

  /** Whatever comes is dropped from here on. */
  stop(): void {
    this.#end();
  }

  push(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#at < this.#chunk.length) {
      this.#waiting.push(chunk);
      return;
    }
    this.#chunk = chunk;
    this.#at = 0;
  }

  next(): Found {
    while (!this.#isOver) {
      if (this.#at === this.#chunk.length) {
        const chunk = this.#waiting.shift();
        if (chunk !== undefined) {
          this.#chunk = chunk;
          this.#at = 0;
        } else if (!this.#inPayload || this.#missing > 0) {
          this.#chunk = EMPTY;
          this.#at = 0;
          return Found.nothing;
        }
      }
      const found = this.#inPayload ? this.#readPayload() : this.#readHead();
      if (found === Found.nothing || found === PROCEED) continue;
      if (found === Found.failure || found === Found.close) this.#end();
      return found;
    }
    return Found.nothing;
  }

  #end(): void {
    this.#isOver = true;
    this.#chunk = EMPTY;
    this.#at = 0;
    this.#waiting.length = 0;
    this.#pieces.clear();
    this.#control = null;
  }

  #fail(failure: WebSocketFailure, number = 0): Found {
    this.failure = failure;
    this.failureNumber = number;
    return Found.failure;
  }

  #readHead(): Found | -1 {
    if (this.#headLength === 0) {
      const taken = this.#parseHead(this.#chunk, this.#at, this.#chunk.length - this.#at);
      if (taken < 0) return Found.failure;
      if (taken > 0) {
        this.#at += taken;
        return PROCEED;
      }
    }
    this.#head ??= Buffer.allocUnsafe(HEAD_BYTES_MAX);
    while (this.#at < this.#chunk.length) {
      this.#head[this.#headLength++] = this.#chunk[this.#at++] as number;
      const taken = this.#parseHead(this.#head, 0, this.#headLength);
      if (taken < 0) return Found.failure;
      if (taken > 0) {
        this.#headLength = 0;
        return PROCEED;
      }
    }
    return Found.nothing;
  }

  /** Looks at each byte as soon as it is there. @returns bytes of the head; 0: more are needed; -1: it is wrong */
  #parseHead(buffer: Buffer, at: number, available: number): number {
    if (available < 2) return available < 1 || this.#checkFirst(buffer[at] as number, 0x80) ? 0 : -1;
    const first = buffer[at] as number;
    const second = buffer[at + 1] as number;
    if (!this.#checkFirst(first, second)) return -1;
    const { maxPayloadBytes, maxFragments, isServer } = this.#options;
    if (isServer !== ((second & 0x80) !== 0)) return this.#failHead(isServer ? 'EXPECTED_MASK' : 'UNEXPECTED_MASK', 0);
    let length = second & 0x7f;
    let taken = 2;
    if (length === 126) {
      if (available < 4) return 0;
      length = buffer.readUInt16BE(at + 2);
      taken = 4;
      if (length < 126) return this.#failHead('INVALID_PAYLOAD_LENGTH', length);
    } else if (length === 127) {
      if (available < 10) return 0;
      const high = buffer.readUInt32BE(at + 2);
      length = high * 0x100000000 + buffer.readUInt32BE(at + 6);
      taken = 10;
      if (high >= 0x80000000 || length < 65536) return this.#failHead('INVALID_PAYLOAD_LENGTH', length);
      if (length > Number.MAX_SAFE_INTEGER) return this.#failHead('UNSUPPORTED_MESSAGE_LENGTH', length);
    }
    const opcode = first & 0x0f;
    if (opcode < Opcode.close) {
      if (maxPayloadBytes > 0 && this.#announcedBytes + length > maxPayloadBytes)
        return this.#failHead('UNSUPPORTED_MESSAGE_LENGTH', this.#announcedBytes + length);
      if (maxFragments > 0 && this.#fragments >= maxFragments)
        return this.#failHead('TOO_MANY_BUFFERED_PARTS', this.#fragments + 1);
    }
    if (isServer) {
      if (available < taken + 4) return 0;
      for (let i = 0; i < 4; i++) this.#mask[i] = buffer[at + taken + i] as number;
      taken += 4;
    }
    this.#begin(first, opcode, length);
    return taken;
  }

  /** `second` is as good as absent when its low bits are 0. */
  #checkFirst(first: number, second: number): boolean {
    const opcode = first & 0x0f;
    const hasRsv1 = (first & 0x40) !== 0;
    if ((first & 0x30) !== 0) return this.#failFirst('UNEXPECTED_RSV_2_3');
    if (hasRsv1 && this.#options.deflate === null) return this.#failFirst('UNEXPECTED_RSV_1');
    if (opcode === Opcode.continuation) {
      if (hasRsv1) return this.#failFirst('UNEXPECTED_RSV_1');
      if (this.#messageOpcode === 0) return this.#failFirst('INVALID_OPCODE', opcode);
    } else if (opcode <= Opcode.binary) {
      if (this.#messageOpcode !== 0) return this.#failFirst('INVALID_OPCODE', opcode);
    } else if (opcode >= Opcode.close && opcode <= Opcode.pong) {
      const length = second & 0x7f;
      if ((first & 0x80) === 0) return this.#failFirst('EXPECTED_FIN');
      if (hasRsv1) return this.#failFirst('UNEXPECTED_RSV_1');
      if (length > CONTROL_PAYLOAD_BYTES || (opcode === Opcode.close && length === 1))
        return this.#failFirst('INVALID_CONTROL_PAYLOAD_LENGTH', length);
    } else {
      return this.#failFirst('INVALID_OPCODE', opcode);
    }
    return true;
  }

  #failFirst(failure: WebSocketFailure, number = 0): boolean {
    this.#fail(failure, number);
    return false;
  }

  #failHead(failure: WebSocketFailure, number: number): -1 {
    this.#fail(failure, number);
    return -1;
  }

  #begin(first: number, opcode: number, length: number): void {
    this.#inPayload = true;
    this.#opcode = opcode;
    this.#isFinal = (first & 0x80) !== 0;
    this.#length = length;
    this.#missing = length;
    this.#chunksOfFrame = 0;
    if (opcode >= Opcode.close) return;
    if (opcode !== Opcode.continuation) {
      this.#messageOpcode = opcode;
      this.#isCompressed = (first & 0x40) !== 0;
    }
    this.#fragments += 1;
    this.#announcedBytes += length;
  }

  #readPayload(): Found | -1 {
    const start = this.#at;
    const available = this.#chunk.length - start;
    const taken = available < this.#missing ? available : this.#missing;
    const phase = this.#length - this.#missing;
    this.#at += taken;
    this.#missing -= taken;
    const mayBeNonAscii =
      !this.#options.isServer || applyMask(this.#chunk, start, start + taken, this.#mask, phase & 3);
    const piece = this.#chunk.subarray(start, start + taken);
    if (this.#opcode >= Opcode.close) return this.#readControl(piece, phase);
    return this.#readData(piece, mayBeNonAscii);
  }

  #readControl(piece: Buffer, phase: number): Found | -1 {
    let data = piece;
    if (this.#control !== null || this.#missing > 0) {
      this.#control ??= Buffer.allocUnsafe(this.#length);
      piece.copy(this.#control, phase);
      if (this.#missing > 0) return Found.nothing;
      data = this.#control;
      this.#control = null;
    }
    this.#inPayload = false;
    this.data = data;
    if (this.#opcode === Opcode.ping) return Found.ping;
    if (this.#opcode === Opcode.pong) return Found.pong;
    this.closeCode = 1005;
    if (data.length === 0) return Found.close;
    this.closeCode = data.readUInt16BE(0);
    if (!isValidCloseCode(this.closeCode)) return this.#fail('INVALID_CLOSE_CODE', this.closeCode);
    this.data = data.subarray(2);
    if (!this.#options.skipUtf8Validation && !isUtf8(this.data)) return this.#fail('INVALID_UTF8');
    return Found.close;
  }

  #readData(piece: Buffer, mayBeNonAscii: boolean): Found | -1 {
    const isFrameOver = this.#missing === 0;
    const isMessageOver = isFrameOver && this.#isFinal;
    const isAll = isMessageOver && this.#pieces.bytes === 0 && !this.#inParts;
    const { maxChunks, partsAboveBytes } = this.#options;
    if (isFrameOver) {
      this.#inPayload = false;
    } else {
      this.#chunksOfFrame += 1;
      if (maxChunks > 0 && this.#chunksOfFrame > maxChunks)
        return this.#fail('TOO_MANY_BUFFERED_PARTS', this.#chunksOfFrame);
    }
    if (!this.#isText(piece, mayBeNonAscii, isAll, isMessageOver)) return this.#fail('INVALID_UTF8');
    if (isAll && piece.length <= partsAboveBytes) return this.#finish(piece);
    if (this.#inParts) return this.#handPart(piece, isMessageOver);
    if (this.#announcedBytes > partsAboveBytes && !this.#isCompressed) {
      this.#inParts = true;
      this.#pieces.add(piece);
      return this.#handPart(this.#pieces.take(), isMessageOver);
    }
    this.#pieces.add(piece);
    return isMessageOver ? this.#finish(this.#pieces.take()) : PROCEED;
  }

  /** Text is looked at as it comes; what is compressed, once it is inflated. */
  #isText(piece: Buffer, mayBeNonAscii: boolean, isAll: boolean, isMessageOver: boolean): boolean {
    if (this.#messageOpcode !== Opcode.text || this.#isCompressed || this.#options.skipUtf8Validation) return true;
    if (isAll) return !mayBeNonAscii || isUtf8(piece);
    this.#utf8 ??= new Utf8Validator();
    if ((mayBeNonAscii || this.#utf8.isCut) && !this.#utf8.push(piece)) return false;
    return !isMessageOver || this.#utf8.finish();
  }

  #finish(payload: Buffer): Found | -1 {
    let message = payload;
    const { deflate, maxPayloadBytes, skipUtf8Validation, partsAboveBytes } = this.#options;
    this.isBinary = this.#messageOpcode === Opcode.binary;
    if (this.#isCompressed && deflate !== null) {
      const inflated = deflate.inflate(payload, maxPayloadBytes);
      if (inflated === 'too large') return this.#fail('UNSUPPORTED_MESSAGE_LENGTH', maxPayloadBytes);
      if (inflated === 'invalid') return this.#fail('INVALID_COMPRESSED_DATA');
      if (!this.isBinary && !skipUtf8Validation && !isUtf8(inflated)) return this.#fail('INVALID_UTF8');
      message = inflated;
    }
    this.#endMessage();
    this.data = message;
    this.isLast = true;
    return message.length > partsAboveBytes ? Found.part : Found.message;
  }

  #handPart(data: Buffer, isMessageOver: boolean): Found | -1 {
    if (data.length === 0 && !isMessageOver) return PROCEED;
    this.data = data;
    this.isBinary = this.#messageOpcode === Opcode.binary;
    this.isLast = isMessageOver;
    if (isMessageOver) this.#endMessage();
    return Found.part;
  }

  #endMessage(): void {
    this.#messageOpcode = 0;
    this.#isCompressed = false;
    this.#fragments = 0;
    this.#announcedBytes = 0;
    this.#inParts = false;
  }
}
