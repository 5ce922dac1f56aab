import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { AbortedError, Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const CHUNK = Buffer.alloc(65536, 'c');
/** Far more than the socket buffers of both sides hold. */
const TOTAL_CHUNKS = 320;

describe.each(backends)('streaming on %s', (backend) => {
  const start = starter(backend);

  it('waits for a slow reader: what the server buffers is bounded', async () => {
    let produced = 0;
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              produced++;
              controller.enqueue(CHUNK);
              if (produced === TOTAL_CHUNKS) controller.close();
            },
          }),
        ),
      limits: { writeBufferBytes: 262144 },
    });
    const client = await RawClient.open(server);
    client.socket.pause();
    client.send(GET);
    // The producer stalls once the buffers are full: the count stands still over many turns.
    let last = -1;
    let still = 0;
    await expect
      .poll(
        () => {
          still = produced === last && produced > 0 ? still + 1 : 0;
          last = produced;
          return still;
        },
        { interval: 20, timeout: 15_000 },
      )
      .toBeGreaterThan(10);
    expect(produced).toBeLessThan(TOTAL_CHUNKS / 2);
    client.socket.resume();
    expect((await client.response()).body.length).toBe(TOTAL_CHUNKS * CHUNK.length);
    expect(produced).toBe(TOTAL_CHUNKS);
    client.socket.destroy();
  });

  it('res.write gives false to a slow reader, and drain follows', async () => {
    let refused = 0;
    let drained = 0;
    const server = await start({
      node: (_req, res) => {
        let left = TOTAL_CHUNKS;
        const more = (): void => {
          while (left > 0) {
            left--;
            if (!res.write(CHUNK)) {
              refused++;
              res.once('drain', () => {
                drained++;
                more();
              });
              return;
            }
          }
          res.end();
        };
        more();
      },
      limits: { writeBufferBytes: 262144 },
    });
    const client = await RawClient.open(server);
    client.socket.pause();
    client.send(GET);
    await expect.poll(() => refused).toBeGreaterThan(0);
    client.socket.resume();
    expect((await client.response()).body.length).toBe(TOTAL_CHUNKS * CHUNK.length);
    expect(drained).toBe(refused);
    client.socket.destroy();
  });

  it('stalls a client whose handler does not read', async () => {
    let read: () => void = () => {};
    const server = await start({
      fetch: async (request) => {
        await new Promise<void>((resolve) => (read = resolve));
        let length = 0;
        for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) length += chunk.length;
        return new Response(String(length));
      },
      limits: { bodyBytes: 0 },
    });
    const client = await RawClient.open(server);
    const total = TOTAL_CHUNKS * CHUNK.length;
    client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${total}\r\n\r\n`);
    for (let i = 0; i < TOTAL_CHUNKS; i++) client.send(CHUNK);
    let last = -1;
    let still = 0;
    await expect
      .poll(
        () => {
          const { received } = server.stats().bytes;
          still = received === last && received > 0 ? still + 1 : 0;
          last = received;
          return still;
        },
        { interval: 20, timeout: 15_000 },
      )
      .toBeGreaterThan(10);
    expect(last).toBeLessThan(2_000_000);
    expect(client.socket.writableLength).toBeGreaterThan(total / 2);
    read();
    expect((await client.response()).body.toString()).toBe(String(total));
    client.socket.destroy();
  });

  it('echoes a stream while it is being sent', async () => {
    const server = await start({ fetch: (request) => new Response(request.body as ReadableStream<Uint8Array>) });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (const word of ['one', 'two', 'three']) {
      client.send(`${word.length}\r\n${word}\r\n`);
      await client.until(word, () => (client.pending.includes(word) ? true : null));
    }
    expect((await client.send('0\r\n\r\n').response()).body.toString()).toBe('onetwothree');
    client.socket.destroy();
  });

  it('sends what is written when it is written (server-sent events)', async () => {
    let push: (text: string) => void = () => {};
    let close: () => void = () => {};
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            start(controller) {
              push = (text) => controller.enqueue(new TextEncoder().encode(text));
              close = () => controller.close();
            },
          }),
          { headers: { 'content-type': 'text/event-stream' } },
        ),
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => server.stats().requests.active).toBe(1);
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      push(event);
      await client.until(event, () => (client.pending.includes(event) ? true : null));
    }
    close();
    expect((await client.response()).body.toString()).toBe('data: 1\n\ndata: 2\n\n');
    client.socket.destroy();
  });

  it('sends the head of a stream before its first chunk is there', async () => {
    let close: () => void = () => {};
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            start(controller) {
              close = () => controller.close();
            },
          }),
        ),
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await client.until('the head', () => (client.pending.includes('\r\n\r\n') ? true : null));
    close();
    expect((await client.response()).body.toString()).toBe('');
    client.socket.destroy();
  }, 3000);

  it('a stream that fails ends the connection without a last chunk', async () => {
    const errors: unknown[] = [];
    let fail: () => void = () => {};
    const server = await start({
      fetch: () =>
        new Response(
          new ReadableStream({
            start(controller) {
              controller.enqueue(new TextEncoder().encode('begun'));
              fail = () => controller.error(new Error('on purpose'));
            },
          }),
        ),
      onError: (error) => errors.push(error),
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await client.until('the first chunk', () => (client.pending.includes('begun') ? true : null));
    fail();
    expect(await client.rest()).not.toContain('0\r\n\r\n');
    await expect.poll(() => errors.length).toBe(1);
  });

  it('half-close: a client that has ended its side gets its answer', async () => {
    const server = await start({
      fetch: async (request) => {
        const text = await request.text();
        await new Promise((resolve) => setTimeout(resolve, 50));
        return new Response(`got ${text}`);
      },
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello').end();
    expect((await client.response()).body.toString()).toBe('got hello');
    expect(await client.rest()).toBe('');
  });

  it('half-close: aborts request.signal, and the answer goes out all the same', async () => {
    const server = await start({
      fetch: async (request) => {
        await once(request.signal, 'abort');
        return new Response((request.signal.reason as AbortedError).code);
      },
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => server.stats().requests.active).toBe(1);
    client.end();
    expect((await client.response()).body.toString()).toBe('ERR_GAMMALOOP_CLIENT_GONE');
    expect(await client.rest()).toBe('');
    expect(server.stats().requests).toMatchObject({ completed: 1, aborted: 0 });
  });

  it('linger: a 413 arrives although the client goes on sending', async () => {
    const server = await start({
      fetch: async (request) => new Response(await request.text()),
      limits: { bodyBytes: 1000 },
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n');
    for (let i = 0; i < 100; i++) client.send(CHUNK);
    const response = await client.response();
    expect(response.status).toBe(413);
    client.socket.destroy();
  });

  it('linger: a 413 of a chunked body arrives although the client goes on sending', async () => {
    const server = await start({
      fetch: async (request) => new Response(await request.text()),
      limits: { bodyBytes: 1000 },
      onError: () => {},
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let i = 0; i < 100; i++) client.send('10000\r\n').send(CHUNK).send('\r\n');
    expect((await client.response()).status).toBe(413);
    client.socket.destroy();
  });

  it('abort: request.signal aborts when the client resets', async () => {
    let signal: AbortSignal | undefined;
    const server = await start({
      fetch: (request) => {
        signal = request.signal;
        return new Promise<Response>(() => {});
      },
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await expect.poll(() => signal).toBeDefined();
    client.reset();
    await once(signal as AbortSignal, 'abort');
    expect(signal?.reason).toBeInstanceOf(AbortedError);
    expect(signal?.reason).toMatchObject({ code: 'ERR_GAMMALOOP_CLIENT_GONE', reason: 'client' });
    await expect.poll(() => server.stats().requests).toMatchObject({ active: 0, completed: 0, aborted: 1 });
  });

  it('abort: request.signal aborts and the stream is cancelled when the client leaves a streamed response', async () => {
    let signal: AbortSignal | undefined;
    let cancelled: () => void = () => {};
    const wasCancelled = new Promise<void>((resolve) => (cancelled = resolve));
    const server = await start({
      fetch: (request) => {
        signal = request.signal;
        return new Response(
          new ReadableStream({
            async pull(controller) {
              await new Promise((resolve) => setTimeout(resolve, 5));
              controller.enqueue(CHUNK);
            },
            cancel: () => cancelled(),
          }),
        );
      },
    });
    const client = await RawClient.open(server);
    client.send(GET);
    await client.until('some body', () => (client.bytesRead > 1000 ? true : null));
    client.socket.destroy();
    await wasCancelled;
    expect(signal?.aborted).toBe(true);
  });

  it('abort: a body that is cut short rejects its reader and aborts the signal', async () => {
    const seen: unknown[] = [];
    const server = await start({
      fetch: async (request) => {
        try {
          await request.text();
        } catch (error) {
          seen.push((error as { code?: string }).code, request.signal.aborted);
        }
        return new Response('late');
      },
      onError: () => {},
    });
    const client = await RawClient.open(server);
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello');
    await expect.poll(() => server.stats().requests.active).toBe(1);
    client.reset();
    await expect.poll(() => seen).toEqual(['ERR_GAMMALOOP_BODY_ABORTED', true]);
  });

  it('abort: one client that goes does not touch the others', async () => {
    const answers: Array<() => void> = [];
    const server = await start({
      fetch: () => new Promise<Response>((resolve) => answers.push(() => resolve(new Response('ok')))),
    });
    const [gone, stays] = [await RawClient.open(server), await RawClient.open(server)];
    gone.send(GET);
    stays.send(GET);
    await expect.poll(() => answers.length).toBe(2);
    gone.reset();
    await expect.poll(() => server.stats().requests.aborted).toBe(1);
    for (const answer of answers) answer();
    expect((await stays.response()).body.toString()).toBe('ok');
    stays.socket.destroy();
  });

  it('a response that is longer or shorter than its content-length never looks whole', async () => {
    const server = await start({
      node: (req, res) => {
        res.on('error', () => {});
        res.writeHead(200, { 'content-length': '5' });
        res.write('abc');
        if (req.url === '/long') res.write('defg');
        res.end();
      },
      onError: () => {},
    });
    for (const path of ['/long', '/short']) {
      const client = await RawClient.open(server);
      const text = await client.send(GET.replace('/', path)).rest();
      const body = text.slice(text.indexOf('\r\n\r\n') + 4);
      expect(body.length, `${path}: ${JSON.stringify(text)}`).toBeLessThan(5);
    }
  });
});
