/** The memory that data of plain protocols comes in on the engine: large while large pieces come, else not. */
import { expect, test } from 'vitest';
import { Recorder, world } from './support.js';

const it = world('native');
const SMALL_BYTES = 64 * 1024;
const LARGE_BYTES = 256 * 1024;

/** Keeps of each piece how much memory stands behind it, and asks for the next message. */
class Measuring extends Recorder {
  readonly memoryBytes = new Set<number>();
  byteCount = 0;

  override dataReceived(data: Buffer): void {
    this.memoryBytes.add(data.buffer.byteLength);
    this.byteCount += data.length;
    super.dataReceived(Buffer.alloc(0));
  }
}

test('lent buffers grow while messages fill half of one, all of them, and are small again after that', async () => {
  const { server, client } = await it.pair(new Measuring(), new Recorder());
  let sent = 0;
  const message = async (byteCount: number) => {
    client.transport?.write(Buffer.alloc(byteCount, sent));
    sent += byteCount;
    await server.until(() => server.byteCount === sent);
  };
  /** Bounded: it is in use after a few buffers, or never. */
  const messagesUntil = async (memoryBytes: number, byteCount: number) => {
    for (let i = 0; i < 500 && !server.memoryBytes.has(memoryBytes); i++) await message(byteCount);
    expect([...server.memoryBytes]).toContain(memoryBytes);
  };
  await messagesUntil(SMALL_BYTES, 4000);
  expect([...server.memoryBytes]).not.toContain(LARGE_BYTES);
  await messagesUntil(LARGE_BYTES, 100_000);
  // What was lent before is used up.
  for (let i = 0; i < 20; i++) await message(100_000);
  server.memoryBytes.clear();
  for (let i = 0; i < 20; i++) await message(100_000);
  expect([...server.memoryBytes]).toEqual([LARGE_BYTES]);
  await messagesUntil(SMALL_BYTES, 4000);
});
