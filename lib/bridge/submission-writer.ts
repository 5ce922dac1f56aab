/**
 * Writes submission records into the ring that native code drains after each batch, before the loop blocks, or when the ring is full (the only case in
 * which a submission crosses the border). Layouts: records.ts.
 */
import {
  CONSUME,
  CONSUME_BYTES,
  CONSUME_COUNT_OFFSET,
  CONTINUE,
  DESTROY,
  END,
  END_BYTES,
  END_NOTIFY_FLAG,
  END_TRAILER_LENGTH_OFFSET,
  HEAD_BODY_LENGTH_OFFSET,
  HEAD_BYTES,
  HEAD_CONTENT_HIGH_OFFSET,
  HEAD_CONTENT_LOW_OFFSET,
  HEAD_KNOWN_LENGTH_FLAG,
  HEAD_LENGTH_OFFSET,
  HEAD_STATUS_OFFSET,
  HEAD_WORD,
  HEADER_BYTES,
  PAD,
  RECORD_ALIGN,
  RESPOND,
  START,
  TAIL_WORD,
  WIRE_CONSUME,
  WIRE_DESTROY,
  WIRE_DESTROY_RESET_FLAG,
  WIRE_INACTIVITY,
  WIRE_PROCEED,
  WIRE_PROCEED_BODY_FLAG,
  WIRE_PROCEED_UPGRADE_FLAG,
  WIRE_READING,
  WIRE_READING_BY_HAND_FLAG,
  WIRE_READING_ON_FLAG,
  WIRE_SENT,
  WIRE_SHUTDOWN,
  WIRE_TAP,
  WIRE_WRITE,
  WRITE,
  WRITE_BYTES,
  WRITE_LENGTH_OFFSET,
  WRITE_NOTIFY_FLAG,
  WS_ACCEPT_BYTES,
  WS_CLOSE,
  WS_CLOSE_BYTES,
  WS_CLOSE_CODE_OFFSET,
  WS_CLOSE_LENGTH_OFFSET,
  WS_CONNECTION_GENERATION_OFFSET,
  WS_CONNECTION_INDEX_OFFSET,
  WS_FIELD_LENGTH_OFFSET,
  WS_NOTIFY,
  WS_PAYLOAD_LIMIT_OFFSET,
  WS_PUBLISH,
  WS_PUBLISH_BYTES,
  WS_PUBLISH_LENGTH_OFFSET,
  WS_PUBLISH_TOPIC_LENGTH_OFFSET,
  WS_READING,
  WS_SEND,
  WS_SEND_BYTES,
  WS_SEND_LENGTH_OFFSET,
  WS_SEND_TOTAL_HIGH_OFFSET,
  WS_SEND_TOTAL_LOW_OFFSET,
  WS_TERMINATE,
} from './records.js';

/** Whom a submission is for: an exchange, or the connection of a wire session. */
export interface RecordKey {
  readonly index: number;
  readonly generation: number;
}

/** The memory of one ring; capacity is a power of two. */
export interface RingMemory {
  readonly control: Uint32Array;
  readonly bytes: Buffer;
  readonly words: Uint32Array;
}

export function createRing(byteLength: number): RingMemory {
  const memory = new ArrayBuffer(byteLength);
  return { control: new Uint32Array(2), bytes: Buffer.from(memory), words: new Uint32Array(memory) };
}

const TWO_POW_32 = 0x1_0000_0000;
const setBytes = Uint8Array.prototype.set;
// The compiler folds the constants of a module, and looks up those that are imported each time.
const HEAD = HEAD_WORD;
const TAIL = TAIL_WORD;
const ALIGN = RECORD_ALIGN;
const WRITE_HEAD_BYTES = WRITE_BYTES;
const WRITE_LENGTH_WORD = WRITE_LENGTH_OFFSET >>> 2;

export class SubmissionWriter {
  readonly #control: Uint32Array;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #flush: () => void;

  constructor(ring: RingMemory, flush: () => void) {
    this.#control = ring.control;
    this.#bytes = ring.bytes;
    this.#words = ring.words;
    this.#flush = flush;
  }

