/** Datagram endpoints, on both backends. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type DatagramAddress,
  type DatagramOptions,
  type DatagramProtocol,
  type DatagramTransport,
  openDatagram,
} from '../../../lib/net/index.js';
import { backends } from '../../support/backends.js';
import { UNRESOLVABLE } from '../../support/unresolvable.js';

class Recorder implements DatagramProtocol {
  readonly log: string[] = [];
  readonly data: Buffer[] = [];
  readonly from: DatagramAddress[] = [];
  readonly errors: NodeJS.ErrnoException[] = [];
  transport: DatagramTransport | undefined;
  lost: Error | null | undefined;

  connectionMade(transport: DatagramTransport): void {
    expect(this.transport).toBe(undefined);
    this.transport = transport;
    this.log.push('made');
  }

  datagramReceived(data: Buffer, from: DatagramAddress): void {
    this.data.push(data);
    this.from.push(from);
  }

  errorReceived(error: NodeJS.ErrnoException): void {
    this.errors.push(error);
  }

  pauseWriting(): void {
    this.log.push('pause');
  }

  resumeWriting(): void {
    this.log.push('resume');
  }

  connectionLost(error: Error | null): void {
    expect(this.lost, 'connectionLost comes once').toBe(undefined);
    this.lost = error;
    this.log.push('lost');
  }

  get texts(): string[] {
    return this.data.map(String);
  }
}

describe.each(backends)('datagram endpoints on %s', (backend) => {
  let open: DatagramTransport[] = [];
  afterEach(async () => {
    for (const transport of open) transport.abort();
    open = [];
    await turn();
  });
  const endpoint = async <P extends DatagramProtocol = Recorder>(
    options: DatagramOptions = {},
    protocol: P = new Recorder() as unknown as P,
  ) => {
    const opened = await openDatagram({ hostname: '127.0.0.1', ...options, backend }, () => protocol);
    expect(opened.transport.backend).toBe(backend);
    open.push(opened.transport);
    return opened;
  };
  const until = (check: () => boolean) => expect.poll(check, { timeout: 10_000, interval: 5 }).toBe(true);

  test('send and receive, with the address of the sender', async () => {
    const a = await endpoint();
    const b = await endpoint();
    expect(a.protocol.log).toEqual(['made']);
    expect(a.transport.local).toEqual({ address: '127.0.0.1', port: expect.any(Number), family: 'IPv4' });
    expect(a.transport.remote).toBe(null);
    const bytes = Buffer.from('two');
    a.transport.sendTo('öne', b.transport.local);
    a.transport.sendTo(bytes, b.transport.local);
    a.transport.sendTo('', b.transport.local);
    bytes.fill('x');
    await until(() => b.protocol.data.length === 3);
    expect(b.protocol.texts).toEqual(['öne', 'two', '']);
    expect(b.protocol.from).toEqual(Array(3).fill(a.transport.local));
    b.transport.sendTo('back', b.protocol.from[0]);
    await until(() => a.protocol.data.length === 1);
    expect([a.transport.datagramsSent, a.transport.datagramsReceived]).toEqual([3, 1]);
  });

  test('a thousand in one turn, of every length, arrive whole', async () => {
    const a = await endpoint({ maxQueueBytes: 64 * 1024 * 1024, sendBufferBytes: 4 * 1024 * 1024 });
    const b = await endpoint({ receiveBufferBytes: 8 * 1024 * 1024 });
    const sums = new Set<string>();
    const sumOf = (data: Buffer) => `${data.length} ${data.every((byte) => byte === data.length % 251)}`;
    // The systems' buffers are bounded: a round at a time, each of which is one turn.
    for (let round = 0; round < 20; round++) {
      const before = b.protocol.data.length;
      for (let i = 0; i < 50; i++) {
        const length = round * 50 + i;
        a.transport.sendTo(Buffer.alloc(length, length % 251), b.transport.local);
      }
      await until(() => b.protocol.data.length === before + 50);
    }
    for (const data of b.protocol.data) sums.add(sumOf(data));
    expect(sums.size).toBe(1000);
    for (let length = 0; length < 1000; length++) expect(sums.has(`${length} true`)).toBe(true);
  });

  test('the longest, and one that is longer', async () => {
    const a = await endpoint();
    const b = await endpoint();
    const longest = Buffer.alloc(65_507, 'z');
    a.transport.sendTo(longest, b.transport.local);
    await until(() => b.protocol.data.length === 1);
    expect(b.protocol.data[0]?.equals(longest)).toBe(true);
    expect(() => a.transport.sendTo(Buffer.alloc(65_508), b.transport.local)).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }),
    );
  });

  test('with one peer: nobody else is heard, and its refusals are', async () => {
    const peer = await endpoint();
    const other = await endpoint();
    const { address, port } = peer.transport.local;
    const client = await endpoint({ remote: { hostname: address, port } });
    expect(client.transport.remote).toEqual(peer.transport.local);
    other.transport.sendTo('stranger', client.transport.local);
    client.transport.sendTo('hello');
    await until(() => peer.protocol.data.length === 1);
    peer.transport.sendTo('welcome', peer.protocol.from[0]);
    await until(() => client.protocol.data.length === 1);
    expect(client.protocol.texts).toEqual(['welcome']);
    expect(client.protocol.from).toEqual([peer.transport.local]);
    expect(() => client.transport.sendTo('x', peer.transport.local)).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }),
    );
    peer.transport.close();
    await until(() => peer.protocol.lost === null);
    client.transport.sendTo('anybody?');
    await until(() => client.protocol.errors.length === 1);
    expect(client.protocol.errors[0]).toMatchObject({ code: 'ECONNREFUSED', errno: expect.any(Number) });
    expect(client.transport.isClosing).toBe(false);
  });

  test('IPv6, and both families on one endpoint', async () => {
    const dual = await endpoint({ hostname: '::' });
    const { port } = dual.transport.local;
    const v6 = await endpoint({ hostname: '::1' });
    const v4 = await endpoint();
    v6.transport.sendTo('six', { address: '::1', port });
    v4.transport.sendTo('four', { address: '127.0.0.1', port });
    await until(() => dual.protocol.data.length === 2);
    expect(dual.protocol.texts.sort()).toEqual(['four', 'six']);
    expect(dual.protocol.from.map(({ address }) => address).sort()).toEqual(['::1', '::ffff:127.0.0.1']);
    dual.transport.sendTo('to four', { address: '127.0.0.1', port: v4.transport.local.port });
    await until(() => v4.protocol.data.length === 1);
    expect(v4.protocol.texts).toEqual(['to four']);
  });

  test('pauseReading leaves what comes for later', async () => {
    const a = await endpoint();
    const receiver = new Recorder();
    const b = await endpoint({}, {
      connectionMade: (transport: DatagramTransport) => receiver.connectionMade(transport),
      datagramReceived(data: Buffer, from: DatagramAddress) {
        receiver.datagramReceived(data, from);
        receiver.transport?.pauseReading();
      },
    } as DatagramProtocol);
    for (let i = 0; i < 5; i++) a.transport.sendTo(String(i), b.transport.local);
    await until(() => receiver.data.length === 1);
    await turn();
    await turn();
    expect(receiver.texts).toEqual(['0']);
    for (let i = 2; i <= 5; i++) {
      b.transport.resumeReading();
      await until(() => receiver.data.length === i);
    }
    expect(receiver.texts).toEqual(['0', '1', '2', '3', '4']);
  });

  test('the queue has watermarks and an end', async () => {
    const a = await endpoint({ maxQueueBytes: 10_000 });
    const b = await endpoint();
    a.transport.setWriteBufferLimits({ high: 5000, low: 1000 });
    for (let i = 0; i < 9; i++) a.transport.sendTo(Buffer.alloc(1000), b.transport.local);
    expect(a.transport.writeBufferSize()).toBe(9 * 1008);
    expect(a.protocol.log).toEqual(['made', 'pause']);
    expect(() => a.transport.sendTo(Buffer.alloc(1000), b.transport.local)).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_DATAGRAM_QUEUE', maxQueueBytes: 10_000 }),
    );
    await until(() => a.protocol.log.includes('resume'));
    await until(() => b.protocol.data.length === 9);
    expect(a.transport.writeBufferSize()).toBe(0);
    expect(a.protocol.log).toEqual(['made', 'pause', 'resume']);
  });

  test('close sends what waits; abort does not', async () => {
    const a = await endpoint();
    const b = await endpoint();
    a.transport.sendTo('last', b.transport.local);
    a.transport.close();
    a.transport.close();
    expect(() => a.transport.sendTo('more', b.transport.local)).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_CLOSED' }),
    );
    await until(() => a.protocol.lost === null);
    await until(() => b.protocol.data.length === 1);
    const reason = new Error('mine');
    b.transport.abort(reason);
    b.transport.abort();
    await until(() => b.protocol.lost === reason);
    b.transport.ref().unref();
  });

  test('groups: joined on an interface, by several on one port, and left', async () => {
    const group = '239.255.42.99';
    const first = await endpoint({ hostname: '0.0.0.0', reuseAddr: true });
    const { port } = first.transport.local;
    const second = await endpoint({ hostname: '0.0.0.0', port, reuseAddr: true });
    const sender = await endpoint({ hostname: '0.0.0.0' });
    sender.transport.setMulticastInterface('127.0.0.1');
    sender.transport.setMulticastTTL(0);
    sender.transport.setMulticastLoopback(true);
    for (const { transport } of [first, second]) transport.addMembership(group, '127.0.0.1');
    sender.transport.sendTo('to both', { address: group, port });
    await until(() => first.protocol.data.length === 1 && second.protocol.data.length === 1);
    expect(first.protocol.from[0]).toMatchObject({ address: '127.0.0.1', port: sender.transport.local.port });
    const sendToGroup = async (text: string) => {
      sender.transport.sendTo(text, { address: group, port });
      await until(() => sender.transport.writeBufferSize() === 0);
    };
    await sendToGroup('again');
    await until(() => first.protocol.data.length === 2 && second.protocol.data.length === 2);
    // Linux gives an endpoint on all addresses what another has joined, so both leave.
    for (const { transport } of [first, second]) transport.dropMembership(group, '127.0.0.1');
    await sendToGroup('to nobody');
    first.transport.addMembership(group, '127.0.0.1');
    await sendToGroup('back');
    await until(() => first.protocol.data.length === 3);
    expect(first.protocol.texts).toEqual(['to both', 'again', 'back']);
  });

  test('groups of one source hear nobody else', async () => {
    const group = '232.42.42.42';
    const receiver = await endpoint({ hostname: '0.0.0.0' });
    const { port } = receiver.transport.local;
    receiver.transport.addSourceSpecificMembership('127.0.0.2', group, '127.0.0.1');
    const stranger = await endpoint({ hostname: '127.0.0.1' });
    const source = await endpoint({ hostname: '127.0.0.2' });
    for (const { transport } of [stranger, source]) {
      transport.setMulticastInterface('127.0.0.1');
      transport.sendTo(transport.local.address, { address: group, port });
    }
    await until(() => receiver.protocol.data.length === 1);
    receiver.transport.dropSourceSpecificMembership('127.0.0.2', group, '127.0.0.1');
    source.transport.sendTo('left', { address: group, port });
    source.transport.sendTo('direct', { address: '127.0.0.1', port });
    await until(() => receiver.protocol.data.length === 2);
    expect(receiver.protocol.texts).toEqual(['127.0.0.2', 'direct']);
  });

  test('broadcast has to be allowed', async () => {
    const receiver = await endpoint({ hostname: '0.0.0.0' });
    const sender = await endpoint({ hostname: '0.0.0.0' });
    const everybody = { address: '127.255.255.255', port: receiver.transport.local.port };
    sender.transport.sendTo('not allowed', everybody);
    await until(() => sender.protocol.errors.length === 1);
    expect(sender.protocol.errors[0]).toMatchObject({ code: 'EACCES' });
    sender.transport.setBroadcast(true);
    sender.transport.sendTo('allowed', everybody);
    const other = await endpoint({ hostname: '0.0.0.0', broadcast: true });
    other.transport.sendTo('from the beginning', everybody);
    await until(() => receiver.protocol.data.length === 2);
    expect(receiver.protocol.texts.sort()).toEqual(['allowed', 'from the beginning']);
    other.transport.setBroadcast(false);
    other.transport.sendTo('no more', everybody);
    await until(() => other.protocol.errors.length === 1);
  });

  test("buffers and hops, with the system's refusals", async () => {
    for (const hostname of ['127.0.0.1', '::1']) {
      const { transport } = await endpoint({ hostname, receiveBufferBytes: 10_000, sendBufferBytes: 20_000 });
      expect(transport.getRecvBufferSize()).toBeGreaterThanOrEqual(10_000);
      expect(transport.getSendBufferSize()).toBeGreaterThanOrEqual(20_000);
      transport.setRecvBufferSize(30_000);
      transport.setSendBufferSize(40_000);
      expect(transport.getRecvBufferSize()).toBeGreaterThanOrEqual(30_000);
      expect(transport.getSendBufferSize()).toBeGreaterThanOrEqual(40_000);
      transport.setTTL(1);
      transport.setTTL(255);
      transport.setMulticastTTL(0);
    }
    const { transport } = await endpoint();
    const group = '239.255.42.98';
    transport.addMembership(group, '127.0.0.1');
    const refusals: [() => void, object][] = [
      [() => transport.addMembership(group, '127.0.0.1'), { code: 'EADDRINUSE', syscall: 'addMembership' }],
      [() => transport.dropMembership(group, '192.0.2.77'), { syscall: 'dropMembership' }],
      [() => transport.addMembership('10.0.0.1'), { code: 'EINVAL', syscall: 'addMembership' }],
      [
        () => transport.addSourceSpecificMembership('127.0.0.1', '10.0.0.1'),
        { syscall: 'addSourceSpecificMembership' },
      ],
      [
        () => transport.setMulticastInterface('192.0.2.77'),
        { code: 'EADDRNOTAVAIL', syscall: 'setMulticastInterface' },
      ],
      [() => transport.setMulticastInterface('::1'), { syscall: 'setMulticastInterface' }],
    ];
    for (const [call, expected] of refusals) {
      expect(call).toThrow(expect.objectContaining({ errno: expect.any(Number), ...expected }));
    }
    const wrong: (() => void)[] = [
      () => transport.setTTL(0),
      () => transport.setTTL(256),
      () => transport.setMulticastTTL(1.5),
      () => transport.setMulticastLoopback(1 as never),
      () => transport.setRecvBufferSize(0),
      () => transport.addMembership('nonsense'),
      () => transport.addMembership(group, ''),
      () => transport.addSourceSpecificMembership('', group),
      () => transport.setMulticastInterface(undefined as never),
    ];
    for (const call of wrong) expect(call).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }));
    transport.close();
    for (const call of [
      () => transport.setTTL(1),
      () => transport.getRecvBufferSize(),
      () => transport.addMembership(group),
      () => transport.setMulticastInterface('127.0.0.1'),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_CLOSED' }));
    }
  });

  test("speaks with node's own sockets, and takes names", async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { protocol, transport } = await endpoint({
      remote: { hostname: 'localhost', port: socket.address().port },
    });
    transport.sendTo('from ours');
    const [data, from] = await once(socket, 'message');
    expect(String(data)).toBe('from ours');
    socket.send('from node', from.port, from.address);
    await until(() => protocol.data.length === 1);
    expect(protocol.texts).toEqual(['from node']);
    socket.close();
  });

  test('failures have codes', async () => {
    const { transport } = await endpoint();
    const { port } = transport.local;
    const factory = () => new Recorder();
    await expect(openDatagram({ hostname: '127.0.0.1', port, backend }, factory)).rejects.toMatchObject({
      name: 'ListenError',
      code: 'EADDRINUSE',
      syscall: 'bind',
    });
    await expect(openDatagram({ hostname: UNRESOLVABLE, backend }, factory)).rejects.toMatchObject({
      code: 'ENOTFOUND',
    });
    for (const options of [{ port: -1 }, { hostname: '' }, { remote: { hostname: 'a', port: 0 } }, { what: 1 }]) {
      await expect(openDatagram({ ...options, backend } as never, factory)).rejects.toMatchObject({
        code: 'ERR_GAMMALOOP_OPTION',
      });
    }
    await expect(openDatagram({ backend }, null as never)).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_OPTION' });
    for (const to of [undefined, { address: 'localhost', port: 1 }, { address: '127.0.0.1', port: 0 }]) {
      expect(() => transport.sendTo('x', to)).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }));
    }
    expect(() => transport.sendTo(1 as never, { address: '127.0.0.1', port })).toThrow(
      expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }),
    );
  });

  test('what a handler throws ends the endpoint, and is an uncaughtException', async () => {
    const mine = new Error('mine');
    const thrown = new Promise((resolve) => {
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const listener of others) process.on('uncaughtException', listener);
        resolve(error);
      });
    });
    const a = await endpoint();
    let lost: Error | null | undefined;
    const b = await endpoint({}, {
      datagramReceived() {
        throw mine;
      },
      connectionLost(error: Error | null) {
        lost = error;
      },
    } as DatagramProtocol);
    a.transport.sendTo('x', b.transport.local);
    expect(await thrown).toBe(mine);
    await until(() => lost === mine);
  });
});
