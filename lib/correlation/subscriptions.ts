/**
 * Who listens to what on one port (or bus): finds the subscribers of a subject, takes turns within groups, and keeps one listener's
 * exception from the others. Ports own one each; nothing here is asynchronous.
 */
import type { Envelope } from './envelope.js';
import type { EnvelopeListener, SubscribeOptions, Subscription } from './port.js';

interface Group {
  readonly name: string | undefined;
  readonly members: Entry[];
  /** Index of the member whose turn it is. */
  turn: number;
}

interface Entry {
  readonly listener: EnvelopeListener;
  active: boolean;
}

export class Subscriptions {
  /** Subject -> its groups; a subscriber without a group is a group of its own. */
  readonly #subjects = new Map<string, Group[]>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(subject: string, listener: EnvelopeListener, options: SubscribeOptions = {}): Subscription {
    const entry: Entry = { listener, active: true };
    const groups = this.#subjects.get(subject) ?? [];
    let group = options.group === undefined ? undefined : groups.find(({ name }) => name === options.group);
    if (group === undefined) {
      group = { name: options.group, members: [entry], turn: 0 };
      // A new array: a delivery that is under way goes on over the one that it began with.
      this.#subjects.set(subject, [...groups, group]);
    } else {
      group.members.push(entry);
    }
    this.#count++;
    return { subject, unsubscribe: () => this.#remove(subject, group, entry) };
  }

  /** Calls the subscribers; false if there was none. */
  deliver(envelope: Envelope): boolean {
    const groups = this.#subjects.get(envelope.subject);
    if (groups === undefined) {
      return false;
    }
    for (const group of groups) {
      const { members } = group;
      if (group.turn >= members.length) group.turn = 0;
      const entry = members[group.turn++];
      if (entry?.active === true) call(entry.listener, envelope);
    }
    return true;
  }

  clear(): void {
    for (const groups of this.#subjects.values()) {
      for (const { members } of groups) for (const entry of members) entry.active = false;
    }
    this.#subjects.clear();
    this.#count = 0;
  }

  #remove(subject: string, group: Group, entry: Entry): void {
    if (!entry.active) {
      return;
    }
    entry.active = false;
    this.#count--;
    group.members.splice(group.members.indexOf(entry), 1);
    if (group.members.length > 0) {
      return;
    }
    const left = (this.#subjects.get(subject) ?? []).filter((other) => other !== group);
    if (left.length > 0) this.#subjects.set(subject, left);
    else this.#subjects.delete(subject);
  }
}

function call(listener: EnvelopeListener, envelope: Envelope): void {
  try {
    listener(envelope);
  } catch (error) {
    throwLater(error);
  }
}

/** An uncaught exception, as a throw in an event listener is, that does not stop what is being done here. */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
