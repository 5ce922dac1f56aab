/** What a client gets for bad input, and what the program hears of it. */
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { deferred, harness, implementations } from '../../support/drop-in.js';

interface ClientError extends Error {
  code: string;
  bytesParsed?: number;
  rawPacket?: Buffer;
  reason?: string;
}

const BAD = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';

describe.each(implementations)('bad requests on $name', (implementation) => {
  const on = harness(implementation);

  it.each([
    ['no HTTP at all', 'nonsense\r\n\r\n'],
    ['a bad method', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a bad version', 'GET / HTTP/9.9\r\nHost: a\r\n\r\n'],
    ['a space in a name', 'GET / HTTP/1.1\r\nHo st: a\r\n\r\n'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
    ['a NUL in a value', 'GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['a length that is no number', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n'],
    ['length and chunks', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ])('%s gets 400, and a close', async (_what, wire) => {
    const server = await on.serve((_req, res) => res.end('handled'));
    expect(await (await on.open(server)).send(wire).rest()).toBe(BAD);
  });

  it('a bad chunk ends the request that was being read', async () => {
    const heard = deferred<ClientError>();
    const server = await on.serve((req) => {
      req.on('data', () => {});
      req.on('error', () => {});
    });
    server.on('clientError', (error: ClientError, socket: Socket) => {
      heard.resolve(error);
      socket.destroy();
    });
    const client = await on.open(server);
    await client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n').rest();
    expect((await heard.promise).code).toBe('HPE_INVALID_CHUNK_SIZE');
  });

  it('too large a head gets 431', async () => {
    const server = await on.serve((_req, res) => res.end('handled'));
    const wire = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(17000)}\r\n\r\n`;
    expect(await (await on.open(server)).send(wire).rest()).toBe(
      'HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n',
    );
  });

  it('maxHeaderSize moves that limit', async () => {
    const small = await on.serve({ maxHeaderSize: 1024 }, (_req, res) => res.end('handled'));
    const wire = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(2000)}\r\n\r\n`;
    expect(await (await on.open(small)).send(wire).rest()).toContain(' 431 ');
    const large = await on.serve({ maxHeaderSize: 65536 }, (_req, res) => res.end('handled'));
    const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40000)}\r\n\r\n`;
    expect((await (await on.open(large)).send(long).response()).status).toBe(200);
  });

  it("'clientError' comes instead of the answer, with code, packet and place", async () => {
    const heard = deferred<ClientError>();
    const server = await on.serve((_req, res) => res.end('handled'));
    server.on('clientError', (error: ClientError, socket: Socket) => {
      heard.resolve(error);
      expect(socket.writable).toBe(true);
      socket.end('HTTP/1.1 418 Mine\r\nContent-Length: 0\r\n\r\n');
    });
    const client = await on.open(server);
    expect(await client.send('G@T / HTTP/1.1\r\n\r\n').rest()).toBe('HTTP/1.1 418 Mine\r\nContent-Length: 0\r\n\r\n');
    const error = await heard.promise;
    expect(error).toBeInstanceOf(Error);
    expect([error.code, error.message, error.reason, error.bytesParsed, error.rawPacket?.toString()]).toEqual([
      'HPE_INVALID_METHOD',
      'Parse Error: Invalid method encountered',
      'Invalid method encountered',
      1,
      'G@T / HTTP/1.1\r\n\r\n',
    ]);
  });

  it("'clientError' for a head that is too large", async () => {
    const heard = deferred<ClientError>();
    const server = await on.serve((_req, res) => res.end('handled'));
    server.on('clientError', (error: ClientError, socket: Socket) => {
      heard.resolve(error);
      socket.destroy();
    });
    await (await on.open(server)).send(`GET / HTTP/1.1\r\nX: ${'x'.repeat(17000)}\r\n\r\n`).rest();
    expect((await heard.promise).code).toBe('HPE_HEADER_OVERFLOW');
  });

  it("a reset is a 'clientError' where somebody listens", async () => {
    const heard = deferred<ClientError>();
    const server = await on.serve(() => {});
    server.on('clientError', (error: ClientError) => heard.resolve(error));
    const client = await on.open(server);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => server.once('request', resolve));
    client.reset();
    expect((await heard.promise).code).toBe('ECONNRESET');
  });

  it('a FIN in the middle of a head', async () => {
    const heard = deferred<ClientError>();
    const server = await on.serve(() => {});
    server.on('clientError', (error: ClientError, socket: Socket) => {
      heard.resolve(error);
      socket.destroy();
    });
    const client = await on.open(server);
    await client.send('GET / HT').end().rest();
    expect((await heard.promise).code).toBe('HPE_INVALID_EOF_STATE');
  });

  it('the requests before a bad one are answered first', async () => {
    const server = await on.serve((_req, res) => res.end('good'));
    const text = await (await on.open(server)).send('GET / HTTP/1.1\r\nHost: a\r\n\r\nG@T / HTTP/1.1\r\n\r\n').rest();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text.endsWith('good')).toBe(true);
  });

  it('an empty line before a request is no error', async () => {
    const server = await on.serve((_req, res) => res.end('good'));
    const client = await on.open(server);
    expect((await client.send('\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n').response()).status).toBe(200);
  });
});

describe.each(implementations)('timeouts on $name', (implementation) => {
  const on = harness(implementation);

  it('headersTimeout: 408 and a close', async () => {
    const server = await on.serve(
      { headersTimeout: 100, requestTimeout: 0, connectionsCheckingInterval: 20 },
      (_req, res) => res.end('handled'),
    );
    const client = await on.open(server);
    expect(await client.send('GET / HTTP/1.1\r\n').rest()).toBe(
      'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n',
    );
  });

  it('requestTimeout: 408 for a body that does not come', async () => {
    const heard = deferred<string>();
    const server = await on.serve(
      { requestTimeout: 100, headersTimeout: 100, connectionsCheckingInterval: 20 },
      (req, res) => {
        req.resume();
        req.on('error', (error: ClientError) => heard.resolve(error.code));
        req.on('end', () => res.end('handled'));
      },
    );
    const client = await on.open(server);
    const text = await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab').rest();
    expect(text).toBe('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n');
    expect(await heard.promise).toBe('ECONNRESET');
  });

  it("a 'clientError' listener hears of it instead", async () => {
    const heard = deferred<string>();
    const server = await on.serve({ headersTimeout: 100, requestTimeout: 0, connectionsCheckingInterval: 20 });
    server.on('clientError', (error: ClientError, socket: Socket) => {
      heard.resolve(error.code);
      socket.end('HTTP/1.1 408 Slow\r\n\r\n');
    });
    expect(await (await on.open(server)).send('GET').rest()).toBe('HTTP/1.1 408 Slow\r\n\r\n');
    expect(await heard.promise).toBe('ERR_HTTP_REQUEST_TIMEOUT');
  });

  it('server.setTimeout: the socket is destroyed where nobody listens', async () => {
    const server = await on.serve(() => {});
    server.setTimeout(50);
    expect(await (await on.open(server)).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').rest()).toBe('');
  });

  it("server.setTimeout: 'timeout' with the socket otherwise", async () => {
    const server = await on.serve(() => {});
    server.setTimeout(50, (socket) => {
      socket?.end('HTTP/1.1 503 Slow\r\n\r\n');
    });
    expect(await (await on.open(server)).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').rest()).toBe(
      'HTTP/1.1 503 Slow\r\n\r\n',
    );
  });

  it("req.setTimeout: 'timeout' while its body is awaited", async () => {
    const server = await on.serve((req, res) => {
      req.setTimeout(30, () => res.end('late'));
    });
    const client = await on.open(server);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
    expect((await client.response()).body.toString()).toBe('late');
  });

  it('socket.setTimeout is heard, and the server destroys the socket all the same', async () => {
    const heard = deferred<string>();
    const server = await on.serve((req) => {
      req.socket.setTimeout(30, () => heard.resolve('timeout'));
    });
    expect(await (await on.open(server)).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').rest()).toBe('');
    expect(await heard.promise).toBe('timeout');
  });

  it('the options are properties of the server, with the defaults of the running node', async () => {
    const defaults = (server: object): unknown[] =>
      [
        'headersTimeout',
        'requestTimeout',
        'keepAliveTimeout',
        'timeout',
        'maxHeadersCount',
        'maxRequestsPerSocket',
        'connectionsCheckingInterval',
        'httpAllowHalfOpen',
        'noDelay',
        'highWaterMark',
      ].map((name) => (server as Record<string, unknown>)[name]);
    const { createServer } = await import('node:http');
    const made = (create: typeof createServer): unknown[] => [
      defaults(create()),
      defaults(create({ keepAliveTimeout: 1, requestTimeout: 2, headersTimeout: 1 })),
    ];
    expect(made(on.http.createServer)).toEqual(made(createServer));
    expect(() => on.http.createServer({ headersTimeout: 2, requestTimeout: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
    );
    expect(() => on.http.createServer('no' as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
  });
});
