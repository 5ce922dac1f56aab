/** One test body for node:net itself, gammaloop/net on the engine, and gammaloop/net that fell back. What tests leave open is closed. */
import { once } from 'node:events';
import nodeNet from 'node:net';
import { afterEach, beforeEach } from 'vitest';
import ourNet from '../../lib/net/index.js';

export interface NetImplementation {
  readonly name: string;
  /** Null: node's module itself. */
  readonly backend: 'native' | 'node' | null;
  readonly net: typeof nodeNet;
}

const wanted = (process.env['GAMMALOOP_TEST_BACKENDS'] || 'node,native').split(',');

export const netImplementations: NetImplementation[] = [
  { name: 'node:net', backend: null, net: nodeNet },
  { name: 'gammaloop/net, native', backend: 'native' as const, net: ourNet },
  { name: 'gammaloop/net, node backend', backend: 'node' as const, net: ourNet },
].filter(({ backend }) => backend === null || wanted.includes(backend));

export interface NetHarness {
  serve(options: nodeNet.ServerOpts, listener: (socket: nodeNet.Socket) => void): Promise<nodeNet.Server>;
  connect(server: nodeNet.Server, options?: object): Promise<nodeNet.Socket>;
  /** Both ends of one connection. */
  pair(
    options?: nodeNet.ServerOpts,
    clientOptions?: object,
  ): Promise<{ server: nodeNet.Server; near: nodeNet.Socket; far: nodeNet.Socket }>;
  track<T extends nodeNet.Socket>(socket: T): T;
}

export function netHarness({ backend, net }: NetImplementation): NetHarness {
  let servers: nodeNet.Server[] = [];
  let sockets: nodeNet.Socket[] = [];
  const outer = process.env['GAMMALOOP_BACKEND'];
  beforeEach(() => {
    if (backend !== null) process.env['GAMMALOOP_BACKEND'] = backend;
  });
  afterEach(async () => {
    if (outer === undefined) delete process.env['GAMMALOOP_BACKEND'];
    else process.env['GAMMALOOP_BACKEND'] = outer;
    for (const socket of sockets) socket.destroy();
    for (const server of servers) {
      if (!server.listening) continue;
      await new Promise((resolve) => server.close(resolve));
    }
    servers = [];
    sockets = [];
  });
  const track = <T extends nodeNet.Socket>(socket: T): T => {
    sockets.push(socket);
    return socket;
  };
  const it: NetHarness = {
    track,
    async serve(options, listener) {
      const server = net.createServer(options, (socket) => listener(track(socket)));
      servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    },
    async connect(server, options = {}) {
      const { port } = server.address() as nodeNet.AddressInfo;
      const socket = track(net.connect({ port, host: '127.0.0.1', ...options }));
      await once(socket, 'connect');
      return socket;
    },
    async pair(options = {}, clientOptions = {}) {
      let accepted: (socket: nodeNet.Socket) => void = () => {};
      const far = new Promise<nodeNet.Socket>((resolve) => {
        accepted = resolve;
      });
      const server = await it.serve(options, accepted);
      const near = await it.connect(server, clientOptions);
      return { server, near, far: await far };
    },
  };
  return it;
}
