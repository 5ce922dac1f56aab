/**
 * Values as they travel: primitives, strings, typed arrays and small plain objects in the job's slot, and what does not fit there in the
 * parts of its parcel; everything else that structured cloning knows as V8's serialized form, in either place. Written and read on both sides.
 *
 * A value is a head of two words, a tag and a number, then its bytes, padded to eight. Differences to `structuredClone`: an error keeps
 * its code and properties (where it is itself an argument, a result, or thrown); a typed array brings the bytes that it shows, not
 * the rest of its buffer; what needs a message (by-message.ts) throws NotPlain.
 */
import { Deserializer, Serializer } from 'node:v8';
import { type JobMemory, SLOT_VALUES, SLOT_WORDS } from './job-memory.js';
import { hasPlatformObject } from './platform-objects.js';
import { SmallJson } from './small-json.js';
import { fromPlainError, isError, type PlainError, toPlainError } from './task-errors.js';

const UNDEFINED = 0;
const NULL = 1;
const TRUE = 2;
const FALSE = 3;
const INTEGER = 4;
const DOUBLE = 5;
const LATIN1 = 6;
const UCS2 = 7;
const VIEW = 8;
const CLONE = 9;
/** An array of values that stands for all arguments. */
const CLONED_ARGUMENTS = 10;
const ERROR = 11;
const JSON_LATIN1 = 12;
const JSON_UCS2 = 13;
/** Added to a tag: the number is that of the part, which has the bytes. */
const IN_PART = 32;
/** Above the tag: the kind of a view, by its index in KINDS. */
const KIND_SHIFT = 8;

/** More arguments than this go as one value. */
const MAX_PLAIN_ARGUMENTS = 16;
/** Characters that are cheaper to copy one by one than by a call. */
const SHORT_STRING = 24;

type ViewMaker = (buffer: ArrayBuffer) => unknown;
const KINDS: readonly [name: string, make: ViewMaker][] = [
  ['ArrayBuffer', (buffer) => buffer],
  ['Uint8Array', (buffer) => new Uint8Array(buffer)],
  ['Int8Array', (buffer) => new Int8Array(buffer)],
  ['Uint8ClampedArray', (buffer) => new Uint8ClampedArray(buffer)],
  ['Uint16Array', (buffer) => new Uint16Array(buffer)],
  ['Int16Array', (buffer) => new Int16Array(buffer)],
  ['Uint32Array', (buffer) => new Uint32Array(buffer)],
  ['Int32Array', (buffer) => new Int32Array(buffer)],
  ['Float32Array', (buffer) => new Float32Array(buffer)],
  ['Float64Array', (buffer) => new Float64Array(buffer)],
  ['BigInt64Array', (buffer) => new BigInt64Array(buffer)],
  ['BigUint64Array', (buffer) => new BigUint64Array(buffer)],
  ['DataView', (buffer) => new DataView(buffer)],
];
const kindByTag = new Map(KINDS.map(([name], index) => [name, index]));

/** The value cannot go through shared memory: it needs a message, or cannot be cloned at all. */
export class NotPlain extends Error {}

/** Bytes for the parcel: an array is to be copied there; a buffer is one of those that are moved, as a whole. */
export type ValuePart = Uint8Array | ArrayBuffer;

const NO_BUFFERS: readonly ArrayBuffer[] = [];

/** Writes and reads the values of one slot at a time. */
export class ValueCodec {
  readonly #memory: JobMemory;
  #at = 0;
  #end = 0;
  /** What did not fit. */
  #parts: ValuePart[] = [];
  /** What is given away with the values, and need not be copied. */
  #moved: readonly ArrayBuffer[] = NO_BUFFERS;
  #buffers: readonly ArrayBuffer[] = [];
  readonly #json = new SmallJson();

  constructor(memory: JobMemory) {
    this.#memory = memory;
  }