  /** `block` and `reason` are latin1. The sizes together stay below MAX_SUBMISSION_BYTES. */
  respond(
    to: RecordKey,
    status: number,
    reason: string,
    block: string,
    flags: number,
    body: string | Uint8Array | null,
  ): void {
    const isText = typeof body === 'string';
    const bodyBound = isText ? body.length * 3 : body === null ? 0 : body.byteLength;
    const at = this.#reserve(HEAD_BYTES + reason.length + block.length + bodyBound);
    const word = at >>> 2;
    const words = this.#words;
    const bytes = this.#bytes;
    let end = at + HEAD_BYTES;
    if (reason !== '') end += bytes.latin1Write(reason, end);
    end += bytes.latin1Write(block, end);
    const bodyStart = end;
    if (isText) {
      end += bytes.utf8Write(body, end);
    } else if (body !== null) {
      bytes.set(body, end);
      end += body.byteLength;
    }
    words[word + (HEAD_STATUS_OFFSET >>> 2)] = status | (reason.length << 16);
    words[word + (HEAD_LENGTH_OFFSET >>> 2)] = block.length;
    words[word + (HEAD_BODY_LENGTH_OFFSET >>> 2)] = end - bodyStart;
    this.#commit(word, RESPOND, flags, to, end - at);
  }

  /** `contentLength` -1: unknown. */
  start(to: RecordKey, status: number, reason: string, block: string, flags: number, contentLength: number): void {
    const at = this.#reserve(HEAD_BYTES + reason.length + block.length);
    const word = at >>> 2;
    const words = this.#words;
    let end = at + HEAD_BYTES;
    if (reason !== '') end += this.#bytes.latin1Write(reason, end);
    end += this.#bytes.latin1Write(block, end);
    words[word + (HEAD_STATUS_OFFSET >>> 2)] = status | (reason.length << 16);
    words[word + (HEAD_LENGTH_OFFSET >>> 2)] = block.length;
    words[word + (HEAD_BODY_LENGTH_OFFSET >>> 2)] = 0;
    const known = contentLength >= 0;
    words[word + (HEAD_CONTENT_LOW_OFFSET >>> 2)] = known ? contentLength % TWO_POW_32 : 0;
    words[word + (HEAD_CONTENT_HIGH_OFFSET >>> 2)] = known ? Math.floor(contentLength / TWO_POW_32) : 0;
    this.#commit(word, START, known ? flags | HEAD_KNOWN_LENGTH_FLAG : flags, to, end - at);
  }

  /** Returns the number of bytes written. */
  writeText(to: RecordKey, text: string, notify: boolean): number {
    const at = this.#reserve(WRITE_HEAD_BYTES + text.length * 3);
    const length = this.#bytes.utf8Write(text, at + WRITE_HEAD_BYTES);
    return this.#commitWrite(to, at, length, notify);
  }

  writeBytes(to: RecordKey, chunk: Uint8Array, notify: boolean): number {
    const at = this.#reserve(WRITE_HEAD_BYTES + chunk.byteLength);
    this.#bytes.set(chunk, at + WRITE_HEAD_BYTES);
    return this.#commitWrite(to, at, chunk.byteLength, notify);
  }

  /** `trailers` is latin1. */
  end(to: RecordKey, trailers: string, notify: boolean): void {
    const at = this.#reserve(END_BYTES + trailers.length);
    const word = at >>> 2;
    if (trailers !== '') this.#bytes.latin1Write(trailers, at + END_BYTES);
    this.#words[word + (END_TRAILER_LENGTH_OFFSET >>> 2)] = trailers.length;
    this.#commit(word, END, notify ? END_NOTIFY_FLAG : 0, to, END_BYTES + trailers.length);
  }

  consume(to: RecordKey, byteCount: number): void {
    this.#count(CONSUME, to, byteCount);
  }

  sendContinue(to: RecordKey): void {
    this.#plain(CONTINUE, 0, to);
  }

  destroy(to: RecordKey): void {
    this.#plain(DESTROY, 0, to);
  }

  // To wire sessions.

  /** `head` as latin1, `text` as UTF-8; flags: WIRE_WRITE_*. Returns the number of bytes. */
  wireText(to: RecordKey, head: string, text: string, flags: number): number {
    const at = this.#reserve(WRITE_HEAD_BYTES + head.length + text.length * 3);
    const bytes = this.#bytes;
    let end = at + WRITE_HEAD_BYTES;
    if (head !== '') end += bytes.latin1Write(head, end);
    if (text !== '') end += bytes.utf8Write(text, end);
    return this.#commitWire(to, at, end - at - WRITE_HEAD_BYTES, flags);
  }

