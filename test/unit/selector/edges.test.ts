/**
 * Selector where it is used in unusual ways, beside what Python's `selectors` does there (Lib/test/test_selectors.py); on every poller of this system.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import {
  addReader,
  Interest,
  Readiness,
  type ReadyEvent,
  removeReader,
  Selector,
} from '../../../lib/selector/index.js';
import { Pipe, pollers } from './support.js';

const selectors: Selector<unknown>[] = [];
afterEach(() => {
  for (const selector of selectors.splice(0)) selector.close();
});

const coded = (code: string) => expect.objectContaining({ code: `ERR_GAMMALOOP_${code}` });

describe.each(pollers)('a selector over %s', (poller) => {
  function open<T>(): Selector<T> {
    const selector = new Selector<T>({ poller });
    selectors.push(selector as Selector<unknown>);
    return selector;
  }

  /** A signal ends a select early (support.ts starts processes). */
  function selectSome<T>(selector: Selector<T>): ReadyEvent<T>[] {
    for (;;) {
      const events = selector.select();
      if (events.length > 0) return events;
    }
  }

  test('registers for something; that can be paused, and goes on', () => {
    const selector = open();
    const pipe = new Pipe();
    expect(() => selector.register(pipe.readEnd, Interest.None)).toThrow(coded('OPTION'));
    expect(selector.getMap().size).toBe(0);
    selector.register(pipe.readEnd, Interest.Read);
    pipe.write('x');
    selector.modify(pipe.readEnd, Interest.None);
    expect(selector.select(0)).toEqual([]);
    selector.modify(pipe.readEnd, Interest.Read);
    expect(selectSome(selector)).toMatchObject([{ fd: pipe.readEnd, readiness: Readiness.Readable }]);
  });

  test('the second registration of a descriptor is refused, and changes nothing', () => {
    const selector = open<string>();
    const pipe = new Pipe();
    const key = selector.register({ fd: pipe.readEnd }, Interest.Read, 'first');
    expect(() => selector.register(pipe.readEnd, Interest.Write, 'second')).toThrow(coded('SELECTOR_REGISTERED'));
    expect(selector.getKey(pipe.readEnd)).toBe(key);
    expect(selector.unregister(pipe.readEnd)).toBe(key);
    expect(() => selector.unregister(pipe.readEnd)).toThrow(coded('SELECTOR_NOT_REGISTERED'));
    expect(selector.register(pipe.readEnd, Interest.Read, 'anew').data).toBe('anew');
  });

  test('what modify changes: events, data, both, nothing', () => {
    const selector = open<string>();
    const pipe = new Pipe();
    const file = { fd: pipe.writeEnd };
    selector.register(file, Interest.Read, 'a');
    expect(selector.modify(pipe.writeEnd, Interest.Write, 'a')).toEqual({ fd: file.fd, file, events: 2, data: 'a' });
    expect(selectSome(selector)).toMatchObject([{ readiness: Readiness.Writable, data: 'a' }]);
    expect(selector.modify(file, Interest.Write, 'b').file).toBe(file);
    expect(selectSome(selector)).toMatchObject([{ readiness: Readiness.Writable, data: 'b' }]);
    expect(selector.modify(file, Interest.Write, 'b')).toEqual(selector.getKey(file));
    expect(selectSome(selector)).toMatchObject([{ readiness: Readiness.Writable, data: 'b' }]);
    expect(selector.modify(file, Interest.Write).data).toBeUndefined();
  });

  test('an object is known by itself when it has no descriptor any more', async () => {
    const selector = open<string>();
    const pipe = new Pipe();
    const path = `/dev/fd/${pipe.readEnd}`;
    const handle = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { fd } = handle;
    expect(selector.register(handle, Interest.Read, 'mine').file).toBe(handle);
    await handle.close();
    expect(handle.fd).toBe(-1);
    expect(selector.getKey(handle).fd).toBe(fd);
    expect(selector.unregister(handle)).toMatchObject({ fd, data: 'mine' });
    expect(() => selector.unregister(handle)).toThrow(coded('OPTION'));
    expect(() => selector.register(handle, Interest.Read)).toThrow(coded('OPTION'));
  });

  test('the map is live, and empty once the selector is closed', () => {
    const selector = open();
    const map = selector.getMap();
    const pipe = new Pipe();
    const key = selector.register(pipe.readEnd, Interest.Read);
    expect([...map]).toEqual([[pipe.readEnd, key]]);
    selector.close();
    expect(map.size).toBe(0);
    expect(selector.getMap()).toBe(map);
    const calls: (() => unknown)[] = [
      () => selector.register(pipe.readEnd, Interest.Read),
      () => selector.modify(pipe.readEnd, Interest.Read),
      () => selector.unregister(pipe.readEnd),
      () => selector.getKey(pipe.readEnd),
      () => selector.wake(),
      () => selector.ref(),
      () => selector.unref(),
      () => selector.id,
      () => selector.poller,
    ];
    for (const call of calls) expect(call).toThrow(coded('CLOSED'));
  });

  test('`using` closes it', () => {
    const selector = open();
    selector[Symbol.dispose]();
    expect(selector.closed).toBe(true);
  });

  test('with nothing registered select waits for its time, or for wake()', () => {
    const selector = open();
    for (const timeout of [0, -0, -1, Number.NEGATIVE_INFINITY, 0.2]) expect(selector.select(timeout)).toEqual([]);
    for (const timeout of [Number.POSITIVE_INFINITY, undefined, null, 2 ** 40]) {
      selector.wake();
      expect(selector.select(timeout)).toEqual([]);
    }
    for (const wrong of [Number.NaN, '1', 1n, {}, true]) {
      expect(() => selector.select(wrong as never)).toThrow(coded('OPTION'));
    }
  });

  test('many wake-ups before a select end one, and do not hide what is ready', () => {
    const selector = open();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read);
    for (let i = 0; i < 3; i++) selector.wake();
    expect(selector.select()).toEqual([]);
    pipe.write('x');
    for (let i = 0; i < 3; i++) selector.wake();
    // Were one left over, a select would be empty.
    for (let round = 0; round < 3; round++) {
      expect(selectSome(selector)).toMatchObject([{ fd: pipe.readEnd, readiness: Readiness.Readable }]);
    }
  });

  test('a batch stays as it was collected while its descriptors are unregistered', () => {
    const selector = open<number>();
    const pipes = [new Pipe(), new Pipe(), new Pipe()];
    for (const [index, pipe] of pipes.entries()) {
      selector.register(pipe.readEnd, Interest.Read, index);
      pipe.write('x');
    }
    const told: number[] = [];
    for (const { data } of selectSome(selector)) {
      told.push(data);
      for (const { readEnd } of pipes) if (selector.getMap().has(readEnd)) selector.unregister(readEnd);
    }
    expect(told.sort()).toEqual([0, 1, 2]);
    expect(selector.select(0)).toEqual([]);
  });

  test('the end of a pipe is readable, and a pipe that nobody reads is writable: the next call says why', () => {
    const selector = open<string>();
    const ended = new Pipe();
    const broken = new Pipe();
    selector.register(ended.readEnd, Interest.Read, 'ended');
    closeSync(ended.writeEnd);
    const [end] = selectSome(selector);
    expect((end?.readiness ?? 0) & Readiness.Readable).toBe(Readiness.Readable);
    selector.unregister(ended.readEnd);
    selector.register(broken.writeEnd, Interest.Write, 'broken');
    closeSync(broken.readEnd);
    const [event] = selectSome(selector);
    expect((event?.readiness ?? 0) & ~Readiness.Hangup).toBe(Readiness.Writable | Readiness.Error);
    expect(() => broken.write('x')).toThrow(expect.objectContaining({ code: 'EPIPE' }));
  });

  test('modify of one that was closed is refused, and it is still told', () => {
    const selector = open();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read);
    closeSync(pipe.readEnd);
    expect(() => selector.modify(pipe.readEnd, Interest.ReadWrite)).toThrow(coded('SELECTOR_BAD_DESCRIPTOR'));
    expect(selector.getKey(pipe.readEnd).events).toBe(Interest.Read);
    expect(selectSome(selector)).toMatchObject([{ fd: pipe.readEnd, readiness: Readiness.Closed }]);
    expect(selector.getMap().size).toBe(0);
  });

  test('select beside an iteration: each tells what is ready', async () => {
    const selector = open<string>();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read, 'a');
    const batches = selector[Symbol.asyncIterator]();
    const next = batches.next();
    expect(selector.select(0)).toEqual([]);
    pipe.write('x');
    expect(selectSome(selector)).toMatchObject([{ data: 'a' }]);
    expect(await next).toMatchObject({ done: false, value: [{ data: 'a' }] });
    expect(selectSome(selector)).toMatchObject([{ data: 'a' }]);
    pipe.read();
    const another = batches.next();
    pipe.write('y');
    expect(await another).toMatchObject({ done: false, value: [{ data: 'a' }] });
    await batches.return();
  });

  test('an iteration that waits is ended by return(), by close(), and by close() in its body', async () => {
    const selector = open();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read);
    const left = selector[Symbol.asyncIterator]();
    const waiting = left.next();
    expect(await left.return()).toEqual({ done: true, value: undefined });
    expect(await waiting).toEqual({ done: true, value: undefined });
    const never = selector[Symbol.asyncIterator]();
    expect(await never.return()).toEqual({ done: true, value: undefined });
    expect(await never.next()).toEqual({ done: true, value: undefined });
    // Left, it watches nothing, and can be iterated over again.
    pipe.write('x');
    for await (const events of selector) {
      expect(events).toHaveLength(1);
      break;
    }
    const bodies: number[] = [];
    for await (const events of selector) {
      bodies.push(events.length);
      selector.close();
    }
    expect(bodies).toEqual([1]);
    const closed = open();
    const next = closed[Symbol.asyncIterator]().next();
    closed.close();
    expect(await next).toEqual({ done: true, value: undefined });
    await expect(closed[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_CLOSED' });
  });

  test('a second iteration that was refused does not end the first', async () => {
    const selector = open<string>();
    const pipe = new Pipe();
    selector.register(pipe.readEnd, Interest.Read, 'a');
    const first = selector[Symbol.asyncIterator]();
    const second = selector[Symbol.asyncIterator]();
    const waiting = first.next();
    await expect(second.next()).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BUSY_RESOURCE' });
    await second.return();
    pipe.write('x');
    expect(await waiting).toMatchObject({ value: [{ data: 'a' }] });
    await first.return();
  });
});

test('a reader of a number that was closed and stands for another file: the old one hears of it, the new one reads', async () => {
  const old = new Pipe();
  const told: number[] = [];
  addReader(old.readEnd, (readiness) => told.push(readiness));
  closeSync(old.readEnd);
  expect(() => addReader(old.readEnd, () => {})).toThrow(coded('SELECTOR_BAD_DESCRIPTOR'));
  await new Promise((done) => setImmediate(done));
  expect(told).toEqual([Readiness.Closed]);

  const other = new Pipe();
  addReader(other.readEnd, (readiness) => told.push(readiness));
  closeSync(other.readEnd);
  // The lowest free number is taken.
  const opened: number[] = [];
  do opened.push(openSync(`/dev/fd/${old.writeEnd}`, constants.O_RDONLY | constants.O_NONBLOCK));
  while (opened.at(-1) !== other.readEnd);
  const another = other.readEnd;
  const text = await new Promise<number>((done) => {
    addReader(another, done);
    old.write('x');
  });
  expect(text).toBe(Readiness.Readable);
  await new Promise((done) => setImmediate(done));
  expect(told).toEqual([Readiness.Closed, Readiness.Closed]);
  expect(removeReader(another)).toBe(true);
  for (const fd of opened) closeSync(fd);
});
