import { AsyncLocalStorage, executionAsyncId } from 'node:async_hooks';
import http from 'node:http';
import { finished, PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { finished as finishedPromise, pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import {
  kArrived,
  kConnectionClosed,
  kEndBody,
  kPushBody,
  kResponseDone,
  kRun,
} from '../../../lib/drop-in/contract.js';
import type { IncomingMessage } from '../../../lib/drop-in/incoming-message.js';
import { heard, makeRequest, record, turn } from './request-support.js';

const EVENTS = ['data', 'end', 'aborted', 'error', 'close'];

function isBuilt(request: IncomingMessage): boolean {
  return Object.hasOwn(request, '_readableState');
}

describe('a request that nobody looks at', () => {
  it('builds no state, whatever becomes of it', async () => {
    const { request, source } = makeRequest();
    request[kRun](() => {}, null, 0, 0);
    expect([request.readable, request.destroyed, request.readableEnded, request.closed]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    request[kResponseDone]();
    await turn();
    expect([request.readable, request.destroyed, request.readableEnded, request.closed]).toEqual([
      false,
      true,
      true,
      true,
    ]);
    expect(isBuilt(request)).toBe(false);
    expect(source.sockets).toBe(0);
    expect(request.aborted).toBe(false);
  });

  it('is what node’s is by then when it is looked at later', async () => {
    const over = makeRequest({ body: 'unread' }).request;
    over[kRun](() => {}, null, 0, 0);
    over[kResponseDone]();
    expect(over.read()).toBe(null);
    await finishedPromise(over);
    const cut = makeRequest().request;
    cut[kRun](() => {}, null, 0, 0);
    cut[kConnectionClosed]();
    expect([cut.aborted, cut.destroyed, cut.readable]).toEqual([true, true, false]);
    expect((cut.errored as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    await expect(finishedPromise(cut)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('has its body dumped and consumed when the response is over', () => {
    const { request, source } = makeRequest({ isStreamed: true });
    request[kRun](() => {}, null, 0, 0);
    request[kResponseDone]();
    request[kPushBody](Buffer.from('later'));
    request[kEndBody]([]);
    expect(source.consumed).toBe(5);
    expect(request.complete).toBe(true);
    expect(isBuilt(request)).toBe(false);
  });

  it('has what had come before consumed as well', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    request[kRun](() => {}, null, 0, 0);
    request[kPushBody](Buffer.alloc(40));
    expect(source.consumed).toBe(0);
    request[kPushBody](Buffer.alloc(2));
    request[kResponseDone]();
    await turn();
    expect(source.consumed).toBe(42);
    request[kPushBody](Buffer.alloc(8));
    request[kEndBody]([]);
    await heard(request, 'close');
    expect(source.consumed).toBe(50);
  });
});

describe('a body that came with the head', () => {
  it('is there after the handler, not in it', async () => {
    const { request } = makeRequest({ body: 'hello' });
    request[kRun](
      () => {
        expect(request.read()).toBe(null);
        expect(request.readableLength).toBe(0);
        expect(request.complete).toBe(false);
      },
      null,
      0,
      0,
    );
    expect(request.readableLength).toBe(5);
    expect(request.complete).toBe(false);
    expect(await text(request)).toBe('hello');
    expect(request.complete).toBe(true);
  });

  it('is read in the ticks and microtasks of the handler before its end comes, as node’s parser goes on', async () => {
    const { request } = makeRequest({ body: 'hello' });
    const log: string[] = [];
    const handle = () => {
      request.on('data', () => log.push(`data ${request.complete}`));
      request.on('end', () => log.push(`end ${request.complete}`));
      process.nextTick(() => log.push(`tick ${request.complete}`));
      Promise.resolve().then(() => log.push(`microtask ${request.complete}`));
    };
    const over = heard(request, 'close');
    setImmediate(() => request[kRun](handle, null, 0, 0));
    await over;
    expect(log).toEqual(['data false', 'tick false', 'microtask false', 'end true']);
  });

  it('comes as data, end, close, once each', async () => {
    const { request, source } = makeRequest({ body: 'hello' });
    let seen: string[] = [];
    request[kRun](() => (seen = record(request, EVENTS)), null, 0, 0);
    await heard(request, 'close');
    await turn();
    expect(seen).toEqual(['data', 'end', 'close']);
    expect([source.sockets, source.destroyedWith.length]).toEqual([0, 0]);
    expect([request.aborted, request.readableEnded, request.destroyed]).toEqual([false, true, true]);
  });

  it('is readable when somebody comes late, and tells so once', async () => {
    const { request } = makeRequest({ body: 'late' });
    request[kRun](() => {}, null, 0, 0);
    await turn();
    let readables = 0;
    const chunks: string[] = [];
    request.on('readable', () => {
      readables++;
      for (let chunk = request.read(); chunk !== null; chunk = request.read()) chunks.push(String(chunk));
    });
    await heard(request, 'end');
    expect([chunks, readables]).toEqual([['late'], 1]);
  });

  it('is text after setEncoding, in the handler and later', async () => {
    for (const inHandler of [true, false]) {
      const { request } = makeRequest({ body: 'é' });
      request[kRun](() => void (inHandler && request.setEncoding('utf8')), null, 0, 0);
      if (!inHandler) request.setEncoding('utf8');
      const chunks: unknown[] = [];
      for await (const chunk of request) chunks.push(chunk);
      expect(chunks).toEqual(['é']);
    }
  });

  it('goes through pipe, pipeline, toWeb', async () => {
    const make = () => {
      const { request } = makeRequest({ body: 'through' });
      request[kRun](() => {}, null, 0, 0);
      return request;
    };
    expect(await text(make().pipe(new PassThrough()))).toBe('through');
    const sink = new PassThrough();
    await pipeline(make(), sink);
    expect(await text(sink)).toBe('through');
    expect(await new Response(Readable.toWeb(make()) as unknown as BodyInit).text()).toBe('through');
  });

  it('ends without data where it is empty', async () => {
    for (const head of [{ body: '' }, {}]) {
      const { request } = makeRequest(head);
      let seen: string[] = [];
      request[kRun](() => (seen = record(request, EVENTS)), null, 0, 0);
      await heard(request, 'close');
      expect(seen).toEqual(['end', 'close']);
    }
  });

  it('is not pushed into a request that was dumped in its handler', async () => {
    const { request } = makeRequest({ body: 'x'.repeat(100) });
    let seen: string[] = [];
    request[kRun](
      () => {
        seen = record(request, EVENTS);
        (request as unknown as { _dump(): void })._dump();
      },
      null,
      0,
      0,
    );
    await heard(request, 'close');
    expect(seen).toEqual(['end', 'close']);
  });
});

describe('a body in pieces', () => {
  it('is consumed as far as it is read', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    request[kRun](() => {}, null, 0, 0);
    request[kPushBody](Buffer.alloc(10));
    expect(source.consumed).toBe(10);
    request[kPushBody](Buffer.alloc(10));
    request[kPushBody](Buffer.alloc(10));
    expect(source.consumed).toBe(10);
    expect(request.readableLength).toBe(30);
    request.resume();
    await turn();
    expect(source.consumed).toBe(30);
    request.pause();
    request[kPushBody](Buffer.alloc(20));
    expect(source.consumed).toBe(30);
    request[kEndBody]([]);
    request.resume();
    await heard(request, 'close');
    expect(source.destroyedWith).toEqual([]);
  });

  it('comes in order to who listens from the start', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    let body = '';
    request[kRun](() => request.on('data', (chunk) => (body += chunk)), null, 0, 0);
    for (const piece of ['a', 'b', 'c']) {
      request[kPushBody](Buffer.from(piece));
      await turn();
    }
    expect([body, source.consumed]).toEqual(['abc', 3]);
    request[kEndBody]([]);
    await heard(request, 'end');
    expect(request.complete).toBe(true);
  });

  it('runs every event in the scope of the request', async () => {
    const storage = new AsyncLocalStorage<string>();
    const { request } = makeRequest({ isStreamed: true });
    const seen: unknown[] = [];
    request[kRun](
      () => {
        storage.enterWith('mine');
        request.on('data', () => seen.push(storage.getStore()));
        request.on('end', () => seen.push(storage.getStore()));
      },
      null,
      0,
      0,
    );
    const before = executionAsyncId();
    expect(storage.getStore()).toBe(undefined);
    await storage.run('another', async () => {
      request[kPushBody](Buffer.from('x'));
      await turn();
      request[kEndBody]([]);
      await heard(request, 'end');
    });
    expect(seen).not.toContain('another');
    expect(executionAsyncId()).not.toBe(-before);
  });
});

describe('a request that is cut', () => {
  it('says aborted, ECONNRESET and close', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    let seen: string[] = [];
    request[kRun](() => (seen = record(request, EVENTS)), null, 0, 0);
    request[kPushBody](Buffer.from('part'));
    await turn();
    source.close();
    request[kConnectionClosed]();
    expect(request.aborted).toBe(true);
    await heard(request, 'close');
    expect(seen).toEqual(['data', 'aborted', 'error ECONNRESET', 'close']);
    expect(request.complete).toBe(false);
  });

  it('has no error where nobody listens for one', async () => {
    const { request, source } = makeRequest();
    let seen: string[] = [];
    request[kRun](() => (seen = record(request, ['aborted', 'close'])), null, 0, 0);
    source.close();
    request[kConnectionClosed]();
    await heard(request, 'close');
    expect(seen).toEqual(['aborted', 'close']);
    expect((request.errored as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });

  it('stays as it was where it had been read to its end', async () => {
    const { request, source } = makeRequest({ body: 'all' });
    request[kRun](() => request.resume(), null, 0, 0);
    await heard(request, 'close');
    const seen = record(request, EVENTS);
    source.close();
    request[kConnectionClosed]();
    await turn();
    expect(seen).toEqual([]);
    expect(request.aborted).toBe(false);
  });

  it('hears of it by a listener that was only prepended', async () => {
    const { request, source } = makeRequest();
    const seen: string[] = [];
    request[kRun](() => request.prependListener('aborted', () => seen.push('aborted')), null, 0, 0);
    source.close();
    request[kConnectionClosed]();
    expect(seen).toEqual(['aborted']);
  });
});

describe('destroy', () => {
  it('takes the connection with it', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    let seen: string[] = [];
    request[kRun](() => (seen = record(request, EVENTS)), null, 0, 0);
    const error = Object.assign(new Error('mine'), { code: 'MINE' });
    request.destroy(error);
    expect(seen).toEqual(['aborted']);
    await heard(request, 'close');
    expect(source.destroyedWith).toEqual([error]);
    expect(seen).toEqual(['aborted', 'error MINE', 'close']);
    expect(source.sockets).toBe(0);
  });

  it('leaves the connection alone after the end', async () => {
    const { request, source } = makeRequest();
    request[kRun](() => request.resume(), null, 0, 0);
    await heard(request, 'end');
    request.destroy();
    await turn();
    expect(source.destroyedWith).toEqual([]);
    expect(request.aborted).toBe(false);
  });

  it('leaves the connection alone where a pipeline has failed', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    request[kRun](() => {}, null, 0, 0);
    const sink = new PassThrough();
    const over = pipeline(request, sink);
    request[kPushBody](Buffer.from('x'));
    await turn();
    sink.destroy(new Error('sink'));
    await expect(over).rejects.toThrow('sink');
    expect(source.destroyedWith).toEqual([]);
    request[kPushBody](Buffer.alloc(50));
    expect(source.consumed).toBe(51);
  });

  it('tells `finished` of a premature close', async () => {
    const { request, source } = makeRequest({ isStreamed: true });
    request[kRun](() => {}, null, 0, 0);
    const told = new Promise((resolve) => finished(request, resolve));
    request.destroy();
    source.close();
    expect(await told).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
  });
});

describe('signal', () => {
  it('aborts with the connection, not after the response; where node has it', () => {
    const cut = makeRequest().request as IncomingMessage & { signal: AbortSignal };
    cut[kRun](() => {}, null, 0, 0);
    if (!('signal' in http.IncomingMessage.prototype)) {
      expect(cut.signal).toBe(undefined);
      return;
    }
    expect(cut.signal.aborted).toBe(false);
    cut[kConnectionClosed]();
    expect(cut.signal.aborted).toBe(true);
    const done = makeRequest().request as IncomingMessage & { signal: AbortSignal };
    done[kArrived]();
    expect(done.signal).toBe(done.signal);
    done[kResponseDone]();
    done[kConnectionClosed]();
    expect(done.signal.aborted).toBe(false);
  });
});
