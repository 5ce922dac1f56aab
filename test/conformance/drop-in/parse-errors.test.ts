/** Refused bytes: node's code, reason, packet and place; what follows them; and what node takes beyond RFC 9112 without harm. */
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { harness, implementations } from '../../support/drop-in.js';

interface ClientError extends Error {
  code: string;
  bytesParsed?: number;
  rawPacket?: Buffer;
  reason?: string;
}

const BAD = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const LAST = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

describe.each(implementations)('refused bytes on $name', (implementation) => {
  const on = harness(implementation);

  it.each([
    ['GET / HTTP/1.2\r\nHost: a\r\n\r\n', 'HPE_INVALID_VERSION', 'Invalid HTTP version', 14],
    ['GET / HTTP/1\r\n\r\n', 'HPE_INVALID_VERSION', 'Expected dot', 12],
    ['GET / HTTP/1.11\r\n\r\n', 'HPE_INVALID_VERSION', 'Expected CRLF after version', 14],
    ['GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n', 'HPE_UNEXPECTED_SPACE', 'Unexpected space after start line', 17],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'HPE_PAUSED_H2_UPGRADE', 'Pause on PRI/Upgrade', 24],
    [`${CHUNKED}1\nx\r\n`, 'HPE_CR_EXPECTED', 'Missing expected CR after chunk size', 58],
    [`${CHUNKED}Z\r\n`, 'HPE_INVALID_CHUNK_SIZE', 'Invalid character in chunk size', 56],
    [
      `${CHUNKED}0\r\nContent-Length: 3\r\n\r\n`,
      'HPE_INVALID_CONTENT_LENGTH',
      "Content-Length can't be present with Transfer-Encoding",
      74,
    ],
    [`${LAST}GET / HTTP/1.1\r\n`, 'HPE_CLOSED_CONNECTION', 'Data after `Connection: close`', LAST.length + 1],
    ['GET / HTTP/1.0\r\n\r\nJUNK', 'HPE_CLOSED_CONNECTION', 'Data after `Connection: close`', 19],
  ])('%j', async (packet, code, reason, bytesParsed) => {
    const errors: ClientError[] = [];
    const server = await on.serve((req) => {
      req.on('error', () => {});
      req.resume();
    });
    server.on('clientError', (error: ClientError, socket: Socket) => {
      errors.push(error);
      socket.end(BAD);
    });
    expect(await (await on.open(server)).send(packet).rest()).toBe(BAD);
    const [error] = errors;
    expect([error?.code, error?.reason, error?.bytesParsed]).toEqual([code, reason, bytesParsed]);
    expect(error?.rawPacket?.toString('latin1')).toBe(packet);
  });

  it('what a client sends after them is refused for the same reason', async () => {
    const told: string[] = [];
    const server = await on.serve((_req, res) => res.end('handled'));
    server.on('clientError', (error: ClientError, socket: Socket) => {
      told.push(`${error.code} ${error.rawPacket}`);
      if (told.length < 3) client.send(told.length === 1 ? '2' : 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      else socket.end(BAD);
    });
    const client = await on.open(server);
    expect(await client.send('1').rest()).toBe(BAD);
    expect(told).toEqual([
      'HPE_INVALID_METHOD 1',
      'HPE_INVALID_METHOD 2',
      'HPE_INVALID_METHOD GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    ]);
  });

  it('bytes after the last request: 400 where no answer has begun; empty lines are nothing', async () => {
    const server = await on.serve((req, res) => {
      req.on('error', () => {});
      if (req.url === '/at-once') res.end('answered');
    });
    expect(await (await on.open(server)).send(`${LAST}more`).rest()).toBe(BAD);
    const answered = await (await on.open(server)).send(LAST.replace('/', '/at-once').concat('more')).rest();
    expect(answered).toMatch(/^HTTP\/1.1 200 [\s\S]*answered$/);
    const empty = await (await on.open(server)).send(LAST.replace('/', '/at-once').concat('\r\n\r\n')).rest();
    expect(empty).toMatch(/^HTTP\/1.1 200 [\s\S]*answered$/);
  });
});

describe.each(implementations)('what node takes, on $name', (implementation) => {
  const on = harness(implementation);

  it.each([
    ['the target * with M-SEARCH', 'M-SEARCH * HTTP/1.1\r\nHost: a\r\n', 'M-SEARCH * a'],
    ['a Host that is a URL', 'GET / HTTP/1.1\r\nHost: http://a.b/\r\n', 'GET / http://a.b/'],
    ['a Host with a tab', 'GET / HTTP/1.1\r\nHost: \t a\tb \t\r\n', 'GET / a\tb'],
    ['a Host that is empty', 'GET / HTTP/1.1\r\nHost:\r\n', 'GET / '],
  ])('%s', async (_what, head, seen) => {
    const server = await on.serve((req, res) => res.end(`${req.method} ${req.url} ${req.headers.host}`));
    const response = await (await on.open(server)).send(`${head}Connection: close\r\n\r\n`).response();
    expect([response.status, response.body.toString('latin1')]).toEqual([200, seen]);
  });

  it('header bytes are those of the target, the names and the values', async () => {
    const server = await on.serve({ maxHeaderSize: 2048 }, (req, res) => res.end(String(req.headers.x?.length)));
    const counted = '/'.length + 'Host'.length + 'a'.length + 'X'.length + 'Connection'.length + 'close'.length;
    const head = (length: number) =>
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ${'x'.repeat(length)}\r\n\r\n`;
    const fits = 2047 - counted;
    const response = await (await on.open(server)).send(head(fits)).response();
    expect([response.status, response.body.toString('latin1')]).toEqual([200, String(fits)]);
    expect(await (await on.open(server)).send(head(fits + 1)).rest()).toContain(' 431 ');
  });

  it('extensions of chunks up to 16 KiB each', async () => {
    const server = await on.serve((req, res) => {
      req.on('error', () => {});
      req.resume().on('end', () => res.end('read'));
    });
    const chunk = (length: number) => `2;${'e'.repeat(length)}\r\nab\r\n`;
    const taken = CHUNKED.replace('chunked', 'chunked\r\nConnection: close') + chunk(10_000).repeat(4);
    expect((await (await on.open(server)).send(`${taken}0\r\n\r\n`).response()).status).toBe(200);
    expect(await (await on.open(server)).send(CHUNKED + chunk(17_000)).rest()).toBe(
      'HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n',
    );
  });
});

// Node before 25 throws in its parser then.
describe.each(implementations.filter(({ backend }) => backend === 'native'))('a socket on $name', (implementation) => {
  const on = harness(implementation);

  it("a program that emits 'close' on the socket gets no further request", async () => {
    const targets: (string | undefined)[] = [];
    const server = await on.serve((req, res) => {
      targets.push(req.url);
      req.socket.emit('close');
      res.end();
    });
    const client = await on.open(server);
    client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    client.end();
    await client.rest();
    expect(targets).toEqual(['/1']);
  });
});
