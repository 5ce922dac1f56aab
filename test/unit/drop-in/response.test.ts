/**
 * Each program below is run on a response of node's own and on one of ours; what they return, throw and send has to be the same. The connection
 * under ours collects the bytes, as the stream under node's does.
 */
import http from 'node:http';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { kTurn, type ResponseSink, type WriteCallback } from '../../../lib/drop-in/contract.js';
import type { IncomingMessage } from '../../../lib/drop-in/incoming-message.js';
import { createResponse, isNativeResponse, ServerResponse } from '../../../lib/drop-in/server-response.js';

// biome-ignore lint/suspicious/noExplicitAny: programs call private methods too
type Program = (res: any, log: (value: unknown) => void) => void;
interface Setting {
  method?: string;
  minor?: number;
  server?: Record<string, unknown>;
}

class Collector {
  readonly chunks: Buffer[] = [];
  add(bytes: string | Uint8Array, encoding: BufferEncoding = 'utf8'): void {
    this.chunks.push(typeof bytes === 'string' ? Buffer.from(bytes, encoding) : Buffer.from(bytes));
  }
  get text(): string {
    return Buffer.concat(this.chunks)
      .toString('latin1')
      .replace(/Date: [^\r]+/, 'Date: now');
  }
}

/** What is written leaves in the loop's next turn. */
class CollectingSink implements ResponseSink {
  readonly server: ResponseSink['server'];
  readonly collected = new Collector();
  readonly writableHighWaterMark = 16384;
  writableLength = 0;
  destroyed = false;
  ended: { response: ServerResponse; close: boolean } | null = null;
  pending = 0;

  constructor(server: Record<string, unknown>) {
    this.server = server as unknown as ResponseSink['server'];
  }
  readonly socket = new Socket();

  send(head: string, body: string | Uint8Array, callback: WriteCallback | null): boolean {
    this.collected.add(head, 'latin1');
    this.collected.add(body);
    this.writableLength += head.length + body.length;
    setImmediate().then(() => {
      this.writableLength = 0;
      callback?.(null);
    });
    return true;
  }
  sendLast(
    response: ServerResponse,
    head: string,
    body: string | Uint8Array,
    callback: WriteCallback | null,
    close: boolean,
  ): void {
    this.send(head, body, callback);
    this.ended = { response, close };
  }
  flush(): void {}
  whenFlushed(callback: WriteCallback): void {
    process.nextTick(callback, null);
  }
  cork(): void {}

  onPendingBytes(delta: number): void {
    this.pending += delta;
  }
  destroyFromResponse(): void {
    this.destroyed = true;
  }
}

function requestOf({ method = 'GET', minor = 1 }: Setting) {
  return { method, httpVersionMajor: 1, httpVersionMinor: minor, headers: {} };
}

interface Outcome {
  log: unknown[];
  sent: string;
  last: boolean;
}

function describeError(error: unknown): unknown {
  const { name, message, code } = error as NodeJS.ErrnoException;
  return { name, message, code };
}

async function run(program: Program, res: unknown, collected: Collector): Promise<Outcome> {
  const log: unknown[] = [];
  const note = (value: unknown) => log.push(value instanceof Error ? describeError(value) : value);
  (res as ServerResponse).on('error', (error) => note(error));
  try {
    program(res, note);
  } catch (error) {
    log.push({ thrown: describeError(error) });
  }
  await setImmediate();
  await setImmediate();
  return { log, sent: collected.text, last: (res as ServerResponse)._last };
}

function onNode(program: Program, setting: Setting): Promise<Outcome> {
  const collected = new Collector();
  const socket = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      collected.add(chunk);
      done();
    },
  });
  const server = setting.server ?? {};
  Object.assign(socket, { server });
  const req = { ...requestOf(setting), socket };
  // As node's server does.
  // biome-ignore lint/suspicious/noExplicitAny: private fields
  const res = Reflect.construct(http.ServerResponse, [req, server]) as any;
  res._keepAliveTimeout = server['keepAliveTimeout'] ?? 5000;
  res._maxRequestsPerSocket = server['maxRequestsPerSocket'] ?? 0;
  if (setting.minor !== 0) res.shouldKeepAlive = true;
  res.assignSocket(socket);
  return run(program, res, collected);
}

