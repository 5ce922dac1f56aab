/**
 * The head of a request as native code hands it over: one latin1 string, an index first, then the strings (native/http/head_codec.h).
 * Names and values are cut out when they are read.
 */
import { HEADER_NAMES } from './records.js';

const ENTRY_CHARS = 6;

const HEADER_IDS: ReadonlyMap<string, number> = new Map(
  HEADER_NAMES.map((name, id): [string, number] => [name, id]).filter(([name]) => name !== ''),
);

function nameLengthAt(text: string, entry: number): number {
  return (text.charCodeAt(entry + 1) << 8) | text.charCodeAt(entry + 2);
}

function valueLengthAt(text: string, entry: number): number {
  return (text.charCodeAt(entry + 3) << 16) | (text.charCodeAt(entry + 4) << 8) | text.charCodeAt(entry + 5);
}

export function targetOf(text: string, headerCount: number, targetLength: number): string {
  const start = headerCount * ENTRY_CHARS;
  return text.slice(start, start + targetLength);
}

/** Name, value, name, value ... as received. */
export function rawHeadersOf(text: string, headerCount: number, targetLength: number): string[] {
  const fields = new Array<string>(headerCount * 2);
  let at = headerCount * ENTRY_CHARS + targetLength;
  for (let i = 0; i < headerCount; i++) {
    const nameEnd = at + nameLengthAt(text, i * ENTRY_CHARS);
    const valueEnd = nameEnd + valueLengthAt(text, i * ENTRY_CHARS);
    fields[i * 2] = text.slice(at, nameEnd);
    fields[i * 2 + 1] = text.slice(nameEnd, valueEnd);
    at = valueEnd;
  }
  return fields;
}

/** Whether a field is there whose name has a number on the border (its index in HEADER_NAMES). */
export function hasHeader(text: string, headerCount: number, id: number): boolean {
  for (let entry = 0; entry < headerCount * ENTRY_CHARS; entry += ENTRY_CHARS) {
    if (text.charCodeAt(entry) === id) return true;
  }
  return false;
}

/** The value of a field, repeated fields joined (RFC 9110 5.3; cookies by '; '). `name` in lower case. */
export function headerOf(text: string, headerCount: number, targetLength: number, name: string): string | null {
  const id = HEADER_IDS.get(name) ?? 0;
  let found: string | null = null;
  let at = headerCount * ENTRY_CHARS + targetLength;
  for (let entry = 0; entry < headerCount * ENTRY_CHARS; entry += ENTRY_CHARS) {
    const nameEnd = at + nameLengthAt(text, entry);
    const valueEnd = nameEnd + valueLengthAt(text, entry);
    if (
      text.charCodeAt(entry) === id &&
      (id !== 0 || (nameEnd - at === name.length && text.slice(at, nameEnd).toLowerCase() === name))
    ) {
      const value = text.slice(nameEnd, valueEnd);
      found = found === null ? value : `${found}${name === 'cookie' ? '; ' : ', '}${value}`;
    }
    at = valueEnd;
  }
  return found;
}

/**
 * Sets the first field of each name in `map`, under its name in lower case. Repeated fields, names that `map` has already (of its prototype) and
 * set-cookie go to `addAgain.call(receiver, name, value, map)`.
 */
export function fillHeaderMap<Map extends Record<string, unknown>>(
  text: string,
  headerCount: number,
  targetLength: number,
  map: Map,
  receiver: unknown,
  addAgain: (name: string, value: string, map: Map) => void,
): void {
  const target = map as Record<string, unknown>;
  let at = headerCount * ENTRY_CHARS + targetLength;
  for (let entry = 0; entry < headerCount * ENTRY_CHARS; entry += ENTRY_CHARS) {
    const nameEnd = at + nameLengthAt(text, entry);
    const valueEnd = nameEnd + valueLengthAt(text, entry);
    const id = text.charCodeAt(entry);
    const name = id === 0 ? text.slice(at, nameEnd).toLowerCase() : (HEADER_NAMES[id] as string);
    const value = text.slice(nameEnd, valueEnd);
    if (target[name] === undefined && name !== 'set-cookie') target[name] = value;
    else addAgain.call(receiver, name, value, map);
    at = valueEnd;
  }
}
