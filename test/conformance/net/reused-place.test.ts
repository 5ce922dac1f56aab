/** A connection that is begun while another's end is still on its way gets that one's place in the engine: both are told what is theirs. */
import { describe, expect, test } from 'vitest';
import { connectNative, type NativeTransport } from '../../../lib/net/native-transport.js';
import { backends } from '../../support/backends.js';
import { Recorder, world } from './support.js';

/** Begins something the moment its connection is gone: in the middle of a batch of completions. */
class Starter extends Recorder {
  next = (): void => {};

  override connectionLost(error: Error | null): void {
    super.connectionLost(error);
    this.next();
  }
}

describe.runIf(backends.includes('native'))('places of connections on the native backend', () => {
  const it = world('native');

  test('are told of by two at a time', async () => {
    const { port } = await it.listen(() => new Recorder());
    const begin = (protocol: Recorder): Recorder => {
      connectNative(
        { hostname: '127.0.0.1', port },
        {
          made: (transport) => void (transport as NativeTransport).begin(() => protocol),
          failed: (code) => expect.fail(code),
        },
      );
      return protocol;
    };
    const first = new Starter();
    const second = new Recorder();
    await Promise.all([begin(first).has('made'), begin(second).has('made')]);
    const third = new Recorder();
    first.next = () => void begin(third);
    first.transport?.reset();
    second.transport?.reset();
    await Promise.all([first.has('lost'), second.has('lost'), third.has('made')]);
    third.transport?.abort();
    await third.has('lost');
  });
});
