/** Credentials and rights, right and wrong: a port that is refused breaks, and its error says what to do. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Requester, Responder } from '../../../lib/correlation/index.js';
import { BrokenError } from '../../../lib/errors.js';
import { AmqpPort } from '../../../lib/ports/amqp.js';
import type { BrokerPort } from '../../../lib/ports/broker.js';
import { NatsPort } from '../../../lib/ports/nats.js';
import { RedisPort } from '../../../lib/ports/redis.js';
import { useBroker } from '../../support/use-broker.js';

const open: BrokerPort[] = [];

afterEach(async () => {
  for (const port of open.splice(0)) await port.close();
});

async function works(port: BrokerPort): Promise<void> {
  open.push(port);
  new Responder(port, 'echo', ({ payload }) => payload);
  expect(await new Requester(port).request('echo', 'in')).toBe('in');
}

/** The port breaks with an error that says `text`; so does who waits, and what follows. */
async function refused(port: BrokerPort, text: string): Promise<void> {
  open.push(port);
  const broken = new Promise<Error | undefined>((resolve) => port.onClose(resolve));
  new Responder(port, 'mine', () => 0);
  const asked = new Requester(port).request('any');
  const error = await broken;
  expect(error).toBeInstanceOf(BrokenError);
  expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_BROKEN', cause: expect.any(Error) });
  expect(error?.message).toContain(text);
  await expect(asked).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_BROKEN', message: error?.message });
  await expect(port.ready()).rejects.toBeInstanceOf(BrokenError);
  expect(() => port.subscribe('more', () => {})).toThrow(BrokenError);
}

describe('NATS with users', () => {
  const rights = '{ publish: "gl.>", subscribe: "other.>" }';
  const server = useBroker(
    'nats',
    `authorization { users: [{ user: al, password: "p@ss" }, { user: low, password: low, permissions: ${rights} }] }`,
  );
  const at = (who: string) => server.url.replace('://', `://${who}@`);

  test('the right password, in the address and in the options', async () => {
    await works(new NatsPort({ servers: at('al:p%40ss') }));
    await works(new NatsPort({ servers: server.url, client: { user: 'al', pass: 'p@ss' }, durable: true }));
  });

  test.each(['al:wrong@', 'nobody:p%40ss@', 'token@', ''])('%j is refused', async (who) => {
    await refused(new NatsPort({ servers: server.url.replace('://', `://${who}`) }), 'nats://user:password@host');
  });

  test('rights that do not suffice', async () => {
    await refused(new NatsPort({ servers: at('low:low') }), 'prefix');
  });
});

describe('NATS with a token', () => {
  const server = useBroker('nats', 'authorization { token: "t0ken" }');

  test('the right one, in the address and in the options', async () => {
    await works(new NatsPort({ servers: server.url.replace('://', '://t0ken@') }));
    await works(new NatsPort({ servers: server.url, client: { token: 't0ken' } }));
  });

  test('a wrong one, and none', async () => {
    await refused(new NatsPort({ servers: server.url.replace('://', '://wrong@') }), 'nats://token@host');
    await refused(new NatsPort({ servers: server.url }), 'nats://token@host');
  });
});

describe('Redis with users', () => {
  const server = useBroker('redis');
  const at = (who: string) => server.url.replace('://', `://${who}@`);

  beforeAll(async () => {
    if (server.url === '') return;
    const redis = new Redis(server.url);
    await redis.acl('SETUSER', 'al', 'on', '>secret', '~*', '&*', '+@all');
    await redis.acl('SETUSER', 'low', 'on', '>low', '~*', '&*', '+@all', '-subscribe');
    await redis.config('SET', 'requirepass', 'master');
    redis.disconnect();
  });

  test('the right password, in the address and in the options', async () => {
    await works(new RedisPort({ url: at('al:secret') }));
    await works(new RedisPort({ url: at(':master') }));
    await works(new RedisPort({ url: server.url, client: { username: 'al', password: 'secret' }, durable: true }));
  });

  test.each(['al:wrong@', 'nobody:secret@', ':wrong@', ''])('%j is refused', async (who) => {
    await refused(new RedisPort({ url: server.url.replace('://', `://${who}`) }), 'redis://user:password@host');
  });

  test('rights that do not suffice', async () => {
    await refused(new RedisPort({ url: at('low:low') }), 'prefix');
  });
});

describe('AMQP with users', () => {
  const server = useBroker('amqp');
  const at = (who: string) => server.url.replace('://', `://${who}@`);

  /** By one run of rabbitmqctl, each of which starts an Erlang machine. */
  const define = (definitions: object): void => {
    const file = join(server.broker.folder, 'definitions.json');
    writeFileSync(file, JSON.stringify(definitions));
    server.broker.control('import_definitions', file);
  };
  const all = { configure: '.*', write: '.*', read: '.*' };

  beforeAll(() => {
    if (server.url === '') return;
    define({
      users: [
        { name: 'al', password: 'secret', tags: '' },
        { name: 'low', password: 'low', tags: '' },
      ],
      permissions: [
        { user: 'al', vhost: '/', ...all },
        { user: 'low', vhost: '/', ...all, configure: '^none' },
      ],
    });
  });

  test('the right password', async () => {
    await works(new AmqpPort({ url: at('al:secret') }));
    await works(new AmqpPort({ url: at('al:secret'), durable: true, prefix: 'credentials' }));
  });

  test.each(['al:wrong', 'nobody:secret'])('%j is refused', async (who) => {
    await refused(new AmqpPort({ url: at(who) }), 'amqp://user:password@host');
  });

  test('a vhost that is not there is waited for, and ready() says so', async () => {
    const port = new AmqpPort({ url: `${at('al:secret')}/later` });
    open.push(port);
    await expect(port.ready(3000)).rejects.toThrow('the vhost is not there');
    define({ vhosts: [{ name: 'later' }], permissions: [{ user: 'al', vhost: 'later', ...all }] });
    await works(port);
  });

  test('rights that do not suffice', async () => {
    await refused(new AmqpPort({ url: at('low:low') }), 'prefix');
  });
});
