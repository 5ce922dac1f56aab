/** What the server and its connections decide. Node's own server is the truth: each case runs on both. */
import { once } from 'node:events';
import nodeHttp from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { EventLog, harness, implementations, isToldAsOn20, listen } from '../../support/drop-in.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** Two ends in memory. */
function duplexPair(): [Duplex, Duplex] {
  class End extends Duplex {
    other: End | null = null;
    #taken: (() => void) | null = null;

    override _read(): void {
      const taken = this.#taken;
      this.#taken = null;
      taken?.();
    }

    override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
      const other = this.other as End;
      other.#taken = callback;
      other.push(chunk);
    }

    override _final(callback: () => void): void {
      this.other?.push(null);
      callback();
    }
  }
  const a = new End();
  const b = new End();
  a.other = b;
  b.other = a;
  return [a, b];
}

async function readAll(duplex: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of duplex) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('latin1');
}

describe.each(implementations)('connections of other transports on $name', (implementation) => {
  const on = harness(implementation);

  it('a Duplex in memory is served', async () => {
    const server = on.http.createServer((req, res) => {
      let body = '';
      req.setEncoding('utf8');
      req.on('data', (chunk: string) => {
        body += chunk;
      });
      req.on('end', () => {
        res.sendDate = false;
        res.end(`${req.method} ${body} ${(req.socket as unknown as Duplex) === theirs}`);
      });
    });
    const [ours, theirs] = duplexPair();
    server.emit('connection', theirs);
    ours.write('POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe');
    ours.write('llo');
    expect(await readAll(ours)).toBe(
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 15\r\n\r\nPOST hello true',
    );
  });

  it('a large answer waits for a Duplex that is slow, and comes whole', async () => {
    const part = Buffer.alloc(100_000, 'x');
    const seen: boolean[] = [];
    const server = on.http.createServer(async (_req, res) => {
      for (let i = 0; i < 20; i++) {
        const more = res.write(part);
        seen.push(more);
        if (!more) await once(res, 'drain');
      }
      res.end();
    });
    const [ours, theirs] = duplexPair();
    server.emit('connection', theirs);
    ours.write('GET / HTTP/1.0\r\n\r\n');
    const answer = await readAll(ours);
    expect(answer.length - answer.indexOf('\r\n\r\n') - 4).toBe(2_000_000);
    expect(seen).toContain(false);
  });

  it('an upgrade hands the Duplex itself out', async () => {
    const server = on.http.createServer();
    const [ours, theirs] = duplexPair();
    server.on('upgrade', (_req, socket: Duplex, head: Buffer) => {
      expect(socket).toBe(theirs);
      socket.write(`head ${head.toString()}|`);
      socket.pipe(socket);
    });
    server.emit('connection', theirs);
    ours.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly');
    const answers: string[] = [];
    ours.on('data', (chunk: Buffer) => answers.push(chunk.toString()));
    while (answers.join('') !== 'head early|') await once(ours, 'data');
    ours.end('late');
    await once(ours, 'end');
    expect(answers.join('')).toBe('head early|late');
  });

  it('what is no HTTP is a clientError of the Duplex', async () => {
    const server = on.http.createServer();
    const [ours, theirs] = duplexPair();
    const errors: unknown[] = [];
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      errors.push(error.code, socket === (theirs as unknown));
      socket.destroy();
    });
    server.emit('connection', theirs);
    ours.write('???\r\n\r\n');
    await once(theirs, 'close');
    expect(errors).toEqual(['HPE_INVALID_METHOD', true]);
  });
});

