import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { request } from 'undici';
import { beforeEach, describe, expect, it } from 'vitest';
import { backends } from '../support/backends.js';
import { DemoProcess, startDemo } from './demo-process.js';

const run = promisify(execFile);
const curl = async (...args: string[]): Promise<string> => {
  const all = ['--silent', '--show-error', '--max-time', '15', '--noproxy', '*', ...args];
  return (await run('curl', all, { maxBuffer: 64 * 1024 * 1024 })).stdout;
};

const READ_ROUTES = ['/', '/json', '/events', '/slow?ms=0', '/block?ms=0', '/stats'];
const STATIC = {
  '/page': 'index.html',
  '/page/style.css': 'style.css',
  '/page/main.js': 'main.js',
  '/page/chart.js': 'chart.js',
};
const PAGE_FOLDER = new URL('../../examples/demo/page/', import.meta.url);

describe.each(backends)('demo on %s', (backend) => {
  describe('routes', () => {
    let demo: DemoProcess;
    beforeEach(async () => {
      demo = await startDemo(backend);
    });

    it('says where it serves, on which backend, and what to try; each line that it prints works', async () => {
      expect(demo.stdout).toContain(`Backend: ${backend}`);
      expect(new URL(demo.url).port).not.toBe('0');
      const lines = demo.stdout.split('\n').filter((line) => line.startsWith('  curl '));
      expect(lines).toHaveLength(6);
      for (const line of lines.filter((each) => !each.includes('/events'))) {
        const words = line.trim().split(' ').slice(1);
        expect(await curl('--fail', ...words.map((word) => word.replaceAll("'", '')))).not.toBe('');
      }
    });

    it('/ is text that lists the routes; browsers are sent to the page', async () => {
      const text = await curl(`${demo.url}/`);
      for (const path of ['/json', '/echo', '/events', '/slow', '/block', '/stats', '/page'])
        expect(text).toContain(`\n${path}`);
      const browser = await request(`${demo.url}/`, {
        headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' },
      });
      expect([browser.statusCode, browser.headers['location'], browser.headers['vary']]).toEqual([
        302,
        '/page',
        'accept',
      ]);
      await browser.body.dump();
    });

    it('/json and /stats are JSON', async () => {
      const { statusCode, headers, body } = await request(`${demo.url}/json`);
      expect([statusCode, headers['content-type']]).toEqual([200, 'application/json']);
      expect(await body.json()).toEqual({ hello: 'world', backend, node: process.version });
      const stats = await demo.stats();
      expect(stats).toMatchObject({ backend, requests: { active: 1, completed: 1, received: 2 }, handlerErrors: 0 });
      expect(stats.connections.open).toBeGreaterThan(0);
    });

    it('the page and its files, as they are on disk, and nothing from elsewhere', async () => {
      expect((await readdir(PAGE_FOLDER)).sort()).toEqual(Object.values(STATIC).sort());
      for (const [path, file] of Object.entries(STATIC)) {
        const { statusCode, headers, body } = await request(demo.url + path);
        const onDisk = await readFile(new URL(file, PAGE_FOLDER), 'utf8');
        expect([path, statusCode, await body.text()]).toEqual([path, 200, onDisk]);
        expect(headers['content-type']).toMatch(/^text\/(html|css|javascript); charset=utf-8$/);
        expect(onDisk.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(/);
      }
      for (const path of ['/page/../server.mjs', '/page/%2e%2e/server.mjs', '/page/..%2fserver.mjs', '/page/']) {
        expect(await curl('--path-as-is', '-o', '/dev/null', '-w', '%{http_code}', demo.url + path)).toBe('404');
      }
    });

    it('HEAD has no body, and the headers of GET', async () => {
      for (const path of [...READ_ROUTES, ...Object.keys(STATIC)]) {
        const head = await request(demo.url + path, { method: 'HEAD' });
        expect([path, head.statusCode, await head.body.text()]).toEqual([path, 200, '']);
        expect(head.headers['content-type']).toBeDefined();
      }
      expect(await curl('--head', `${demo.url}/events`)).toContain('content-type: text/event-stream\r\n');
      await demo.active(0);
    });

    it('404 for what is not there, 405 with allow for other methods', async () => {
      const missing = await request(`${demo.url}/nope`);
      expect([missing.statusCode, await missing.body.text()]).toEqual([
        404,
        'Nothing is at /nope; / lists what is there\n',
      ]);
      for (const path of [...READ_ROUTES, '/page']) {
        const { statusCode, headers, body } = await request(demo.url + path, { method: 'POST', body: 'x' });
        await body.dump();
        expect([path, statusCode, headers['allow']]).toEqual([path, 405, 'GET, HEAD']);
      }
    });

    it('/slow waits, /block blocks, both within bounds', async () => {
      const start = performance.now();
      const [slow, block] = [await curl(`${demo.url}/slow?ms=150`), await curl(`${demo.url}/block?ms=150`)];
      expect([slow, block]).toEqual(['Waited 150 ms\n', 'Blocked the event loop for 150 ms\n']);
      expect(performance.now() - start).toBeGreaterThanOrEqual(298); // a timer may fire up to 1 ms early
      for (const path of [
        '/slow?ms=30001',
        '/slow?ms=-1',
        '/slow?ms=',
        '/slow?ms=1e3',
        '/block?ms=10001',
        '/block?ms=x',
      ]) {
        const { statusCode, body } = await request(demo.url + path);
        expect([path, statusCode]).toEqual([path, 400]);
        expect(await body.text()).toMatch(/^ms must be a whole number from 0 to \d+\n$/);
      }
    });

    it('/slow is given up when its client goes', async () => {
      const controller = new AbortController();
      const response = fetch(`${demo.url}/slow?ms=30000`, { signal: controller.signal });
      await demo.active(1);
      controller.abort();
      await expect(response).rejects.toThrow();
      expect((await demo.active(0)).handlerErrors).toBe(0);
      // A timer that stood still would keep the process for 30 s.
      demo.kill('SIGINT');
      expect([await demo.exited, demo.stderr]).toEqual([0, '']);
    });

    it('/events: one at once, more later, and nothing left when the client goes', async () => {
      const controller = new AbortController();
      const response = await fetch(`${demo.url}/events`, { signal: controller.signal });
      expect(response.headers.get('content-type')).toBe('text/event-stream');
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      let text = '';
      while ((text.match(/^data: .*\n\n/gm) ?? []).length < 3) {
        const { value } = await reader.read();
        text += Buffer.from(value as Uint8Array).toString();
      }
      const events = [...text.matchAll(/^id: (\d+)\ndata: (.*)$/gm)];
      expect(events.map(([, id]) => id)).toEqual(['1', '2', '3']);
      expect(JSON.parse(events[0]?.[2] as string)).toMatchObject({ stats: { backend, requests: { active: 1 } } });
      expect((await demo.stats()).requests.active).toBe(2);
      controller.abort();
      expect((await demo.active(0)).requests.aborted).toBe(1);
      demo.kill('SIGINT');
      expect([await demo.exited, demo.stderr]).toEqual([0, '']);
      expect(demo.stdout).toContain('draining 0 requests');
    });

    it('/echo gives any method its body back, with its type', async () => {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'GET']) {
        const echoed = await request(`${demo.url}/echo`, {
          method,
          body: `by ${method}`,
          headers: { 'content-type': 'text/x-demo' },
        });
        expect([echoed.statusCode, await echoed.body.text()]).toEqual([200, `by ${method}`]);
        expect(echoed.headers['content-type']).toBe('text/x-demo');
      }
      expect(await curl(`${demo.url}/echo`)).toContain('curl -d hello');
      expect(await curl('-X', 'POST', '-w', '%{http_code}', `${demo.url}/echo`)).toBe('200');
      expect(await curl('-d', 'hello', `${demo.url}/echo`)).toBe('hello');
    });

    it('/echo answers while the request is still being sent', async () => {
      const { outgoing, response } = await openEcho(demo.url);
      const chunks = response[Symbol.asyncIterator]();
      for (const text of ['one', 'two', 'three']) {
        if (text !== 'one') outgoing.write(text);
        expect(String((await chunks.next()).value)).toBe(text);
      }
      outgoing.end();
      expect((await chunks.next()).done).toBe(true);
    });

    it('/echo reads no faster than its client does', async () => {
      const total = 96 * 1024 * 1024;
      const { port } = new URL(demo.url);
      const socket = connect(Number(port), '127.0.0.1');
      socket.pause();
      await once(socket, 'connect');
      socket.write(`POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${total}\r\n\r\n`);
      const chunk = Buffer.alloc(1024 * 1024, 'e');
      for (let sent = 0; sent < total; sent += chunk.length) socket.write(chunk);
      // Stands still: over 200 round trips nothing more has come in.
      let received = 0;
      let still = 0;
      while (still < 200) {
        const { bytes } = await demo.stats();
        still = bytes.received - received < 65_536 && received > 0 ? still + 1 : 0;
        if (still === 0) received = bytes.received;
      }
      expect(received).toBeLessThan(total / 2);
      let echoed = -1;
      let head = '';
      for await (const piece of socket as AsyncIterable<Buffer>) {
        if (echoed >= 0) {
          echoed += piece.length;
          continue;
        }
        head += piece.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end >= 0) echoed = head.length - end - 4;
      }
      expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(echoed).toBeGreaterThanOrEqual(total); // and the chunks' framing
      await demo.active(0);
    });

    it('curl uploads a large file to /echo and gets it back', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'gammaloop-demo-'));
      try {
        const [file, back] = [join(folder, 'file'), join(folder, 'back')];
        await writeFile(file, Buffer.from(Array.from({ length: 5_000_000 }, (_, i) => i % 251)));
        await curl('-T', file, '-o', back, `${demo.url}/echo`);
        expect((await readFile(back)).equals(await readFile(file))).toBe(true);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  });

  describe('stopping', () => {
    it.each(['SIGINT', 'SIGTERM'] as const)(
      '%s: requests in flight are answered, event streams end, exit 0',
      async (signal) => {
        const demo = await startDemo(backend);
        const events = fetch(`${demo.url}/events`).then((response) => response.text());
        const slow = fetch(`${demo.url}/slow?ms=2500`);
        await demo.active(2);
        demo.kill(signal);
        await demo.printed(/draining 1 request \(at most 5 s\), ending event streams: 1\n/);
        const response = await slow;
        expect([response.status, await response.text()]).toEqual([200, 'Waited 2500 ms\n']);
        expect(await events).toContain('data: ');
        expect([await demo.exited, demo.stderr]).toEqual([0, '']);
        expect(demo.stdout).toMatch(/\nStopped: 2 in flight finished, 0 cut\n$/);
      },
    );

    it('the same Ctrl-C twice, as npm gives it, is one', async () => {
      const demo = await startDemo(backend);
      const slow = curl(`${demo.url}/slow?ms=2500`);
      await demo.active(1);
      demo.kill('SIGINT');
      await demo.printed(/draining/);
      demo.kill('SIGINT');
      expect([await slow, await demo.exited]).toEqual(['Waited 2500 ms\n', 0]);
    });

    it('a second Ctrl-C exits at once', async () => {
      const demo = await startDemo(backend);
      const never = fetch(`${demo.url}/slow?ms=30000`).catch(() => 'cut');
      await demo.active(1);
      // Again and again: the first ones still count as the same.
      const pressing = setInterval(() => demo.kill('SIGINT'), 50);
      const code = await demo.exited;
      clearInterval(pressing);
      expect([code, await never]).toEqual([130, 'cut']);
      expect(demo.stdout).toContain('draining 1 request ');
      expect(demo.stdout).toContain('SIGINT again: exiting at once');
    });

    it('drains where nobody reads its output any more', async () => {
      const demo = await startDemo(backend);
      const slow = curl(`${demo.url}/slow?ms=2500`);
      await demo.active(1);
      demo.closeStdout();
      demo.kill('SIGTERM');
      expect([await slow, await demo.exited, demo.stderr]).toEqual(['Waited 2500 ms\n', 0, '']);
    });

    it('what takes too long is cut', async () => {
      const demo = await startDemo(backend);
      const never = fetch(`${demo.url}/slow?ms=30000`).catch(() => 'cut');
      await demo.active(1);
      demo.kill('SIGINT');
      expect([await never, await demo.exited, demo.stderr]).toEqual(['cut', 0, '']);
      expect(demo.stdout).toContain('Stopped: 0 in flight finished, 1 cut\n');
    });
  });

  describe('not starting', () => {
    it('a port in use: one line with the way out, exit 1', async () => {
      const first = await startDemo(backend);
      const { port } = new URL(first.url);
      const second = new DemoProcess(backend, { PORT: port });
      expect(await second.exited).toBe(1);
      expect(second.stdout).toBe('');
      expect(second.stderr).toMatch(
        new RegExp(`^Port ${port} is in use\\. Choose another one: PORT=\\d+ npm start .*\\n$`),
      );
    });

    it.each(['http', '-1', '65536', '80.5'])('PORT=%s: one line, exit 1', async (port) => {
      const demo = new DemoProcess(backend, { PORT: port });
      expect([await demo.exited, demo.stdout]).toEqual([1, '']);
      expect(demo.stderr).toMatch(/^PORT must be a whole number from 0 to 65535, not .*\n$/);
    });
  });
});

it('an unknown backend: one line, exit 1', async () => {
  const demo = new DemoProcess('node', { GAMMALOOP_BACKEND: 'netty' });
  expect([await demo.exited, demo.stdout]).toEqual([1, '']);
  expect(demo.stderr).toMatch(/^.*GAMMALOOP_BACKEND.*'native', 'node' or 'auto'.*\n$/);
});

it('runs from any folder', async () => {
  const script = fileURLToPath(new URL('../../examples/demo/server.mjs', import.meta.url));
  const child = execFile(process.execPath, [script], { cwd: tmpdir(), env: { ...process.env, HOST: '', PORT: '0' } });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  child.kill('SIGINT');
  expect((await once(child, 'close'))[0]).toBe(0);
});

/** A POST /echo whose first chunk, 'one', has been sent, and whose response has begun. */
async function openEcho(url: string): Promise<{ outgoing: ClientRequest; response: IncomingMessage }> {
  const outgoing = httpRequest(`${url}/echo`, { method: 'POST' });
  outgoing.write('one');
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { outgoing, response };
}
