/**
 * One HTTP/1.0 or 1.1 request head, or a trailer section, out of a byte buffer: the counterpart of native/http/http1_parser.cc with the
 * same verdicts under the same names. Stateless: the caller keeps the bytes and calls again with more when told 'more'.
 */
import { METHODS } from '../bridge/records.js';
import {
  CR,
  type HttpErrorName,
  isBlank,
  isDigit,
  isHost,
  isTarget,
  isTargetByte,
  isTchar,
  isValueByte,
  LF,
  matchesToken,
  parseContentLength,
} from './strict-syntax.js';

export interface HeadLimits {
  readonly headerBytes: number;
  readonly headerCount: number;
}

export interface StrictHead {
  method: string;
  target: string;
  versionMinor: 0 | 1;
  /** Name, value, name, value ... in latin1. */
  fields: string[];
  /** As version and Connection ask. */
  keepAlive: boolean;
  chunked: boolean;
  /** -1: there is no Content-Length. */
  contentLength: number;
  expectContinue: boolean;
  /** Where in the buffer the method begins (empty lines may come before it), and how many bytes the head takes in all. */
  methodOffset: number;
  length: number;
}

export type HeadResult<T> =
  | { status: 'done'; value: T }
  | { status: 'more' }
  | { status: 'error'; error: HttpErrorName };

interface Meaning {
  onName(name: string): HttpErrorName | null;
  onValue(name: string, value: string, complete: boolean): HttpErrorName | null;
  onEnd(): HttpErrorName | null;
}

/** Thrown inside this file only, and caught at its entrances: it keeps the flow of the grammar readable. */
class Refused {
  readonly error: HttpErrorName;
  constructor(error: HttpErrorName) {
    this.error = error;
  }
}
const MORE = Symbol('more');

const METHOD_SET: ReadonlySet<string> = new Set(METHODS);

/** Framing, routing, authentication, and how the body is to be read: an attacker could add them behind a proxy's back. */
const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'trailer',
  'te',
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'expect',
  'host',
  'max-forwards',
  'forwarded',
  'authorization',
  'proxy-authorization',
  'cookie',
  'content-encoding',
  'content-type',
]);

export function parseHead(bytes: Buffer, limits: HeadLimits): HeadResult<StrictHead> {
  return withinLimits(bytes, limits, (reader) => {
    reader.skipEmptyLines();
    const methodOffset = reader.at;
    const method = reader.method();
    const target = reader.target(method);
    const versionMinor = reader.version();
    reader.lineEnd();
    const meaning = new HeadMeaning(versionMinor);
    const fields = reader.fields(limits.headerCount, meaning);
    return {
      method,
      target,
      versionMinor,
      fields,
      keepAlive: meaning.keepAlive,
      chunked: meaning.chunked,
      contentLength: meaning.contentLength,
      expectContinue: versionMinor === 1 && meaning.expect,
      methodOffset,
      length: reader.at,
    };
  });
}

/** Field lines up to and including the empty line. */
export function parseTrailers(bytes: Buffer, limits: HeadLimits): HeadResult<string[]> {
  const result = withinLimits(bytes, limits, (reader) => reader.fields(limits.headerCount, TRAILER_MEANING));
  if (
    result.status === 'error' &&
    (result.error === 'INVALID_HEADER_NAME' ||
      result.error === 'INVALID_HEADER_VALUE' ||
      result.error === 'OBSOLETE_FOLDING')
  ) {
    return { status: 'error', error: 'INVALID_TRAILER' };
  }
  return result;
}

/** Only what the limits allow is looked at, so that a limit answers the same however the bytes arrive. */
function withinLimits<T>(bytes: Buffer, limits: HeadLimits, parse: (reader: Reader) => T): HeadResult<T> {
  const visible =
    limits.headerBytes > 0 && bytes.length > limits.headerBytes ? bytes.subarray(0, limits.headerBytes) : bytes;
  try {
    return { status: 'done', value: parse(new Reader(visible)) };
  } catch (thrown) {
    if (thrown instanceof Refused) {
      return { status: 'error', error: thrown.error };
    }
    if (thrown !== MORE) {
      throw thrown;
    }
    return bytes.length > visible.length ? { status: 'error', error: 'HEADER_BYTES_EXCEEDED' } : { status: 'more' };
  }
}

