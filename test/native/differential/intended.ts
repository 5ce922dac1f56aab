// Where we refuse what node's parser takes, on purpose. A refusal that fits no form here fails the test.
import type { Message } from './outcome.js';

/** What was refused: the bytes from the start of the refused message on, and what node made of them. */
export interface Refusal {
  text: string;
  node: Message | undefined;
}

export interface IntendedForm {
  error: string; // HttpError, by its stable name
  reason: string;
  fits(refusal: Refusal): boolean;
}

const requestLine = (text: string): string => /^[\r\n]*([^\r\n]*)/.exec(text)?.[1] ?? '';
const values = (node: Message | undefined, name: string): string[] =>
  (node?.headers ?? []).filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === name);
const firstValue = (node: Message | undefined, name: string): string => values(node, name)[0] ?? '';

export const intendedForms: readonly IntendedForm[] = [
  {
    error: 'INVALID_LINE_ENDING',
    reason: 'RFC 9112 2.2: node skips lone CR and LF before a request line; we skip CRLF only',
    fits: ({ text }) => /^(\r\n)*(\r(?!\n)|\n)/.test(text),
  },
  {
    error: 'INVALID_LINE_ENDING',
    reason: 'HTTP/0.9: node takes a request line that a bare LF ends behind the target',
    fits: ({ text }) => /^(\r\n)*[A-Z-]+ +[^ \r\n]+\n/.test(text),
  },
  {
    error: 'INVALID_METHOD',
    reason: 'RTSP and HTTP/2 prefaces, which node knows in its parser but no HTTP/1 server answers',
    fits: ({ text }) =>
      /^(DESCRIBE|ANNOUNCE|SETUP|PLAY|PAUSE|TEARDOWN|GET_PARAMETER|SET_PARAMETER|REDIRECT|RECORD|FLUSH|PRI) /.test(
        requestLine(text),
      ),
  },
  {
    error: 'INVALID_TARGET',
    reason: 'RFC 9112 3: exactly one space before the target; node skips more',
    fits: ({ text }) => /^[A-Z-]+ {2}/.test(requestLine(text)),
  },
  {
    error: 'INVALID_TARGET',
    reason: 'RFC 9112 3.2.4: "*" only with OPTIONS, and alone',
    fits: ({ node }) => node?.target.startsWith('*') === true && (node.method !== 'OPTIONS' || node.target !== '*'),
  },
  {
    error: 'INVALID_TARGET',
    reason: 'RFC 9110 9.3.6: CONNECT takes host and port, the port not empty',
    fits: ({ node }) => node?.method === 'CONNECT',
  },
  {
    error: 'INVALID_TARGET',
    reason:
      'RFC 9110 4.2: an absolute-form target has a host, and no user information; node looks at single characters only',
    fits: ({ node }) => /^[a-z]+:\/\//i.test(node?.target ?? ''),
  },
  {
    error: 'UNSUPPORTED_VERSION',
    reason: '505: node takes HTTP/0.9 and HTTP/2.0 in a request line and serves them as 1.x',
    fits: ({ node }) => node?.minor === '0.9' || node?.minor === '2.0',
  },
  {
    error: 'INVALID_VERSION',
    reason: 'other protocols (ICE, RTSP) that node takes with some methods',
    fits: ({ text }) => / (ICE|RTSP)\/\d/.test(requestLine(text)),
  },
  {
    error: 'INVALID_VERSION',
    reason: 'HTTP/0.9: node takes a request line without a version',
    fits: ({ text }) => /^[A-Z-]+ +[^ ]+$/.test(requestLine(text)),
  },
  {
    error: 'INVALID_VERSION',
    reason: 'RFC 9112 3: exactly one space before the version; node skips more',
    fits: ({ text }) => /^[A-Z-]+ +[^ ]+ {2,}[A-Z]/.test(requestLine(text)),
  },
  {
    error: 'MISSING_HOST',
    reason: 'RFC 9112 3.2: node checks this above its parser (requireHostHeader)',
    fits: ({ node }) => node?.minor === '1' && values(node, 'host').length === 0,
  },
  {
    error: 'DUPLICATE_HOST',
    reason: 'RFC 9112 3.2: one Host only; node takes the first',
    fits: ({ node }) => values(node, 'host').length > 1,
  },
  {
    error: 'INVALID_HOST',
    reason: 'RFC 9112 3.2: Host must be uri-host and port; node takes any text',
    fits: ({ node }) =>
      !/^([A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9a-f]{2})*(:\d*)?$/i.test(firstValue(node, 'host')) ||
      firstValue(node, 'host').startsWith(':'),
  },
  {
    error: 'INVALID_CONTENT_LENGTH',
    reason: 'above 2^53-1, which JavaScript cannot count; node stops at 2^64',
    fits: ({ node }) => Number(firstValue(node, 'content-length')) > Number.MAX_SAFE_INTEGER,
  },
  {
    error: 'INVALID_TRANSFER_ENCODING',
    reason: 'only "chunked" is decoded here; node takes any list that ends with it, and any repetition',
    fits: ({ node }) =>
      values(node, 'transfer-encoding').length > 1 || firstValue(node, 'transfer-encoding').toLowerCase() !== 'chunked',
  },
  {
    error: 'TRANSFER_ENCODING_IN_HTTP10',
    reason: 'RFC 9112 6.1: faulty framing on 1.0; node decodes it',
    fits: ({ node }) => node?.minor === '0' && values(node, 'transfer-encoding').length > 0,
  },
  {
    error: 'INVALID_EXPECTATION',
    reason: '417: node answers it above its parser (checkExpectation)',
    fits: ({ node }) => values(node, 'expect').some((value) => value.toLowerCase() !== '100-continue'),
  },
  {
    error: 'INVALID_CHUNK_SIZE',
    reason: 'more than 16 digits (leading zeros), or above 2^53-1; node stops at 2^64',
    fits: ({ text }) => /\n0*[0-9a-f]{14,}[;\r]/i.test(text) || /\n0[0-9a-f]{16,}[;\r]/i.test(text),
  },
  {
    error: 'INVALID_CHUNK_EXTENSION',
    reason: 'RFC 9112 7.1.1: names and values of extensions are not empty; node takes ";;a", ";=b" and ";a="',
    fits: ({ text }) => /[0-9a-f];([^\r\n]*[;=])?[;=\r]/i.test(text),
  },
  {
    error: 'INVALID_CHUNK_EXTENSION',
    reason:
      'RFC 9112 7.1.1: an extension value is a token or a quoted string; node takes a quoted string that follows a token',
    fits: ({ text }) => /[0-9a-f];[^\r\n]*=[^"\r\n;]+"/i.test(text),
  },
  {
    error: 'FORBIDDEN_TRAILER',
    reason: 'RFC 9110 6.5.1: fields of framing, routing and authentication are no trailers; node hands them on',
    fits: ({ node }) =>
      (node?.trailers ?? []).some(
        (name, i) =>
          i % 2 === 0 &&
          /^(content-(length|type|encoding)|transfer-encoding|trailer|te|(proxy-)?connection|keep-alive|upgrade|expect|host|max-forwards|forwarded|(proxy-)?authorization|cookie)$/i.test(
            name,
          ),
      ),
  },
];

/** Why both took a message and yet differ in a flag, on purpose; '' when there is no such reason. */
export function intendedFlagDifference(text: string, ours: Message, node: Message): string {
  if (node.headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'proxy-connection')) {
    return 'RFC 9112 C.2.2: Proxy-Connection means nothing here; node reads it as Connection';
  }
  const tokens = values(node, 'connection').join(',').toLowerCase();
  if (/\nconnection:[^\r\n]*\t/i.test(text))
    return 'RFC 9110 5.6.3: tabs may stand around a token; node reads the token only among spaces';
  if (ours.keepAlive !== node.keepAlive && node.minor === '0' && /\bclose\b/.test(tokens)) {
    return 'RFC 9112 9.3: close wins over keep-alive; node keeps a 1.0 connection that sends both';
  }
  if (ours.upgrade !== node.upgrade && node.minor === '0' && node.upgrade) {
    return 'RFC 9110 7.8: Upgrade is ignored on 1.0';
  }
  return '';
}
