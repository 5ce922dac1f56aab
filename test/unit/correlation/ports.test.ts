/** What one port alone has to do, beside the conformance suite. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, test, vi } from 'vitest';
import { createEnvelope, type Envelope } from '../../../lib/correlation/envelope.js';
import { Requester } from '../../../lib/correlation/requester.js';
import { Responder } from '../../../lib/correlation/responder.js';
import { BrokenError, OptionError } from '../../../lib/errors.js';
import { MemoryPort } from '../../../lib/ports/memory.js';
import { ProcessPort } from '../../../lib/ports/process.js';
import { ThreadPort } from '../../../lib/ports/thread.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const message = (subject: string, payload?: unknown) => createEnvelope({ kind: 'request', id: 1, subject, payload });

describe('memory', () => {
  test('requests that follow each other forever starve no timer', async () => {
    const port = new MemoryPort();
    const requester = new Requester(port);
    new Responder(port, 'work', () => 1);
    let goesOn = true;
    const timer = setTimeout(() => {
      goesOn = false;
    }, 5);
    let count = 0;
    while (goesOn && count < 1e6) {
      await requester.request('work');
      count++;
    }
    clearTimeout(timer);
    expect(goesOn).toBe(false);
    await port.close();
  });

  test('groups take turns; those without a group hear everything', async () => {
    const port = new MemoryPort();
    const heard: string[] = [];
    const listen = (name: string, group?: string) =>
      port.subscribe('news', () => heard.push(name), group === undefined ? {} : { group });
    listen('a1', 'a');
    const second = listen('a2', 'a');
    listen('b1', 'b');
    listen('all');
    for (let i = 0; i < 2; i++) port.publish(message('news'));
    expect(heard).toEqual([]);
    await turn();
    expect(heard).toEqual(['a1', 'b1', 'all', 'a2', 'b1', 'all']);
    heard.length = 0;
    second.unsubscribe();
    second.unsubscribe();
    port.publish(message('news'));
    await turn();
    expect(heard).toEqual(['a1', 'b1', 'all']);
    expect(port.stats()).toMatchObject({ published: 3, subscriptions: 3 });
  });

  test('a listener that throws keeps nothing from the others', async () => {
    const port = new MemoryPort();
    const heard: number[] = [];
    const thrown = new Error('in a listener');
    const caught = vi.fn();
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', caught);
    try {
      port.subscribe('news', () => {
        throw thrown;
      });
      port.subscribe('news', () => heard.push(1));
      port.publish(message('news'));
      await turn();
      await turn();
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of before) process.on('uncaughtException', listener);
    }
    expect(heard).toEqual([1]);
    expect(caught.mock.calls[0]?.[0]).toBe(thrown);
  });

  test('what was published before closing arrives; afterwards nothing does', async () => {
    const near = new MemoryPort();
    const far = new MemoryPort({ bus: near });
    const heard: unknown[] = [];
    far.subscribe('news', ({ payload }) => heard.push(payload));
    near.publish(message('news', 1));
    await near.close();
    await turn();
    expect(heard).toEqual([1]);
    far.publish(message('news', 2));
    await far.close();
    await turn();
    expect(heard).toEqual([1]);
    expect(far.closed).toBe(true);
  });

  test('onClose on a closed port is called all the same', async () => {
    const port = new MemoryPort();
    await port.close();
    const heard: unknown[] = [];
    port.onClose((error) => heard.push(error));
    await turn();
    expect(heard).toEqual([undefined]);
  });
});

describe('thread', () => {
  test('other messages on the channel are left alone', async () => {
    const { port1, port2 } = new MessageChannel();
    const near = new ThreadPort(port1);
    const heard: Envelope[] = [];
    near.subscribe('news', (envelope) => heard.push(envelope));
    for (const other of [
      1,
      null,
      'gammaloop/1',
      [],
      ['gammaloop/2'],
      ['gammaloop/1', 'x'],
      ['gammaloop/1', ...Array(10).fill({})],
    ]) {
      port2.postMessage(other);
    }
    const far = new ThreadPort(port2);
    far.publish(message('news', 'ours'));
    await vi.waitFor(() => expect(heard).toHaveLength(1));
    expect(near.stats()).toMatchObject({ unreadable: 1, received: 1 });
    await far.close();
    await near.close();
  });

  test('closing the other side breaks the port', async () => {
    const { port1, port2 } = new MessageChannel();
    const near = new ThreadPort(port1);
    const far = new ThreadPort(port2);
    const broken = new Promise((resolve) => near.onClose(resolve));
    await far.close();
    expect(await broken).toBeInstanceOf(BrokenError);
  });

  test('transfer moves', async () => {
    const { port1, port2 } = new MessageChannel();
    const near = new ThreadPort(port1);
    const far = new ThreadPort(port2);
    const requester = new Requester(near);
    new Responder(far, 'length', ({ payload }) => (payload as Uint8Array).byteLength);
    const [a, b] = [new Uint8Array(1000), new Uint8Array(2000)];
    const lengths = await Promise.all([
      requester.request('length', a, { transfer: [a.buffer] }),
      requester.request('length', b, { transfer: [b.buffer] }),
      // One that fails makes the others go on their own, and they are moved as well.
      requester.request('length', () => {}).catch((error) => error.code),
    ]);
    expect(lengths).toEqual([1000, 2000, 'ERR_GAMMALOOP_PAYLOAD']);
    expect([a.byteLength, b.byteLength]).toEqual([0, 0]);
    await near.close();
    await far.close();
  });

  test('refuses what is no channel', () => {
    expect(() => new ThreadPort({} as never)).toThrow(OptionError);
    expect(() => new ProcessPort({} as never)).toThrow(OptionError);
  });
});

describe('process', () => {
  const idle = fileURLToPath(new URL('./idle-child.mjs', import.meta.url));
  const leaving = fileURLToPath(new URL('./leaving-child.mjs', import.meta.url));

  test('a channel of JSON is refused, with what to do', async () => {
    const child = fork(idle);
    const port = new ProcessPort(child);
    const error = await new Promise<Error | undefined>((resolve) => port.onClose(resolve));
    expect(error).toBeInstanceOf(BrokenError);
    expect(error?.message).toContain("serialization: 'advanced'");
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  test.each([
    ['ends a while after its channel has', 'ends', 'ended with exit code 7'],
    ['only disconnects', 'lives', 'disconnected'],
  ])('a child that %s is reported so', async (_what, what, message) => {
    const child = fork(leaving, [what], { serialization: 'advanced' });
    await once(child, 'message');
    const port = new ProcessPort(child);
    const broken = new Promise<Error | undefined>((resolve) => port.onClose(resolve));
    child.send('leave');
    expect((await broken)?.message).toContain(`the other process ${message}`);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });

  test('the end of the other process, or one that has ended before, breaks the port', async () => {
    const child = fork(idle, { serialization: 'advanced' });
    await once(child, 'message');
    const port = new ProcessPort(child);
    const broken = new Promise<Error | undefined>((resolve) => port.onClose(resolve));
    child.kill('SIGKILL');
    expect((await broken)?.message).toContain('was ended by SIGKILL');
    // One made too late learns it too.
    const late = new ProcessPort(child);
    expect(await new Promise((resolve) => late.onClose(resolve))).toBeInstanceOf(BrokenError);
  });
});
