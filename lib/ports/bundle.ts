/**
 * Replies of one turn to one requester leave as one message: several frames, one after another. It is what a responder under load sends most, and brokers and their
 * clients take time for each message. Everything else stays single: requests go to different members of a group.
 */
import { INBOX_PREFIX } from '../correlation/envelope.js';
import type { Sending } from './broker-session.js';

/** Larger messages gain nothing. */
const MAX_BYTES = 64 * 1024;

interface Bundle {
  /** Where it stands among the messages. */
  readonly place: number;
  readonly frames: Buffer[];
  bytes: number;
}

/** The messages that `frames` make, in an order that keeps that of each subject. None has more than `limit` bytes that did not have them alone. */
export function bundle(frames: readonly Sending[], limit: number): readonly Sending[] {
  if (frames.length === 1) {
    return frames;
  }
  const most = Math.min(MAX_BYTES, limit);
  const messages: Sending[] = [];
  const open = new Map<string, Bundle>();
  for (const sending of frames) {
    const { subject } = sending.envelope;
    const { length } = sending.frame;
    const begun = open.get(subject);
    if (begun !== undefined && begun.bytes + length <= most) {
      begun.frames.push(sending.frame);
      begun.bytes += length;
    } else {
      if (subject.startsWith(INBOX_PREFIX)) {
        open.set(subject, { place: messages.length, frames: [sending.frame], bytes: length });
        if (begun !== undefined) join(messages, begun);
      }
      messages.push(sending);
    }
  }
  for (const begun of open.values()) join(messages, begun);
  return messages;
}

function join(messages: Sending[], { place, frames, bytes }: Bundle): void {
  if (frames.length === 1) return;
  const { envelope } = messages[place] as Sending;
  messages[place] = { frame: Buffer.concat(frames, bytes), envelope };
}
