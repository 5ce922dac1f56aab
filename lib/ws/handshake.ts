/** The server's side of the opening handshake (RFC 6455 section 4.2): is a request one, and what is answered. No I/O. */
import { createHash } from 'node:crypto';
import type { DeflateParameters } from './contract.js';
import {
  acceptOffer,
  type DeflateAnswer,
  type DeflateWishes,
  deflateParameters,
  type Extension,
  formatDeflate,
  parseExtensions,
} from './extensions.js';

export interface HandshakeOffer {
  readonly key: string;
  /** In the client's order of preference. */
  readonly protocols: string[];
  /** The Sec-WebSocket-Extensions field; '' where there is none. */
  readonly extensions: string;
  readonly version: 8 | 13;
}

/** An HTTP answer: nobody has upgraded. */
export interface HandshakeRefusal {
  readonly status: number;
  readonly message: string;
  readonly headers: Record<string, string>;
}

export interface PerMessageDeflateOptions extends DeflateWishes {
  /** zlib's, -1 to 9. Default 6 (zlib's own). */
  readonly level?: number | undefined;
  /** zlib's, 1 to 9. Default 8. */
  readonly memLevel?: number | undefined;
  /** Messages of fewer bytes go uncompressed. Default 1024. */
  readonly threshold?: number | undefined;
}

/** What the key is answered with (section 1.3). */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const keyPattern = /^[+/0-9A-Za-z]{22}==$/;
const protocolPattern = /^[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*$/;

/**
 * Whether the request is a handshake that can be answered with 101. The refusals are those of the `ws` package, but that another version gets 426
 * (section 4.4).
 *
 * @param header gives a field's value by its lower-case name, repeated ones joined by ', ', or null
 */
export function checkHandshake(
  method: string,
  httpVersion: string,
  header: (name: string) => string | null,
): HandshakeOffer | HandshakeRefusal {
  if (method !== 'GET') return refusal(405, 'Invalid HTTP method', { allow: 'GET' });
  if (httpVersion === '1.0') return refusal(400, 'Invalid HTTP version');
  if (!hasToken(header('upgrade'), 'websocket')) return refusal(400, 'Invalid Upgrade header');
  if (!hasToken(header('connection'), 'upgrade')) return refusal(400, 'Invalid Connection header');
  const key = header('sec-websocket-key');
  if (key === null || !keyPattern.test(key)) return refusal(400, 'Missing or invalid Sec-WebSocket-Key header');
  const version = header('sec-websocket-version');
  if (version !== '13' && version !== '8')
    return refusal(426, 'Missing or invalid Sec-WebSocket-Version header', { 'sec-websocket-version': '13, 8' });
  const protocols = parseProtocols(header('sec-websocket-protocol'));
  if (protocols === null) return refusal(400, 'Invalid Sec-WebSocket-Protocol header');
  return { key, protocols, extensions: header('sec-websocket-extensions') ?? '', version: version === '8' ? 8 : 13 };
}

export function isRefusal(result: HandshakeOffer | HandshakeRefusal): result is HandshakeRefusal {
  return 'status' in result;
}

/** The value of Sec-WebSocket-Accept (section 4.2.2). */
export function acceptValue(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_GUID)
    .digest('base64');
}

/**
 * What to answer to the client's offers of permessage-deflate, with no context takeover where `options` does not say otherwise. Null: none is
 * acceptable, and the answer has no such field.
 */
export function negotiateDeflate(
  extensions: string,
  options: PerMessageDeflateOptions,
): { parameters: DeflateParameters; response: string } | null {
  if (extensions === '') return null;
  const wishes = {
    ...options,
    serverNoContextTakeover: options.serverNoContextTakeover ?? true,
    clientNoContextTakeover: options.clientNoContextTakeover ?? true,
  };
  const { level = 6, memLevel = 8, threshold = 1024 } = options;
  for (const offer of offersIn(extensions)) {
    const answer = answerTo(offer, wishes);
    if (answer === null) continue;
    const parameters = deflateParameters(answer, { level, memLevel, thresholdBytes: threshold });
    return { parameters, response: formatDeflate(answer) };
  }
  return null;
}

/** A field that breaks the grammar has none: the connection goes uncompressed. */
function offersIn(field: string): Extension[] {
  try {
    return parseExtensions(field);
  } catch {
    return [];
  }
}

/** Null: declined, since it is invalid or asks for what is not given (RFC 7692 section 7). */
function answerTo(offer: Extension, wishes: DeflateWishes): DeflateAnswer | null {
  try {
    return acceptOffer([offer], wishes);
  } catch {
    return null;
  }
}

/** Null: malformed, or one protocol twice (section 4.1). */
export function parseProtocols(field: string | null): string[] | null {
  if (field === null) return [];
  const protocols: string[] = [];
  for (const part of field.split(',')) {
    const protocol = protocolPattern.exec(part)?.[1];
    if (protocol === undefined || protocols.includes(protocol)) return null;
    protocols.push(protocol);
  }
  return protocols;
}

function hasToken(field: string | null, token: string): boolean {
  if (field === null) return false;
  return field.split(',').some((part) => part.trim().toLowerCase() === token);
}

function refusal(status: number, message: string, headers: Record<string, string> = {}): HandshakeRefusal {
  return { status, message, headers };
}
