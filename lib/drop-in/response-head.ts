/**
 * Renders the head of a response, byte for byte as node would: status line, own fields, Date, Connection and Keep-Alive, Content-Length or
 * Transfer-Encoding. What it decides on the way (framing, persistence) it leaves in the message's fields as node does.
 */
import { setTimeout } from 'node:timers';
import {
  type FieldName,
  fieldName,
  type HeaderField,
  isPlainText,
  isPlainValue,
  NAME_CONNECTION,
  NAME_CONTENT_LENGTH,
  NAME_DATE,
  NAME_KEEP_ALIVE,
  NAME_RARE,
  NAME_TRANSFER_ENCODING,
} from './outgoing-headers.js';

/** The fields of a response that have to do with its head. */
export interface HeadState {
  statusCode: number;
  statusMessage: string | undefined;
  _header: string | null;
  _headerSent: boolean;
  _contentLength: number | null;
  _hasBody: boolean;
  _last: boolean;
  _removedConnection: boolean;
  _removedContLen: boolean;
  _removedTE: boolean;
  _defaultKeepAlive: boolean;
  readonly _keepAliveTimeout: number;
  readonly _maxRequestsPerSocket: number;
  chunkedEncoding: boolean;
  maxRequestsOnConnectionReached: boolean;
  sendDate: boolean;
  shouldKeepAlive: boolean;
  useChunkedEncodingByDefault: boolean;
}

const CLOSE = /(?:^|\W)close(?:$|\W)/i;
const CHUNKED = /(?:^|\W)chunked(?:$|\W)/i;

const SEEN_CONNECTION = 1;
const SEEN_TRANSFER_ENCODING = 2;
const SEEN_CONTENT_LENGTH = 4;
const SEEN_DATE = 8;
/** Of the head that is being rendered: which fields the application has given. */
let seen = 0;

const statusLines = new Map<number, { message: string; line: string }>();

/** Null: a message that is not plain. */
function statusLine(code: number, message: string): string | null {
  const known = statusLines.get(code);
  if (known !== undefined && known.message === message) return known.line;
  if (!isPlainText(message)) return null;
  const line = `HTTP/1.1 ${code} ${message}\r\n`;
  statusLines.set(code, { message, line });
  return line;
}

/** Sets `_header`. False: this head needs node's own code; nothing is lost by running it now. `given`: fields of writeHead alone. */
export function renderHead(message: HeadState, fields: HeaderField | null, given: object | null): boolean {
  let text = statusLine(message.statusCode, message.statusMessage as string);
  if (text === null) return false;
  seen = 0;
  for (let field = fields; field !== null; field = field.next) {
    const line = renderField(message, field.name, field.value);
    if (line === null) return false;
    text += line;
  }
  for (const key in given) {
    if (!Object.hasOwn(given, key)) continue;
    const name = fieldName(key);
    const value: unknown = given[key as keyof object];
    if (name === undefined || !isPlainValue(name, value)) return false;
    const line = renderField(message, name, value);
    if (line === null) return false;
    text += line;
  }
  message._header = text + ownLines(message);
  message._headerSent = false;
  return true;
}

function renderField(message: HeadState, name: FieldName, value: unknown): string | null {
  if (name.meaning !== 0 && !understand(message, name.meaning, value)) return null;
  if (!Array.isArray(value)) return `${name.label + (value as string)}\r\n`;
  let lines = '';
  for (const item of value) {
    // The array is the application's: what it holds may have changed.
    if (typeof item !== 'string' || !isPlainText(item)) return null;
    lines += `${name.label + item}\r\n`;
  }
  return lines;
}

function understand(message: HeadState, meaning: number, value: unknown): boolean {
  if (meaning === NAME_RARE || Array.isArray(value)) return false;
  switch (meaning) {
    case NAME_CONNECTION:
      seen |= SEEN_CONNECTION;
      message._removedConnection = false;
      if (CLOSE.test(value as string)) message._last = true;
      else message.shouldKeepAlive = true;
      break;
    case NAME_TRANSFER_ENCODING:
      seen |= SEEN_TRANSFER_ENCODING;
      message._removedTE = false;
      if (CHUNKED.test(value as string)) message.chunkedEncoding = true;
      break;
    case NAME_CONTENT_LENGTH:
      seen |= SEEN_CONTENT_LENGTH;
      message._contentLength = +(value as string);
      message._removedContLen = false;
      break;
    case NAME_DATE:
      seen |= SEEN_DATE;
      break;
    case NAME_KEEP_ALIVE:
      message._defaultKeepAlive = false;
      break;
  }
  return true;
}