  /** The parts for the parcel; none where all is in the slot. Throws NotPlain. */
  writeArguments(
    slot: number,
    traceId: string | undefined,
    args: readonly unknown[],
    moved: readonly ArrayBuffer[],
  ): ValuePart[] {
    this.#begin(slot);
    this.#moved = moved;
    if (traceId !== undefined) {
      this.#write(traceId);
    }
    const count = args.length;
    const start = this.#at;
    if (count <= MAX_PLAIN_ARGUMENTS) {
      let index = 0;
      while (index < count && this.#write(args[index])) {
        index++;
      }
      if (index === count && (count < 2 || !sharesBuffer(args))) {
        return this.#parts;
      }
    }
    // All in one, so that an object that is there twice arrives as one.
    this.#at = start;
    this.#json.begin();
    this.#parts.length = traceId !== undefined && this.#parts.length > 0 ? 1 : 0;
    this.#writeBytes(CLONED_ARGUMENTS, this.#serialize(args));
    return this.#parts;
  }

  /** Then `readTraceId`, where there is one, then `readArguments`. `buffers` are the parts of the parcel. */
  beginReading(slot: number, buffers: readonly ArrayBuffer[]): void {
    this.#begin(slot);
    this.#buffers = buffers;
  }

  readTraceId(): string {
    return this.#read() as string;
  }

  readArguments(count: number): unknown[] {
    if (count > 0 && (this.#memory.words[this.#at]! & ~IN_PART) === CLONED_ARGUMENTS) {
      return this.#read() as unknown[];
    }
    const args = new Array<unknown>(count);
    for (let index = 0; index < count; index++) {
      args[index] = this.#read();
    }
    return args;
  }

  writeResult(slot: number, value: unknown, moved: readonly ArrayBuffer[] = NO_BUFFERS): ValuePart[] {
    this.#begin(slot);
    this.#moved = moved;
    if (!this.#write(value)) {
      this.#writeBytes(CLONE, this.#serialize(value));
    }
    return this.#parts;
  }

  readResult(slot: number, buffers: readonly ArrayBuffer[]): unknown {
    this.beginReading(slot, buffers);
    return this.#read();
  }

  #begin(slot: number): void {
    this.#at = slot * SLOT_WORDS + SLOT_VALUES;
    this.#end = (slot + 1) * SLOT_WORDS;
    this.#json.begin();
    if (this.#parts.length > 0) {
      this.#parts = [];
    }
  }

