/** The Sec-WebSocket-Extensions field (RFC 6455 section 9.1), and permessage-deflate in it (RFC 7692 section 7.1). */
import type { DeflateParameters } from './contract.js';

export const DEFLATE_NAME = 'permessage-deflate';

/** One extension as offered or answered. A parameter without a value is `true`; one that stands twice has two values. */
export interface Extension {
  readonly name: string;
  readonly parameters: ReadonlyMap<string, ReadonlyArray<string | true>>;
}

/** What a server (or client) wants of permessage-deflate. What is undefined follows the other side's wish. */
export interface DeflateWishes {
  /** false: offers that ask for it are declined. */
  readonly serverNoContextTakeover?: boolean | undefined;
  readonly clientNoContextTakeover?: boolean | undefined;
  /** 8 to 15; false: offers that ask for a window are declined. */
  readonly serverMaxWindowBits?: number | false | undefined;
  /** 8 to 15: only clients that let the server choose are accepted; false: none is asked for. */
  readonly clientMaxWindowBits?: number | false | undefined;
}

/** permessage-deflate's parameters with their values, as they stand in an answer. */
export interface DeflateAnswer {
  server_no_context_takeover?: true;
  client_no_context_takeover?: true;
  server_max_window_bits?: number;
  client_max_window_bits?: number | true;
}

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const namePattern = new RegExp(`[ \\t]*(${token})[ \\t]*`, 'y');
const parameterPattern = new RegExp(`[ \\t]*(${token})(?:=(?:(${token})|"((?:[^"\\\\]|\\\\.)+)"))?[ \\t]*`, 'y');
const wholeToken = new RegExp(`^${token}$`);

/** Throws SyntaxError where the field breaks the grammar. */
export function parseExtensions(field: string): Extension[] {
  const extensions: Extension[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray => {
    pattern.lastIndex = at;
    const match = pattern.exec(field);
    if (match === null) throw new SyntaxError(`Sec-WebSocket-Extensions: unexpected character at index ${at}`);
    at = pattern.lastIndex;
    return match;
  };
  for (;;) {
    const [, name] = take(namePattern);
    const parameters = new Map<string, Array<string | true>>();
    while (field[at] === ';') {
      at += 1;
      const [, key, bare, quoted] = take(parameterPattern);
      const value = bare ?? quoted?.replace(/\\(.)/g, '$1') ?? true;
      // RFC 6455 section 9.1: what is quoted is a token, too.
      if (value !== true && !wholeToken.test(value))
        throw new SyntaxError(`Sec-WebSocket-Extensions: the value of '${key}' is no token`);
      const values = parameters.get(key as string);
      if (values === undefined) parameters.set(key as string, [value]);
      else values.push(value);
    }
    extensions.push({ name: name as string, parameters });
    if (at === field.length) return extensions;
    if (field[at] !== ',') throw new SyntaxError(`Sec-WebSocket-Extensions: unexpected character at index ${at}`);
    at += 1;
  }
}

export function formatDeflate(answer: DeflateAnswer): string {
  const parameters = Object.entries(answer).map(([name, value]) => (value === true ? name : `${name}=${value}`));
  return [DEFLATE_NAME, ...parameters].join('; ');
}

/** Throws where a parameter is unknown, stands twice, or has a value that it cannot have: that offer (or answer) is invalid. */
export function readDeflate(extension: Extension): DeflateAnswer {
  const answer: DeflateAnswer = {};
  for (const [name, values] of extension.parameters) {
    if (values.length > 1) throw new Error(`Parameter "${name}" must have only a single value`);
    const value = values[0] as string | true;
    if (name === 'server_no_context_takeover' || name === 'client_no_context_takeover') {
      if (value !== true) throw new TypeError(`Invalid value for parameter "${name}": ${value}`);
      answer[name] = true;
    } else if (name === 'server_max_window_bits' || name === 'client_max_window_bits') {
      if (value === true && name === 'client_max_window_bits') answer[name] = true;
      else answer[name] = windowBits(name, value);
    } else {
      throw new Error(`Unknown parameter "${name}"`);
    }
  }
  return answer;
}

/** No leading zeros (RFC 7692 section 7.1.2). */
function windowBits(name: string, value: string | true): number {
  if (value === true || !/^(8|9|1[0-5])$/.test(value))
    throw new TypeError(`Invalid value for parameter "${name}": ${value}`);
  return Number(value);
}

/** The server's answer to the first offer that it can accept; null: there is none. Throws where an offer is invalid. */
export function acceptOffer(offers: readonly Extension[], wishes: DeflateWishes): DeflateAnswer | null {
  const readable = offers.filter(({ name }) => name === DEFLATE_NAME).map(readDeflate);
  const offer = readable.find((candidate) => isAcceptable(candidate, wishes));
  if (offer === undefined) return null;
  const answer: DeflateAnswer = { ...offer };
  if (wishes.serverNoContextTakeover) answer.server_no_context_takeover = true;
  if (wishes.clientNoContextTakeover) answer.client_no_context_takeover = true;
  if (typeof wishes.serverMaxWindowBits === 'number') answer.server_max_window_bits = wishes.serverMaxWindowBits;
  if (typeof wishes.clientMaxWindowBits === 'number') answer.client_max_window_bits = wishes.clientMaxWindowBits;
  else if (answer.client_max_window_bits === true || wishes.clientMaxWindowBits === false)
    delete answer.client_max_window_bits;
  return answer;
}

function isAcceptable(offer: DeflateAnswer, wishes: DeflateWishes): boolean {
  if (wishes.serverNoContextTakeover === false && offer.server_no_context_takeover) return false;
  const asked = offer.server_max_window_bits;
  if (asked !== undefined) {
    if (wishes.serverMaxWindowBits === false) return false;
    if (typeof wishes.serverMaxWindowBits === 'number' && wishes.serverMaxWindowBits > asked) return false;
  }
  if (typeof wishes.clientMaxWindowBits !== 'number') return true;
  const offered = offer.client_max_window_bits;
  return offered === true || (offered !== undefined && wishes.clientMaxWindowBits <= offered);
}

/**
 * How a session compresses after `answer`. zlib has no raw deflate with a window of 256 bytes (8); with one of 512 it reaches back 250 bytes at most
 * (its MAX_DIST), which a reader with 256 has. The other way round, a larger window reads what a smaller one wrote.
 */
export function deflateParameters(
  answer: DeflateAnswer,
  { level, memLevel, thresholdBytes }: Pick<DeflateParameters, 'level' | 'memLevel' | 'thresholdBytes'>,
): DeflateParameters {
  const clientBits = answer.client_max_window_bits;
  return {
    serverNoContextTakeover: answer.server_no_context_takeover === true,
    clientNoContextTakeover: answer.client_no_context_takeover === true,
    serverMaxWindowBits: Math.max(9, answer.server_max_window_bits ?? 15),
    clientMaxWindowBits: typeof clientBits === 'number' ? Math.max(9, clientBits) : 15,
    level,
    memLevel,
    thresholdBytes,
  };
}
