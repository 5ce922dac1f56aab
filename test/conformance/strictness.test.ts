import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { exchangeRaw, RawClient } from '../support/raw-client.js';

const HOST = 'Host: x\r\n';
const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const get = (fields: string): string => `GET / HTTP/1.1\r\n${HOST}${fields}\r\n`;
const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body);
/** Must never be taken for a request of its own. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';

/** Name, bytes, the error's name in stats().errors, and its status where it is not 400. */
const FORMS: Array<[name: string, wire: string, error: string, status?: number]> = [
  // Framing.
  [
    'both Content-Length and Transfer-Encoding',
    post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'CONTENT_LENGTH_WITH_TRANSFER_ENCODING',
  ],
  [
    'both Transfer-Encoding and Content-Length',
    post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', `0\r\n\r\n${SMUGGLED}`),
    'CONTENT_LENGTH_WITH_TRANSFER_ENCODING',
  ],
  [
    'duplicate equal Content-Length',
    post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
    'DUPLICATE_CONTENT_LENGTH',
  ],
  [
    'differing Content-Length',
    post('Content-Length: 5\r\nContent-Length: 6\r\n', 'hello!'),
    'DUPLICATE_CONTENT_LENGTH',
  ],
  ['a list in Content-Length', post('Content-Length: 5, 5\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['a plus sign in Content-Length', post('Content-Length: +5\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['a minus sign in Content-Length', post('Content-Length: -5\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['a space within Content-Length', post('Content-Length: 5 0\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['hexadecimal Content-Length', post('Content-Length: 0x5\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['a fraction in Content-Length', post('Content-Length: 5.0\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['empty Content-Length', post('Content-Length:\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['Content-Length above 2^53', post('Content-Length: 9007199254740993\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  ['Content-Length above 2^64', post('Content-Length: 18446744073709551621\r\n', 'hello'), 'INVALID_CONTENT_LENGTH'],
  [
    'Transfer-Encoding: gzip, chunked',
    post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
    'INVALID_TRANSFER_ENCODING',
  ],
  [
    'Transfer-Encoding: chunked, gzip',
    post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'),
    'INVALID_TRANSFER_ENCODING',
  ],
  [
    'Transfer-Encoding: chunked, chunked',
    post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'),
    'INVALID_TRANSFER_ENCODING',
  ],
  [
    'two Transfer-Encoding fields',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    'INVALID_TRANSFER_ENCODING',
  ],
  ['Transfer-Encoding: identity', post('Transfer-Encoding: identity\r\n', ''), 'INVALID_TRANSFER_ENCODING'],
  ['Transfer-Encoding: xchunked', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), 'INVALID_TRANSFER_ENCODING'],
  [
    'Transfer-Encoding with a vertical tab',
    post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'),
    'INVALID_HEADER_VALUE',
  ],
  ['empty Transfer-Encoding', post('Transfer-Encoding:\r\n', '0\r\n\r\n'), 'INVALID_TRANSFER_ENCODING'],
  [
    'Transfer-Encoding on 1.0',
    'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'TRANSFER_ENCODING_IN_HTTP10',
  ],

  // Lines.
  ['bare LF after the request line', `GET / HTTP/1.1\n${HOST}\r\n`, 'INVALID_LINE_ENDING'],
  ['bare LF after a field', get('A: b\n'), 'INVALID_LINE_ENDING'],
  ['bare LF at the end of the head', `GET / HTTP/1.1\r\n${HOST}\n`, 'INVALID_LINE_ENDING'],
  ['bare LF before the request line', `\nGET / HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_LINE_ENDING'],
  ['bare CR in a value', get('A: b\rc\r\n'), 'INVALID_LINE_ENDING'],
  ['bare CR after the request line', `GET / HTTP/1.1\r${HOST}\r\n`, 'INVALID_LINE_ENDING'],
  ['CR CR LF after a field', get('A: b\r\r\n'), 'INVALID_LINE_ENDING'],
  ['NUL in a value', get('A: b\0c\r\n'), 'INVALID_HEADER_VALUE'],
  ['NUL in a name', get('A\0: b\r\n'), 'INVALID_HEADER_NAME'],
  ['NUL in the target', `GET /\0 HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_TARGET'],
  ['DEL in a value', get('A: b\x7f\r\n'), 'INVALID_HEADER_VALUE'],
  ['obsolete line folding by a space', get('A: b\r\n c\r\n'), 'OBSOLETE_FOLDING'],
  ['obsolete line folding by a tab', get('A: b\r\n\tc\r\n'), 'OBSOLETE_FOLDING'],
  ['space before the first field', `GET / HTTP/1.1\r\n ${HOST}\r\n`, 'INVALID_HEADER_NAME'],
  ['space before the colon', get('A : b\r\n'), 'INVALID_HEADER_NAME'],
  ['tab before the colon', get('A\t: b\r\n'), 'INVALID_HEADER_NAME'],
  ['space before the colon of Content-Length', post('Content-Length : 5\r\n', 'hello'), 'INVALID_HEADER_NAME'],
  [
    'space before the colon of Transfer-Encoding',
    post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'),
    'INVALID_HEADER_NAME',
  ],
  ['an empty field name', get(': b\r\n'), 'INVALID_HEADER_NAME'],
  ['a field line without a colon', get('A\r\n'), 'INVALID_HEADER_NAME'],
  ['a field name that is no token', get('A(b): c\r\n'), 'INVALID_HEADER_NAME'],
  ['a field name beyond ASCII', get('\xe4: c\r\n'), 'INVALID_HEADER_NAME'],

  // The request line.
  ['an unknown method', `BREW / HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_METHOD'],
  ['a lower-case method', `get / HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_METHOD'],
  ['two spaces before the target', `GET  / HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_TARGET'],
  ['two spaces after the target', `GET /  HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_VERSION'],
  ['a tab for the space', `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_METHOD'],
  ['no version (HTTP/0.9)', 'GET /\r\n\r\n', 'INVALID_VERSION'],
  ['a relative target', `GET a HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_TARGET'],
  ['* with GET', `GET * HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_TARGET'],
  ['user information in the target', `GET http://u:p@x/ HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_TARGET'],
  ['CONNECT without a port', `CONNECT x HTTP/1.1\r\n${HOST}\r\n`, 'INVALID_TARGET'],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${HOST}\r\n`, 'INVALID_VERSION'],
  ['a lower-case version', `GET / http/1.1\r\n${HOST}\r\n`, 'INVALID_VERSION'],
  ['a version of two digits', `GET / HTTP/1.10\r\n${HOST}\r\n`, 'INVALID_VERSION'],
  ['a space after the version', `GET / HTTP/1.1 \r\n${HOST}\r\n`, 'INVALID_VERSION'],
  ['HTTP/2.0', `GET / HTTP/2.0\r\n${HOST}\r\n`, 'UNSUPPORTED_VERSION', 505],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'INVALID_METHOD'],
  ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'INVALID_METHOD'],

  // Host and Expect.
  ['a missing Host', 'GET / HTTP/1.1\r\n\r\n', 'MISSING_HOST'],
  ['a second Host', get('Host: x\r\n'), 'DUPLICATE_HOST'],
  ['a second, differing Host', get('host: y\r\n'), 'DUPLICATE_HOST'],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: x/y\r\n\r\n', 'INVALID_HOST'],
  ['a Host with user information', 'GET / HTTP/1.1\r\nHost: u@x\r\n\r\n', 'INVALID_HOST'],
  ['a Host with a space', 'GET / HTTP/1.1\r\nHost: x y\r\n\r\n', 'INVALID_HOST'],
  ['a Host with a wrong port', 'GET / HTTP/1.1\r\nHost: x:y\r\n\r\n', 'INVALID_HOST'],
  ['an unknown expectation', post('Expect: cake\r\nContent-Length: 5\r\n', 'hello'), 'INVALID_EXPECTATION', 417],

  // Chunks.
  ['an empty chunk size', chunked('\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a chunk size that is not hexadecimal', chunked('5g\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a chunk size with 0x', chunked('0x5\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a chunk size with a sign', chunked('+5\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a space before a chunk size', chunked(' 5\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a space after a chunk size', chunked('5 \r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a chunk size above 2^53', chunked('20000000000001\r\nhello'), 'INVALID_CHUNK_SIZE'],
  ['a chunk size of 17 digits', chunked('00000000000000005\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['bare LF after a chunk size', chunked('5\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['bare CR after a chunk size', chunked('5\rhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_SIZE'],
  ['a chunk longer than its size', chunked('5\r\nhello!\r\n0\r\n\r\n'), 'INVALID_CHUNK_TERMINATOR'],
  ['bare LF after a chunk', chunked('5\r\nhello\n0\r\n\r\n'), 'INVALID_CHUNK_TERMINATOR'],
  ['CR and no LF after a chunk', chunked('5\r\nhello\r0\r\n\r\n'), 'INVALID_CHUNK_TERMINATOR'],
  ['a control byte in a chunk extension', chunked('5;a\x01b\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_EXTENSION'],
  ['NUL in a chunk extension', chunked('5;a=\0\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_EXTENSION'],
  ['bare LF in a chunk extension', chunked('5;a\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_EXTENSION'],
  ['bare LF in a quoted chunk extension', chunked('5;a="\n"\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_EXTENSION'],
  ['an empty chunk extension', chunked('5;\r\nhello\r\n0\r\n\r\n'), 'INVALID_CHUNK_EXTENSION'],

  // Trailers.
  ['Content-Length in the trailers', chunked('0\r\nContent-Length: 5\r\n\r\n'), 'FORBIDDEN_TRAILER'],
  ['Transfer-Encoding in the trailers', chunked('0\r\nTransfer-Encoding: chunked\r\n\r\n'), 'FORBIDDEN_TRAILER'],
  ['Host in the trailers', chunked('0\r\nHost: y\r\n\r\n'), 'FORBIDDEN_TRAILER'],
  ['Authorization in the trailers', chunked('0\r\nAuthorization: y\r\n\r\n'), 'FORBIDDEN_TRAILER'],
  ['a trailer with a space before the colon', chunked('0\r\nA : b\r\n\r\n'), 'INVALID_TRAILER'],
  ['a folded trailer', chunked('0\r\nA: b\r\n c\r\n\r\n'), 'INVALID_TRAILER'],
  ['NUL in a trailer', chunked('0\r\nA: \0\r\n\r\n'), 'INVALID_TRAILER'],
  ['bare LF in the trailers', chunked('0\r\nA: b\n\r\n'), 'INVALID_LINE_ENDING'],
  ['bare LF at the end of the body', chunked('0\r\n\n'), 'INVALID_LINE_ENDING'],
];

describe.each(backends)('strictness on %s', (backend) => {
  const start = starter(backend);

  it.each(FORMS)('refuses %s', async (_name, wire, error, status = 400) => {
    const handled: string[] = [];
    const server = await start({
      fetch: async (request) => {
        handled.push(new URL(request.url).pathname);
        await request.text();
        return new Response('taken');
      },
    });
    const { responses } = await exchangeRaw(server, wire + SMUGGLED);
    expect(responses.map((response) => response.status)).toEqual([status]);
    expect(responses[0]?.headers['connection']).toEqual(['close']);
    expect(handled).not.toContain('/smuggled');
    expect(server.stats().errors).toEqual({ [error]: 1 });
  });

  it('refuses bytes after the head that are not a request, after answering the request', async () => {
    const server = await start({ fetch: () => new Response('taken') });
    const { responses } = await exchangeRaw(server, `${get('')}garbage\r\n\r\n`);
    expect(responses.map((response) => response.status)).toEqual([200, 400]);
    expect(responses[1]?.headers['connection']).toEqual(['close']);
  });

  it('answers what came before a refused request, in order', async () => {
    let release: () => void = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    const server = await start({
      fetch: async () => {
        await released;
        return new Response('taken');
      },
    });
    const client = await RawClient.open(server);
    client.send(`${get('')}${get('A : b\r\n')}`);
    await expect.poll(() => server.stats().errors['INVALID_HEADER_NAME']).toBe(1);
    expect(client.bytesRead).toBe(0);
    release();
    const responses = await client.responses(2);
    expect(responses.map((response) => response.status)).toEqual([200, 400]);
    expect(await client.rest()).toBe('');
  });

  it.each(FORMS.filter(([, wire]) => wire.length < 120))(
    'refuses the same byte by byte: %s',
    async (_name, wire, error, status = 400) => {
      const server = await start({
        fetch: async (request) => {
          await request.text();
          return new Response('taken');
        },
      });
      const client = await RawClient.open(server);
      for (const byte of wire) {
        client.send(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.send(SMUGGLED);
      const response = await client.response();
      expect(response.status).toBe(status);
      expect(await client.rest()).toBe('');
      expect(server.stats().errors).toEqual({ [error]: 1 });
      client.socket.destroy();
    },
  );

  it('takes what is allowed: tabs around values, empty Host, latin1 values, quoted chunk extensions, long leading zeros', async () => {
    const server = await start({
      fetch: async (request) => new Response(`${request.headers.get('a')}|${await request.text()}`),
    });
    const client = await RawClient.open(server);
    client.send(
      'POST / HTTP/1.1\r\nHost:\r\nA:\t \xe4 b\t\r\nTransfer-Encoding: CHUNKED\r\n\r\n0005;a="b;\\"c";d=e\r\nhello\r\n000\r\nX: y\r\n\r\n',
    );
    const response = await client.response();
    expect(response.status).toBe(200);
    expect(response.body.toString('utf8')).toBe('\xe4 b|hello');
    client.socket.destroy();
  });
});