class Reader {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The byte at the position; -1 where more must come. */
  #peek(): number {
    return this.#bytes[this.at] ?? -1;
  }

  #text(start: number, end: number): string {
    return this.#bytes.toString('latin1', start, end);
  }

  skipEmptyLines(): void {
    for (let byte = this.#peek(); byte === CR || byte === LF; byte = this.#peek()) {
      this.lineEnd();
    }
  }

  lineEnd(): void {
    if (this.#peek() === -1) throw MORE;
    if (this.#bytes[this.at] !== CR) throw new Refused('INVALID_LINE_ENDING');
    const next = this.#bytes[this.at + 1];
    if (next === undefined) throw MORE;
    if (next !== LF) throw new Refused('INVALID_LINE_ENDING');
    this.at += 2;
  }

  method(): string {
    const start = this.at;
    // One byte more than the longest method and its space decides.
    const visible = this.#text(start, start + 16);
    const space = visible.indexOf(' ');
    if (space !== -1) {
      const method = visible.slice(0, space);
      if (!METHOD_SET.has(method)) throw new Refused('INVALID_METHOD');
      this.at += space + 1;
      return method;
    }
    if (METHODS.some((method) => method.startsWith(visible))) throw MORE;
    throw new Refused('INVALID_METHOD');
  }

  target(method: string): string {
    const start = this.at;
    while (isTargetByte(this.#peek())) this.at++;
    const target = this.#text(start, this.at);
    const byte = this.#peek();
    if (!isTarget(method, target, byte === 0x20)) throw new Refused('INVALID_TARGET');
    if (byte === -1) throw MORE;
    if (byte !== 0x20) {
      if (byte === LF) throw new Refused('INVALID_LINE_ENDING');
      throw new Refused(byte === CR && target !== '' ? 'INVALID_VERSION' : 'INVALID_TARGET');
    }
    this.at++;
    return target;
  }

  version(): 0 | 1 {
    const text = this.#text(this.at, this.at + 9);
    if (!'HTTP/'.startsWith(text.slice(0, 5))) throw new Refused('INVALID_VERSION');
    if (text.length > 5 && !isDigit(text.charCodeAt(5))) throw new Refused('INVALID_VERSION');
    if (text.length > 6 && text[6] !== '.') throw new Refused('INVALID_VERSION');
    if (text.length <= 7) throw MORE;
    if (!isDigit(text.charCodeAt(7))) throw new Refused('INVALID_VERSION');
    if (text[5] !== '1') throw new Refused('UNSUPPORTED_VERSION');
    if (text[7] !== '0' && text[7] !== '1') throw new Refused('INVALID_VERSION');
    if (text.length > 8 && text[8] !== '\r' && text[8] !== '\n') throw new Refused('INVALID_VERSION');
    this.at += 8;
    return text[7] === '0' ? 0 : 1;
  }

  /** The field lines and the empty line. */
  fields(limit: number, meaning: Meaning): string[] {
    const fields: string[] = [];
    for (;;) {
      const first = this.#peek();
      if (first === -1) throw MORE;
      if (first === CR) {
        refuse(meaning.onEnd());
        this.lineEnd();
        return fields;
      }
      if (isBlank(first)) throw new Refused(fields.length > 0 ? 'OBSOLETE_FOLDING' : 'INVALID_HEADER_NAME');
      if (first === LF) throw new Refused('INVALID_LINE_ENDING');
      if (limit > 0 && fields.length >= limit * 2) throw new Refused('HEADER_COUNT_EXCEEDED');
      this.#field(fields, meaning);
    }
  }

  #field(fields: string[], meaning: Meaning): void {
    const nameStart = this.at;
    while (isTchar(this.#peek())) this.at++;
    const colon = this.#peek();
    if (colon === -1) throw MORE;
    if (colon !== 0x3a || this.at === nameStart)
      throw new Refused(colon === LF ? 'INVALID_LINE_ENDING' : 'INVALID_HEADER_NAME');
    const name = this.#text(nameStart, this.at);
    const lowerName = name.toLowerCase();
    refuse(meaning.onName(lowerName));
    this.at++;
    let valueStart = this.at;
    while (isValueByte(this.#peek())) this.at++;
    const byte = this.#peek();
    let valueEnd = this.at;
    while (valueStart < valueEnd && isBlank(this.#bytes[valueStart] as number)) valueStart++;
    while (valueStart < valueEnd && isBlank(this.#bytes[valueEnd - 1] as number)) valueEnd--;
    const value = this.#text(valueStart, valueEnd);
    const complete = byte === CR || (value !== '' && valueEnd !== this.at);
    refuse(meaning.onValue(lowerName, value, complete));
    if (byte !== CR) {
      if (byte === -1) throw MORE;
      throw new Refused(byte === LF ? 'INVALID_LINE_ENDING' : 'INVALID_HEADER_VALUE');
    }
    this.lineEnd();
    fields.push(name, value);
  }
}

function refuse(error: HttpErrorName | null): void {
  if (error !== null) throw new Refused(error);
}

/** Every check is made at the earliest byte that decides it, so that the verdict does not depend on how the bytes were split. */
class HeadMeaning implements Meaning {
  contentLength = -1;
  chunked = false;
  expect = false;
  #host = false;
  #close = false;
  #keepAlive = false;
  #seenLength = false;
  readonly #versionMinor: number;

  constructor(versionMinor: number) {
    this.#versionMinor = versionMinor;
  }

  get keepAlive(): boolean {
    return !this.#close && (this.#versionMinor === 1 || this.#keepAlive);
  }

  onName(name: string): HttpErrorName | null {
    switch (name) {
      case 'host': {
        const again = this.#host;
        this.#host = true;
        return again ? 'DUPLICATE_HOST' : null;
      }
      case 'content-length': {
        if (this.#seenLength) return 'DUPLICATE_CONTENT_LENGTH';
        this.#seenLength = true;
        return this.chunked ? 'CONTENT_LENGTH_WITH_TRANSFER_ENCODING' : null;
      }
      case 'transfer-encoding': {
        if (this.#versionMinor === 0) return 'TRANSFER_ENCODING_IN_HTTP10';
        if (this.#seenLength) return 'CONTENT_LENGTH_WITH_TRANSFER_ENCODING';
        const again = this.chunked;
        this.chunked = true;
        return again ? 'INVALID_TRANSFER_ENCODING' : null;
      }
      default:
        return null;
    }
  }

  onValue(name: string, value: string, complete: boolean): HttpErrorName | null {
    switch (name) {
      case 'host':
        return isHost(value, complete, 'field') ? null : 'INVALID_HOST';
      case 'content-length':
        this.contentLength = parseContentLength(value, complete);
        return this.contentLength >= 0 ? null : 'INVALID_CONTENT_LENGTH';
      case 'transfer-encoding':
        return matchesToken(value, 'chunked', complete) ? null : 'INVALID_TRANSFER_ENCODING';
      case 'expect':
        this.expect = true;
        return matchesToken(value, '100-continue', complete) ? null : 'INVALID_EXPECTATION';
      case 'connection':
        for (const option of value.toLowerCase().split(',')) {
          if (option.trim() === 'close') this.#close = true;
          if (option.trim() === 'keep-alive') this.#keepAlive = true;
        }
        return null;
      default:
        return null;
    }
  }

  onEnd(): HttpErrorName | null {
    return this.#versionMinor === 1 && !this.#host ? 'MISSING_HOST' : null;
  }
}

const TRAILER_MEANING: Meaning = {
  onName: (name) => (FORBIDDEN_TRAILERS.has(name) ? 'FORBIDDEN_TRAILER' : null),
  onValue: () => null,
  onEnd: () => null,
};
