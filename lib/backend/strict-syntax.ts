/**
 * Byte classes and value checks of HTTP/1 heads: the counterpart of native/http/http1_syntax.h, so that both backends refuse the
 * same bytes under the same names. Node's own parser stands behind these checks and is, depending on its version, laxer.
 */

/** Why bytes are refused: the names of nameOf(HttpError) in native/http/http_types.cc, with the status each is answered. */
export const HTTP_ERROR_STATUS = {
  INVALID_METHOD: 400,
  INVALID_TARGET: 400,
  INVALID_VERSION: 400,
  UNSUPPORTED_VERSION: 505,
  INVALID_LINE_ENDING: 400,
  INVALID_HEADER_NAME: 400,
  INVALID_HEADER_VALUE: 400,
  OBSOLETE_FOLDING: 400,
  MISSING_HOST: 400,
  DUPLICATE_HOST: 400,
  INVALID_HOST: 400,
  INVALID_CONTENT_LENGTH: 400,
  DUPLICATE_CONTENT_LENGTH: 400,
  CONTENT_LENGTH_WITH_TRANSFER_ENCODING: 400,
  INVALID_TRANSFER_ENCODING: 400,
  TRANSFER_ENCODING_IN_HTTP10: 400,
  INVALID_EXPECTATION: 417,
  HEADER_BYTES_EXCEEDED: 431,
  HEADER_COUNT_EXCEEDED: 431,
  BODY_TOO_LARGE: 413,
  INVALID_CHUNK_SIZE: 400,
  INVALID_CHUNK_TERMINATOR: 400,
  INVALID_CHUNK_EXTENSION: 400,
  CHUNK_OVERHEAD_EXCEEDED: 413,
  INVALID_TRAILER: 400,
  FORBIDDEN_TRAILER: 400,
  UNEXPECTED_END: 400,
} as const;
export type HttpErrorName = keyof typeof HTTP_ERROR_STATUS;

const TCHAR = 1;
const DIGIT = 2;
const HEX = 4;
const ALPHA = 8;
const REG_NAME = 16;

const classes = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const char = String.fromCharCode(c);
  const digit = /[0-9]/.test(char);
  const alpha = /[A-Za-z]/.test(char);
  let bits = 0;
  if (digit || alpha || "!#$%&'*+-.^_`|~".includes(char)) bits |= TCHAR;
  if (digit) bits |= DIGIT;
  if (/[0-9A-Fa-f]/.test(char)) bits |= HEX;
  if (alpha) bits |= ALPHA;
  if (digit || alpha || "-._~!$&'()*+,;=".includes(char)) bits |= REG_NAME; // RFC 3986 unreserved and sub-delims
  classes[c] = bits;
}

const is = (byte: number, which: number): boolean => ((classes[byte] ?? 0) & which) !== 0;

export const isTchar = (byte: number): boolean => is(byte, TCHAR);
export const isDigit = (byte: number): boolean => is(byte, DIGIT);
export const isValueByte = (byte: number): boolean => (byte >= 0x20 && byte !== 0x7f) || byte === 0x09;
export const isTargetByte = (byte: number): boolean => byte > 0x20 && byte !== 0x7f;
export const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09;

export const CR = 13;
export const LF = 10;

// The checks below take `complete`: false means that more bytes of the value may follow, and then only what no further byte can
// heal is refused.

/** Is `value` the `expected` token (lower case), or, when more may follow, the beginning of it? */
export function matchesToken(value: string, expected: string, complete: boolean): boolean {
  const lower = value.toLowerCase();
  return complete ? lower === expected : expected.startsWith(lower);
}

/** 1*DIGIT up to the largest exact integer; -1 when it is none. */
export function parseContentLength(value: string, complete: boolean): number {
  if (value === '') {
    return complete ? -1 : 0;
  }
  if (!/^[0-9]+$/.test(value)) {
    return -1;
  }
  const length = Number(value);
  return Number.isSafeInteger(length) ? length : -1;
}

/** `field`: may be empty (RFC 9112 3.2). `authority`: not. `authority-with-port`: the port must be there (RFC 9110 9.3.6). */
export type HostForm = 'field' | 'authority' | 'authority-with-port';

/** uri-host [ ":" port ] of RFC 3986. */
export function isHost(value: string, complete: boolean, form: HostForm): boolean {
  if (value === '') {
    return !complete || form === 'field';
  }
  let rest: string;
  if (value.startsWith('[')) {
    const close = value.indexOf(']');
    const literal = close === -1 ? value.slice(1) : value.slice(1, close);
    const ended = close !== -1;
    const sound = /^[vV]/.test(literal)
      ? (ended
          ? /^[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+$/
          : /^[vV]([0-9A-Fa-f]+(\.[A-Za-z0-9\-._~!$&'()*+,;=:]*)?)?$/
        ).test(literal)
      : (ended ? /^[0-9A-Fa-f:.]+$/ : /^[0-9A-Fa-f:.]*$/).test(literal);
    if (!sound) {
      return false;
    }
    if (!ended) {
      return !complete;
    }
    rest = value.slice(close + 1);
    if (rest !== '' && !rest.startsWith(':')) {
      return false;
    }
  } else {
    const colon = value.indexOf(':');
    const name = colon === -1 ? value : value.slice(0, colon);
    if (colon === 0) {
      return false; // ":80"
    }
    const partial = colon === -1 && !complete;
    if (
      !(
        partial
          ? /^(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?:%[0-9A-Fa-f]?)?$/
          : /^(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/
      ).test(name)
    ) {
      return false;
    }
    rest = colon === -1 ? '' : value.slice(colon);
  }
  if (rest === '') {
    return !complete || form !== 'authority-with-port';
  }
  const port = rest.slice(1);
  if (!/^[0-9]*$/.test(port)) {
    return false;
  }
  if (form !== 'authority-with-port') {
    return true;
  }
  return Number(port) <= 65535 && (!complete || Number(port) > 0);
}

/** absolute-form: scheme "://" authority [ path ] [ "?" query ]; user information is refused (RFC 9110 4.2.4). */
function isAbsoluteForm(value: string, complete: boolean): boolean {
  const match = /^([A-Za-z]+)(:(\/(\/(.*))?)?)?$/s.exec(value);
  if (match === null) {
    return false;
  }
  const afterScheme = match[5];
  if (afterScheme === undefined) {
    return !complete;
  }
  const hostEnd = afterScheme.search(/[/?]/);
  return hostEnd === -1
    ? isHost(afterScheme, complete, 'authority')
    : isHost(afterScheme.slice(0, hostEnd), true, 'authority');
}

export function isTarget(method: string, target: string, complete: boolean): boolean {
  if (target === '') {
    return !complete;
  }
  if (method === 'CONNECT') {
    return isHost(target, complete, 'authority-with-port');
  }
  if (target.startsWith('/')) {
    return true;
  }
  if (target.startsWith('*')) {
    return method === 'OPTIONS' && target.length === 1;
  }
  return isAbsoluteForm(target, complete);
}