function onOurs(program: Program, setting: Setting): Promise<Outcome> {
  const sink = new CollectingSink({ keepAliveTimeout: 5000, maxRequestsPerSocket: 0, ...setting.server });
  const req = requestOf(setting) as unknown as IncomingMessage;
  const res = createResponse(ServerResponse, sink, req, true, setting.minor !== 0);
  return run(program, res, sink.collected);
}

const programs: Record<string, Program | [Setting, Program]> = {
  'a header and a text': (res) => {
    res.setHeader('Content-Type', 'text/plain');
    res.end('hello');
  },
  'nothing at all': (res) => res.end(),
  'an empty text': (res) => res.end(''),
  'a buffer': (res) => res.end(Buffer.from([1, 2, 255])),
  'text in other encodings': (res) => res.end('aGk=', 'base64'),
  'latin1 text': (res) => res.end('\xe9', 'latin1'),
  'a wide text': (res) => res.end('h\u00e9llo \u{1f600}'),
  'a wide header with a text': (res) => {
    res.setHeader('X-Wide', 'h\xe9');
    res.end('\xe9');
  },
  'a wide header with bytes': (res) => {
    res.setHeader('X-Wide', 'h\xe9');
    res.end(Buffer.from('x'));
  },
  'a wide header without a body': (res) => res.writeHead(200, { 'X-Wide': 'h\xe9' }).end(),
  'a wide status message': (res) => res.writeHead(200, 'h\xe9').end('\xe9'),
  'an ascii content-disposition': (res) => {
    res.setHeader('Content-Length', 2);
    res.setHeader('Content-Disposition', 'attachment; filename="a b"');
    res.end('ab');
  },
  'a wide content-disposition': (res) => {
    res.setHeader('Content-Length', 2);
    res.setHeader('Content-Disposition', Buffer.from('filename="\u20ac"').toString('latin1'));
    res.end('ab');
  },
  'names keep their case, places and last values': (res, log) => {
    res.setHeader('X-One', '1');
    res.setHeader('X-Two', '2');
    res.setHeader('x-ONE', 'one');
    log([
      res.getHeaderNames(),
      res.getRawHeaderNames(),
      res.getHeaders(),
      res.getHeader('X-one'),
      res.hasHeader('x-two'),
    ]);
    res.removeHeader('X-TWO');
    log([res.getHeaderNames(), res.hasHeader('x-two'), res.getHeader('nope')]);
    res.end('x');
  },
  'array values': (res, log) => {
    res.setHeader('Set-Cookie', ['a=1', 'b=2']);
    res.setHeader('Cookie', ['a', 'b']);
    log(res.getHeader('set-cookie'));
    res.end('x');
  },
  appendHeader: (res, log) => {
    res.appendHeader('X-A', '1').appendHeader('x-a', ['2', '3']).appendHeader('X-B', ['4']).appendHeader('X-B', '5');
    log(res.getHeaders());
    res.end();
  },
  'setHeaders with a Map': (res) => {
    res.setHeaders(
      new Map<string, unknown>([
        ['a', '1'],
        ['set-cookie', ['x', 'y']],
      ]),
    );
    res.end();
  },
  'setHeaders with Headers': (res) => {
    res.setHeaders(
      new Headers([
        ['a', '1'],
        ['set-cookie', 'x'],
        ['set-cookie', 'y'],
      ]),
    );
    res.end();
  },
  'setHeaders with nonsense': (res) => res.setHeaders({ a: 1 }),
  'numbers, booleans and objects as values': (res, log) => {
    res.setHeader('N', 5);
    res.setHeader('B', true);
    res.setHeader('O', { toString: () => 'object' });
    log([res.getHeader('n'), res.getHeader('b')]);
    res.end();
  },
  'a name that is a number': (res, log) => {
    res.setHeader('b', '1');
    res.setHeader('12', '2');
    log(res.getHeaderNames());
    res.end();
  },
  'a bad name': (res) => res.setHeader('a b', '1'),
  'no name': (res) => res.setHeader(undefined, '1'),
  'no value': (res) => res.setHeader('a'),
  'a bad value': (res) => res.setHeader('a', 'x\r\ny'),
  'a bad value in an array': (res) => res.setHeader('a', ['x', 'y\0']),
  'getHeader without a name': (res) => res.getHeader(),
  'hasHeader without a name': (res) => res.hasHeader(5),
  'removeHeader without a name': (res) => res.removeHeader(null),
  'appendHeader with a bad value': (res) => {
    res.setHeader('a', '1');
    res.appendHeader('a', '\n');
  },
  'headers after the head': (res, log) => {
    res.writeHead(200);
    for (const call of [
      () => res.setHeader('a', 'b'),
      () => res.appendHeader('a', 'b'),
      () => res.removeHeader('a'),
      () => res.writeHead(200),
      () => res.setHeaders(new Map()),
      () => res._renderHeaders(),
    ]) {
      try {
        call();
        log('nothing');
      } catch (error) {
        log(error);
      }
    }
    log([res.headersSent, res.getHeader('a')]);
    res.end();
  },
  'writeHead alone': (res, log) => {
    res.writeHead(201, { 'Content-Type': 'a/b', 'X-A': ['1', '2'] });
    log([res.getHeaders(), res.statusMessage, res.headersSent]);
    res.end('x');
  },
  'writeHead with a message': (res, log) => {
    log(res.writeHead(404, 'Nope', { A: 'b' }) === res);
    res.end('x');
  },
  'writeHead onto headers': (res, log) => {
    res.setHeader('A', '1');
    res.setHeader('B', '2');
    res.writeHead(200, { a: '3', C: '4' });
    log(res.getHeaders());
    res.end();
  },
  'writeHead onto removed headers': (res, log) => {
    res.setHeader('A', '1');
    res.removeHeader('a');
    res.writeHead(200, { B: '2' });
    log(res.getHeaders());
    res.end();
  },
  'writeHead with a flat array': (res) => res.writeHead(200, ['A', '1', 'a', '2', 'Content-Length', '1']).end('x'),
  'writeHead with a flat array onto headers': (res, log) => {
    res.setHeader('A', '0');
    res.setHeader('B', '0');
    res.writeHead(200, ['A', '1', 'A', '2']);
    log(res.getHeaders());
    res.end('x');
  },
  'writeHead with a nested array': (res) =>
    res
      .writeHead(200, [
        ['A', '1'],
        ['B', ['2', '3']],
      ])
      .end('x'),
  'writeHead with an odd array': (res) => res.writeHead(200, ['A']),
  'writeHead with a bad name': (res) => res.writeHead(200, { 'a b': '1' }),
  'writeHead with a bad value': (res) => res.writeHead(200, { a: undefined }),
  'writeHead with a bad message': (res) => res.writeHead(200, 'a\nb'),
  'a bad statusMessage': (res) => {
    res.statusMessage = 'a\r\nb';
    res.end();
  },
  'bad status codes': (res, log) => {
    for (const code of [99, 1000, 'x', undefined, null, Number.NaN, -1, '200x', {}]) {
      try {
        res.writeHead(code);
        log('nothing');
      } catch (error) {
        log(error);
      }
    }
  },
  'a status code as text': (res, log) => {
    res.statusCode = '404';
    res.end('x');
    log([res.statusCode, res.statusMessage]);
  },
  'an unknown status code': (res) => {
    res.statusCode = 599;
    res.end();
  },
  'no content': (res) => {
    res.statusCode = 204;
    res.end('ignored');
  },
  'not modified': (res) => res.writeHead(304, { ETag: '"x"' }).end(),
  'no content, but chunks announced': (res) => res.writeHead(204, { 'Transfer-Encoding': 'chunked' }).end(),
  'a HEAD request': [{ method: 'HEAD' }, (res) => res.end('ignored')],
  'a HEAD request with a length': [{ method: 'HEAD' }, (res) => res.writeHead(200, { 'Content-Length': 5 }).end()],
  'a body for HEAD, refused': [
    { method: 'HEAD', server: { rejectNonStandardBodyWrites: true } },
    (res) => res.write('x'),
  ],
  'HTTP/1.0': [{ minor: 0 }, (res) => res.end('hello')],
  'HTTP/1.0, streamed': [
    { minor: 0 },
    (res) => {
      res.write('a');
      res.end('b');
    },
  ],
  'removed Date': (res) => {
    res.removeHeader('Date');
    res.end();
  },
  'sendDate false': (res) => {
    res.sendDate = false;
    res.end();
  },
  'own Date': (res) => res.setHeader('Date', 'now').end('x'),
  'removed Connection': (res) => {
    res.removeHeader('connection');
    res.end();
  },
  'removed Content-Length': (res) => {
    res.removeHeader('content-length');
    res.end('x');
  },
  'removed Transfer-Encoding': (res) => {
    res.removeHeader('transfer-encoding');
    res.write('a');
    res.end('b');
  },
  'both removed': (res) => {
    res.removeHeader('transfer-encoding');
    res.removeHeader('content-length');
    res.end('b');
  },
  'set again after removal': (res) => {
    res.removeHeader('Content-Length');
    res.setHeader('Content-Length', '1');
    res.end('b');
  },
  'Connection: close': (res) => res.setHeader('Connection', 'close').end('x'),
  'Connection: keep-alive': (res) => res.setHeader('Connection', 'Keep-Alive').end('x'),
  'own Keep-Alive': (res) => res.setHeader('Keep-Alive', 'timeout=9').end('x'),
  'shouldKeepAlive false': (res) => {
    res.shouldKeepAlive = false;
    res.end('x');
  },
  'no keep-alive timeout': [{ server: { keepAliveTimeout: 0 } }, (res) => res.end('x')],
  'requests limited': [{ server: { maxRequestsPerSocket: 3 } }, (res) => res.end('x')],
  'the last request allowed': (res) => {
    res.maxRequestsOnConnectionReached = true;
    res.end('x');
  },
  'own chunks': (res) => {
    res.setHeader('Transfer-Encoding', 'chunked');
    res.end('x');
  },
  'no chunks by default': (res) => {
    res.useChunkedEncodingByDefault = false;
    res.end('x');
  },
  'bytes in chunks': (res, log) => {
    log(res.write(Buffer.from('ab')));
    res.end(Buffer.from('cd'));
  },
  'written with a known length': (res, log) => {
    res.setHeader('Content-Length', 4);
    log(res.write('ab'));
    res.end('cd');
  },
  'headers flushed first': (res) => {
    res.flushHeaders();
    res.end('x');
  },
  'a wide header with chunks': (res) => {
    res.setHeader('X-Wide', '\xe9');
    res.write('\xe9');
    res.end('\xe9');
  },
  'an empty write': (res) => {
    res.write('');
    res.write('a');
    res.end();
  },
  trailers: (res) => {
    res.writeHead(200, { Trailer: 'X-T' });
    res.write('a');
    res.addTrailers({ 'X-T': 'v\xe9', 'X-U': ['1', '2'] });
    res.end('b');
  },
  'trailers as an array': (res) => {
    res.setHeader('Trailer', 'X-T');
    res.write('a');
    res.addTrailers([['X-T', 'v']]);
    res.end();
  },
  'a bad trailer': (res) => res.addTrailers({ 'a b': '1' }),
  'a trailer that cannot be sent': (res) => {
    res.setHeader('Trailer', 'X');
    res.setHeader('Content-Length', 1);
    res.end('x');
  },
  'informational responses': (res) => {
    res.writeProcessing();
    res.writeContinue();
    res.writeEarlyHints({ link: '</a.css>; rel=preload; as=style', 'x-hint': '1' });
    res.end('x');
  },
  'bad early hints': (res) => res.writeEarlyHints({ link: 'nonsense' }),
  'an expected continue that was not sent': (res) => {
    res._expect_continue = true;
    res.end('x');
  },
  'strict length, too long': (res) => {
    res.strictContentLength = true;
    res.setHeader('Content-Length', 2);
    res.write('ab');
    res.write('c');
  },
  'strict length, too short': (res) => {
    res.strictContentLength = true;
    res.setHeader('Content-Length', 5);
    res.write('ab');
    res.end();
  },
  'strict length, right': (res) => {
    res.strictContentLength = true;
    res.setHeader('Content-Length', 2);
    res.end('ab');
  },
  'writing nothing': (res) => res.write(null),
  'writing a number': (res) => res.write(5),
  'ending with a number': (res) => res.end(5),
  'an unknown encoding': (res) => res.end('x', 'nope'),
  'a write after the end': (res, log) => {
    res.end('x');
    log(res.write('y', (error: Error) => log(error)));
  },
  'two ends': (res, log) => {
    log(res.end('x') === res);
    log(res.end() === res);
    res.end('y');
  },
  pipe: (res) => res.pipe(process.stdout),
  '_implicitHeader by hand': (res, log) => {
    res._implicitHeader();
    log([res._header.replace(/Date: [^\r]+/, 'Date: now'), res._headerSent]);
    res.end('x');
    log(res._headerSent);
  },
  'a wrapped writeHead': (res) => {
    const { writeHead } = res;
    res.writeHead = function wrapped(...args: unknown[]) {
      this.setHeader('X-Late', '1');
      return writeHead.apply(this, args);
    };
    res.end('x');
  },
  '_send and _writeRaw': (res) => {
    res.writeHead(200, { 'Content-Length': 2 });
    res._send('a', 'latin1');
    res._writeRaw('b', 'utf8');
    res.end();
  },
  'what it says of itself': (res, log) => {
    const state = () => [
      res.writableEnded,
      res.finished,
      res.headersSent,
      res.writableObjectMode,
      res.writableNeedDrain,
      res.writableCorked,
      res.errored,
      res.destroyed,
      res.closed,
      res.statusCode,
      res.writable,
      res.chunkedEncoding,
      res.shouldKeepAlive,
    ];
    log(state());
    res.write('a');
    log([res.headersSent, res.chunkedEncoding]);
    res.end('x');
    log([res.writableEnded, res.finished, res.statusCode]);
  },
};

