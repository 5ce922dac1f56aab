/** ASGI's websocket scope, on both backends: connect, accept, receive, send, close, disconnect, denial. */
import { once } from 'node:events';
import { WebSocket } from 'undici';
import { describe, expect, test } from 'vitest';
import { backends, portOf, starter } from '../../support/backends.js';
import { WsClient } from './wire.js';

// biome-ignore lint/suspicious/noExplicitAny: ASGI messages
type Message = any;
type Call = (message?: Message) => Promise<Message>;

describe.each(backends)("ASGI's websocket scope on %s", (backend) => {
  const start = starter(backend);

  async function connect(app: (scope: Message, receive: Call, send: Call) => Promise<void>, protocols: string[] = []) {
    const errors: unknown[] = [];
    const server = await start({
      app: async (scope: Message, receive: Call, send: Call) => {
        if (scope.type === 'websocket') await app(scope, receive, send);
        else if (scope.type === 'lifespan') throw new Error('no lifespan');
      },
      onError: (error) => errors.push(error),
    });
    const socket = new WebSocket(`ws://127.0.0.1:${portOf(server)}/path?x=1`, protocols);
    socket.binaryType = 'arraybuffer';
    return { socket, errors, server };
  }

  test('connect, accept with subprotocol, receive and send text and bytes, close of the application', async () => {
    let scope: Message;
    const received: Message[] = [];
    const over = deferred<void>();
    const { socket, errors } = await connect(
      async (given, receive, send) => {
        scope = given;
        received.push(await receive());
        await send({ type: 'websocket.accept', subprotocol: 'b', headers: [['x-a', 'b']] });
        for (let i = 0; i < 2; i++) {
          const message = await receive();
          received.push(message);
          await send({ type: 'websocket.send', text: message.text, bytes: message.bytes });
        }
        await send({ type: 'websocket.close', code: 3001, reason: 'done' });
        received.push(await receive());
        over.resolve();
      },
      ['a', 'b'],
    );
    await once(socket as never, 'open');
    expect(socket.protocol).toBe('b');
    socket.send('hé');
    const [first] = await once(socket as never, 'message');
    expect(first.data).toBe('hé');
    socket.send(new Uint8Array([1, 2]));
    const [second] = await once(socket as never, 'message');
    expect(new Uint8Array(second.data)).toEqual(new Uint8Array([1, 2]));
    const [close] = await once(socket as never, 'close');
    expect([close.code, close.reason]).toEqual([3001, 'done']);
    await over.promise;
    expect(scope).toMatchObject({ type: 'websocket', scheme: 'ws', path: '/path', subprotocols: ['a', 'b'] });
    expect(scope.method).toBeUndefined();
    expect(received).toEqual([
      { type: 'websocket.connect' },
      { type: 'websocket.receive', text: 'hé', bytes: null },
      { type: 'websocket.receive', text: null, bytes: Buffer.from([1, 2]) },
      { type: 'websocket.disconnect', code: 3001, reason: expect.any(String) },
    ]);
    expect(errors).toEqual([]);
  });

  test('the peer closes: disconnect with its code; sends reject from then on', async () => {
    const over = deferred<Message[]>();
    const { socket } = await connect(async (_scope, receive, send) => {
      await receive();
      await send({ type: 'websocket.accept' });
      const last = await receive();
      const refused = await send({ type: 'websocket.send', text: 'late' }).catch((error) => error.code);
      over.resolve([last, refused]);
    });
    await once(socket as never, 'open');
    socket.close(3500, 'bye');
    const [last, refused] = await over.promise;
    expect(last).toEqual({ type: 'websocket.disconnect', code: 3500, reason: 'bye' });
    expect(refused).toMatch(/^ERR_GAMMALOOP_/);
  });

  test('close before accept is 403; a denial response is sent as it is', async () => {
    const statuses: number[] = [];
    for (const deny of [
      async (send: Call) => send({ type: 'websocket.close' }),
      async (send: Call) => {
        await send({ type: 'websocket.http.response.start', status: 418, headers: [['x-why', 'tea']] });
        await send({ type: 'websocket.http.response.body', body: Buffer.from('no') });
      },
    ]) {
      const { server } = await connect(async (_scope, receive, send) => {
        await receive();
        await deny(send);
      });
      const refusal = await WsClient.open(server).then(
        () => '',
        (error: Error) => error.message,
      );
      statuses.push(Number(/HTTP\/1\.1 (\d+)/.exec(refusal)?.[1]));
    }
    expect(statuses).toEqual([403, 418]);
  });

  test('an application that throws closes with 1011, and is reported', async () => {
    const { socket, errors } = await connect(async (_scope, receive, send) => {
      await receive();
      await send({ type: 'websocket.accept' });
      throw new Error('broken');
    });
    const [close] = await once(socket as never, 'close');
    expect(close.code).toBe(1011);
    expect(errors).toHaveLength(1);
  });
});

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
