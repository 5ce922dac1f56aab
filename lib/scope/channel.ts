/**
 * Objects from task to task within a thread, with backpressure. Each end can be cloned, one clone for each task; an end is at its last
 * when all clones are closed. Told apart: closed (we did: ClosedResourceError), broken (they did: BrokenResourceError), and the ordinary
 * end (EndOfChannel).
 */
import {
  BrokenResourceError,
  ClosedResourceError,
  EndOfChannel,
  type GammaloopError,
  OptionError,
  WouldBlockError,
} from '../errors.js';
import { queueOwner, Waiter, type WaiterOwner } from './waiter.js';

export interface ChannelStatistics {
  /** Values sent and not yet received. */
  readonly buffered: number;
  readonly capacity: number;
  readonly openSenders: number;
  readonly openReceivers: number;
  readonly waitingSenders: number;
  readonly waitingReceivers: number;
}

/** With the value that waits to be taken. */
class SendWaiter<T> extends Waiter<void> {
  readonly value: T;

  constructor(owner: WaiterOwner<void>, value: T) {
    super(owner);
    this.value = value;
  }
}

/** What the ends share. The waiters of both sides are never there at once. */
class ChannelState<T> {
  readonly capacity: number;
  readonly buffer: T[] = [];
  head = 0;
  openSenders = 0;
  openReceivers = 0;
  /** `owner` is the end. */
  readonly senders = new Set<SendWaiter<T>>();
  readonly receivers = new Set<Waiter<T>>();

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get buffered(): number {
    return this.buffer.length - this.head;
  }

  /** Hands the value over, or stores it. False where it would have to wait. */
  offer(value: T): boolean {
    for (const waiter of this.receivers) {
      this.receivers.delete(waiter);
      waiter.resolve(value);
      return true;
    }
    if (this.buffered < this.capacity) {
      this.buffer.push(value);
      return true;
    }
    return false;
  }

  /** Takes the next value to `give`. False where there is none. */
  take(give: (value: T) => void): boolean {
    if (this.buffered > 0) {
      const value = this.buffer[this.head] as T;
      this.buffer[this.head++] = undefined as T;
      if (this.head === this.buffer.length || this.head > 1024) {
        this.buffer.splice(0, this.head);
        this.head = 0;
      }
      give(value);
      for (const sender of this.senders) {
        this.senders.delete(sender);
        this.buffer.push(sender.value);
        sender.resolve();
        break;
      }
      return true;
    }
    for (const sender of this.senders) {
      this.senders.delete(sender);
      give(sender.value);
      sender.resolve();
      return true;
    }
    return false;
  }

  statistics(): ChannelStatistics {
    return {
      buffered: this.buffered,
      capacity: this.capacity,
      openSenders: this.openSenders,
      openReceivers: this.openReceivers,
      waitingSenders: this.senders.size,
      waitingReceivers: this.receivers.size,
    };
  }
}

function rejectAll<W>(waiters: Set<Waiter<W>>, owner: WaiterOwner<W> | null, error: () => GammaloopError): void {
  for (const waiter of waiters) {
    if (owner === null || waiter.owner === owner) {
      waiters.delete(waiter);
      waiter.reject(error());
    }
  }
}

export class Sender<T> {
  readonly #state: ChannelState<T>;
  readonly #owner: WaiterOwner<void>;
  #closed = false;

