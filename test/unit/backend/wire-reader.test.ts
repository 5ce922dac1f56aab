/** Records of wire sessions whose server or connection is gone find nobody, and hurt nobody. */
import { describe, expect, it } from 'vitest';
import type { NativeLoop } from '../../../lib/backend/native-loop.js';
import { WireReader, type WireServer } from '../../../lib/backend/wire.js';
import {
  EXCHANGE_GENERATION_OFFSET,
  EXCHANGE_INDEX_OFFSET,
  WIRE_END,
  WIRE_OPEN,
  WIRE_OPEN_SERVER_OFFSET,
} from '../../../lib/bridge/records.js';
import { createRing } from '../../../lib/bridge/submission-writer.js';

function reader() {
  const ring = createRing(4096);
  const log: string[] = [];
  const server: WireServer = {
    onConnection: ({ index, generation }) => {
      log.push(`open ${index}.${generation}`);
      const ignore = (): void => {};
      return {
        onRequest: ignore,
        onBody: ignore,
        onBodyEnd: ignore,
        onData: ignore,
        onEnd: () => log.push(`end ${index}.${generation}`),
        onError: ignore,
        onClosed: ignore,
        onFlushed: ignore,
        onIdle: ignore,
        onOutput: ignore,
        onTransport: ignore,
      };
    },
  };
  // Only connections use the loop, when they are written to.
  const wire = new WireReader(undefined as unknown as NativeLoop, ring);
  const dispatch = (opcode: number, index: number, generation: number, word = 0) => {
    ring.words[EXCHANGE_INDEX_OFFSET >>> 2] = index;
    ring.words[EXCHANGE_GENERATION_OFFSET >>> 2] = generation;
    ring.words[WIRE_OPEN_SERVER_OFFSET >>> 2] = word;
    wire.dispatch(opcode, 0, 0, 0);
  };
  return { wire, server, log, dispatch };
}

describe('WireReader', () => {
  it('brings records to the connection they name', () => {
    const { wire, server, log, dispatch } = reader();
    wire.addServer(3, server);
    dispatch(WIRE_OPEN, 7, 1, 3);
    dispatch(WIRE_END, 7, 1);
    dispatch(WIRE_END, 7, 2);
    expect(log).toEqual(['open 7.1', 'end 7.1']);
  });

  it('ignores a connection of a server that was removed, or never was', () => {
    const { wire, server, log, dispatch } = reader();
    wire.addServer(3, server);
    wire.removeServer(3);
    dispatch(WIRE_OPEN, 7, 1, 3);
    dispatch(WIRE_END, 7, 1);
    dispatch(WIRE_OPEN, 8, 1, 9);
    expect(log).toEqual([]);
  });
});