  /** `head` as latin1, then `chunk`. */
  wireBytes(to: RecordKey, head: string, chunk: Uint8Array, flags: number): number {
    const length = head.length + chunk.length;
    const at = this.#reserve(WRITE_HEAD_BYTES + length);
    let end = at + WRITE_HEAD_BYTES;
    if (head !== '') end += this.#bytes.latin1Write(head, end);
    setBytes.call(this.#bytes, chunk, end);
    return this.#commitWire(to, at, length, flags);
  }

  wireConsume(to: RecordKey, byteCount: number): void {
    this.#count(WIRE_CONSUME, to, byteCount);
  }

  wireProceed(to: RecordKey, upgrade: boolean, afterBody: boolean): void {
    const flags = (upgrade ? WIRE_PROCEED_UPGRADE_FLAG : 0) | (afterBody ? WIRE_PROCEED_BODY_FLAG : 0);
    this.#plain(WIRE_PROCEED, flags, to);
  }

  wireShutdown(to: RecordKey): void {
    this.#plain(WIRE_SHUTDOWN, 0, to);
  }

  wireDestroy(to: RecordKey, reset: boolean): void {
    this.#plain(WIRE_DESTROY, reset ? WIRE_DESTROY_RESET_FLAG : 0, to);
  }

  wireReading(to: RecordKey, on: boolean, byHand: boolean): void {
    this.#plain(WIRE_READING, (on ? WIRE_READING_ON_FLAG : 0) | (byHand ? WIRE_READING_BY_HAND_FLAG : 0), to);
  }

  wireInactivity(to: RecordKey, timeoutMs: number): void {
    this.#count(WIRE_INACTIVITY, to, timeoutMs);
  }

  wireSent(to: RecordKey, byteCount: number): void {
    this.#count(WIRE_SENT, to, byteCount);
  }

  wireTap(to: RecordKey): void {
    this.#plain(WIRE_TAP, 0, to);
  }

  // To WebSockets.

  /** WS_ACCEPT or WS_ATTACH. `settings`: the words from WS_PAYLOAD_LIMIT_OFFSET on; `block`: header fields, latin1. */
  wsOpen(
    opcode: number,
    flags: number,
    to: RecordKey,
    connection: RecordKey,
    settings: Uint32Array,
    block: string,
  ): void {
    const at = this.#reserve(WS_ACCEPT_BYTES + block.length);
    const word = at >>> 2;
    const words = this.#words;
    words[word + (WS_CONNECTION_INDEX_OFFSET >>> 2)] = connection.index;
    words[word + (WS_CONNECTION_GENERATION_OFFSET >>> 2)] = connection.generation;
    words.set(settings, word + (WS_PAYLOAD_LIMIT_OFFSET >>> 2));
    words[word + (WS_FIELD_LENGTH_OFFSET >>> 2)] = block.length;
    if (block !== '') this.#bytes.latin1Write(block, at + WS_ACCEPT_BYTES);
    this.#commit(word, opcode, flags, to, WS_ACCEPT_BYTES + block.length);
  }

  /** A message as UTF-8; flags: WS_SEND_*. Returns the number of bytes. */
  wsText(to: RecordKey, text: string, flags: number): number {
    const at = this.#reserve(WS_SEND_BYTES + text.length * 3);
    const length = this.#bytes.utf8Write(text, at + WS_SEND_BYTES);
    this.#commitWsSend(to, at, length, length, flags);
    return length;
  }

  /** A message, or the beginning of one of `total` bytes, whose rest follows by wsData(WS_SEND_REST). */
  wsBytes(to: RecordKey, chunk: Uint8Array, total: number, flags: number): void {
    const at = this.#reserve(WS_SEND_BYTES + chunk.byteLength);
    this.#bytes.set(chunk, at + WS_SEND_BYTES);
    this.#commitWsSend(to, at, chunk.byteLength, total, flags);
  }

  /** WS_BEGIN, WS_SEND_REST, WS_SEND_PING, WS_SEND_PONG, WS_SUBSCRIBE, WS_UNSUBSCRIBE. `flags`: WS_SEND_MORE_FLAG for the first. */
  wsData(opcode: number, to: RecordKey, chunk: Uint8Array, flags = 0): void {
    const at = this.#reserve(WRITE_HEAD_BYTES + chunk.byteLength);
    this.#bytes.set(chunk, at + WRITE_HEAD_BYTES);
    this.#words[(at + WRITE_LENGTH_OFFSET) >>> 2] = chunk.byteLength;
    this.#commit(at >>> 2, opcode, flags, to, WRITE_HEAD_BYTES + chunk.byteLength);
  }

  wsClose(to: RecordKey, code: number, reason: Uint8Array): void {
    const at = this.#reserve(WS_CLOSE_BYTES + reason.byteLength);
    this.#bytes.set(reason, at + WS_CLOSE_BYTES);
    this.#words[(at + WS_CLOSE_CODE_OFFSET) >>> 2] = code;
    this.#words[(at + WS_CLOSE_LENGTH_OFFSET) >>> 2] = reason.byteLength;
    this.#commit(at >>> 2, WS_CLOSE, 0, to, WS_CLOSE_BYTES + reason.byteLength);
  }

  wsTerminate(to: RecordKey): void {
    this.#plain(WS_TERMINATE, 0, to);
  }

  wsReading(to: RecordKey, on: boolean): void {
    this.#plain(WS_READING, on ? WIRE_READING_ON_FLAG : 0, to);
  }

  /** 0: by WS_DRAINED; else by WS_FLUSHED. */
  wsNotify(to: RecordKey, number: number): void {
    this.#count(WS_NOTIFY, to, number);
  }

  /** `chunk`: of a message, and all of it without WS_SEND_MORE_FLAG. */
  wsPublish(to: RecordKey, topic: Uint8Array, chunk: Uint8Array, flags: number): void {
    const size = WS_PUBLISH_BYTES + topic.byteLength + chunk.byteLength;
    const at = this.#reserve(size);
    this.#bytes.set(topic, at + WS_PUBLISH_BYTES);
    this.#bytes.set(chunk, at + WS_PUBLISH_BYTES + topic.byteLength);
    this.#words[(at + WS_PUBLISH_TOPIC_LENGTH_OFFSET) >>> 2] = topic.byteLength;
    this.#words[(at + WS_PUBLISH_LENGTH_OFFSET) >>> 2] = chunk.byteLength;
    this.#commit(at >>> 2, WS_PUBLISH, flags, to, size);
  }

  /** Nothing that was submitted waits to be carried out. */
  get isEmpty(): boolean {
    return this.#control[HEAD] === this.#control[TAIL];
  }

  // Records.

  #plain(opcode: number, flags: number, to: RecordKey): void {
    this.#commit(this.#reserve(HEADER_BYTES) >>> 2, opcode, flags, to, HEADER_BYTES);
  }