describe('a response sends, returns and throws what node does', () => {
  for (const [name, entry] of Object.entries(programs)) {
    const [setting, program] = Array.isArray(entry) ? entry : [{}, entry];
    it(name, async () => {
      expect(await onOurs(program, setting)).toEqual(await onNode(program, setting));
    });
  }
});

describe('a response whose turn has not come', () => {
  it('keeps what it sends, and sends it then', async () => {
    const sink = new CollectingSink({ keepAliveTimeout: 5000 });
    const res = createResponse(ServerResponse, sink, requestOf({}) as unknown as IncomingMessage, false, true);
    const events: string[] = [];
    for (const event of ['finish', 'close', 'socket']) if (event !== 'socket') res.on(event, () => events.push(event));
    res.write('a');
    res.end('b');
    expect(res.socket).toBe(null);
    expect(sink.collected.text).toBe('');
    expect(sink.pending).toBeGreaterThan(0);
    res[kTurn]();
    expect(sink.pending).toBe(0);
    expect(sink.ended?.response).toBe(res);
    expect(sink.collected.text).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\n\r\n(1\r\na\r\n1\r\nb|2\r\nab)\r\n0\r\n\r\n$/s);
    await setImmediate();
    await setImmediate();
    expect(events).toEqual(['finish', 'close']);
  });
});

