/** What one port has subscribed to on the broker, once, and its own listeners to it. */
import type { Envelope } from '../correlation/envelope.js';
import type { EnvelopeListener } from '../correlation/port.js';
import { throwLater } from '../correlation/subscriptions.js';
import type { Channel } from './broker-session.js';

export function channelName(subject: string, group: string | undefined): string {
  return group === undefined ? subject : `${subject}\u0000${group}`;
}

export class SubscribedChannel implements Channel {
  readonly subject: string;
  readonly group: string | undefined;
  /** Replaced, never changed: a delivery goes on over those that it began with. */
  members: readonly EnvelopeListener[] = [];
  #turn = 0;

  constructor(subject: string, group: string | undefined) {
    this.subject = subject;
    this.group = group;
  }

  /** Returns a function that takes the listener away, and answers whether it was there. */
  add(listener: EnvelopeListener): () => boolean {
    const member: EnvelopeListener = (envelope) => listener(envelope);
    this.members = [...this.members, member];
    return () => {
      const before = this.members.length;
      this.members = this.members.filter((other) => other !== member);
      return this.members.length < before;
    };
  }

  /** To one of a group in turn, or to all. */
  deliver(envelope: Envelope): void {
    const { members } = this;
    if (this.group !== undefined) {
      const member = members[this.#turn++ % members.length];
      if (member !== undefined) call(member, envelope);
      return;
    }
    for (const member of members) if (this.members.includes(member)) call(member, envelope);
  }
}

function call(listener: EnvelopeListener, envelope: Envelope): void {
  try {
    listener(envelope);
  } catch (error) {
    throwLater(error);
  }
}
