/** Listening for the end of an exchange that comes early, by more than one part of an app interface. */
import type { AbortReason, Exchange } from './exchange.js';

/** Calls back once: at once where the exchange has been aborted already, never where it ends in the ordinary way. */
export function onExchangeAbort(exchange: Exchange, listener: (reason: AbortReason) => void): void {
  if (exchange.goneReason !== null) {
    listener(exchange.goneReason);
    return;
  }
  const before = exchange.onAbort;
  exchange.onAbort =
    before === null
      ? listener
      : (reason) => {
          before(reason);
          listener(reason);
        };
}