/** The lines that the server adds, and the empty one. */
function ownLines(message: HeadState): string {
  const { statusCode } = message;
  // Such a response has no body, but the client was told of chunks: nothing can follow it.
  if (message.chunkedEncoding && (statusCode === 204 || statusCode === 304)) {
    message.chunkedEncoding = false;
    message.shouldKeepAlive = false;
  }
  const dated = message.sendDate && (seen & SEEN_DATE) === 0;
  const persists =
    message.shouldKeepAlive && ((seen & SEEN_CONTENT_LENGTH) !== 0 || message.useChunkedEncodingByDefault);
  let lines = '';
  if (message._removedConnection) {
    if (dated) lines = dateLine();
    message._last = !message.shouldKeepAlive;
  } else if ((seen & SEEN_CONNECTION) !== 0) {
    if (dated) lines = dateLine();
  } else if (persists && !message.maxRequestsOnConnectionReached) {
    const timeoutMs = message._keepAliveTimeout;
    const announced = timeoutMs && message._defaultKeepAlive;
    const max = announced ? ~~message._maxRequestsPerSocket : 0;
    if (dated && announced && max <= 0) {
      if (seen === 0 && message._hasBody && !message._removedContLen && typeof message._contentLength === 'number') {
        return usualEnd(timeoutMs, message._contentLength);
      }
      lines = usualLines(timeoutMs);
    } else {
      if (dated) lines = dateLine();
      lines += 'Connection: keep-alive\r\n';
      if (announced) lines += `Keep-Alive: timeout=${Math.floor(timeoutMs / 1000)}${max > 0 ? `, max=${max}` : ''}\r\n`;
    }
  } else {
    // maxRequestsPerSocket is announced, but what comes after it is answered (503): node leaves `_last` alone.
    if (!persists) message._last = true;
    if (dated) lines = dateLine();
    lines += 'Connection: close\r\n';
  }
  if ((seen & (SEEN_CONTENT_LENGTH | SEEN_TRANSFER_ENCODING)) === 0) lines += framingLine(message);
  return `${lines}\r\n`;
}

function framingLine(message: HeadState): string {
  if (!message._hasBody) {
    message.chunkedEncoding = false;
  } else if (!message.useChunkedEncodingByDefault) {
    message._last = true;
  } else if (!message._removedContLen && typeof message._contentLength === 'number') {
    return `Content-Length: ${message._contentLength}\r\n`;
  } else if (!message._removedTE) {
    message.chunkedEncoding = true;
    return 'Transfer-Encoding: chunked\r\n';
  } else {
    // Neither a length nor chunks: the body ends with the connection.
    message._last = true;
  }
  return '';
}

let date: string | null = null;
let usual = '';
let usualTimeoutMs = -1;

/** Made once a second, while somebody asks. */
function dateLine(): string {
  if (date === null) {
    const now = new Date();
    date = `Date: ${now.toUTCString()}\r\n`;
    usualTimeoutMs = -1;
    setTimeout(forgetDate, 1000 - now.getMilliseconds()).unref();
  }
  return date;
}

function forgetDate(): void {
  date = null;
}

let end = '';
let endLength = -1;

/** All after the application's own fields, of most responses: those of one length follow one another. */
function usualEnd(timeoutMs: number, contentLength: number): string {
  const lines = usualLines(timeoutMs);
  if (endLength !== contentLength) {
    endLength = contentLength;
    end = `${lines}Content-Length: ${contentLength}\r\n\r\n`;
  }
  return end;
}

/** Date, Connection and Keep-Alive of most responses. */
function usualLines(timeoutMs: number): string {
  const line = dateLine();
  if (usualTimeoutMs !== timeoutMs) {
    usualTimeoutMs = timeoutMs;
    endLength = -1;
    usual = `${line}Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(timeoutMs / 1000)}\r\n`;
  }
  return usual;
}
