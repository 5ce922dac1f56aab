/** Dead letters, as brokers give them one by one, and as whoever takes them sees them. */
import { createEnvelope } from '../correlation/envelope.js';
import type { DeadLetter } from './broker-options.js';
import type { DeadFrame } from './broker-session.js';
import { keyOf } from './deliveries.js';
import { decodeFrame } from './frame.js';

/** What cannot be read is given as the bytes that it is. */
export function toDeadLetter(subject: string, { frame, reason }: DeadFrame): DeadLetter {
  const decoded = decodeFrame(frame, performance.now());
  if (decoded === null) {
    return { envelope: createEnvelope({ kind: 'request', id: '', subject, payload: frame }), key: '', reason };
  }
  const { envelope, payloadError } = decoded;
  const whole = payloadError === undefined ? envelope : createEnvelope({ ...envelope, payload: frame });
  return { envelope: whole, key: keyOf(envelope), reason };
}

/** What `next` gives, until it gives null. */
export async function takeUpTo(limit: number, next: () => Promise<DeadFrame | null>): Promise<DeadFrame[]> {
  const taken: DeadFrame[] = [];
  while (taken.length < limit) {
    const dead = await next();
    if (dead === null) break;
    taken.push(dead);
  }
  return taken;
}
