import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'undici';
import { describe, expect, it } from 'vitest';
import { Response } from '../../lib/index.js';
import { backends, starter } from '../support/backends.js';

const run = promisify(execFile);
const curl = async (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  run('curl', ['--silent', '--show-error', '--max-time', '15', '--noproxy', '*', ...args], {
    maxBuffer: 64 * 1024 * 1024,
  });

const app = async (request: { method: string; url: string; text(): Promise<string> }): Promise<Response> => {
  const { pathname } = new URL(request.url);
  if (pathname === '/length') return new Response(String((await request.text()).length));
  if (pathname === '/refuse') return new Response('no', { status: 403 });
  if (pathname === '/stream') {
    return new Response(
      new ReadableStream({
        start(controller) {
          for (const part of ['a', 'b', 'c']) controller.enqueue(new TextEncoder().encode(part));
          controller.close();
        },
      }),
    );
  }
  return new Response(`${request.method} ${pathname}`);
};

describe.each(backends)('clients on %s', (backend) => {
  const start = starter(backend);

  it('undici: keep-alive, one connection for 50 requests', async () => {
    const server = await start({ fetch: app });
    const client = new Client(server.url);
    for (let i = 0; i < 50; i++) {
      const { statusCode, body } = await client.request({ method: 'GET', path: `/${i}` });
      expect([statusCode, await body.text()]).toEqual([200, `GET /${i}`]);
    }
    expect(server.stats().connections.accepted).toBe(1);
    await client.close();
  });

  it('undici: 16 deep pipelining', async () => {
    const server = await start({ fetch: app });
    const client = new Client(server.url, { pipelining: 16 });
    const bodies = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const { body } = await client.request({ method: 'GET', path: i % 5 === 0 ? '/stream' : `/${i}` });
        return body.text();
      }),
    );
    expect(bodies).toEqual(Array.from({ length: 200 }, (_, i) => (i % 5 === 0 ? 'abc' : `GET /${i}`)));
    await client.close();
  });

  it('undici: a streamed upload', async () => {
    const server = await start({ fetch: app });
    const client = new Client(server.url);
    const upload = async function* (): AsyncGenerator<Buffer> {
      for (let i = 0; i < 50; i++) yield Buffer.alloc(10_000, 'u');
    };
    const { body } = await client.request({ method: 'POST', path: '/length', body: upload() as never });
    expect(await body.text()).toBe('500000');
    await client.close();
  });

  it('curl: GET, HEAD, --http1.0, and two URLs on one connection', async () => {
    const server = await start({ fetch: app });
    expect((await curl(`${server.url}/a`)).stdout).toBe('GET /a');
    expect((await curl('--http1.0', `${server.url}/a`)).stdout).toBe('GET /a');
    expect((await curl('--http1.0', `${server.url}/stream`)).stdout).toBe('abc');
    expect((await curl('--head', `${server.url}/a`)).stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const before = server.stats().connections.accepted;
    expect((await curl(`${server.url}/a`, `${server.url}/b`)).stdout).toBe('GET /aGET /b');
    expect(server.stats().connections.accepted - before).toBe(1);
  });

  it('curl: -T upload, with Expect and chunked', async () => {
    const server = await start({ fetch: app, limits: { bodyBytes: 10_000_000 } });
    const folder = await mkdtemp(join(tmpdir(), 'gammaloop-curl-'));
    try {
      const file = join(folder, 'upload');
      await writeFile(file, Buffer.alloc(5_000_000, 'f'));
      expect((await curl('-T', file, `${server.url}/length`)).stdout).toBe('5000000');
      expect(
        (await curl('-T', file, '-H', 'Expect: 100-continue', '--expect100-timeout', '10', `${server.url}/length`))
          .stdout,
      ).toBe('5000000');
      expect((await curl('-T', file, '-H', 'Transfer-Encoding: chunked', `${server.url}/length`)).stdout).toBe(
        '5000000',
      );
      const refused = await curl(
        '-T',
        file,
        '-H',
        'Expect: 100-continue',
        '--expect100-timeout',
        '10',
        '-w',
        ' %{http_code} %{size_upload}',
        `${server.url}/refuse`,
      );
      expect(refused.stdout).toBe('no 403 0');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('curl: a body over the limit gets its 413', async () => {
    const server = await start({ fetch: app, limits: { bodyBytes: 1000 } });
    const { stdout } = await curl(
      '--data-binary',
      'x'.repeat(100_000),
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      `${server.url}/length`,
    );
    expect(stdout).toBe('413');
  });
});
