import { constants } from 'node:zlib';
import type { WebSocketFailure } from '../../ws/contract.js';

const invalidFrame: Partial<Record<WebSocketFailure, (detail: number) => string>> = {
  EXPECTED_FIN: () => 'FIN must be set',
  EXPECTED_MASK: () => 'MASK must be set',
  UNEXPECTED_MASK: () => 'MASK must be clear',
  INVALID_OPCODE: (opcode) => `invalid opcode ${opcode}`,
  INVALID_CLOSE_CODE: (code) => `invalid status code ${code}`,
  INVALID_CONTROL_PAYLOAD_LENGTH: (length) => `invalid payload length ${length}`,
  INVALID_PAYLOAD_LENGTH: () => 'the payload length is not in its shortest form, or has its highest bit set',
  UNEXPECTED_RSV_1: () => 'RSV1 must be clear',
  UNEXPECTED_RSV_2_3: () => 'RSV2 and RSV3 must be clear',
  INVALID_UTF8: () => 'invalid UTF-8 sequence',
};

const others: Partial<Record<WebSocketFailure, string>> = {
  INVALID_COMPRESSED_DATA: 'The compressed message cannot be inflated',
  UNSUPPORTED_MESSAGE_LENGTH: 'Max payload size exceeded',
  TOO_MANY_BUFFERED_PARTS: 'Too many message fragments',
  BUFFERED_BYTES_EXCEEDED: 'More than `maxBufferedBytes` wait to be sent: the peer reads too slowly',
  IDLE_TIMEOUT: 'Nothing was received for `idleTimeout`',
};

/**
 * What 'error' brings: class, code and words as the `ws` package has them, where it knows the failure.
 *
 * @param detail the opcode, length or close code that was wrong
 */
export function failureError(failure: WebSocketFailure, closeCode: number, detail: number): Error {
  const inFrame = invalidFrame[failure];
  const message = inFrame === undefined ? others[failure] : `Invalid WebSocket frame: ${inFrame(detail)}`;
  const isValue = closeCode === 1002 || closeCode === 1009 || failure === 'TOO_MANY_BUFFERED_PARTS';
  const error = isValue ? new RangeError(message) : new Error(message);
  // ws hands on zlib's own.
  if (failure === 'INVALID_COMPRESSED_DATA')
    Object.assign(error, { errno: constants.Z_DATA_ERROR, code: 'Z_DATA_ERROR' });
  else Object.assign(error, { code: `WS_ERR_${failure}` });
  return error;
}