describe('a response made by user code is node’s own', () => {
  it('by a call, by new, in a derived class', () => {
    class Derived extends ServerResponse {}
    const req = requestOf({});
    // biome-ignore lint/suspicious/noExplicitAny: called as light-my-request does
    const called: any = Object.create(ServerResponse.prototype);
    (ServerResponse as unknown as (this: unknown, req: unknown) => void).call(called, req);
    for (const res of [called, new ServerResponse(req), new Derived(req)]) {
      expect(isNativeResponse(res)).toBe(false);
      expect(res).toBeInstanceOf(http.ServerResponse);
      const fields = Reflect.ownKeys(new http.ServerResponse(req as never)).map(String);
      expect(Reflect.ownKeys(res).map(String)).toEqual(expect.arrayContaining(fields));
      const collected = new Collector();
      const socket = new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          collected.add(chunk);
          done();
        },
      });
      res.assignSocket(socket as never);
      expect(res.socket).toBe(socket);
      res.setHeader('A', 'b');
      res.end('x');
      expect(collected.text).toContain('A: b\r\n');
    }
  });

  it('what node’s own servers make is an instance of the base class alone', () => {
    class Derived extends ServerResponse {}
    const res = new http.ServerResponse(requestOf({}) as never);
    expect(res instanceof ServerResponse).toBe(true);
    expect(res instanceof Derived).toBe(false);
  });
});
