/** What a failure of a WebSocket means, in words. */
import type { WebSocketFailure } from '../ws/contract.js';

const TEXTS: Record<WebSocketFailure, string> = {
  EXPECTED_FIN: 'The peer fragmented a control frame',
  EXPECTED_MASK: 'The peer sent a frame without a mask, which a client must not',
  UNEXPECTED_MASK: 'The peer sent a masked frame, which a server must not',
  INVALID_OPCODE: 'The peer sent a frame of an unknown kind, or one that does not fit the message that is under way',
  INVALID_CLOSE_CODE: 'The peer sent a close frame with a code that may not be sent',
  INVALID_CONTROL_PAYLOAD_LENGTH: 'The peer sent a control frame with a payload of a length that none may have',
  UNEXPECTED_RSV_1: 'The peer set RSV1 where it means nothing',
  UNEXPECTED_RSV_2_3: 'The peer set RSV2 or RSV3, which mean nothing',
  INVALID_PAYLOAD_LENGTH: 'The peer sent a length in a longer form than it needs, or of more than 63 bits',
  INVALID_UTF8: 'The peer sent text that is not UTF-8',
  INVALID_COMPRESSED_DATA: 'The peer sent compressed data that cannot be inflated',
  UNSUPPORTED_MESSAGE_LENGTH: 'The peer sent a message larger than maxPayloadBytes; raise it, or use the stream hook',
  TOO_MANY_BUFFERED_PARTS: 'The peer sent a message in more frames than maxFragments',
  BUFFERED_BYTES_EXCEEDED:
    'More than maxBufferedBytes waited for a slow reader; heed what send() returns, and wait for drain',
  IDLE_TIMEOUT: 'Nothing was received within idleTimeout',
};

export function failureText(failure: WebSocketFailure): string {
  return TEXTS[failure];
}
