/** The errors of a connection as node gives them to 'clientError': by the names that native code has for what it refused (HttpError, SessionError). */

import { METHODS } from '../bridge/records.js';

export interface ClientError extends Error {
  code: string;
  reason?: string;
  bytesParsed?: number;
  rawPacket?: Buffer;
}

/** `bytesParsed` where it is not what was understood. */
type Detail = readonly [code: string, reason: string, bytesParsed?: number];

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const VERSION_LENGTH = 8; // HTTP/1.1
const HTTP2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const INVALID_METHOD = ['HPE_INVALID_METHOD', 'Invalid method encountered'] as const;
/** Those of HTTP, of RTSP, and the beginning of HTTP/2. */
const KNOWN_METHODS = [
  ...METHODS,
  ...['PRI', 'DESCRIBE', 'ANNOUNCE', 'SETUP', 'PLAY', 'PAUSE', 'TEARDOWN', 'GET_PARAMETER', 'SET_PARAMETER'],
  ...['REDIRECT', 'RECORD', 'FLUSH'],
];
const LONGEST_METHOD = 16;
const TOKEN = 'HPE_INVALID_HEADER_TOKEN';

/** llhttp's code and reason for each. Where ours is stricter, the nearest. */
const PARSE_ERRORS: Readonly<Record<string, Detail>> = {
  INVALID_TARGET: ['HPE_INVALID_URL', 'Invalid characters in url'],
  INVALID_VERSION: ['HPE_INVALID_CONSTANT', 'Expected HTTP/, RTSP/ or ICE/'],
  UNSUPPORTED_VERSION: ['HPE_INVALID_VERSION', 'Invalid HTTP version'],
  INVALID_LINE_ENDING: ['HPE_CR_EXPECTED', 'Missing expected CR after header value'],
  INVALID_HEADER_NAME: [TOKEN, 'Invalid header token'],
  INVALID_HEADER_VALUE: [TOKEN, 'Invalid header value char'],
  OBSOLETE_FOLDING: [TOKEN, 'Unexpected whitespace after header value'],
  DUPLICATE_HOST: [TOKEN, 'Invalid header value char'],
  INVALID_HOST: [TOKEN, 'Invalid header value char'],
  INVALID_CONTENT_LENGTH: ['HPE_INVALID_CONTENT_LENGTH', 'Invalid character in Content-Length'],
  DUPLICATE_CONTENT_LENGTH: ['HPE_UNEXPECTED_CONTENT_LENGTH', 'Duplicate Content-Length'],
  CONTENT_LENGTH_WITH_TRANSFER_ENCODING: [
    'HPE_INVALID_TRANSFER_ENCODING',
    "Transfer-Encoding can't be present with Content-Length",
  ],
  INVALID_TRANSFER_ENCODING: ['HPE_INVALID_TRANSFER_ENCODING', 'Request has invalid `Transfer-Encoding`'],
  TRANSFER_ENCODING_IN_HTTP10: ['HPE_INVALID_TRANSFER_ENCODING', 'Request has invalid `Transfer-Encoding`'],
  HEADER_BYTES_EXCEEDED: ['HPE_HEADER_OVERFLOW', 'Header overflow'],
  HEADER_COUNT_EXCEEDED: ['HPE_HEADER_OVERFLOW', 'Header overflow'],
  INVALID_CHUNK_SIZE: ['HPE_INVALID_CHUNK_SIZE', 'Invalid character in chunk size'],
  INVALID_CHUNK_TERMINATOR: ['HPE_STRICT', 'Expected LF after chunk data'],
  INVALID_CHUNK_EXTENSION: ['HPE_STRICT', 'Invalid character in chunk extensions name'],
  CHUNK_OVERHEAD_EXCEEDED: ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 'Chunk extensions overflow'],
  INVALID_TRAILER: [TOKEN, 'Invalid header token'],
  FORBIDDEN_TRAILER: [TOKEN, 'Invalid header token'],
};

/** What native code refused: `position` bytes of `bytes` were understood. */
export function clientErrorOf(name: string, bytes: Buffer, position: number): ClientError {
  if (name.endsWith('_TIMEOUT')) return requestTimeoutError();
  const [code, reason, parsed = position] = detailsOf(name, bytes, position) ??
    PARSE_ERRORS[name] ?? ['HPE_USER', name];
  return parseError(code, reason, bytes, parsed);
}

