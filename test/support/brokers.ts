/**
 * Real brokers and databases for the tests: each in a temporary folder, on a free port of 127.0.0.1, ended by whoever started it. Where a server is not installed the tests that
 * need it say which package to install; with CI set they fail.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.js';
import { cert, key } from './tls.js';

export interface Broker {
  readonly url: string;
  readonly port: number;
  /** Where its files are. */
  readonly folder: string;
  /** SIGKILL; its files stay. */
  kill(): Promise<void>;
  /** On the same port, with the same files, after `kill`. */
  restart(): Promise<void>;
  /** Resolves when it has a durable queue of this name on disk. RabbitMQ confirms a quorum queue and its work before: until then kill -9 costs it both. */
  stored(queue: string): Promise<void>;
  /** RabbitMQ: runs rabbitmqctl. */
  control(...args: string[]): void;
  /** Stops the process without ending it (SIGSTOP), and lets it go on. */
  pause(): void;
  resume(): void;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
}

export type BrokerKind = 'nats' | 'redis' | 'amqp' | 'postgres' | 'mariadb';

interface Server {
  readonly command: string;
  readonly package: string;
  readonly scheme: string;
  /** `config`: more lines of its file of settings. */
  start(folder: string, port: number, config: string): Promise<ChildProcess>;
  /** Whether a queue is on disk, where it confirms one before. */
  hasStored?(folder: string, port: number, queue: string): Promise<boolean>;
  control?(folder: string, port: number, args: string[]): void;
  /** What it leaves running. */
  cleanUp?(port: number): void;
  /** What it answers when it takes clients: bytes to send, and what must come back. */
  readonly hello: readonly [string, RegExp];
}

const MAX_PAYLOAD = 16 * 2 ** 20;
const START_TIMEOUT_MS = 60_000;
const STORE_TIMEOUT_MS = 20_000;

