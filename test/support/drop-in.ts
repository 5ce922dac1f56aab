/**
 * One test body, every implementation of node:http: node's own, which is the truth, ours on the engine, and ours that fell back to node's.
 *
 *   describe.each(implementations)('... on $name', (implementation) => { const on = harness(implementation); ... });
 */
import nodeHttp from 'node:http';
import nodeHttps from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect } from 'vitest';
import ourHttp from '../../lib/drop-in/http.js';
import ourHttps from '../../lib/drop-in/https.js';
import { dropInStats } from '../../lib/drop-in/stats.js';
import { RawClient } from './raw-client.js';

export interface Implementation {
  readonly name: string;
  /** Where its servers are to run; null: node's module itself. */
  readonly backend: 'native' | 'node' | null;
  readonly http: typeof nodeHttp;
  readonly https: typeof nodeHttps;
}

const wanted = (process.env['GAMMALOOP_TEST_BACKENDS'] || 'node,native').split(',');

export const implementations: Implementation[] = [
  { name: 'node:http', backend: null, http: nodeHttp, https: nodeHttps },
  { name: 'gammaloop/http, native', backend: 'native' as const, http: ourHttp, https: ourHttps },
  { name: 'gammaloop/http, node backend', backend: 'node' as const, http: ourHttp, https: ourHttps },
].filter(({ backend }) => backend === null || wanted.includes(backend));

export interface Harness {
  readonly http: typeof nodeHttp;
  readonly https: typeof nodeHttps;
  /** Listens on a free port of 127.0.0.1. */
  serve(handler: nodeHttp.RequestListener): Promise<nodeHttp.Server>;
  serve(options: nodeHttp.ServerOptions, handler?: nodeHttp.RequestListener): Promise<nodeHttp.Server>;
  /** Closes it after the test. */
  track<T extends nodeHttp.Server | nodeHttps.Server>(server: T): T;
  /** A client of the server, closed after the test. */
  open(server: nodeHttp.Server): Promise<RawClient>;
}

/** Closes what the tests leave open, and checks that the servers ran where they should. */
export function harness({ backend, http, https }: Implementation): Harness {
  let servers: (nodeHttp.Server | nodeHttps.Server)[] = [];
  let clients: RawClient[] = [];
  let before = dropInStats();
  const outer = process.env['GAMMALOOP_BACKEND'];
  beforeEach(() => {
    if (backend !== null) process.env['GAMMALOOP_BACKEND'] = backend;
    before = dropInStats();
  });
  afterEach(async () => {
    if (outer === undefined) delete process.env['GAMMALOOP_BACKEND'];
    else process.env['GAMMALOOP_BACKEND'] = outer;
    for (const client of clients) client.socket.destroy();
    for (const server of servers) {
      if (!server.listening) continue;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    }
    clients = [];
    servers = [];
    const after = dropInStats();
    if (backend === 'native') expect(after.fallback, 'servers that fell back').toEqual(before.fallback);
    if (backend === 'node') expect(after.native, 'native servers').toBe(before.native);
  });
  const track = <T extends nodeHttp.Server | nodeHttps.Server>(server: T): T => {
    servers.push(server);
    return server;
  };
  return {
    http,
    https,
    track,
    async serve(...args: [never]) {
      const server = track(http.createServer(...args));
      await listen(server);
      return server;
    },
    async open(server) {
      const client = await RawClient.open(portOf(server));
      clients.push(client);
      return client;
    },
  };
}

export function listen(server: nodeHttp.Server | nodeHttps.Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}

export function portOf(server: nodeHttp.Server | nodeHttps.Server): number {
  return (server.address() as AddressInfo).port;
}

/** The running node's major version. */
export const nodeMajor = Number.parseInt(process.versions.node, 10);

/** What node:http itself gave, by test and place in it. */
const truths = new Map<string, unknown>();
let place = { test: '', count: 0 };

/**
 * True on node 20: what its servers tell stands in the tests. On another node false, after a comparison of `value` with what node:http itself has
 * told in the same place of the same test (so its turn must come first: run whole files).
 */
export function isToldAsOn20(value: unknown): boolean {
  if (nodeMajor === 20) return true;
  const test = expect.getState().currentTestName ?? '';
  place = { test, count: place.test === test ? place.count + 1 : 0 };
  const own = implementations.find(({ name }) => test.includes(`'${name}'`) || test.includes(name));
  const key = `${test.replace(own?.name ?? '', '')} ${place.count}`;
  if (own?.backend === null) truths.set(key, structuredClone(value));
  else expect(value, 'as told by node:http').toEqual(truths.get(key) ?? 'nothing: run the whole file');
  return false;
}

/** What happened, in order; can be waited for. */
export class EventLog {
  readonly entries: string[] = [];
  #waiting: (() => void)[] = [];

  readonly add = (entry: string): void => {
    this.entries.push(entry);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  };

  /** Adds 'name event' for each of the events; errors with their code. */
  watch(name: string, emitter: NodeJS.EventEmitter, events: string[]): void {
    for (const event of events) {
      emitter.on(event, (argument?: unknown) => {
        const code = (argument as NodeJS.ErrnoException | undefined)?.code;
        this.add(event === 'error' ? `${name} error ${code}` : `${name} ${event}`);
      });
    }
  }

  /** Resolves once the entry is there (`count` times), with all entries. */
  async until(entry: string, count = 1): Promise<string[]> {
    while (this.entries.filter((other) => other === entry).length < count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.entries;
  }
}

/** Lets what is due in this turn of the loop, and the next, happen. */
export async function turns(count = 2): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A promise and what settles it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
