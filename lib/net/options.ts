/** The options of listen and connect, checked; names become addresses. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type BackendChoice, chooseBackend } from '../backend/choose.js';
import type { ListenTarget } from '../backend/contract.js';
import { ConnectError, ListenError, OptionError } from '../errors.js';

export interface ListenOptions {
  /** Default 0: any free one. Exactly one of `port`, `path` and `fd` may be given. */
  port?: number;
  /** An address or a name. Default: all addresses, IPv6 and IPv4. */
  hostname?: string;
  /** Of a unix socket. */
  path?: string;
  /** A socket that listens already. */
  fd?: number;
  /** Default 511. */
  backlog?: number;
  ipv6Only?: boolean;
  reusePort?: boolean;
  /** Open connections; one more is accepted and closed at once. Default 0: no limit. */
  maxConnections?: number;
  backend?: BackendChoice;
}

export interface ConnectOptions {
  port?: number;
  /** An address or a name; a name's addresses are tried one after the other, 250 ms apart (RFC 8305). Default 'localhost'. */
  hostname?: string;
  /** Of a unix socket; in the place of `port`. */
  path?: string;
  localAddress?: string;
  localPort?: number;
  /** Milliseconds from the first attempt on. Default: as long as the system tries. */
  timeout?: number;
  signal?: AbortSignal;
  backend?: BackendChoice;
}

const LISTEN_OPTIONS = [
  'port',
  'hostname',
  'path',
  'fd',
  'backlog',
  'ipv6Only',
  'reusePort',
  'maxConnections',
  'backend',
];
const CONNECT_OPTIONS = ['port', 'hostname', 'path', 'localAddress', 'localPort', 'timeout', 'signal', 'backend'];

export function checkKnown(options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw new OptionError('options', 'an object', options);
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new OptionError(name, `no such option; there are ${known.join(', ')}`);
  }
}

function integer(name: string, value: number | undefined, fallback: number, min: number, max: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new OptionError(name, `an integer from ${min} to ${max}`, value);
  }
  return value;
}

function text(name: string, value: string | undefined): string | undefined {
  if (value !== undefined && (typeof value !== 'string' || value === '')) {
    throw new OptionError(name, 'a text that is not empty', value);
  }
  return value;
}

export interface CheckedListen {
  target: ListenTarget;
  maxConnections: number;
}

export async function checkListen(options: ListenOptions): Promise<CheckedListen> {
  checkKnown(options, LISTEN_OPTIONS);
  const { port, path, fd, ipv6Only = false, reusePort = false } = options;
  if ([port, path, fd].filter((value) => value !== undefined).length > 1) {
    throw new OptionError('port', 'only one of port, path and fd');
  }
  const common = { backlog: integer('backlog', options.backlog, 511, 1, 2 ** 31 - 1), ipv6Only, reusePort };
  const maxConnections = integer('maxConnections', options.maxConnections, 0, 0, 2 ** 31 - 1);
  text('path', path);
  const hostname = text('hostname', options.hostname) ?? '';
  const number = integer('port', port, 0, 0, 65_535);
  integer('fd', fd, 0, 0, 2 ** 31 - 1);
  if (path !== undefined) return { target: { path, ...common }, maxConnections };
  if (fd !== undefined) return { target: { fd, ...common }, maxConnections };
  const literal = literalOf(hostname);
  if (literal === '' || isIP(literal) !== 0)
    return { target: { port: number, hostname: literal, ...common }, maxConnections };
  try {
    const { address } = await lookup(literal);
    return { target: { port: number, hostname: address, ...common }, maxConnections };
  } catch (error) {
    throw new ListenError(resolveFailure(error, literal, number));
  }
}

export interface CheckedConnect {
  /** The addresses of the name, in the order in which they are tried. One for a unix socket. */
  targets: ConnectTarget[];
  timeout: number | undefined;
}

/** One place to connect to. `hostname` is a literal address. */
export interface ConnectTarget {
  hostname?: string;
  port?: number;
  path?: string;
  localAddress?: string;
  localPort?: number;
}

export function checkConnect(options: ConnectOptions): void {
  checkKnown(options, CONNECT_OPTIONS);
  if ((options.port === undefined) === (options.path === undefined)) {
    throw new OptionError('port', 'exactly one of port and path');
  }
  integer('port', options.port, 1, 0, 65_535);
  integer('localPort', options.localPort, 0, 0, 65_535);
  for (const name of ['hostname', 'path', 'localAddress'] as const) text(name, options[name]);
  if (options.localAddress !== undefined && isIP(options.localAddress) === 0) {
    throw new OptionError('localAddress', 'an IPv4 or IPv6 address', options.localAddress);
  }
  const { timeout } = options;
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0)) {
    throw new OptionError('timeout', 'milliseconds, 0 or more', timeout);
  }
}

/** Families take turns, the resolver's first one first (RFC 8305, section 4). */
export async function targetsOf(options: ConnectOptions): Promise<ConnectTarget[]> {
  const { path, port = 0, localAddress, localPort } = options;
  if (path !== undefined) return [{ path }];
  const common = { port, ...(localAddress && { localAddress }), ...(localPort && { localPort }) };
  const hostname = literalOf(options.hostname ?? 'localhost');
  if (isIP(hostname) !== 0) return [{ hostname, ...common }];
  let found: { address: string; family: number }[];
  try {
    found = await lookup(hostname, { all: true, ...(localAddress && { family: isIP(localAddress) }) });
  } catch (error) {
    throw new ConnectError(resolveFailure(error, hostname, port));
  }
  const [first, second] = [6, 4].map((family) => found.filter((entry) => entry.family === family)) as [
    typeof found,
    typeof found,
  ];
  const [preferred, other] = found[0]?.family === 6 ? [first, second] : [second, first];
  const ordered = Array.from({ length: Math.max(preferred.length, other.length) }, (_, i) => [
    preferred[i],
    other[i],
  ]).flat();
  return ordered.filter((entry) => entry !== undefined).map(({ address }) => ({ hostname: address, ...common }));
}

/** Without the brackets of an address in a URL. */
function literalOf(hostname: string): string {
  return hostname.startsWith('[') && hostname.endsWith(']') ? hostname.slice(1, -1) : hostname;
}

function resolveFailure(error: unknown, address: string, port: number) {
  const { code = 'ENOTFOUND', errno, syscall = 'getaddrinfo' } = error as NodeJS.ErrnoException;
  return { code, errno, syscall, address, port, cause: error };
}

/** Which half carries it. */
export async function backendOf(choice: BackendChoice | undefined): Promise<'native' | 'node'> {
  return (await chooseBackend(choice)).name;
}
