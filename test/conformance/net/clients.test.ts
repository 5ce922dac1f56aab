/** Database clients and undici with node:net on the engine, against real servers: they open their connections by `net.connect` and know nothing of it. */
import { once } from 'node:events';
import http from 'node:http';
import nodeNet, { type AddressInfo, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { install, uninstall } from '../../../lib/index.js';
import { EngineHandle } from '../../../lib/net/drop-in/handle.js';
import { backends } from '../../support/backends.js';
import { useBroker } from '../../support/use-broker.js';

const CONCURRENT = 200;
const LARGE = 'ä'.repeat(1024 * 1024);

describe.each(backends)('node:net on %s', (backend) => {
  const outer = process.env['GAMMALOOP_BACKEND'];
  beforeAll(() => install({ net: true }));
  afterAll(uninstall);
  beforeEach(() => {
    process.env['GAMMALOOP_BACKEND'] = backend;
  });
  afterEach(() => {
    if (outer === undefined) delete process.env['GAMMALOOP_BACKEND'];
    else process.env['GAMMALOOP_BACKEND'] = outer;
  });
  const expectOurs = (socket: unknown): void => {
    expect((socket as { _handle: unknown })._handle instanceof EngineHandle).toBe(backend === 'native');
  };

  describe('pg', () => {
    const at = useBroker('postgres');
    const config = () => ({ host: '127.0.0.1', port: at.broker.port, user: 'postgres', database: 'postgres' });

    test('queries, in a transaction, large, many at once, and with TLS', async () => {
      const { default: pg } = await import('pg');
      const client = new pg.Client(config());
      await client.connect();
      expectOurs((client as unknown as { connection: { stream: Socket } }).connection.stream);
      await client.query('create temporary table t (id int primary key, text text)');
      await client.query('begin');
      for (let id = 0; id < 50; id++) await client.query('insert into t values ($1, $2)', [id, `row ${id}`]);
      await client.query('commit');
      const { rows } = await client.query('select count(*)::int as n, max(text) as text from t');
      expect(rows).toEqual([{ n: 50, text: 'row 9' }]);
      expect((await client.query('select $1::text as text', [LARGE])).rows[0].text).toBe(LARGE);
      await expect(client.query('select nothing')).rejects.toMatchObject({ code: '42703' });
      await client.end();

      const pool = new pg.Pool({ ...config(), max: 8 });
      const answers = await Promise.all(
        Array.from({ length: CONCURRENT }, (_, i) => pool.query('select $1::int * 2 as n', [i])),
      );
      expect(answers.map((answer) => answer.rows[0].n)).toEqual(Array.from({ length: CONCURRENT }, (_, i) => i * 2));
      await pool.end();

      const secure = new pg.Client({ ...config(), ssl: { rejectUnauthorized: false } });
      await secure.connect();
      const { rows: encrypted } = await secure.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
      expect(encrypted).toEqual([{ ssl: true }]);
      expect((await secure.query('select $1::text as text', [LARGE])).rows[0].text).toBe(LARGE);
      await secure.end();
    });

    test('hears notifications, and of a server that cuts it off', async () => {
      const { default: pg } = await import('pg');
      const [client, other] = [new pg.Client(config()), new pg.Client(config())];
      await client.connect();
      await other.connect();
      await client.query('listen news');
      const heard = once(client, 'notification');
      await other.query("select pg_notify('news', 'hello')");
      expect((await heard)[0]).toMatchObject({ payload: 'hello' });
      const failed = once(client, 'error');
      // It is told twice: what the server said, and that the connection is gone.
      client.on('error', () => {});
      const { rows } = await client.query('select pg_backend_pid() as pid');
      await other.query('select pg_terminate_backend($1)', [rows[0].pid]);
      expect((await failed)[0]).toMatchObject({ code: '57P01' });
      await other.end();
    });
  });

  describe('mysql2', () => {
    const at = useBroker('mariadb');

    test('queries, prepared, large, many at once, and with TLS', async () => {
      const { default: mysql } = await import('mysql2/promise');
      const config = { host: '127.0.0.1', port: at.broker.port, user: 'root' };
      const connection = await mysql.createConnection(config);
      expectOurs((connection as unknown as { connection: { stream: Socket } }).connection.stream);
      const [rows] = await connection.execute('select ? + 1 as n', [41]);
      expect(rows).toEqual([{ n: 42 }]);
      const [large] = await connection.query('select ? as text', [LARGE]);
      expect((large as { text: string }[])[0]?.text).toBe(LARGE);
      await expect(connection.query('select nothing')).rejects.toMatchObject({ code: 'ER_BAD_FIELD_ERROR' });
      await connection.end();

      const pool = mysql.createPool({ ...config, connectionLimit: 8 });
      const answers = await Promise.all(
        Array.from({ length: CONCURRENT }, (_, i) => pool.query('select ? * 2 as n', [i])),
      );
      expect(answers.map(([found]) => (found as { n: number }[])[0]?.n)).toEqual(
        Array.from({ length: CONCURRENT }, (_, i) => i * 2),
      );
      await pool.end();

      const secure = await mysql.createConnection({ ...config, ssl: { rejectUnauthorized: false } });
      const [cipher] = await secure.query("show status like 'Ssl_cipher'");
      expect((cipher as { Value: string }[])[0]?.Value).not.toBe('');
      const [again] = await secure.query('select ? as text', [LARGE]);
      expect((again as { text: string }[])[0]?.text).toBe(LARGE);
      await secure.end();
    });
  });

  describe('ioredis', () => {
    const at = useBroker('redis');

    test('commands, pipelines, subscriptions, and a connection that is lost and made anew', async () => {
      const { Redis } = await import('ioredis');
      const redis = new Redis(at.url);
      const subscriber = new Redis(at.url);
      expect(await redis.set('large', LARGE)).toBe('OK');
      expectOurs((redis as unknown as { stream: Socket }).stream);
      expect(await redis.get('large')).toBe(LARGE);
      const pipeline = redis.pipeline();
      for (let i = 0; i < 10_000; i++) pipeline.set(`key ${i}`, i).get(`key ${i}`);
      const results = (await pipeline.exec()) as [Error | null, unknown][];
      expect(results).toHaveLength(20_000);
      expect(
        results.every(([error], i) => error === null && (i % 2 === 0 || results[i]?.[1] === String((i - 1) / 2))),
      ).toBe(true);
      const numbers = await Promise.all(Array.from({ length: CONCURRENT }, () => redis.incr('counter')));
      expect(new Set(numbers).size).toBe(CONCURRENT);
      await subscriber.subscribe('news');
      const heard = once(subscriber, 'message');
      await redis.publish('news', 'hello');
      expect(await heard).toEqual(['news', 'hello']);
      const again = once(subscriber, 'ready');
      await redis.call('client', 'kill', 'type', 'pubsub');
      await again;
      const heardAgain = once(subscriber, 'message');
      await expect.poll(() => redis.publish('news', 'again')).toBe(1);
      expect(await heardAgain).toEqual(['news', 'again']);
      await Promise.all([redis.quit(), subscriber.quit()]);
    });
  });

  describe('undici', () => {
    test('requests, bodies, pipelining, aborts, and a proxy', async () => {
      const { Client, Pool, ProxyAgent } = await import('undici');
      const server = http.createServer((request, response) => {
        if (request.url === '/never') return;
        if (request.method === 'POST') request.pipe(response);
        else response.end(request.url);
      });
      const sockets: Socket[] = [];
      const proxy = http.createServer().on('connect', (request, socket, head) => {
        const [host, port] = (request.url as string).split(':');
        const onward = nodeNet.connect(Number(port), host as string, () => {
          socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
          onward.write(head);
          onward.pipe(socket).pipe(onward);
        });
        onward.on('error', () => socket.destroy());
        socket.on('error', () => onward.destroy());
        sockets.push(onward);
      });
      const ports = await Promise.all(
        [server, proxy].map(async (each) => {
          each.listen(0, '127.0.0.1');
          await once(each, 'listening');
          return (each.address() as AddressInfo).port;
        }),
      );
      const origin = `http://127.0.0.1:${ports[0]}`;
      const pool = new Pool(origin, { connections: 8, pipelining: 4 });
      const texts = await Promise.all(
        Array.from({ length: CONCURRENT }, async (_, i) => {
          const { body } = await pool.request({ path: `/${i}`, method: 'GET' });
          return body.text();
        }),
      );
      expect(texts).toEqual(Array.from({ length: CONCURRENT }, (_, i) => `/${i}`));
      const { body } = await pool.request({ path: '/', method: 'POST', body: LARGE });
      expect(await body.text()).toBe(LARGE);
      const client = new Client(origin);
      await expect(
        client.request({ path: '/never', method: 'GET', signal: AbortSignal.timeout(50) }),
      ).rejects.toMatchObject({ name: 'TimeoutError' });
      const agent = new ProxyAgent({ uri: `http://127.0.0.1:${ports[1]}`, proxyTunnel: true });
      const through = await (await import('undici')).request(`${origin}/through`, { dispatcher: agent });
      expect(await through.body.text()).toBe('/through');
      expect(sockets).toHaveLength(1);
      expectOurs(sockets[0]);
      await Promise.all([pool.close(), client.destroy(), agent.close()]);
      server.closeAllConnections();
      proxy.closeAllConnections();
      await Promise.all([server, proxy].map((each) => new Promise((resolve) => each.close(resolve))));
    });
  });
});
