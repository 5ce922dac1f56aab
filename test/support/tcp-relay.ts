/** A way to a server that a test can cut. */
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';

export interface TcpRelay {
  /** The server's url, by this way. */
  readonly url: string;
  /** Ends all connections, both ways; new ones are taken. */
  cut(): void;
  close(): Promise<void>;
}

export async function openRelay(serverUrl: string): Promise<TcpRelay> {
  const url = new URL(serverUrl);
  const target = { host: url.hostname, port: Number(url.port) };
  const sockets = new Set<Socket>();
  const hold = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket
      .on('error', () => {})
      .on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
  };
  const server = net.createServer((near) => {
    const far = net.connect(target);
    hold(near, far);
    hold(far, near);
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const close = async (): Promise<void> => {
    cut();
    server.close();
    await once(server, 'close');
  };
  return { url: url.href, cut, close };
}
