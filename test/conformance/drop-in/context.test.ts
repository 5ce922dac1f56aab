/** Async contexts, hooks and diagnostics channels see what they see on node. */
import { AsyncLocalStorage, createHook, executionAsyncResource, triggerAsyncId } from 'node:async_hooks';
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { harness, implementations, isToldAsOn20 } from '../../support/drop-in.js';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

describe.each(implementations)('contexts on $name', (implementation) => {
  const on = harness(implementation);

  it.each(['one after the other', 'pipelined'])('enterWith leaks into no other request, %s', async (way) => {
    const storage = new AsyncLocalStorage<string>();
    const found: unknown[] = [];
    const pairs: string[] = [];
    const note = (when: string): void => {
      found.push(storage.getStore());
      pairs.push(when);
    };
    const server = await on.serve((req, res) => {
      note('before');
      storage.enterWith(req.url as string);
      setImmediate(() => {
        note('after');
        res.end();
      });
    });
    const client = await on.open(server);
    if (way === 'pipelined') await client.send(get('/1') + get('/2') + get('/3')).responses(3);
    else for (const path of ['/1', '/2', '/3']) await client.send(get(path)).response();
    expect(found.filter((_store, i) => pairs[i] === 'after')).toEqual(['/1', '/2', '/3']);
    // Node before 24 has one resource for all requests of a connection: there the one before shows through.
    if (implementation.backend === 'native') {
      expect(found.filter((_store, i) => pairs[i] === 'before')).toEqual([undefined, undefined, undefined]);
    }
  });

  it('run() holds in the listeners and callbacks of the request', async () => {
    const storage = new AsyncLocalStorage<string>();
    const found: Record<string, unknown> = {};
    const server = await on.serve((req, res) => {
      storage.run(req.url as string, () => {
        const note = (what: string) => () => {
          found[`${what}${req.url}`] = storage.getStore();
        };
        req.on('data', note('data'));
        req.on('end', () => {
          note('end')();
          setImmediate(() => res.end('x', note('written')));
        });
      });
    });
    const client = await on.open(server);
    const post = (path: string): string => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`;
    await client.send(post('/1')).response();
    await client.send(post('/2')).response();
    // The listeners run in the context of the handler on node as well; what matters is that none has the other's.
    for (const [what, store] of Object.entries(found)) expect([undefined, what.slice(-2)]).toContain(store);
    expect(Object.keys(found).sort()).toEqual(['data/1', 'data/2', 'end/1', 'end/2', 'written/1', 'written/2']);
  });

  it('every handler runs in an async resource of its own', async () => {
    const types: string[] = [];
    const resources = new Set<unknown>();
    const hook = createHook({
      init(_id, type) {
        types.push(type);
      },
    }).enable();
    const server = await on.serve((_req, res) => {
      resources.add(executionAsyncResource());
      expect(triggerAsyncId()).toBeGreaterThanOrEqual(0);
      res.end();
    });
    const client = await on.open(server);
    await client.send(get('/1') + get('/2')).responses(2);
    await client.send(get('/3')).response();
    hook.disable();
    // Node has one for all requests of a connection.
    expect(resources.size).toBe(implementation.backend === 'native' ? 3 : 1);
    expect(types.filter((type) => type === 'HTTPINCOMINGMESSAGE').length).toBeGreaterThanOrEqual(1);
  });

  it('diagnostics channels: start, created, finish', async () => {
    const log: string[] = [];
    const seen: Record<string, unknown>[] = [];
    const names = ['http.server.request.start', 'http.server.response.created', 'http.server.response.finish'];
    const server = await on.serve((_req, res) => {
      log.push('handler');
      res.on('finish', () => log.push('finish event'));
      res.end('x');
    });
    const listeners = names.map((name) => {
      const listener = (message: unknown): void => {
        log.push(name);
        seen.push(message as Record<string, unknown>);
      };
      subscribe(name, listener);
      return [name, listener] as const;
    });
    const client = await on.open(server);
    await client.send(get('/')).response();
    await new Promise((resolve) => setImmediate(resolve));
    for (const [name, listener] of listeners) unsubscribe(name, listener);
    const published = seen.map((message) => Object.keys(message).sort());
    expect(log.indexOf('http.server.request.start')).toBeLessThan(log.indexOf('handler'));
    expect(log).toContain('http.server.response.finish');
    const order = log.filter((entry) => names.includes(entry));
    const start = seen[order.indexOf('http.server.request.start')] as Record<string, unknown>;
    expect(start['server']).toBe(server);
    expect((start['request'] as IncomingMessage).url).toBe('/');
    expect((start['response'] as ServerResponse).statusCode).toBe(200);
    if (isToldAsOn20({ log, published }))
      expect({ log, published }).toMatchInlineSnapshot(`
      {
        "log": [
          "http.server.request.start",
          "handler",
          "http.server.response.finish",
          "finish event",
        ],
        "published": [
          [
            "request",
            "response",
            "server",
            "socket",
          ],
          [
            "request",
            "response",
            "server",
            "socket",
          ],
        ],
      }
    `);
    expect(channel('http.server.request.start').hasSubscribers).toBe(false);
  });
});