/** Where llhttp has several codes for what is one to us: by what stands at the place. */
function detailsOf(name: string, bytes: Buffer, at: number): Detail | undefined {
  switch (name) {
    case 'INVALID_METHOD':
      if (bytes.indexOf(HTTP2_PREFACE, at) !== at) return [...INVALID_METHOD, methodPrefixOf(bytes, at)];
      return ['HPE_PAUSED_H2_UPGRADE', 'Pause on PRI/Upgrade', at + HTTP2_PREFACE.length];
    case 'INVALID_VERSION':
    case 'UNSUPPORTED_VERSION':
      return versionDetails(bytes, at);
    case 'INVALID_LINE_ENDING':
      if (bytes[at] !== CR && bytes[at - 1] !== CR) return undefined;
      return ['HPE_LF_EXPECTED', 'Missing expected LF after header value'];
    case 'INVALID_HEADER_NAME':
      if (bytes[at] !== SPACE || bytes[at - 1] !== LF) return undefined;
      return ['HPE_UNEXPECTED_SPACE', 'Unexpected space after start line', at + 1];
    case 'INVALID_CHUNK_SIZE':
      if (bytes[at - 1] === CR) return ['HPE_LF_EXPECTED', 'Missing expected LF after chunk size', at + 1];
      return bytes[at] === LF ? ['HPE_CR_EXPECTED', 'Missing expected CR after chunk size', at + 1] : undefined;
    case 'INVALID_CHUNK_EXTENSION':
      return bytes[at] === LF
        ? ['HPE_CR_EXPECTED', 'Missing expected CR after chunk extension name', at + 1]
        : undefined;
    case 'FORBIDDEN_TRAILER':
      if (isBefore(bytes, at, 'content-length')) {
        return ['HPE_INVALID_CONTENT_LENGTH', "Content-Length can't be present with Transfer-Encoding", at + 1];
      }
      if (!isBefore(bytes, at, 'transfer-encoding')) return undefined;
      return ['HPE_INVALID_TRANSFER_ENCODING', 'Invalid `Transfer-Encoding` header value', at + 1];
    case 'DATA_AFTER_CLOSE':
      return ['HPE_CLOSED_CONNECTION', 'Data after `Connection: close`', at + 1];
  }
  return undefined;
}

function isBefore(bytes: Buffer, at: number, name: string): boolean {
  return at >= name.length && bytes.latin1Slice(at - name.length, at).toLowerCase() === name;
}

function versionDetails(bytes: Buffer, at: number): Detail | undefined {
  const code = 'HPE_INVALID_VERSION';
  const text = bytes.latin1Slice(at, Math.min(at + VERSION_LENGTH, bytes.length));
  if (/^HTTP\/\d\.\d/.test(text)) return [code, 'Invalid HTTP version', at + VERSION_LENGTH];
  if (/^HTTP\/\d\./.test(text)) return [code, 'Expected minor version', at + 7];
  if (/^HTTP\/\d/.test(text)) return [code, 'Expected dot', at + 6];
  if (text.startsWith('HTTP/')) return [code, 'Expected major version', at + 5];
  const isBehind = at >= VERSION_LENGTH && bytes.latin1Slice(at - VERSION_LENGTH, at - 3) === 'HTTP/';
  return isBehind ? [code, 'Expected CRLF after version'] : undefined;
}

function parseError(code: string, reason: string, bytes: Buffer, position: number): ClientError {
  const error = new Error(`Parse Error: ${reason}`) as ClientError;
  error.code = code;
  error.reason = reason;
  error.bytesParsed = position;
  error.rawPacket = bytes;
  return error;
}

/** Where llhttp gives up: at the first byte with which no method goes on that it knows. */
function methodPrefixOf(bytes: Buffer, start: number): number {
  let length = 0;
  const text = bytes.toString('latin1', start, start + LONGEST_METHOD);
  while (length < text.length && KNOWN_METHODS.some((method) => method.startsWith(text.slice(0, length + 1)))) length++;
  return start + length;
}

/** FIN in the middle of a request. */
export function endOfFileError(): ClientError {
  const error = new Error('Parse Error') as ClientError;
  error.code = 'HPE_INVALID_EOF_STATE';
  error.reason = 'Invalid EOF state';
  error.bytesParsed = 0;
  return error;
}

export function requestTimeoutError(): ClientError {
  return codedError('ERR_HTTP_REQUEST_TIMEOUT', 'Request timeout');
}

/** To the callbacks of writes that will not happen. */
export function writeAfterDestroyError(): ClientError {
  return codedError('ERR_STREAM_DESTROYED', 'Cannot call write after a stream was destroyed');
}

/** What node answers where no program does. */
export function answerTo(error: ClientError): string {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return 'HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n';
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 'HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n';
    default:
      return 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';
  }
}

/** As node's own look: the code in the stack's first line, and not in the name. */
function codedError(code: string, message: string): ClientError {
  const error = new Error(message) as ClientError;
  error.name = `Error [${code}]`;
  Error.captureStackTrace(error, codedError);
  void error.stack;
  error.name = 'Error';
  error.code = code;
  return error;
}
