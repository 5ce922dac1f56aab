/** What the parts of the port to AMQP share: names, and what the broker's errors mean. */
import { createHash } from 'node:crypto';
import type { Channel } from 'amqplib';
import { RefusedError, type SessionOwner } from './broker-session.js';

/** Replies are published to what the broker makes of this name, without a queue. */
export const DIRECT_REPLY = 'amq.rabbitmq.reply-to';

const MAX_BYTES = 255;
const KEPT_CHARS = 40;

/** Names on a broker have at most 255 bytes of UTF-8: longer ones end in a hash. */
export function amqpName(name: string): string {
  if (name.length * 3 <= MAX_BYTES || Buffer.byteLength(name) <= MAX_BYTES) {
    return name;
  }
  return `${name.slice(0, KEPT_CHARS)}.${createHash('sha256').update(name).digest('hex')}`;
}

/** A channel that ends, ends the session. */
export function tellOfLoss(channel: Channel, owner: SessionOwner): void {
  channel.on('error', (error: Error) => owner.lost(rightsRefused(error) ?? error));
  channel.on('close', () => owner.lost(new Error('a channel was closed')));
}

/** Ends a channel, and nothing else. */
export function closeQuietly(channel: Channel): void {
  channel.removeAllListeners('close');
  try {
    channel.close().catch(() => {});
  } catch {
    // It has ended already.
  }
}

/** What comes again with every connection; null for anything else, and what is such already. */
export function rightsRefused(error: Error): RefusedError | null {
  if (error instanceof RefusedError) {
    return null;
  }
  if (/ACCESS[-_]REFUSED/.test(error.message)) {
    const what = "the user's rights do not suffice: configure, write and read all that begins with the prefix";
    return new RefusedError(what, { cause: error });
  }
  return /inequivalent arg/.test(error.message)
    ? new RefusedError('a queue or exchange exists with other settings: delete it, or choose another prefix', {
        cause: error,
      })
    : null;
}
