/** What a broker port says of messages that it, or its broker, does not take. */
import type { Envelope } from '../correlation/envelope.js';
import { BrokerError, PayloadError } from '../errors.js';

export function tooLarge(envelope: Envelope, bytes: number, limit: number): PayloadError {
  const text = `A message for '${envelope.subject}' has ${bytes} bytes, and the broker takes ${limit}; send less, or in parts`;
  return new PayloadError(text, undefined, 'ERR_GAMMALOOP_PAYLOAD_SIZE');
}

export function bufferFull(bytes: number, bufferBytes: number): BrokerError {
  const text = `${bytes} bytes wait for the broker already (bufferBytes: ${bufferBytes}); send less until it takes them`;
  return new BrokerError('ERR_GAMMALOOP_BROKER_FULL', text);
}

export function unconfirmed(subject: string, timeout: number): BrokerError {
  const text = `The broker did not confirm work for '${subject}' within ${timeout} ms; submit it again with its key`;
  return new BrokerError('ERR_GAMMALOOP_BROKER_UNCONFIRMED', text);
}

export function deadLetter({ subject }: Envelope, deliveries: number): BrokerError {
  const text = `'${subject}' was delivered ${deliveries} times and never carried out; see takeDeadLetters('${subject}')`;
  return new BrokerError('ERR_GAMMALOOP_DEAD_LETTER', text);
}
