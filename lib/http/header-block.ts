/**
 * From header fields to the block that an exchange sends. Every name and value passes here before a byte leaves: names are tokens,
 * values hold no CR, LF, NUL and nothing above latin1. No I/O.
 *
 * What was checked is remembered per name (validity, kind, the last line), as applications send the same few fields over and over.
 */
import { HEAD_CLOSE_FLAG, HEAD_HAS_CONNECTION_FLAG, HEAD_HAS_DATE_FLAG } from '../bridge/records.js';
import { describeValue } from '../errors/text.js';
import { HeaderError } from '../errors.js';
import type { ResponseHead } from './exchange.js';

export type FieldKind =
  | 'plain'
  | 'content-type'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'date'
  | 'set-cookie';

/** What is known of a field name. */
export interface FieldName {
  readonly lower: string;
  readonly kind: FieldKind;
  /** `name: `, in the case in which it was given. */
  readonly prefix: string;
  /** The last value that was checked, and the block of this one field. */
  lastValue: string;
  lastHead: HeadBlock | null;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// These are what must not be sent.
const FORBIDDEN_IN_VALUE = /[\0\r\n\u0100-\uffff]/;
const CONTENT_LENGTH = /^[0-9]{1,15}$/;
const MAX_KNOWN_NAMES = 512;
const MAX_REMEMBERED_VALUE_CHARS = 256;

const SPECIAL: ReadonlySet<string> = new Set<FieldKind>([
  'content-type',
  'content-length',
  'transfer-encoding',
  'connection',
  'date',
  'set-cookie',
]);

const knownNames = new Map<string, FieldName>();

/** What is known of `name`, or null where it is no token. */
export function lookUpName(name: string): FieldName | null {
  return knownNames.get(name) ?? learnName(name);
}

function learnName(name: string): FieldName | null {
  if (!TOKEN.test(name)) {
    return null;
  }
  const lower = name.toLowerCase();
  const kind = (SPECIAL.has(lower) ? lower : 'plain') as FieldKind;
  const known: FieldName = { lower, kind, prefix: `${name}: `, lastValue: '', lastHead: null };
  if (knownNames.size < MAX_KNOWN_NAMES && name.length <= 64) {
    knownNames.set(name, known);
  }
  return known;
}

export function isFieldValue(value: string): boolean {
  return !FORBIDDEN_IN_VALUE.test(value);
}

export function nameProblem(name: string): string {
  return `Header name ${describeValue(name)} is not a token; use letters, digits and hyphens`;
}

export function valueProblem(name: string, value: string): string {
  const found = FORBIDDEN_IN_VALUE.exec(value);
  const char =
    found === null ? '' : `: U+${found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')} at ${found.index}`;
  return `The value of header '${name}' has a character that must not be sent${char}; encode it, for example with encodeURIComponent`;
}

/** A header block being built, and the ResponseHead that it is for the exchange. */
export class HeadBlock implements ResponseHead {
  block = '';
  flags = 0;
  /** The value of content-length, which is not in the block; -1 where none was given. */
  contentLength = -1;
  hasContentType = false;

  /** Throws HeaderError, naming the field. transfer-encoding is dropped: the exchange chooses the framing. */
  add(name: string, value: string): void {
    const field = lookUpName(name);
    if (field === null) {
      throw new HeaderError(nameProblem(name));
    }
    if (value !== field.lastValue || field.lastHead === null) {
      if (!isFieldValue(value)) {
        throw new HeaderError(valueProblem(name, value));
      }
    }
    this.addChecked(field, value);
  }

  /** The same for a field whose value was checked already. Still throws for a content-length that is no length. */
  addChecked(field: FieldName, value: string): void {
    switch (field.kind) {
      case 'plain':
      case 'set-cookie':
        break;
      case 'content-type':
        this.hasContentType = true;
        break;
      case 'date':
        this.flags |= HEAD_HAS_DATE_FLAG;
        break;
      case 'connection':
        this.flags |= HEAD_HAS_CONNECTION_FLAG;
        if (hasOption(value, 'close')) {
          this.flags |= HEAD_CLOSE_FLAG;
        }
        break;
      case 'content-length':
        this.setContentLength(value);
        return;
      case 'transfer-encoding':
        return;
    }
    this.block += `${field.prefix}${value}\r\n`;
  }

  private setContentLength(value: string): void {
    const text = value.trim();
    const length = CONTENT_LENGTH.test(text) ? Number(text) : -1;
    if (length === -1 || (this.contentLength !== -1 && this.contentLength !== length)) {
      throw new HeaderError(`The value of header 'content-length' is not one length: ${describeValue(value)}`);
    }
    this.contentLength = length;
  }
}

/**
 * The block of one field whose value is valid, shared between all responses that have it: must not be added to. Null where the value
 * must not be sent, or the field takes part in framing.
 */
export function singleFieldHead(field: FieldName, value: string): HeadBlock | null {
  if (field.lastHead !== null && field.lastValue === value) {
    return field.lastHead;
  }
  if ((field.kind !== 'plain' && field.kind !== 'content-type') || !isFieldValue(value)) {
    return null;
  }
  const head = new HeadBlock();
  head.addChecked(field, value);
  if (value.length <= MAX_REMEMBERED_VALUE_CHARS) {
    field.lastValue = value;
    field.lastHead = head;
  }
  return head;
}

/** From name, value, name, value ... to a head. Throws HeaderError. */
export function encodeFields(fields: readonly string[]): HeadBlock {
  const head = new HeadBlock();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    head.add(fields[i] as string, fields[i + 1] as string);
  }
  return head;
}

const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'trailer',
  'content-encoding',
  'content-type',
  'content-range',
  'keep-alive',
  'te',
  'upgrade',
  'authorization',
  'set-cookie',
]);

/** A trailer section from name, value ... Throws HeaderError, also for fields that frame or route a message. */
export function encodeTrailers(fields: readonly string[]): string {
  let block = '';
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    const field = lookUpName(name);
    if (field === null) {
      throw new HeaderError(nameProblem(name));
    }
    if (NOT_IN_TRAILERS.has(field.lower)) {
      throw new HeaderError(`Field '${name}' must not be sent as a trailer; send it in the head`);
    }
    if (!isFieldValue(value)) {
      throw new HeaderError(valueProblem(name, value));
    }
    block += `${field.prefix}${value}\r\n`;
  }
  return block;
}

/** Whether a comma-separated list has this option, in any case. */
export function hasOption(list: string, option: string): boolean {
  if (list === option) {
    return true;
  }
  for (const part of list.split(',')) {
    if (part.trim().toLowerCase() === option) {
      return true;
    }
  }
  return false;
}

/** Reason phrases hold no control characters but TAB, and nothing above latin1. */
export function isReasonPhrase(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}

function headOf(name: string, value: string): HeadBlock {
  const head = new HeadBlock();
  head.add(name, value);
  return head;
}

// Shared, not frozen (a frozen object has another hidden class, and these meet at one call site): add nothing to them.
export const EMPTY_HEAD: HeadBlock = new HeadBlock();
export const TEXT_TYPE = 'text/plain;charset=UTF-8';
/** The default of a string body. */
export const TEXT_HEAD: HeadBlock = headOf('content-type', TEXT_TYPE);
export const JSON_HEAD: HeadBlock = headOf('content-type', 'application/json');
/** Of our own error answers. */
export const PLAIN_HEAD: HeadBlock = headOf('content-type', 'text/plain');
