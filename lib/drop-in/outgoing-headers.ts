/**
 * The header fields of a response, as long as they are plain: names that are tokens, values that are ASCII text, numbers, or arrays of such text.
 * A list in order of insertion, looked up in any case of letters. Everything else is kept by node's own code in node's own map (`toMap`).
 */

export type HeaderValue = string | number | string[];

/** What a field means for the message (response-head.ts). */
export const NAME_PLAIN = 0;
export const NAME_CONNECTION = 1;
export const NAME_TRANSFER_ENCODING = 2;
export const NAME_CONTENT_LENGTH = 3;
export const NAME_DATE = 4;
export const NAME_KEEP_ALIVE = 5;
/** Left to node's code. */
export const NAME_RARE = 6;

const MEANINGS: ReadonlyMap<string, number> = new Map([
  ['connection', NAME_CONNECTION],
  ['transfer-encoding', NAME_TRANSFER_ENCODING],
  ['content-length', NAME_CONTENT_LENGTH],
  ['date', NAME_DATE],
  ['keep-alive', NAME_KEEP_ALIVE],
  ['expect', NAME_RARE],
  ['trailer', NAME_RARE],
  ['cookie', NAME_RARE],
]);

/** A name as it is written, checked once. */
export class FieldName {
  readonly text: string;
  readonly lower: string;
  readonly meaning: number;
  /** `text`, colon and space. */
  readonly label: string;
  /** The last value found to be plain: most programs send the same ones again. */
  lastPlain = '';

  constructor(text: string) {
    this.text = text;
    this.lower = text.toLowerCase();
    this.meaning = MEANINGS.get(this.lower) ?? NAME_PLAIN;
    this.label = `${text}: `;
  }
}

const MAX_KNOWN_NAMES = 512;
const MAX_REMEMBERED_CHARS = 128;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Such a name would come first in node's map. */
const ARRAY_INDEX = /^\d+$/;
const NOT_PLAIN = /[^\t\x20-\x7e]/;
const names = new Map<string, FieldName>();

/** Undefined: not a name for this list. */
export function fieldName(text: unknown): FieldName | undefined {
  const known = names.get(text as string);
  if (known !== undefined) return known;
  if (typeof text !== 'string' || !TOKEN.test(text) || ARRAY_INDEX.test(text)) return undefined;
  const name = new FieldName(text);
  if (names.size < MAX_KNOWN_NAMES && text.length <= MAX_REMEMBERED_CHARS) names.set(text, name);
  return name;
}

export function isPlainText(text: string): boolean {
  return !NOT_PLAIN.test(text);
}

export function isPlainValue(name: FieldName, value: unknown): value is HeaderValue {
  if (typeof value === 'string') {
    if (value === name.lastPlain) return true;
    if (NOT_PLAIN.test(value)) return false;
    if (value.length <= MAX_REMEMBERED_CHARS) name.lastPlain = value;
    return true;
  }
  if (typeof value === 'number') return true;
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && !NOT_PLAIN.test(item));
}

export class HeaderField {
  name: FieldName;
  value: HeaderValue;
  next: HeaderField | null = null;

  constructor(name: FieldName, value: HeaderValue) {
    this.name = name;
    this.value = value;
  }
}

export function findField(first: HeaderField | null, lower: string): HeaderField | null {
  for (let field = first; field !== null; field = field.next) if (field.name.lower === lower) return field;
  return null;
}

/** Into its place where the name is there already, else to the end. */
export function putField(first: HeaderField, name: FieldName, value: HeaderValue): void {
  for (let field = first; ; field = field.next) {
    if (field.name.lower === name.lower) {
      field.name = name;
      field.value = value;
      return;
    }
    if (field.next === null) {
      field.next = new HeaderField(name, value);
      return;
    }
  }
}

/** The list without the field. */
export function dropField(first: HeaderField | null, lower: string): HeaderField | null {
  if (first === null) return null;
  if (first.name.lower === lower) return first.next;
  for (let field = first; field.next !== null; field = field.next) {
    if (field.next.name.lower === lower) {
      field.next = field.next.next;
      break;
    }
  }
  return first;
}

/** As node keeps them: [name, value] by the name in lower case. */
export function toMap(first: HeaderField): Record<string, [string, HeaderValue]> {
  const map: Record<string, [string, HeaderValue]> = Object.create(null);
  for (let field: HeaderField | null = first; field !== null; field = field.next) {
    map[field.name.lower] = [field.name.text, field.value];
  }
  return map;
}
