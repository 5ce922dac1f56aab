/** The header methods of a response whose fields are plain (outgoing-headers.ts); for all others, node's own. */
import { kOutHeaders, nodeMethods } from './node-response.js';
import {
  dropField,
  fieldName,
  findField,
  HeaderField,
  type HeaderValue,
  isPlainValue,
  NAME_CONNECTION,
  NAME_CONTENT_LENGTH,
  NAME_DATE,
  NAME_TRANSFER_ENCODING,
  putField,
} from './outgoing-headers.js';
import { kFields, type NativeResponse } from './response-state.js';

export const headerMethods = {
  setHeader(this: NativeResponse, name: string, value: unknown): NativeResponse {
    const first = this[kFields];
    if (first !== undefined && this._header === null) {
      const known = fieldName(name);
      if (known !== undefined && isPlainValue(known, value)) {
        if (first === null) this[kFields] = new HeaderField(known, value);
        else putField(first, known, value);
        return this;
      }
    }
    return nodeMethods['setHeader']?.call(this, name, value);
  },

  appendHeader(this: NativeResponse, name: string, value: unknown): NativeResponse {
    const first = this[kFields];
    const known = first && this._header === null ? fieldName(name) : undefined;
    const field = known !== undefined && isPlainValue(known, value) ? findField(first as null, known.lower) : null;
    if (field === null) return nodeMethods['appendHeader']?.call(this, name, value);
    if (!Array.isArray(field.value)) field.value = [String(field.value)];
    for (const item of Array.isArray(value) ? value : [value]) field.value.push(item as string);
    return this;
  },

  getHeader(this: NativeResponse, name: string): HeaderValue | undefined {
    const first = this[kFields];
    if (first === undefined || typeof name !== 'string') return nodeMethods['getHeader']?.call(this, name);
    return first === null ? undefined : findField(first, lowerOf(name))?.value;
  },

  hasHeader(this: NativeResponse, name: string): boolean {
    const first = this[kFields];
    if (first === undefined || typeof name !== 'string') return nodeMethods['hasHeader']?.call(this, name);
    return first !== null && findField(first, lowerOf(name)) !== null;
  },

  removeHeader(this: NativeResponse, name: string): void {
    const first = this[kFields];
    if (first === undefined || typeof name !== 'string' || this._header) {
      nodeMethods['removeHeader']?.call(this, name);
      return;
    }
    switch (fieldName(name)?.meaning) {
      case NAME_CONNECTION:
        this._removedConnection = true;
        break;
      case NAME_CONTENT_LENGTH:
        this._removedContLen = true;
        break;
      case NAME_TRANSFER_ENCODING:
        this._removedTE = true;
        break;
      case NAME_DATE:
        this.sendDate = false;
        break;
    }
    if (first === null) return;
    const rest = dropField(first, lowerOf(name));
    // Node tells a map that is empty from none: writeHead's fields are added to it.
    if (rest === null) this[kOutHeaders] = Object.create(null);
    else this[kFields] = rest;
  },

  getHeaders(this: NativeResponse): Record<string, HeaderValue> {
    const first = this[kFields];
    if (first === undefined) return nodeMethods['getHeaders']?.call(this);
    const headers: Record<string, HeaderValue> = Object.create(null);
    for (let field = first; field !== null; field = field.next) headers[field.name.lower] = field.value;
    return headers;
  },

  getHeaderNames(this: NativeResponse): string[] {
    const first = this[kFields];
    if (first === undefined) return nodeMethods['getHeaderNames']?.call(this);
    const names: string[] = [];
    for (let field = first; field !== null; field = field.next) names.push(field.name.lower);
    return names;
  },

  getRawHeaderNames(this: NativeResponse): string[] {
    const first = this[kFields];
    if (first === undefined) return nodeMethods['getRawHeaderNames']?.call(this);
    const names: string[] = [];
    for (let field = first; field !== null; field = field.next) names.push(field.name.text);
    return names;
  },
};

function lowerOf(name: string): string {
  return fieldName(name)?.lower ?? name.toLowerCase();
}
