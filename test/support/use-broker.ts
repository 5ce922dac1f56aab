/** A broker for all tests of the surrounding describe. Without its server they are reported as not run, with what to install; with CI set they fail. */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { type Broker, type BrokerKind, brokerMissing, startBroker } from './brokers.js';

const START_LIMIT_MS = 90_000;

export function useBroker(
  kind: BrokerKind | undefined,
  config = '',
): { readonly url: string; readonly broker: Broker } {
  let broker: Broker | undefined;
  const missing = kind === undefined ? null : brokerMissing(kind);
  if (missing !== null) {
    beforeEach(({ skip }) => {
      if ((process.env['CI'] ?? '') !== '') throw new Error(missing);
      skip(missing);
    });
  } else if (kind !== undefined) {
    beforeAll(async () => {
      broker = await startBroker(kind, config);
    }, START_LIMIT_MS);
    afterAll(() => broker?.stop());
  }
  return {
    get url(): string {
      return broker?.url ?? '';
    },
    get broker(): Broker {
      return broker as Broker;
    },
  };
}
