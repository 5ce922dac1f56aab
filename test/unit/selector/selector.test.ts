/** Selector on every poller of this system. The contract of its native half: test/native/selector_contract.h. */
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { moveOnAfter } from '../../../lib/scope/index.js';
import { Interest, Readiness, Selector, type SelectorOptions, wakeSelector } from '../../../lib/selector/index.js';
import { Pipe, pollers } from './support.js';

const selectors: Selector<unknown>[] = [];
afterEach(() => {
  for (const selector of selectors.splice(0)) selector.close();
});

describe.each(pollers)('a selector over %s', (poller) => {
  function open<T>(options: SelectorOptions = {}): Selector<T> {
    const selector = new Selector<T>({ poller, ...options });
    selectors.push(selector as Selector<unknown>);
    return selector;
  }

  test('has the registrations that it was given', () => {
    const selector = open<string>();
    expect(selector.poller).toBe(poller);
    const pipe = new Pipe();
    const key = selector.register(pipe.readEnd, Interest.Read, 'read end');
    expect(key).toEqual({ fd: pipe.readEnd, file: pipe.readEnd, events: Interest.Read, data: 'read end' });
    expect(selector.getKey(pipe.readEnd)).toBe(key);
    selector.register({ fd: pipe.writeEnd }, Interest.Write, 'write end');
    expect([...selector.getMap().keys()]).toEqual([pipe.readEnd, pipe.writeEnd]);
    expect(selector.modify(pipe.readEnd, Interest.None, 'silent').data).toBe('silent');
    expect(selector.getKey(pipe.readEnd).events).toBe(Interest.None);
    expect(selector.unregister(pipe.readEnd).data).toBe('silent');
    expect([...selector.getMap().keys()]).toEqual([pipe.writeEnd]);
  });

  test('select tells what is ready, with its data, as long as it is', () => {
    const selector = open<string>();
    const pipe = new Pipe();
    const key = selector.register(pipe.readEnd, Interest.Read, 'mine');
    expect(selector.select(0)).toEqual([]);
    expect(selector.select(-1)).toEqual([]);
    pipe.write('hello');
    for (let round = 0; round < 2; round++) {
      expect(selector.select()).toEqual([{ fd: pipe.readEnd, readiness: Readiness.Readable, data: 'mine', key }]);
    }
    expect(pipe.read()).toBe('hello');
    expect(selector.select(0)).toEqual([]);
    selector.register(pipe.writeEnd, Interest.Write);
    expect(selector.select()).toMatchObject([{ fd: pipe.writeEnd, readiness: Readiness.Writable }]);
  });

  test('select waits for the time that it is given', () => {
    const selector = open();
    const waits = Array.from({ length: 5 }, () => {
      const begun = performance.now();
      expect(selector.select(30)).toEqual([]);
      return performance.now() - begun;
    });
    // A signal ends one, and that of a child's end may come now (support.ts).
    expect(Math.max(...waits)).toBeGreaterThanOrEqual(29);
  });

  test('a full batch leaves the rest for the next', () => {
    const selector = open({ batch: 2 });
    const pipes = Array.from({ length: 5 }, () => new Pipe());
    for (const pipe of pipes) {
      selector.register(pipe.readEnd, Interest.Read);
      pipe.write('x');
    }
    const seen = new Set<number>();
    while (seen.size < pipes.length) {
      const events = selector.select(1000);
      expect(events.length).toBeGreaterThan(0);
      expect(events.length).toBeLessThanOrEqual(2);
      for (const { fd } of events) {
        seen.add(fd);
        pipes.find(({ readEnd }) => readEnd === fd)?.read();
      }
    }
  });

  test('refuses by codes', () => {
    const selector = open();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read);
    const code = (name: string) => expect.objectContaining({ code: `ERR_GAMMALOOP_SELECTOR_${name}` });
    expect(() => selector.register(pipe.readEnd, Interest.Read)).toThrow(code('REGISTERED'));
    expect(() => selector.modify(pipe.writeEnd, Interest.Read)).toThrow(code('NOT_REGISTERED'));
    expect(() => selector.unregister(pipe.writeEnd)).toThrow(code('NOT_REGISTERED'));
    expect(() => selector.getKey(pipe.writeEnd)).toThrow(code('NOT_REGISTERED'));
    expect(() => selector.register(987_654, Interest.Read)).toThrow(code('BAD_DESCRIPTOR'));
    const file = openSync(import.meta.filename, 'r');
    expect(() => selector.register(file, Interest.Read)).toThrow(code('NOT_POLLABLE'));
    closeSync(file);
    const option = expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' });
    expect(() => selector.register(-1, Interest.Read)).toThrow(option);
    expect(() => selector.register('1' as never, Interest.Read)).toThrow(option);
    expect(() => selector.register(pipe.writeEnd, 4 as never)).toThrow(option);
    expect(() => selector.select(Number.NaN)).toThrow(option);
    expect(() => selector.select('5' as never)).toThrow(option);
    selector.wake();
    expect(selector.select(null)).toEqual([]);
    expect(() => new Selector({ batch: 0 })).toThrow(option);
    selector.close();
    selector.close();
    expect(selector.closed).toBe(true);
    expect(() => selector.select(0)).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_CLOSED' }));
  });

  test('a descriptor closed behind its back is told once, and forgotten', () => {
    const selector = open<string>();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read, 'lost');
    closeSync(pipe.readEnd);
    let told = selector.select();
    // Ended by a signal (as above).
    while (told.length === 0) told = selector.select();
    expect(told).toMatchObject([{ fd: pipe.readEnd, readiness: Readiness.Closed, data: 'lost' }]);
    expect(selector.getMap().size).toBe(0);
    expect(selector.select(0)).toEqual([]);
  });

  test('one that is closed can be unregistered before it is told', () => {
    const selector = open();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read);
    closeSync(pipe.readEnd);
    expect(selector.unregister(pipe.readEnd).fd).toBe(pipe.readEnd);
    expect(selector.select(0)).toEqual([]);
  });

  test('wake() ends a select that blocks, from another thread', async () => {
    const selector = open();
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./wake-worker.mjs', import.meta.url), {
      execArgv: ['--no-warnings', '--import', new URL('../../support/ts-loader.mjs', import.meta.url).href],
      workerData: { id: selector.id, flag },
    });
    await once(worker, 'message');
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
    expect(selector.select()).toEqual([]);
    await once(worker, 'exit');
    selector.wake();
    expect(selector.select()).toEqual([]);
    const { id } = selector;
    selector.close();
    expect(wakeSelector(id)).toBe(false);
  });

  test('a worker that blocks in select can be terminated', async () => {
    const worker = new Worker(new URL('./blocking-worker.mjs', import.meta.url), {
      execArgv: ['--no-warnings', '--import', new URL('../../support/ts-loader.mjs', import.meta.url).href],
      workerData: poller,
    });
    await once(worker, 'message');
    expect(await worker.terminate()).toBe(1);
  });

  test('is iterated over on the loop: batch by batch, until it is closed', async () => {
    const selector = open<string>();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read, 'a');
    const seen: string[] = [];
    setImmediate(() => pipe.write('1'));
    for await (const events of selector) {
      expect(events).toMatchObject([{ fd: pipe.readEnd, readiness: Readiness.Readable, data: 'a' }]);
      seen.push(pipe.read());
      if (seen.length < 3) setImmediate(() => pipe.write(String(seen.length + 1)));
      else setImmediate(() => selector.close());
    }
    expect(seen).toEqual(['1', '2', '3']);
  });

  test('the loop hears of registrations that are made while it waits', async () => {
    const selector = open<string>();
    const quiet = new Pipe();
    const loud = new Pipe();
    selector.register(quiet.readEnd, Interest.Read);
    loud.write('x');
    setImmediate(() => selector.register(loud.readEnd, Interest.Read, 'loud'));
    for await (const [event] of selector) {
      expect(event?.data).toBe('loud');
      break;
    }
    // Left, it can be iterated over again.
    setImmediate(() => selector.modify(loud.readEnd, Interest.Read, 'louder'));
    for await (const [event] of selector) {
      if (event?.data === 'louder') break;
      expect(event?.data).toBe('loud');
      await new Promise((done) => setImmediate(done));
    }
  });

  test('wake() gives whoever iterates an empty batch', async () => {
    const selector = open();
    setImmediate(() => wakeSelector(selector.id));
    for await (const events of selector) {
      expect(events).toEqual([]);
      break;
    }
  });

  test('wakeSelector() does, from another thread, while the loop sleeps', async () => {
    const selector = open();
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./wake-worker.mjs', import.meta.url), {
      execArgv: ['--no-warnings', '--import', new URL('../../support/ts-loader.mjs', import.meta.url).href],
      workerData: { id: selector.id, flag },
    });
    const exited = once(worker, 'exit');
    await once(worker, 'message');
    setImmediate(() => {
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
    });
    for await (const events of selector) {
      expect(events).toEqual([]);
      break;
    }
    await exited;
  });

  test('while its body runs nothing is collected, and the loop sleeps; then what is ready is told anew', async () => {
    const selector = open<string>();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read, 'a');
    pipe.write('1');
    let batches = 0;
    for await (const [event] of selector) {
      expect(event).toMatchObject({ data: 'a', readiness: Readiness.Readable });
      if (++batches === 3) break;
      // A busy machine may take some of the time away from one look; a loop that does not sleep has none in any.
      const idleMs = async () => {
        const before = performance.eventLoopUtilization();
        await new Promise((resolve) => setTimeout(resolve, 100));
        return performance.eventLoopUtilization(before).idle;
      };
      await expect.poll(idleMs, { timeout: 10_000 }).toBeGreaterThan(50);
    }
    expect(pipe.read()).toBe('1');
  });

  test('a descriptor closed while the loop waits is told', async () => {
    const selector = open();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read);
    setImmediate(() => closeSync(pipe.readEnd));
    for await (const events of selector) {
      expect(events).toMatchObject([{ fd: pipe.readEnd, readiness: Readiness.Closed }]);
      break;
    }
    expect(selector.getMap().size).toBe(0);
  });

  test('iteration is cancelled by a scope; two at a time are refused', async () => {
    const selector = open();
    const outcome = await moveOnAfter(10, async () => {
      const iterate = async () => {
        for await (const _ of selector);
      };
      const first = iterate();
      await expect(iterate()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BUSY_RESOURCE' });
      await first;
    });
    expect(outcome.cancelled).toBe(true);
    // And goes on after.
    setImmediate(() => selector.close());
    for await (const _ of selector);
  });

  test('sockets and their hang-ups', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [peer] = (await once(server, 'connection')) as [Socket];
    const { fd } = (client as unknown as { _handle: { fd: number } })._handle;
    client.pause();
    const selector = open();
    selector.register(fd, Interest.ReadWrite);
    expect(selector.select()).toMatchObject([{ fd, readiness: Readiness.Writable }]);
    selector.modify(fd, Interest.Read);
    await new Promise((done) => peer.write('x', done));
    expect(selector.select()).toMatchObject([{ fd, readiness: Readiness.Readable }]);
    selector.unregister(fd);
    client.destroy();
    peer.destroy();
    server.close();
  });
});
