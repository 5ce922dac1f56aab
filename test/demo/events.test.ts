import { afterEach, beforeEach, expect, it, vi } from 'vitest';

interface EventStreams {
  open(): Response;
  end(): number;
}

// JavaScript without types, and on the built package as an application has it.
const { EventStreams } = (await import(new URL('../../examples/demo/events.mjs', import.meta.url).href)) as {
  EventStreams: new (read: () => unknown) => EventStreams;
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});

afterEach(() => {
  vi.useRealTimers();
});

function readerOf(response: Response): { next(): Promise<string | null>; cancel(): Promise<void> } {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  return {
    next: async () => {
      const { done, value } = await reader.read();
      return done ? null : Buffer.from(value as Uint8Array).toString();
    },
    cancel: () => reader.cancel(),
  };
}

it('gives an event at once and one a second, to each listener', async () => {
  const streams = new EventStreams(() => ({ hello: 'world' }));
  const [one, two] = [readerOf(streams.open()), readerOf(streams.open())];
  expect(await one.next()).toBe('retry: 1000\n\nid: 1\ndata: {"hello":"world"}\n\n');
  expect(await two.next()).toBe('retry: 1000\n\nid: 2\ndata: {"hello":"world"}\n\n');
  vi.advanceTimersByTime(1000);
  expect(await one.next()).toBe('id: 3\ndata: {"hello":"world"}\n\n');
  expect(await two.next()).toBe('id: 3\ndata: {"hello":"world"}\n\n');
  expect(streams.end()).toBe(2);
});

it('has one timer while someone listens, and none otherwise', async () => {
  const streams = new EventStreams(() => ({}));
  expect(vi.getTimerCount()).toBe(0);
  const [one, two] = [readerOf(streams.open()), readerOf(streams.open())];
  expect(vi.getTimerCount()).toBe(1);
  await one.cancel();
  expect(vi.getTimerCount()).toBe(1);
  await two.cancel();
  expect(vi.getTimerCount()).toBe(0);
  await readerOf(streams.open()).cancel();
  expect(vi.getTimerCount()).toBe(0);
});

it('keeps nothing for a listener that does not read', async () => {
  let reads = 0;
  const streams = new EventStreams(() => ++reads);
  const slow = readerOf(streams.open());
  vi.advanceTimersByTime(10_000);
  expect(await slow.next()).toContain('data: 1\n');
  vi.advanceTimersByTime(1000);
  expect(await slow.next()).toContain(`data: ${reads}\n`);
  streams.end();
});

it('ends the streams of all, for good', async () => {
  const streams = new EventStreams(() => ({}));
  const one = readerOf(streams.open());
  await one.next();
  expect(streams.end()).toBe(1);
  expect(await one.next()).toBeNull();
  expect(vi.getTimerCount()).toBe(0);
  expect(streams.open().status).toBe(503);
  expect(streams.end()).toBe(0);
});
