import type { DeflateParameters } from '../../ws/contract.js';

/** Of a WebSocket: what its opening handshake, on either side, settles. */
export const kHandshake = Symbol('gammaloop.handshake');

export interface Handshake {
  protocol: string;
  deflate: DeflateParameters | null;
  /** A client's. */
  url: string | undefined;
  /** Ends a client's handshake that is under way; null: there is none. */
  abort: ((error: Error) => void) | null;
  /** It will not open. `isLater`: 'error' and 'close' come in the next tick. */
  fail(error: Error, isLater: boolean): void;
}
