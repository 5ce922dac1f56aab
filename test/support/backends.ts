/**
 * One test body, every backend: `describe.each(backends)('...', (backend) => { const start = starter(backend); ... })`.
 *
 * GAMMALOOP_TEST_BACKENDS=node tests that one alone, where the addon cannot be built; otherwise a missing addon fails. After each test every
 * server that it started is closed, and nothing may be left open.
 */
import { afterEach, expect } from 'vitest';
import { type ServeOptions, type Server, serve } from '../../lib/index.js';

export type BackendName = 'node' | 'native';

function listBackends(): BackendName[] {
  const forced = process.env['GAMMALOOP_TEST_BACKENDS'];
  if (forced === undefined || forced === '') return ['node', 'native'];
  return forced.split(',').map((name) => {
    const trimmed = name.trim();
    if (trimmed !== 'node' && trimmed !== 'native') throw new Error(`GAMMALOOP_TEST_BACKENDS: no backend '${trimmed}'`);
    return trimmed;
  });
}

export const backends: BackendName[] = listBackends();

export type Start = (options: Omit<ServeOptions, 'backend'>) => Promise<Server>;

/** Starts servers on `backend` (port 0 of 127.0.0.1 where nothing else is said), and closes and checks them after each test. */
export function starter(backend: BackendName): Start {
  let servers: Server[] = [];
  afterEach(async () => {
    const mine = servers;
    servers = [];
    for (const server of mine) {
      await server.close({ deadline: 0 });
      const { connections, requests } = server.stats();
      expect(connections.open, 'open connections after close').toBe(0);
      expect(connections.closed, 'accepted == closed').toBe(connections.accepted);
      expect(requests.active, 'active requests after close').toBe(0);
      expect(requests.completed + requests.aborted, 'received == completed + aborted').toBe(requests.received);
    }
  });
  return async (options) => {
    const anywhere = options.unix === undefined && options.fd === undefined ? { port: 0, hostname: '127.0.0.1' } : {};
    const server = await serve({ ...anywhere, ...options, backend } as ServeOptions);
    servers.push(server);
    return server;
  };
}

export function portOf(server: Server): number {
  const address = server.address();
  if (typeof address === 'string') throw new Error(`${address} has no port`);
  return address.port;
}
