/** Bodies as streams, both ways. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { deferred, EventLog, harness, implementations, isToldAsOn20 } from '../../support/drop-in.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const MIB = 1 << 20;

function post(body: string | Buffer, extra = ''): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([
    Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes.length}\r\n${extra}\r\n`),
    bytes,
  ]);
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.each(implementations)('request bodies on $name', (implementation) => {
  const on = harness(implementation);
  const large = Buffer.alloc(3 * MIB, 'gammaloop ');

  async function read(reader: (req: IncomingMessage) => Promise<string>, wire: Buffer): Promise<string> {
    const server = await on.serve((req, res) => {
      reader(req).then(
        (text) => res.end(text),
        (error) => res.end(`failed: ${error}`),
      );
    });
    return (await (await on.open(server)).send(wire).response()).body.toString();
  }

  const viaData = (req: IncomingMessage): Promise<string> =>
    new Promise((resolve) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => resolve(sha(Buffer.concat(chunks))));
    });
  const viaReadable = (req: IncomingMessage): Promise<string> =>
    new Promise((resolve) => {
      const chunks: Buffer[] = [];
      req.on('readable', () => {
        for (let chunk = req.read(); chunk !== null; chunk = req.read()) chunks.push(chunk);
      });
      req.on('end', () => resolve(sha(Buffer.concat(chunks))));
    });
  const viaIteration = async (req: IncomingMessage): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    return sha(Buffer.concat(chunks));
  };
  const viaPipe = (req: IncomingMessage): Promise<string> =>
    new Promise((resolve, reject) => {
      const hash = createHash('sha256');
      pipeline(req, hash, (error) => (error ? reject(error) : resolve(hash.digest('hex'))));
    });

  it.each([
    ['data', viaData],
    ['readable', viaReadable],
    ['async iteration', viaIteration],
    ['pipeline', viaPipe],
  ])('small and large, by %s', async (_name, reader) => {
    expect(await read(reader, post('small'))).toBe(sha(Buffer.from('small')));
    expect(await read(reader, post(large))).toBe(sha(large));
  });

  it('can be read late', async () => {
    const server = await on.serve((req, res) => {
      setTimeout(() => viaData(req).then((text) => res.end(text)), 20);
    });
    const client = await on.open(server);
    expect((await client.send(post('small')).response()).body.toString()).toBe(sha(Buffer.from('small')));
    expect((await client.send(post(large)).response()).body.toString()).toBe(sha(large));
  });

  it('setEncoding gives text, characters split between chunks included', async () => {
    const texts: unknown[] = [];
    const server = await on.serve((req, res) => {
      req.setEncoding('utf8');
      req.on('data', (chunk) => texts.push(typeof chunk));
      let text = '';
      req.on('data', (chunk: string) => {
        text += chunk;
      });
      req.on('end', () => res.end(text));
    });
    const wire = post('\u20ac\u20ac');
    const client = await on.open(server);
    const first = new Promise((resolve) => server.once('request', resolve));
    client.send(wire.subarray(0, wire.length - 4));
    await first;
    const { body } = await client.send(wire.subarray(wire.length - 4)).response();
    expect(body.toString()).toBe('\u20ac\u20ac');
    expect(new Set(texts)).toEqual(new Set(['string']));
  });

  it('chunked ones are put together', async () => {
    const wire =
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n';
    expect(await read(viaData, Buffer.from(wire))).toBe(sha(Buffer.from('abc0123456789')));
  });

  it('nobody reads one: the next request is served all the same', async () => {
    const server = await on.serve((_req, res) => res.end('answered'));
    const client = await on.open(server);
    expect((await client.send(post(large)).response()).body.toString()).toBe('answered');
    expect((await client.send(GET).response()).body.toString()).toBe('answered');
  });

  it('answered before it has come: not over until it has', async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      res.once('finish', () => {
        log.add(`ended ${req.readableEnded}, destroyed ${req.destroyed}, complete ${req.complete}`);
        log.watch('req', req, ['data', 'end', 'close']);
        res.once('close', () => log.add('res close'));
      });
      res.end('early');
    });
    const client = await on.open(server);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    expect((await client.response()).body.toString()).toBe('early');
    await log.until('res close');
    client.send('3\r\nabc\r\n0\r\n\r\n');
    expect(await log.until('req close')).toEqual([
      'ended false, destroyed false, complete false',
      'res close',
      'req end',
      'req close',
    ]);
  });

  it('backpressure reaches the client', async () => {
    const { promise, resolve } = deferred<IncomingMessage>();
    const server = await on.serve((req, res) => {
      req.on('end', () => res.end('all'));
      resolve(req);
    });
    const client = await on.open(server);
    const huge = 64 * MIB;
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${huge}\r\n\r\n`);
    const req = await promise;
    const piece = Buffer.alloc(MIB);
    let sent = 0;
    let stalled = 0;
    // What the kernel and the server's buffers hold is far below 64 MiB: the client has to wait, turn after turn.
    while (sent < huge && stalled < 200) {
      if (client.socket.writableNeedDrain) stalled++;
      else {
        client.socket.write(piece);
        sent += MIB;
      }
      await new Promise((next) => setImmediate(next));
    }
    expect(sent).toBeLessThan(huge);
    req.resume();
    while (sent < huge) {
      if (client.socket.writableNeedDrain) await new Promise((drained) => client.socket.once('drain', drained));
      client.socket.write(piece);
      sent += MIB;
    }
    expect((await client.response()).body.toString()).toBe('all');
  });

  it('Expect: 100-continue is answered before the body is asked for', async () => {
    const server = await on.serve((req, res) => {
      viaData(req).then((text) => res.end(text));
    });
    const client = await on.open(server);
    const wire = post('late', 'Expect: 100-continue\r\n');
    client.send(wire.subarray(0, wire.length - 4));
    expect(await client.response()).toMatchObject({ status: 100, reason: 'Continue', rawHeaders: [] });
    expect((await client.send('late').response()).body.toString()).toBe(sha(Buffer.from('late')));
  });

  it("'checkContinue' and 'checkExpectation' take over", async () => {
    const log = new EventLog();
    const server = await on.serve((_req, res) => res.end('request'));
    const client = await on.open(server);
    expect((await client.send('GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n').response()).status).toBe(417);
    server.on('checkContinue', (_req, res: ServerResponse) => {
      log.add('checkContinue');
      res.writeContinue();
      res.end('checked');
    });
    server.on('checkExpectation', (_req, res: ServerResponse) => {
      log.add('checkExpectation');
      res.end('expected');
    });
    client.send('GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n');
    const [interim, checked] = await client.responses(2);
    expect([interim?.status, checked?.body.toString()]).toEqual([100, 'checked']);
    const expected = await client.send('GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n').response();
    expect(expected.body.toString()).toBe('expected');
    expect(log.entries).toEqual(['checkContinue', 'checkExpectation']);
  });
});

describe.each(implementations)('response bodies on $name', (implementation) => {
  const on = harness(implementation);

  it('a write before the length is known makes chunks', async () => {
    const server = await on.serve((_req, res) => {
      res.sendDate = false;
      res.write('one');
      res.end('two');
    });
    const client = await on.open(server);
    const told = await client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n').rest();
    const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n';
    if (isToldAsOn20(told)) expect(told).toBe(`${head}3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n`);
  });

  it('an empty write is no end of the body', async () => {
    const server = await on.serve((_req, res) => {
      res.write('');
      setImmediate(() => {
        res.write(Buffer.alloc(0));
        res.end('x');
      });
    });
    const text = await (await on.open(server)).send(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')).rest();
    expect(text.slice(text.indexOf('\r\n\r\n'))).toBe('\r\n\r\n1\r\nx\r\n0\r\n\r\n');
  });

  it('encodings, buffers and views are written as they are', async () => {
    const server = await on.serve((_req, res) => {
      res.write('e282ac', 'hex');
      res.write('caf\u00e9', 'latin1');
      res.write(new Uint8Array([0, 1]));
      res.end(Buffer.from([2]));
    });
    const { body } = await (await on.open(server)).send(GET).response();
    expect(body.toString('hex')).toBe(`e282ac${Buffer.from('caf\u00e9', 'latin1').toString('hex')}000102`);
  });

  it('Content-Length counts bytes, not characters', async () => {
    const server = await on.serve((_req, res) => res.end('\u20ac'));
    const { headers, body } = await (await on.open(server)).send(GET).response();
    expect(headers['content-length']).toEqual(['3']);
    expect(body.toString()).toBe('\u20ac');
  });

  it("write returns false when too much is kept, and 'drain' comes", async () => {
    const log = new EventLog();
    const size = 16 * MIB;
    const server = await on.serve((_req, res) => {
      expect(res.writableHighWaterMark).toBeGreaterThan(0);
      expect(res.writableLength).toBe(0);
      res.writeHead(200, { 'Content-Length': size });
      log.add(`write ${res.write(Buffer.alloc(size))}`);
      log.add(`needs drain ${res.writableNeedDrain}, kept ${res.writableLength > 0}`);
      res.on('drain', () => {
        log.add(`drain ${res.writableLength}`);
        res.end();
      });
    });
    const { body } = await (await on.open(server)).send(GET).response();
    expect(body.length).toBe(size);
    expect(log.entries).toEqual(['write false', 'needs drain true, kept true', 'drain 0']);
  });

  it('pipes: a stream, a transform, a request', async () => {
    const server = await on.serve((req, res) => {
      if (req.method === 'POST') req.pipe(res);
      else Readable.from(['one ', 'two']).pipe(new PassThrough()).pipe(res);
    });
    const client = await on.open(server);
    expect((await client.send(GET).response()).body.toString()).toBe('one two');
    const large = Buffer.alloc(2 * MIB, 'echo ');
    expect((await client.send(post(large)).response()).body.equals(large)).toBe(true);
  });

  it('cork and uncork, flushHeaders', async () => {
    const { promise, resolve } = deferred<ServerResponse>();
    const server = await on.serve((req, res) => {
      if (req.url === '/flush') {
        res.flushHeaders();
        resolve(res);
        return;
      }
      res.cork();
      res.write('a');
      res.write('b');
      expect(res.writableCorked).toBe(1);
      process.nextTick(() => {
        res.uncork();
        res.end('c');
      });
    });
    const client = await on.open(server);
    expect((await client.send(GET).response()).body.toString()).toBe('abc');
    client.send('GET /flush HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('the head', () => (client.pending.includes('\r\n\r\n') ? true : null));
    (await promise).end('later');
    expect((await client.response()).body.toString()).toBe('later');
  });

  it('interim answers: 102, 103, 100', async () => {
    const server = await on.serve((_req, res) => {
      res.writeProcessing();
      res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style', 'x-early': 'yes' });
      res.writeContinue();
      res.end('done');
    });
    const responses = await (await on.open(server)).send(GET).responses(4);
    expect(responses.map(({ status }) => status)).toEqual([102, 103, 100, 200]);
    expect(responses[1]?.headers).toEqual({ link: ['</style.css>; rel=preload; as=style'], 'x-early': ['yes'] });
  });

  it('what a response says about itself', async () => {
    const seen: unknown[] = [];
    const server = await on.serve((_req, res) => {
      const note = (): void => {
        seen.push([res.headersSent, res.writableEnded, res.writableFinished, res.finished, res.destroyed, res.closed]);
      };
      note();
      res.write('a');
      note();
      res.end();
      note();
      res.on('finish', note);
      res.on('close', note);
      res.on('close', () => seen.push(res.socket));
    });
    const client = await on.open(server);
    await client.send(GET).response();
    await client.send(GET).response();
    if (isToldAsOn20(seen.slice(0, 6)))
      expect(seen.slice(0, 6)).toMatchInlineSnapshot(`
      [
        [
          false,
          false,
          false,
          false,
          false,
          false,
        ],
        [
          true,
          false,
          false,
          false,
          false,
          false,
        ],
        [
          true,
          true,
          true,
          true,
          false,
          false,
        ],
        [
          true,
          true,
          true,
          true,
          false,
          false,
        ],
        [
          true,
          true,
          true,
          true,
          true,
          true,
        ],
        null,
      ]
    `);
  });
});