  #count(opcode: number, to: RecordKey, count: number): void {
    const word = this.#reserve(CONSUME_BYTES) >>> 2;
    this.#words[word + (CONSUME_COUNT_OFFSET >>> 2)] = count;
    this.#commit(word, opcode, 0, to, CONSUME_BYTES);
  }

  /** The offset of `size` contiguous bytes. */
  #reserve(size: number): number {
    const aligned = (size + ALIGN - 1) & -ALIGN;
    const at = this.#tryReserve(aligned);
    if (at >= 0) return at;
    this.#flush();
    const afterFlush = this.#tryReserve(aligned);
    if (afterFlush < 0) throw new Error(`gammaloop: a submission of ${size} bytes does not fit`);
    return afterFlush;
  }

  #tryReserve(size: number): number {
    const capacity = this.#bytes.length;
    const tail = this.#control[TAIL] as number;
    const free = capacity - ((tail - (this.#control[HEAD] as number)) >>> 0);
    const at = tail & (capacity - 1);
    const untilEnd = capacity - at;
    if (size <= untilEnd) return size <= free ? at : -1;
    if (size > free - untilEnd) return -1;
    this.#words[at >>> 2] = untilEnd;
    this.#words[(at >>> 2) + 1] = PAD;
    this.#control[TAIL] = tail + untilEnd;
    return 0;
  }

  #commitWrite(to: RecordKey, at: number, length: number, notify: boolean): number {
    const word = at >>> 2;
    this.#words[word + WRITE_LENGTH_WORD] = length;
    this.#commit(word, WRITE, notify ? WRITE_NOTIFY_FLAG : 0, to, WRITE_HEAD_BYTES + length);
    return length;
  }

  #commitWire(to: RecordKey, at: number, length: number, flags: number): number {
    const word = at >>> 2;
    this.#words[word + WRITE_LENGTH_WORD] = length;
    this.#commit(word, WIRE_WRITE, flags, to, WRITE_HEAD_BYTES + length);
    return length;
  }

  #commitWsSend(to: RecordKey, at: number, length: number, total: number, flags: number): void {
    const word = at >>> 2;
    this.#words[word + (WS_SEND_LENGTH_OFFSET >>> 2)] = length;
    this.#words[word + (WS_SEND_TOTAL_LOW_OFFSET >>> 2)] = total % TWO_POW_32;
    this.#words[word + (WS_SEND_TOTAL_HIGH_OFFSET >>> 2)] = total < TWO_POW_32 ? 0 : Math.floor(total / TWO_POW_32);
    this.#commit(word, WS_SEND, flags, to, WS_SEND_BYTES + length);
  }

  #commit(word: number, opcode: number, flags: number, to: RecordKey, size: number): void {
    const aligned = (size + ALIGN - 1) & -ALIGN;
    const words = this.#words;
    words[word] = aligned;
    words[word + 1] = opcode | (flags << 16);
    words[word + 2] = to.index;
    words[word + 3] = to.generation;
    this.#control[TAIL] = (this.#control[TAIL] as number) + aligned;
  }
}