  /** False where it is nothing but to be cloned. Throws NotPlain. */
  #write(value: unknown): boolean {
    const { words } = this.#memory;
    const at = this.#at;
    if (at + 2 > this.#end) {
      return false;
    }
    switch (typeof value) {
      case 'number':
        if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
          words[at] = INTEGER;
          words[at + 1] = value;
          this.#at = at + 2;
        } else if (at + 4 > this.#end) {
          return false;
        } else {
          words[at] = DOUBLE;
          this.#memory.doubles[(at + 2) >> 1] = value;
          this.#at = at + 4;
        }
        return true;
      case 'string':
        this.#writeString(value);
        return true;
      case 'boolean':
        words[at] = value ? TRUE : FALSE;
        this.#at = at + 2;
        return true;
      case 'undefined':
        words[at] = UNDEFINED;
        this.#at = at + 2;
        return true;
      case 'object':
        if (value === null) {
          words[at] = NULL;
          this.#at = at + 2;
          return true;
        }
        return this.#writeObject(value);
      default:
        return false;
    }
  }

  #writeString(text: string): void {
    const { words, bytes } = this.#memory;
    const { length } = text;
    const at = this.#at;
    const first = (at + 2) * 4;
    if (length <= SHORT_STRING && first + length <= this.#end * 4) {
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit > 255) {
          break;
        }
        bytes[first + index] = unit;
      }
      if (index === length) {
        words[at] = LATIN1;
        words[at + 1] = length;
        this.#at = at + 2 + (((length + 7) >> 3) << 1);
        return;
      }
    }
    this.#writeText(text, LATIN1, UCS2);
  }

  #writeText(text: string, latin1: number, ucs2: number): void {
    if (!LATIN1_ONLY.test(text)) {
      this.#writeBytes(ucs2, Buffer.from(text, 'utf16le'));
      return;
    }
    const { length } = text;
    const at = this.#at;
    const next = at + 2 + (((length + 7) >> 3) << 1);
    if (next > this.#end) {
      this.#writeBytes(latin1, Buffer.from(text, 'latin1'));
      return;
    }
    this.#memory.words[at] = latin1;
    this.#memory.words[at + 1] = length;
    this.#memory.bytes.latin1Write(text, (at + 2) * 4, length);
    this.#at = next;
  }

  #writeObject(value: object): boolean {
    if (ArrayBuffer.isView(value)) {
      const kind = kindByTag.get(viewName(value));
      if (kind === undefined || value.buffer instanceof SharedArrayBuffer) {
        return false;
      }
      const bytes = bytesOf(value.buffer, value.byteOffset, value.byteLength);
      if (!this.#isMoved(value.buffer)) {
        this.#writeBytes(VIEW | (kind << KIND_SHIFT), bytes);
      } else if (value.byteLength !== value.buffer.byteLength) {
        return false; // cloning keeps its place in the buffer
      } else {
        this.#writeBytes(VIEW | (kind << KIND_SHIFT), bytes, value.buffer);
      }
      return true;
    }
    if (value instanceof ArrayBuffer) {
      this.#writeBytes(VIEW, bytesOf(value, 0, value.byteLength), this.#isMoved(value) ? value : undefined);
      return true;
    }
    if (isError(value)) {
      this.#writeBytes(ERROR, serialize(toPlainError(value, canSerialize)));
      return true;
    }
    const text = this.#json.textOf(value);
    if (text !== null) {
      this.#writeText(text, JSON_LATIN1, JSON_UCS2);
      return true;
    }
    return false;
  }

  #isMoved(buffer: ArrayBuffer): boolean {
    return this.#moved.length > 0 && this.#moved.includes(buffer);
  }

  /** As V8 clones it; before it, where the moved buffers are among the parts. Throws NotPlain for what it does not know. */
  #serialize(value: unknown): Buffer {
    const first = this.#parts.length;
    const moved = this.#moved;
    const bytes = serialize(value, (serializer) => {
      serializer.writeUint32(first);
      serializer.writeUint32(moved.length);
      for (const [index, buffer] of moved.entries()) {
        serializer.transferArrayBuffer(index, buffer);
      }
    });
    this.#parts.push(...moved);
    return bytes;
  }

  #deserialize(buffer: ArrayBuffer): unknown {
    return deserialize(buffer, (deserializer) => {
      const first = deserializer.readUint32();
      const count = deserializer.readUint32();
      for (let index = 0; index < count; index++) {
        deserializer.transferArrayBuffer(index, this.#buffers[first + index]!);
      }
    });
  }

  /** In the slot where there is room; else as a part. */
  #writeBytes(tag: number, bytes: Uint8Array, part: ValuePart = bytes): void {
    const { words } = this.#memory;
    const at = this.#at;
    const { length } = bytes;
    const next = at + 2 + (((length + 7) >> 3) << 1);
    if (next <= this.#end) {
      words[at] = tag;
      words[at + 1] = length;
      this.#memory.bytes.set(bytes, (at + 2) * 4);
      this.#at = next;
      return;
    }
    words[at] = tag | IN_PART;
    words[at + 1] = this.#parts.length;
    this.#parts.push(part);
    this.#at = at + 2;
  }

  #read(): unknown {
    const { words } = this.#memory;
    const at = this.#at;
    const tag = words[at]!;
    const number = words[at + 1]!;
    this.#at = at + 2;
    switch (tag) {
      case INTEGER:
        return number;
      case DOUBLE:
        this.#at = at + 4;
        return this.#memory.doubles[(at + 2) >> 1];
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case TRUE:
        return true;
      case FALSE:
        return false;
      case LATIN1:
        this.#at += ((number + 7) >> 3) << 1;
        return this.#memory.bytes.latin1Slice((at + 2) * 4, (at + 2) * 4 + number);
      case JSON_LATIN1:
        this.#at += ((number + 7) >> 3) << 1;
        return JSON.parse(this.#memory.bytes.latin1Slice((at + 2) * 4, (at + 2) * 4 + number));
      default:
        return this.#readBytes(tag, number, (at + 2) * 4);
    }
  }

  #readBytes(tag: number, number: number, first: number): unknown {
    let buffer: ArrayBuffer;
    if ((tag & IN_PART) === 0) {
      this.#at += ((number + 7) >> 3) << 1;
      buffer = new ArrayBuffer(number);
      new Uint8Array(buffer).set(this.#memory.bytes.subarray(first, first + number));
    } else {
      buffer = this.#buffers[number]!;
    }
    switch (tag & 31) {
      case LATIN1:
        return Buffer.from(buffer).latin1Slice();
      case UCS2:
        return Buffer.from(buffer).toString('utf16le');
      case JSON_LATIN1:
        return JSON.parse(Buffer.from(buffer).latin1Slice());
      case JSON_UCS2:
        return JSON.parse(Buffer.from(buffer).toString('utf16le'));
      case VIEW:
        return KINDS[tag >> KIND_SHIFT]![1](buffer);
      case ERROR:
        return fromPlainError(deserialize(buffer) as PlainError);
      default:
        return this.#deserialize(buffer);
    }
  }
}

