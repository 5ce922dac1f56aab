/**
 * callSoonThreadsafe: from any thread of the process to a callback of another thread's loop. Functions cannot go from thread to thread: the loop's thread
 * exposes one, and the others call it by its id. The messages go through a native inbox, which wakes the loop; without the addon, through a BroadcastChannel.
 */
import { AsyncResource } from 'node:async_hooks';
import { deserialize, serialize } from 'node:v8';
import { BroadcastChannel, threadId } from 'node:worker_threads';
import { mayUseAddon } from '../backend/choose.js';
import { loadBinding, type NativeInbox } from '../bridge/binding.js';
import { AddonMissingError, OptionError } from '../errors.js';
import { type Callback, callSoon, checkCallback } from './callbacks.js';

/** How calls come from other threads. */
interface Receiver {
  readonly id: string;
  setReferenced(on: boolean): void;
  close(): void;
}

const INBOX_PREFIX = 'inbox-';
const CHANNEL_PREFIX = 'channel-';

/** A callback of this loop that other threads may call, by its id. Keeps the process alive until it is closed, or unref'd. */
export class ThreadsafeCallback {
  readonly #receiver: Receiver;
  #closed = false;

  /** @internal */
  constructor(callback: Callback) {
    const context = new AsyncResource('GammaloopThreadsafeCallback');
    const receive = (args: () => unknown[]): void => {
      callSoon(() => {
        if (!this.#closed) context.runInAsyncScope(callback as () => void, undefined, ...(args() as []));
      });
    };
    const isNative = mayUseAddon() && hasAddon();
    this.#receiver = isNative ? new InboxReceiver(receive) : new ChannelReceiver(receive);
  }

  /** For callSoonThreadsafe, in any thread of this process. */
  get id(): string {
    return this.#receiver.id;
  }

  get closed(): boolean {
    return this.#closed;
  }

  ref(): this {
    if (!this.#closed) this.#receiver.setReferenced(true);
    return this;
  }

  unref(): this {
    if (!this.#closed) this.#receiver.setReferenced(false);
    return this;
  }

  /** It is not called any more, also not for what has been sent. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#receiver.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Lets other threads call `callback`, in the async context of this call. */
export function threadsafe<A extends unknown[]>(callback: (...args: A) => unknown): ThreadsafeCallback {
  return new ThreadsafeCallback(checkCallback(callback));
}

/**
 * `target`: the id of a ThreadsafeCallback, of whichever thread, which is called in the next turn of its loop with structured clones of `args`, those of one
 * thread in their order; or a function, as callSoon. False: it is closed, or its thread has ended (without the addon that cannot be told: true).
 * What cannot be cloned throws node's DataCloneError.
 */
export function callSoonThreadsafe<A extends unknown[]>(
  target: string | ((...args: A) => unknown),
  ...args: A
): boolean {
  if (typeof target === 'function') {
    callSoon(target, ...args);
    return true;
  }
  if (typeof target === 'string') {
    const number = Number(target.slice(INBOX_PREFIX.length));
    if (target.startsWith(INBOX_PREFIX) && Number.isInteger(number)) {
      return loadBinding().postToInbox(number, serialize(args));
    }
    if (target.startsWith(CHANNEL_PREFIX)) {
      const channel = new BroadcastChannel(nameOf(target));
      channel.postMessage(args);
      channel.close();
      return true;
    }
  }
  throw new OptionError('target', 'the id of a ThreadsafeCallback, or a function', target);
}

class InboxReceiver implements Receiver {
  readonly #inbox: NativeInbox;
  readonly id: string;

  constructor(receive: (args: () => unknown[]) => void) {
    const { Inbox } = loadBinding();
    this.#inbox = new Inbox(() => {
      const messages = Buffer.from(this.#inbox.takeAll());
      const sizes = new DataView(messages.buffer, messages.byteOffset, messages.byteLength);
      for (let at = 0; at < messages.length; ) {
        const end = at + 4 + sizes.getUint32(at, LITTLE_ENDIAN);
        const message = messages.subarray(at + 4, end);
        receive(() => deserialize(message) as unknown[]);
        at = end;
      }
    });
    this.id = `${INBOX_PREFIX}${this.#inbox.id()}`;
  }

  setReferenced(on: boolean): void {
    this.#inbox.setReferenced(on);
  }

  close(): void {
    this.#inbox.close();
  }
}

let channels = 0;

class ChannelReceiver implements Receiver {
  readonly #channel: BroadcastChannel;
  readonly id: string;

  constructor(receive: (args: () => unknown[]) => void) {
    this.id = `${CHANNEL_PREFIX}${threadId}-${++channels}`;
    this.#channel = new BroadcastChannel(nameOf(this.id));
    this.#channel.onmessage = ({ data }) => receive(() => data as unknown[]);
  }

  setReferenced(on: boolean): void {
    if (on) this.#channel.ref();
    else this.#channel.unref();
  }

  close(): void {
    this.#channel.close();
  }
}

function nameOf(id: string): string {
  return `gammaloop.${id}`;
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function hasAddon(): boolean {
  try {
    loadBinding();
    return true;
  } catch (error) {
    if (!(error instanceof AddonMissingError)) throw error;
    return false;
  }
}
