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
const REMAINING_AT = 8;
const SENT_AT = 16;
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
  const textBytes = Buffer.byteLength(text);
  const dataBytes = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
  const frame = Buffer.allocUnsafe(HEAD_BYTES + textBytes + dataBytes);
  frame[0] = MAGIC;
  frame[1] = VERSION;
  frame[2] = ENVELOPE_KINDS.indexOf(envelope.kind);
  frame[3] = encoding;
  frame.writeUInt32LE(textBytes, 4);
  frame.writeDoubleLE(sentAt, SENT_AT);
  frame.writeDoubleLE(envelope.count, 24);
  frame.writeDoubleLE(typeof envelope.id === 'number' ? envelope.id : Number.NaN, 32);
  frame.writeUInt32LE(dataBytes, PAYLOAD_LENGTH_AT);
  frame.write(text, HEAD_BYTES, 'utf8');
  if (typeof data === 'string') frame.write(data, HEAD_BYTES + textBytes, 'utf8');
  else frame.set(data, HEAD_BYTES + textBytes);
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
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.byteLength - at);
  if (!isFrame(frame)) {
    return null;
  }
  const payloadAt = HEAD_BYTES + frame.readUInt32LE(4);
  const end = payloadAt + frame.readUInt32LE(PAYLOAD_LENGTH_AT);
  if (end > frame.length) {
    return null;
  }
  const [subject, replyTo, traceparent, idText, headers, error] = frame
    .utf8Slice(HEAD_BYTES, payloadAt)
    .split(SEPARATOR);
  const id = frame.readDoubleLE(32);
  const sentAt = frame.readDoubleLE(SENT_AT);
  const underWay = sentAt > 0 ? Math.max(0, Date.now() - sentAt) : 0;
  const remaining = frame.readDoubleLE(REMAINING_AT);
  let payload: unknown;
  let payloadError: unknown;
  try {
    payload = decodePayload(frame[3] as number, frame, payloadAt, end);
  } catch (thrown) {
    payloadError = thrown;
  }
  const fields = [
    frame[2],
    Number.isNaN(id) ? idText : id,
    subject,
    replyTo || undefined,
    traceparent || undefined,
    remaining === Number.POSITIVE_INFINITY ? undefined : Math.max(0, remaining - underWay),
    parsed(headers),
    payload,
    frame.readDoubleLE(24),
    parsed(error),
  ];
  const envelope = fields.length === WIRE_FIELDS ? fromWire(fields, 0, now) : null;
  return envelope === null ? null : { envelope, payloadError, end: at + end };
}

/** The subject alone; '' for bytes that are no frame. */
export function subjectOfFrame(frame: Buffer): string {
  return isFrame(frame) ? frame.utf8Slice(HEAD_BYTES, endOfSubject(frame)) : '';
}

function isFrame(frame: Buffer): boolean {
  return frame.length >= HEAD_BYTES && frame[0] === MAGIC && frame[1] === VERSION;
}

function endOfSubject(frame: Buffer): number {
  const end = HEAD_BYTES + frame.readUInt32LE(4);
  const separator = frame.indexOf(0, HEAD_BYTES);
  return separator === -1 ? end : Math.min(separator, end);
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