function serialize(value: unknown, writeHead?: (serializer: Serializer) => void): Buffer {
  const serializer = new Serializer();
  try {
    if (hasPlatformObject(value)) {
      throw new TypeError('only a message can carry one of its objects');
    }
    serializer.writeHeader();
    writeHead?.(serializer);
    serializer.writeValue(value);
  } catch (error) {
    throw new NotPlain('not in shared memory', { cause: error });
  }
  return serializer.releaseBuffer();
}

function deserialize(buffer: ArrayBuffer, readHead?: (deserializer: Deserializer) => void): unknown {
  const deserializer = new Deserializer(new Uint8Array(buffer));
  deserializer.readHeader();
  readHead?.(deserializer);
  return deserializer.readValue();
}

/** Also for errors that are posted in messages. */
export function canSerialize(value: unknown): boolean {
  switch (typeof value) {
    case 'function':
    case 'symbol':
      return false;
    case 'object':
      try {
        serialize(value);
        return true;
      } catch {
        return false;
      }
    default:
      return true;
  }
}

/** Throws NotPlain for a buffer that has been moved. */
function bytesOf(buffer: ArrayBuffer, offset: number, length: number): Uint8Array {
  try {
    return new Uint8Array(buffer, offset, length);
  } catch (error) {
    throw new NotPlain('a detached buffer', { cause: error });
  }
}

/** The standard class, so that a Buffer comes as the Uint8Array that it is. */
function viewName(view: ArrayBufferView): string {
  return (view as unknown as Record<symbol, string>)[Symbol.toStringTag]!;
}

const LATIN1_ONLY = /^[\x00-\xff]*$/;

/** Two arguments show the same memory; structured cloning keeps that. */
function sharesBuffer(args: readonly unknown[]): boolean {
  let seen: Set<unknown> | null = null;
  for (const arg of args) {
    if (typeof arg !== 'object' || arg === null) {
      continue;
    }
    const buffer = ArrayBuffer.isView(arg) ? arg.buffer : arg;
    seen ??= new Set();
    if (seen.has(buffer)) {
      return true;
    }
    seen.add(buffer);
  }
  return false;
}
