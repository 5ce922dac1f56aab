/** The other side of a port, with a requester on this one, for each test of the surrounding describe; at its end nothing is left open. */
import { afterEach, beforeEach, expect } from 'vitest';
import { Requester } from '../../../lib/correlation/index.js';
import { useBroker } from '../../support/use-broker.js';
import type { Link, PortFixture } from './fixtures.js';

export function usePeer(fixture: PortFixture): { readonly link: Link; readonly requester: Requester } {
  const broker = useBroker(fixture.broker);
  let link: Link;
  let requester: Requester;

  beforeEach(async () => {
    link = await fixture.open(broker.url);
    requester = new Requester(link.port, { timeout: 30_000 });
    expect(await requester.request('echo', 'ready')).toBe('ready');
  });

  afterEach(async () => {
    requester.close();
    const { open, streams } = requester.stats();
    expect({ open, streams }).toEqual({ open: 0, streams: 0 });
    await link.stop();
    expect(link.port.stats().subscriptions).toBe(0);
  });

  return {
    get link(): Link {
      return link;
    },
    get requester(): Requester {
      return requester;
    },
  };
}