describe.each(implementations)('rules of requests on $name', (implementation) => {
  const on = harness(implementation);

  it('without Host: 400, and no clientError', async () => {
    const server = await on.serve(() => expect.unreachable());
    server.on('clientError', () => expect.unreachable());
    const answer = (await (await on.open(server)).send('GET / HTTP/1.1\r\n\r\n').rest()).toString();
    expect(answer.replace(/Date: .*\r\n/, '')).toBe(
      'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    );
  });

  it('requireHostHeader false: served', async () => {
    const server = await on.serve({ requireHostHeader: false }, (req, res) => res.end(String(req.headers.host)));
    const client = await on.open(server);
    expect((await client.send('GET / HTTP/1.1\r\n\r\n').response()).body.toString()).toBe('undefined');
  });

  it('expectations: checkContinue, checkExpectation, and what becomes of them unheard', async () => {
    const server = await on.serve((req, res) => res.end(`request ${req.headers.expect}`));
    const client = await on.open(server);
    const ask = (expect: string): string => `GET / HTTP/1.1\r\nHost: a\r\nExpect: ${expect}\r\n\r\n`;
    expect((await client.send(ask('100-continue')).response()).status).toBe(100);
    expect((await client.response()).body.toString()).toBe('request 100-continue');
    expect((await client.send(ask('tea')).response()).status).toBe(417);
    server.on('checkContinue', (_req, res) => res.end('continue?'));
    server.on('checkExpectation', (_req, res) => res.end('what?'));
    const other = await on.open(server);
    expect((await other.send(ask('tea')).response()).body.toString()).toBe('what?');
    expect((await other.send(ask('100-Continue')).response()).body.toString()).toBe('continue?');
  });

  it('maxHeadersCount: no more are shown, or a request with more is refused', async () => {
    const server = await on.serve((req, res) => res.end(JSON.stringify([req.headers, req.rawHeaders.length])));
    server.maxHeadersCount = 2;
    const client = await on.open(server);
    const answer = await client.send('GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n\r\n').response();
    const told = [answer.status, answer.body.toString()];
    if (isToldAsOn20(told)) expect(told).toEqual([200, JSON.stringify([{ host: 'a', 'x-a': '1' }, 8])]);
    server.maxHeadersCount = 0;
    const many = Array.from({ length: 1500 }, (_, i) => `x${i}: 1\r\n`).join('');
    const all = await (await on.open(server)).send(`GET / HTTP/1.1\r\nHost: a\r\n${many}\r\n`).response();
    expect([all.status, JSON.parse(all.body.toString())[1]]).toEqual([200, 3002]);
  });
});

describe.each(implementations)('timeouts on $name', (implementation) => {
  const on = harness(implementation);

  it('a connection that says nothing gets 408 after headersTimeout', async () => {
    const server = await on.serve({ headersTimeout: 30, requestTimeout: 60, connectionsCheckingInterval: 10 });
    expect((await (await on.open(server)).rest()).toString()).toBe(
      'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n',
    );
  });

  it('a head, and a body, that do not end get 408; clientError says which', async () => {
    const server = await on.serve(
      { requestTimeout: 250, headersTimeout: 250, connectionsCheckingInterval: 10 },
      (req) => {
        req.on('error', () => {});
        req.resume();
      },
    );
    const codes: unknown[] = [];
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      codes.push(error.code);
      socket.end('HTTP/1.1 408 Mine\r\n\r\n');
    });
    const client = await on.open(server);
    expect((await client.send('GET / HTTP/1.1\r\nHo').rest()).toString()).toBe('HTTP/1.1 408 Mine\r\n\r\n');
    const uploader = await on.open(server);
    uploader.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe');
    expect((await uploader.rest()).toString()).toBe('HTTP/1.1 408 Mine\r\n\r\n');
    // Node, which goes on reading, may add that they never ended.
    expect(codes.filter((code) => code !== 'HPE_INVALID_EOF_STATE')).toEqual([
      'ERR_HTTP_REQUEST_TIMEOUT',
      'ERR_HTTP_REQUEST_TIMEOUT',
    ]);
  });

  it('timeouts may be set at any time', async () => {
    const server = await on.serve((_req, res) => res.end('ok'));
    const client = await on.open(server);
    await client.send(GET).response();
    server.keepAliveTimeout = 20;
    (server as { keepAliveTimeoutBuffer?: number }).keepAliveTimeoutBuffer = 0;
    const answer = await client.send(GET).response();
    expect(answer.headers['keep-alive']).toEqual(['timeout=0']);
    expect((await client.rest()).length).toBe(0);
  });

  it("server.timeout: 'timeout' of request, response and server, who keep the connection", async () => {
    const log = new EventLog();
    const server = await on.serve((req, res) => {
      log.watch('req', req, ['timeout']);
      res.on('timeout', () => {
        log.add('res timeout');
        res.end('late');
      });
    });
    server.setTimeout(30, (socket: Socket) => log.add(`server timeout ${socket.destroyed}`));
    const client = await on.open(server);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe');
    expect((await client.response()).body.toString()).toBe('late');
    // The connection may have been silent for as long before its request came: then the server was told of that, too.
    const first = log.entries.indexOf('req timeout');
    expect(log.entries.slice(first, first + 3)).toEqual(['req timeout', 'res timeout', 'server timeout false']);
  });

  it('server.timeout without listeners ends the connection', async () => {
    const server = await on.serve((req) => {
      req.on('error', () => {});
    });
    server.timeout = 20;
    const client = await on.open(server);
    expect((await client.send(GET).rest()).length).toBe(0);
  });
});

describe.each(implementations)('large amounts on $name', (implementation) => {
  const on = harness(implementation);

  it('an answer of 32 MB in one piece, to a reader that waits first', async () => {
    const body = Buffer.alloc(32 * 1024 * 1024, 'y');
    const server = await on.serve((_req, res) => res.end(body));
    const client = await on.open(server);
    client.socket.pause();
    client.send(GET);
    await once(server, 'request');
    client.socket.resume();
    const answer = await client.response();
    expect(answer.body.equals(body)).toBe(true);
  });

  it('pipelined answers that nobody reads stop the reading of requests', async () => {
    const part = Buffer.alloc(16 * 1024, 'z');
    let requests = 0;
    const server = await on.serve((_req, res) => {
      requests++;
      res.end(part);
    });
    const client = await on.open(server);
    client.socket.pause();
    for (let i = 0; i < 4000; i++) client.send(GET);
    const seen = async (): Promise<number> => {
      let before = -1;
      while (before !== requests) {
        before = requests;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return requests;
    };
    expect(await seen()).toBeLessThan(4000);
    client.socket.resume();
    for (let i = 0; i < 4000; i++) expect((await client.response()).body.length).toBe(part.length);
    expect(requests).toBe(4000);
  });
});

describe('servers that are left to node', () => {
  it('say why, and serve', async () => {
    const { http } = implementations[1] as (typeof implementations)[number];
    const { dropInStats } = await import('../../../lib/drop-in/stats.js');
    class Foreign extends nodeHttp.ServerResponse {}
    const before = new Map(dropInStats().fallback.map(({ reason, count }) => [reason, count]));
    const server = http.createServer({ ServerResponse: Foreign }, (_req, res) =>
      res.end(String(res instanceof Foreign)),
    );
    http.createServer({ insecureHTTPParser: true });
    const after = new Map(dropInStats().fallback.map(({ reason, count }) => [reason, count]));
    for (const reason of ['ServerResponse', 'insecureHTTPParser'] as const) {
      expect(after.get(reason)).toBe((before.get(reason) ?? 0) + 1);
    }
    await listen(server);
    const { port } = server.address() as { port: number };
    const [answer] = (await once(nodeHttp.get({ port, agent: false }), 'response')) as [nodeHttp.IncomingMessage];
    expect((await answer.toArray()).join('')).toBe('true');
    server.close();
  });
});
