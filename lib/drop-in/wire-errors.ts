/** The errors of a connection as node gives them to 'clientError': by the names that native code has for what it refused (HttpError, SessionError). */

import { METHODS } from '../bridge/records.js';

export interface ClientError extends Error {
  code: string;
  reason?: string;
  bytesParsed?: number;
  rawPacket?: Buffer;
}

const CR = 0x0d;
const LF = 0x0a;
/** Those of HTTP, of RTSP, and the beginning of HTTP/2. */
const KNOWN_METHODS = [
  ...METHODS,
  ...['PRI', 'DESCRIBE', 'ANNOUNCE', 'SETUP', 'PLAY', 'PAUSE', 'TEARDOWN', 'GET_PARAMETER', 'SET_PARAMETER'],
  ...['REDIRECT', 'RECORD', 'FLUSH'],
];
const LONGEST_METHOD = 16;
const TOKEN = 'HPE_INVALID_HEADER_TOKEN';

/** llhttp's code and reason for each. Where ours is stricter, the nearest. */
const PARSE_ERRORS: Readonly<Record<string, readonly [code: string, reason: string]>> = {
  INVALID_METHOD: ['HPE_INVALID_METHOD', 'Invalid method encountered'],
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
  if (name === 'INVALID_LINE_ENDING' && (bytes[position] === CR || bytes[position - 1] === CR)) {
    return parseError('HPE_LF_EXPECTED', 'Missing expected LF after header value', bytes, position);
  }
  const [code, reason] = PARSE_ERRORS[name] ?? ['HPE_USER', name];
  return parseError(code, reason, bytes, name === 'INVALID_METHOD' ? methodPrefixOf(bytes) : position);
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
function methodPrefixOf(bytes: Buffer): number {
  let start = 0;
  while (bytes[start] === CR || bytes[start] === LF) start++;
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
