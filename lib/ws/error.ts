import { GammaloopError } from '../errors.js';

/**
 * A WebSocket that could not go on. The code is ERR_GAMMALOOP_WEBSOCKET_ and the failure: EXPECTED_MASK, INVALID_UTF8, UNSUPPORTED_MESSAGE_LENGTH ...
 */
export class WebSocketError extends GammaloopError {
  /** Of the close frame that the peer was sent. */
  readonly closeCode: number;

  constructor(failure: string, closeCode: number, message: string) {
    super(`ERR_GAMMALOOP_WEBSOCKET_${failure}`, message);
    this.closeCode = closeCode;
  }
}