/** PostgreSQL does not run as root. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

const servers: Record<BrokerKind, Server> = {
  // Both take anybody as their administrator, and TLS where that is asked for.
  postgres: {
    command: 'postgres',
    package: 'postgresql',
    scheme: 'postgres',
    hello: ['\0\0\0\x17\0\x03\0\0user\0postgres\0\0', /^R/],
    async start(folder, port) {
      const data = join(folder, 'data');
      if (nobody.uid !== undefined) chownSync(folder, nobody.uid, nobody.gid);
      run(join(dirname(pathOf('postgres') as string), 'initdb'), [
        '-D',
        data,
        '-U',
        'postgres',
        '-A',
        'trust',
        '-E',
        'UTF8',
        '--no-sync',
      ]);
      const files = await tlsFiles(folder);
      const settings = [
        `unix_socket_directories=${folder}`,
        'fsync=off',
        'ssl=on',
        `ssl_cert_file=${files.cert}`,
        `ssl_key_file=${files.key}`,
      ];
      const args = [
        '-D',
        data,
        '-h',
        '127.0.0.1',
        '-p',
        String(port),
        ...settings.flatMap((setting) => ['-c', setting]),
      ];
      return launch('postgres', args, folder, {}, nobody);
    },
  },
  mariadb: {
    command: 'mariadbd',
    package: 'mariadb-server',
    scheme: 'mysql',
    hello: ['', /mysql_native_password/],
    async start(folder, port) {
      const data = `--datadir=${join(folder, 'data')}`;
      if (nobody.uid !== undefined) chownSync(folder, nobody.uid, nobody.gid);
      run(pathOf('mariadb-install-db') as string, [
        '--no-defaults',
        data,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
      ]);
      const files = await tlsFiles(folder);
      const settings = [
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        `--socket=${join(folder, 'socket')}`,
        `--pid-file=${join(folder, 'pid')}`,
      ];
      const tls = [`--ssl-cert=${files.cert}`, `--ssl-key=${files.key}`];
      return launch(
        'mariadbd',
        ['--no-defaults', data, ...settings, ...tls, '--max-allowed-packet=64M'],
        folder,
        {},
        nobody,
      );
    },
  },
  nats: {
    command: 'nats-server',
    package: 'nats-server',
    scheme: 'nats',
    hello: ['', /^INFO /],
    async start(folder, port, config) {
      const file = join(folder, 'nats.conf');
      const settings = `max_payload: ${MAX_PAYLOAD}\njetstream { store_dir: "${folder}/jetstream" }\n`;
      await writeFile(file, `${settings}${config}\n`);
      return launch('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-c', file], folder);
    },
  },
  redis: {
    command: 'redis-server',
    package: 'redis-server',
    scheme: 'redis',
    hello: ['PING\r\n', /^\+PONG/],
    async start(folder, port) {
      const settings = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder];
      return launch('redis-server', [...settings, '--save', '', '--appendonly', 'yes'], folder);
    },
  },
  amqp: {
    command: 'rabbitmq-server',
    package: 'rabbitmq-server',
    scheme: 'amqp',
    hello: ['AMQP\0\0\x09\x01', /^\x01\0\0/],
    cleanUp: (port) => {
      spawnSync('epmd', ['-port', String(epmdPort(port)), '-kill'], { stdio: 'ignore' });
    },
    // The list from which quorum queues are recovered: the broker adds to it in memory, and writes it up to some seconds later.
    hasStored: async (folder, port, queue) => {
      const node = `gammaloop${port}@localhost`;
      const list = await readFile(join(folder, 'mnesia', node, 'quorum', node, 'names.dets'), 'latin1');
      return list.includes(`%2F_${queue}`);
    },
    control: (folder, port, args) => {
      const distribution = readFileSync(join(folder, 'distribution'), 'utf8');
      const env = {
        ...process.env,
        HOME: folder,
        RABBITMQ_CTL_ERL_ARGS: `-start_epmd false -erl_epmd_port ${distribution} -dist_listen false`,
      };
      const command = pathOf('rabbitmqctl') as string;
      const { status, stderr } = spawnSync(command, ['-n', `gammaloop${port}@localhost`, ...args], { env });
      if (status !== 0) throw new Error(`rabbitmqctl ${args.join(' ')}: ${stderr}`);
    },
    async start(folder, port, config) {
      const distribution = await freePort();
      await writeFile(join(folder, 'distribution'), String(distribution));
      await writeFile(
        join(folder, 'rabbitmq.conf'),
        `listeners.tcp.1 = 127.0.0.1:${port}\nvm_memory_high_watermark.relative = 0.8\ndisk_free_limit.absolute = 50MB\n${config}\n`,
      );
      await writeFile(join(folder, 'plugins'), '[].\n');
      // A plain erl, without epmd: nothing else finds this node, and it needs to find none.
      return launch('rabbitmq-server', [], folder, {
        HOME: folder,
        // RabbitMQ starts an epmd all the same: on a port of its own, where it can be ended.
        ERL_EPMD_PORT: String(epmdPort(port)),
        ERL_EPMD_ADDRESS: '127.0.0.1',
        RABBITMQ_NODENAME: `gammaloop${port}@localhost`,
        RABBITMQ_DIST_PORT: String(distribution),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `+sbwt none -start_epmd false -erl_epmd_port ${distribution} -kernel inet_dist_use_interface {127,0,0,1}`,
        RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
        RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
        RABBITMQ_LOG_BASE: join(folder, 'log'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
        RABBITMQ_PID_FILE: join(folder, 'pid'),
      });
    },
  },
};

/** A program that sets something up, as who runs the server. */
function run(command: string, args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { ...nobody, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${error?.message ?? stderr}`);
}

async function tlsFiles(folder: string): Promise<{ cert: string; key: string }> {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await writeFile(files.cert, cert);
  await writeFile(files.key, key);
  await chmod(files.key, 0o600);
  if (nobody.uid !== undefined) chownSync(files.key, nobody.uid, nobody.gid);
  return files;
}

/** Below the ports that freePort gives. */
function epmdPort(port: number): number {
  return port - 10_000;
}

/** What to install, or null if the broker is there. */
export function brokerMissing(kind: BrokerKind): string | null {
  const { command, package: name } = servers[kind];
  const found = pathOf(command) !== null;
  return found ? null : `${command} is not installed: apt-get install ${name}`;
}

function pathOf(command: string): string | null {
  // Debian's rabbitmq-server in /usr/sbin changes to a user and a folder of its own; the one behind it does not.
  for (const folder of [
    '/usr/lib/rabbitmq/bin',
    ...postgresFolders(),
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
  ]) {
    try {
      const path = join(folder, command);
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this one.
    }
  }
  return null;
}

/** Debian has PostgreSQL's server in a folder of its version, which is in no PATH. */
function postgresFolders(): string[] {
  try {
    return readdirSync('/usr/lib/postgresql').map((version) => join('/usr/lib/postgresql', version, 'bin'));
  } catch {
    return [];
  }
}

function launch(
  command: string,
  args: string[],
  cwd: string,
  env: Record<string, string> = {},
  user: { uid?: number; gid?: number } = {},
): ChildProcess {
  const path = pathOf(command);
  if (path === null) throw new Error(`${command} is not installed`);
  const output = openSync(join(cwd, 'output'), 'a');
  // A group of its own: rabbitmq-server is a script around the machine that runs it.
  const options = { cwd, env: { ...process.env, ...env }, detached: true, ...user };
  const child = spawn(path, args, { ...options, stdio: ['ignore', output, output] });
  closeSync(output);
  return child;
}

export async function startBroker(kind: BrokerKind, config = ''): Promise<Broker> {
  const missing = brokerMissing(kind);
  if (missing !== null) throw new Error(missing);
  const server = servers[kind];
  const folder = await mkdtemp(join(tmpdir(), `gammaloop-${kind}-`));
  const port = await freePort();
  let child = await server.start(folder, port, config);
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(-(child.pid as number), name);
    } catch {
      // It has ended.
    }
  };
  const end = async (name: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    signal(name);
    await ended;
    // The machine behind the script may take longer, and hold the port.
    while (groupLives(child.pid as number)) await delay(10);
  };
  const onExit = (): void => signal('SIGKILL');
  process.once('exit', onExit);
  const stop = async (): Promise<void> => {
    process.off('exit', onExit);
    await end('SIGKILL');
    server.cleanUp?.(port);
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  await answers(server, port, child).catch(async (error) => {
    const said = readFileSync(join(folder, 'output'), 'utf8').slice(-2000);
    await stop();
    throw new Error(`${error.message}\n${said}`);
  });
  return {
    url: `${server.scheme}://127.0.0.1:${port}`,
    port,
    folder,
    kill: () => end('SIGKILL'),
    restart: async () => {
      child = await server.start(folder, port, config);
      await answers(server, port, child);
    },
    stored: async (queue) => {
      const end = performance.now() + STORE_TIMEOUT_MS;
      while (server.hasStored !== undefined && !(await server.hasStored(folder, port, queue))) {
        if (performance.now() > end) throw new Error(`${server.command} has no queue ${queue} on disk`);
        await delay(20);
      }
    },
    control: (...args) => server.control?.(folder, port, args),
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    stop,
  };
}

function groupLives(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A server says nothing when it is ready: it is asked until it answers. */
async function answers({ hello: [bytes, answer], command }: Server, port: number, child: ChildProcess): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < end) {
    if (child.exitCode !== null) throw new Error(`${command} ended with exit code ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const first = await new Promise<string>((resolve) => {
      socket.once('connect', () => socket.write(bytes, 'latin1'));
      socket.once('data', (chunk) => resolve(chunk.toString('latin1')));
      socket.once('error', () => resolve(''));
      socket.once('close', () => resolve(''));
    });
    socket.destroy();
    if (answer.test(first)) return;
    await delay(20);
  }
  throw new Error(`${command} did not answer within ${START_TIMEOUT_MS} ms`);
}
