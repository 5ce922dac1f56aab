/** Applications that put their own prototypes under req and res, as Express does: what they see is the same, whenever the prototypes come. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { RequestListener, ServerResponse as Response, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import ours from '../../../lib/drop-in/http.js';
import { nodeMajor } from '../../support/drop-in.js';
import { RawClient } from '../../support/raw-client.js';

const { createServer, IncomingMessage, ServerResponse } = ours as unknown as typeof import('node:http');
type Application = RequestListener & { request: object; response: object; before: unknown[][] };

/** Notes which prototypes it found, puts its own, answers with what a method of its response says. */
function application(): Application {
  const app = ((req, res) => {
    app.before.push([Object.getPrototypeOf(req), Object.getPrototypeOf(res)]);
    Object.setPrototypeOf(req, app.request);
    Object.setPrototypeOf(res, app.response);
    (res as unknown as { say(text: string): void }).say((req as unknown as { path: string }).path);
  }) as Application;
  app.before = [];
  app.request = Object.create(IncomingMessage.prototype, {
    path: {
      get(this: { url: string }) {
        return this.url;
      },
    },
  });
  app.response = Object.create(ServerResponse.prototype, {
    say: {
      value(this: Response, text: string) {
        this.setHeader('x-said', text);
        this.end(text);
      },
    },
  });
  return app;
}

const GET = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
let server: Server;
let client: RawClient;

async function ask(paths: string[]): Promise<string[]> {
  client.send(paths.map(GET).join(''));
  return (await client.responses(paths.length)).map(({ body }) => body.toString());
}

async function open(listener: RequestListener): Promise<void> {
  server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = await RawClient.open((server.address() as AddressInfo).port);
}

afterEach(async () => {
  client.socket.destroy();
  server.close();
  await once(server, 'close');
});

describe('an application as the one listener', () => {
  test('gets objects that have its prototypes already, and works as with others', async () => {
    const app = application();
    await open(app);
    expect(await ask(['/a', '/b'])).toEqual(['/a', '/b']);
    expect(app.before).toEqual([
      [app.request, app.response],
      [app.request, app.response],
    ]);
  });

  test('its prototypes may be replaced', async () => {
    const app = application();
    await open(app);
    expect(await ask(['/a'])).toEqual(['/a']);
    const { request, response } = application();
    Object.assign(app, { request, response });
    expect(await ask(['/b'])).toEqual(['/b']);
    expect(app.before[1]).toEqual([request, response]);
  });

  test('contexts are apart, bodies arrive, an aborted request hears of it', async () => {
    const app = application();
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    let aborted: Promise<unknown> | undefined;
    app.response = Object.create(app.response, {
      say: {
        value(this: Response, text: string) {
          seen.push(storage.getStore());
          storage.enterWith(text);
          let body = '';
          this.req.setEncoding('utf8').on('data', (chunk: string) => {
            body += chunk;
          });
          this.req.on('end', () => this.end(`${storage.getStore()} ${body}`));
          this.req.on('error', () => {});
          aborted = new Promise((resolve) => this.req.on('close', resolve));
        },
      },
    });
    await open(app);
    const post = (path: string, body: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    client.send(post('/a', 'one') + post('/b', 'two'));
    expect((await client.responses(2)).map(({ body }) => body.toString())).toEqual(
      // From node 24 on a context that is entered is not that of events which come later.
      nodeMajor < 24 ? ['/a one', '/b two'] : ['undefined one', 'undefined two'],
    );
    expect(seen).toEqual([undefined, undefined]);
    client.send('POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf');
    await expect.poll(() => seen.length).toBe(3);
    client.reset();
    await aborted;
  });
});

test('beside another listener, or behind one, the objects are plain when they come', async () => {
  const app = application();
  const plain = [IncomingMessage.prototype, ServerResponse.prototype];
  await open(app);
  const other = (): void => {};
  server.on('request', other);
  expect(await ask(['/a'])).toEqual(['/a']);
  server.off('request', other);
  expect(await ask(['/b'])).toEqual(['/b']);
  server.off('request', app);
  server.on('request', (req, res) => app(req, res as never));
  expect(await ask(['/c'])).toEqual(['/c']);
  expect(app.before).toEqual([plain, [app.request, app.response], plain]);
});

test('what only looks like an application is none', async () => {
  const listener: RequestListener & { request?: object; response?: object } = (req, res) => {
    res.end(String(Object.getPrototypeOf(req) === IncomingMessage.prototype));
  };
  listener.request = {};
  listener.response = Object.create(ServerResponse.prototype);
  await open(listener);
  expect(await ask(['/'])).toEqual(['true']);
});
