/**
 * An envelope as bytes: a frame. A message of a broker is one frame, or several of one subject, one after another. Version 1, all numbers little-endian:
 *
 *      0  u8   0x47 'G'
 *      1  u8   version: 1
 *      2  u8   kind, its index in ENVELOPE_KINDS
 *      3  u8   encoding of the payload (payload.ts)
 *      4  u32  length of the text section, in bytes
 *      8  f64  remaining milliseconds; Infinity for no deadline
 *     16  f64  when it was sent, in ms since 1970, where time under way counts (durable work); else 0
 *     24  f64  count
 *     32  f64  id; NaN where the id is a text
 *     40  u32  length of the payload, in bytes
 *     44  text, UTF-8, separated by U+0000: subject, replyTo, traceparent, id (if a text), headers (JSON), error (JSON); trailing empty ones left out
 *      .  payload
 *
 * The remaining time has a fixed place, so that a frame that had to wait is corrected on departure (`touchFrame`).
 */
import { ENVELOPE_KINDS, type Envelope, fromWire, WIRE_FIELDS } from '../correlation/envelope.js';
import { decodePayload, encodePayload } from './payload.js';

const MAGIC = 0x47;
const VERSION = 1;
const HEAD_BYTES = 44;
const TEXT_LENGTH_AT = 4;
const REMAINING_AT = 8;
const SENT_AT = 16;
const COUNT_AT = 24;
const ID_AT = 32;
const PAYLOAD_LENGTH_AT = 40;
const SEPARATOR = '\u0000';

/** What of an envelope its frame was made of; `payloadError` where the rest could be read and the payload could not. */
export interface DecodedFrame {
  readonly envelope: Envelope;
  readonly payloadError: unknown;
  /** Where the next frame of the message begins, or the message ends. */
  readonly end: number;
}

/** Throws where the payload cannot be cloned, or a name holds U+0000. `sentAt`: Date.now() where time under way is to count. */
export function encodeFrame(envelope: Envelope, now: number, sentAt = 0): Buffer {
  const { encoding, data } = encodePayload(envelope.payload);
  const text = textOf(envelope);
  const written = typeof data === 'string' ? text + data : text;
  const writtenBytes = Buffer.byteLength(written);
  // As many bytes as letters: all of it is ASCII.
  const textBytes = writtenBytes === written.length ? text.length : Buffer.byteLength(text);
  const dataBytes = typeof data === 'string' ? writtenBytes - textBytes : data.byteLength;
  const frame = Buffer.allocUnsafe(HEAD_BYTES + textBytes + dataBytes);
  frame[0] = MAGIC;
  frame[1] = VERSION;
  frame[2] = ENVELOPE_KINDS.indexOf(envelope.kind);
  frame[3] = encoding;
  frame.writeUInt32LE(textBytes, TEXT_LENGTH_AT);
  frame.writeDoubleLE(sentAt, SENT_AT);
  frame.writeDoubleLE(envelope.count, COUNT_AT);
  frame.writeDoubleLE(typeof envelope.id === 'number' ? envelope.id : Number.NaN, ID_AT);
  frame.writeUInt32LE(dataBytes, PAYLOAD_LENGTH_AT);
  frame.utf8Write(written, HEAD_BYTES);
  if (typeof data !== 'string') frame.set(data, HEAD_BYTES + textBytes);
  touchFrame(frame, envelope.deadline, now);
  return frame;
}

/** Writes the time that is left by now. */
export function touchFrame(frame: Buffer, deadline: number, now: number): void {
  frame.writeDoubleLE(Math.max(0, deadline - now), REMAINING_AT);
}

function textOf(envelope: Envelope): string {
  const { id, subject, replyTo = '', traceparent = '', headers, error } = envelope;
  let text = `${subject}${SEPARATOR}${replyTo}${SEPARATOR}${traceparent}`;
  // Two separators, and those where they belong.
  if (
    text.indexOf(SEPARATOR) !== subject.length ||
    text.indexOf(SEPARATOR, subject.length + 1) !== subject.length + 1 + replyTo.length ||
    traceparent.includes(SEPARATOR)
  ) {
    throw new TypeError('a subject, replyTo or traceparent must not hold U+0000');
  }
  if (typeof id === 'string' || headers !== undefined || error !== undefined) {
    if (typeof id === 'string' && id.includes(SEPARATOR)) throw new TypeError('an id must not hold U+0000');
    text += `${SEPARATOR}${typeof id === 'string' ? id : ''}`;
    text += `${SEPARATOR}${headers === undefined ? '' : JSON.stringify(headers)}`;
    text += `${SEPARATOR}${error === undefined ? '' : JSON.stringify(error)}`;
  }
  return text;
}

/** The frame that begins at `at`. Null for bytes that are no frame of this version: another sender, or garbage. Never throws. */
export function decodeFrame(bytes: Uint8Array, now: number, at = 0): DecodedFrame | null {
  const message = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isFrame(message, at)) {
    return null;
  }
  const textAt = at + HEAD_BYTES;
  const payloadAt = textAt + message.readUInt32LE(at + TEXT_LENGTH_AT);
  const end = payloadAt + message.readUInt32LE(at + PAYLOAD_LENGTH_AT);
  if (end > message.length) {
    return null;
  }
  const [subject, replyTo, traceparent, idText, headers, error] = message.utf8Slice(textAt, payloadAt).split(SEPARATOR);
  const id = message.readDoubleLE(at + ID_AT);
  const sentAt = message.readDoubleLE(at + SENT_AT);
  const underWay = sentAt > 0 ? Math.max(0, Date.now() - sentAt) : 0;
  const remaining = message.readDoubleLE(at + REMAINING_AT);
  let payload: unknown;
  let payloadError: unknown;
  try {
    payload = decodePayload(message[at + 3] as number, message, payloadAt, end);
  } catch (thrown) {
    payloadError = thrown;
  }
  const fields = [
    message[at + 2],
    Number.isNaN(id) ? idText : id,
    subject,
    replyTo || undefined,
    traceparent || undefined,
    remaining === Number.POSITIVE_INFINITY ? undefined : Math.max(0, remaining - underWay),
    parsed(headers),
    payload,
    message.readDoubleLE(at + COUNT_AT),
    parsed(error),
  ];
  const envelope = fields.length === WIRE_FIELDS ? fromWire(fields, 0, now) : null;
  return envelope === null ? null : { envelope, payloadError, end };
}

/** The subject of the message's first frame; '' for bytes that are no frame. */
export function subjectOf(message: Buffer): string {
  if (!isFrame(message, 0)) return '';
  const textEnd = HEAD_BYTES + message.readUInt32LE(TEXT_LENGTH_AT);
  const separator = message.indexOf(0, HEAD_BYTES);
  return message.utf8Slice(HEAD_BYTES, separator === -1 ? textEnd : Math.min(separator, textEnd));
}

function isFrame(message: Buffer, at: number): boolean {
  return message.length >= at + HEAD_BYTES && message[at] === MAGIC && message[at + 1] === VERSION;
}

/** Null, which `fromWire` refuses, for what is no JSON. */
function parsed(json: string | undefined): unknown {
  if (json === undefined || json === '') {
    return undefined;
  }
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