  /** @internal */
  constructor(state: ChannelState<T>) {
    this.#state = state;
    this.#owner = queueOwner<void>(state.senders as Set<Waiter<void>>);
    state.openSenders++;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Waits until the value is received or has room in the buffer. Cancelled while waiting: it was not sent. */
  send(value: T): Promise<void> {
    const waiter = new SendWaiter(this.#owner, value);
    const promise = waiter.park();
    if (waiter.settled) {
      return promise;
    }
    const error = this.#unusable();
    if (error !== null) {
      waiter.reject(error);
    } else if (this.#state.offer(value)) {
      waiter.resolve();
    } else {
      this.#state.senders.add(waiter);
    }
    return promise;
  }

  /** At once, or WouldBlockError. */
  sendNowait(value: T): void {
    const error = this.#unusable();
    if (error !== null) {
      throw error;
    }
    if (!this.#state.offer(value)) {
      throw new WouldBlockError('Sender.send');
    }
  }

  /** Another end to send by, closed on its own. */
  clone(): Sender<T> {
    if (this.#closed) {
      throw new ClosedResourceError('This sender');
    }
    return new Sender(this.#state);
  }

  /** Sends of this end that still wait fail with ClosedResourceError. With the last sender the channel ends. Again: nothing. */
  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    rejectAll(this.#state.senders, this.#owner, () => new ClosedResourceError('This sender'));
    if (--this.#state.openSenders === 0) {
      rejectAll(this.#state.receivers, null, () => new EndOfChannel());
    }
  }

  statistics(): ChannelStatistics {
    return this.#state.statistics();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #unusable(): GammaloopError | null {
    if (this.#closed) {
      return new ClosedResourceError('This sender');
    }
    return this.#state.openReceivers === 0 ? new BrokenResourceError('The channel') : null;
  }
}

export class Receiver<T> {
  readonly #state: ChannelState<T>;
  readonly #owner: WaiterOwner<T>;
  #closed = false;

  /** @internal */
  constructor(state: ChannelState<T>) {
    this.#state = state;
    this.#owner = queueOwner(state.receivers);
    state.openReceivers++;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Waits for the next value. EndOfChannel when all is received and no sender is left. */
  receive(): Promise<T> {
    const waiter = new Waiter<T>(this.#owner);
    const promise = waiter.park();
    if (waiter.settled) {
      return promise;
    }
    if (this.#closed) {
      waiter.reject(new ClosedResourceError('This receiver'));
    } else if (!this.#state.take((value) => waiter.resolve(value))) {
      if (this.#state.openSenders === 0) {
        waiter.reject(new EndOfChannel());
      } else {
        this.#state.receivers.add(waiter);
      }
    }
    return promise;
  }

  /** At once, or WouldBlockError. */
  receiveNowait(): T {
    if (this.#closed) {
      throw new ClosedResourceError('This receiver');
    }
    let taken: { value: T } | null = null;
    const give = (value: T): void => {
      taken = { value };
    };
    if (!this.#state.take(give)) {
      throw this.#state.openSenders === 0 ? new EndOfChannel() : new WouldBlockError('Receiver.receive');
    }
    return (taken as unknown as { value: T }).value;
  }

  /** Another end to receive by, closed on its own. Each value goes to one of them. */
  clone(): Receiver<T> {
    if (this.#closed) {
      throw new ClosedResourceError('This receiver');
    }
    return new Receiver(this.#state);
  }

  /**
   * Receives of this end that still wait fail with ClosedResourceError. With the last receiver the channel is broken: waiting and later
   * sends fail, and what was buffered is dropped. Again: nothing.
   */
  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    rejectAll(this.#state.receivers, this.#owner, () => new ClosedResourceError('This receiver'));
    if (--this.#state.openReceivers === 0) {
      rejectAll(this.#state.senders, null, () => new BrokenResourceError('The channel'));
      this.#state.buffer.length = 0;
      this.#state.head = 0;
    }
  }

  statistics(): ChannelStatistics {
    return this.#state.statistics();
  }

  /** Every value until the channel ends. The receiver stays open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    while (true) {
      let value: T;
      try {
        value = await this.receive();
      } catch (error) {
        if (error instanceof EndOfChannel) {
          return;
        }
        throw error;
      }
      yield value;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The two ends of a new channel. `capacity`: how many values may wait; 0: each send waits for its receiver; Infinity: sends never wait. */
export function openChannel<T>(capacity = 0): [Sender<T>, Receiver<T>] {
  if (
    typeof capacity !== 'number' ||
    !(capacity >= 0) ||
    (!Number.isInteger(capacity) && capacity !== Number.POSITIVE_INFINITY)
  ) {
    throw new OptionError('capacity', 'a whole number, 0 or more, or Infinity', capacity);
  }
  const state = new ChannelState<T>(capacity);
  return [new Sender(state), new Receiver(state)];
}
