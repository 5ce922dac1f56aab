/** Texts of error messages. */
import type { AbortReason } from '../errors.js';

/** What to do about an errno of listen. */
export const LISTEN_ADVICE: Record<string, string> = {
  EADDRINUSE: 'another server uses this address; stop it, choose another one, or give port 0 for any free port',
  EACCES: 'this user may not bind it; choose a port above 1023 or a directory that you may write to',
  EPERM: 'this user may not bind it; choose a port above 1023 or a directory that you may write to',
  EADDRNOTAVAIL: 'no interface of this machine has the address; give one that it has, or leave `hostname` out',
  ENOTFOUND: 'the name does not resolve; check `hostname`',
  EAI_AGAIN: 'the name server did not answer; check `hostname` or give a literal address',
  EAFNOSUPPORT: 'this machine has no such address family; give an IPv4 address',
  ENOENT: 'the directory of the socket does not exist; create it first',
  ENOTSOCK: 'the descriptor is not a socket; pass one that is bound and listening',
  EBADF: 'the descriptor is not open; pass one that is bound and listening',
  EINVAL: 'the system refused the address or descriptor; check the options',
};

/** What to do about an errno of connect. */
export const CONNECT_ADVICE: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there; start the server, or check address and port',
  ENOENT: 'the socket does not exist; start the server, or check the path',
  ENOTFOUND: 'the name does not resolve; check `hostname`',
  EAI_AGAIN: 'the name server did not answer; check `hostname` or give a literal address',
  ETIMEDOUT: 'nobody answered in time; check the address, or give more `timeout`',
  ENETUNREACH: 'no route leads there; check the address',
  EHOSTUNREACH: 'no route leads there; check the address',
  EADDRNOTAVAIL: 'no port, or no such local address, is free; check `localAddress`',
  EMFILE: 'this process has no descriptor left; close some, or raise its limit',
};

export const ABORT_TEXT: Record<AbortReason, string> = {
  client: 'the client closed the connection',
  'handler-timeout': 'the handler did not answer within timeouts.handler; the client got 503',
  'body-timeout': 'the request body came too slowly; the client got 408',
  'body-invalid': 'the request body is malformed; the client got 400',
  'body-too-large': 'the request body is larger than limits.bodyBytes; the client got 413',
  'server-closing': 'the server closed and its deadline passed',
  local: 'the application destroyed the exchange, or its response broke its own framing',
};

/** By the errno of the system, whatever the poller. */
export const SELECTOR_FAILURES: Record<string, [code: string, what: string]> = {
  EEXIST: ['REGISTERED', 'is registered already; modify it, or unregister it first'],
  ENOENT: ['NOT_REGISTERED', 'is not registered'],
  EPERM: ['NOT_POLLABLE', 'cannot be watched: files and directories have no readiness; read them with node:fs'],
  EBADF: ['BAD_DESCRIPTOR', 'is not open, or was closed since it was registered'],
};

/** ' 127.0.0.1:80', ' [::1]:80', ' /run/socket', ' port 80', or ''. */
export function placeText(address: string | undefined, port: number | undefined): string {
  if (address === undefined || address === '') return port === undefined ? '' : ` port ${port}`;
  if (port === undefined || port < 0) return ` ${address}`;
  return ` ${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** What an error of any kind says. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : describeValue(error);
}

/** A value as an error message shows it: short, on one line, and never the content of an object. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  }
  if (typeof value === 'bigint') {
    return `${value}n`;
  }
  if (typeof value === 'function') {
    return value.name === '' ? 'a function' : `function ${value.name}`;
  }
  if (typeof value === 'object' && value !== null) {
    const name = Array.isArray(value) ? 'Array' : (Object.getPrototypeOf(value)?.constructor?.name ?? 'Object');
    return `an instance of ${name}`;
  }
  return String(value);
}
