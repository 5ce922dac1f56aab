/**
 * Selector: readiness of any descriptors (sockets, pipes, ttys, eventfd, inotify ...), with the API of Python's `selectors`. Stands on native/selector.
 */
import { getSystemErrorName } from 'node:util';
import { loadBinding, type NativeSelector } from '../bridge/binding.js';
import { BusyResourceError, ClosedError, OptionError, SelectorError } from '../errors.js';
import { Waiter, type WaiterOwner } from '../scope/waiter.js';

/** What is waited for: a bit set. */
export const Interest = { None: 0, Read: 1, Write: 2, ReadWrite: 3 } as const;
export type Interest = (typeof Interest)[keyof typeof Interest];

/** What is reported: a bit set. `Error` and `Hangup` come without being asked for, and with what was asked for; the next read or write says more. */
export const Readiness = {
  Readable: 1,
  Writable: 2,
  Error: 4,
  Hangup: 8,
  /** It was closed, or its number stands for another file now: it is not registered any more. Comes alone, and once. */
  Closed: 16,
} as const;

/** A descriptor, or what has one (a tty.ReadStream, an fs.FileHandle). */
export type HasDescriptor = number | { readonly fd: number };

/** One registration, as Python's SelectorKey. */
export interface SelectorKey<T = unknown> {
  readonly fd: number;
  /** What was registered, as it was given: the descriptor, or the object that has it. */
  readonly file: HasDescriptor;
  /** Interest. */
  readonly events: Interest;
  readonly data: T;
}

export interface ReadyEvent<T = unknown> {
  readonly fd: number;
  /** Readiness: a bit set. */
  readonly readiness: number;
  readonly data: T;
  readonly key: SelectorKey<T>;
}

export type PollerName = 'epoll' | 'kqueue' | 'poll' | 'uv';

export interface SelectorOptions {
  /** Default 'auto': the best that this system has (epoll, kqueue, else poll). */
  poller?: PollerName | 'auto';
  /** How many events one batch holds. Default 1024. What does not fit comes with the next. */
  batch?: number;
}

/** What an iteration waits for. */
interface Wait<T> {
  waiter: Waiter<ReadyEvent<T>[] | null> | null;
}

const POLLERS: readonly string[] = ['auto', 'epoll', 'kqueue', 'poll', 'uv'];
/** The longest stretch that native code blocks in one piece, so that a worker can be terminated meanwhile. */
const STRETCH_MS = 1000;

/**
 * Watches descriptors, level-triggered. The selector never reads, writes or closes them. Unregister a descriptor before closing it; one that was
 * closed first is reported with `Readiness.Closed`, after about a second at the latest.
 */
export class Selector<T = unknown> {
  readonly #keys = new Map<number, SelectorKey<T>>();
  /** By descriptor: what was reported last. The same again is the same object. */
  readonly #reported: (ReadyEvent<T> | undefined)[] = [];
  readonly #words: Uint32Array;
  #native: NativeSelector | null;
  #onBatch: ((events: ReadyEvent<T>[] | null) => void) | null = null;

  /** Throws AddonMissingError where the native addon does not load, and OptionError for a poller that this system does not have. */
  constructor(options: SelectorOptions = {}) {
    const { poller = 'auto', batch = 1024 } = options;
    if (!POLLERS.includes(poller)) throw new OptionError('poller', `one of ${POLLERS.join(', ')}`, poller);
    if (!Number.isInteger(batch) || batch < 1 || batch > 65_536) {
      throw new OptionError('batch', 'an integer from 1 to 65536', batch);
    }
    this.#words = new Uint32Array(batch * 2);
    const { Selector: Native } = loadBinding();
    try {
      this.#native = new Native(poller, this.#words, (count) => this.#onReady(count));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw new OptionError('poller', `a poller that ${process.platform} has`, poller);
    }
  }

  /** 'epoll', 'kqueue', 'poll' or 'uv'. */
  get poller(): PollerName {
    return this.#open().pollerName() as PollerName;
  }

  /** For `wakeSelector`, from any thread of this process. */
  get id(): number {
    return this.#open().id();
  }

  get closed(): boolean {
    return this.#native === null;
  }

  /**
   * Begins to watch. `events`: Read, Write, or both. Throws SelectorError: ERR_GAMMALOOP_SELECTOR_REGISTERED, _NOT_POLLABLE (a regular file or a directory, as epoll has it),
   * _BAD_DESCRIPTOR.
   */
  register(file: HasDescriptor, events: Interest, data?: T): SelectorKey<T> {
    const native = this.#open();
    const fd = descriptorOf(file);
    if (events === Interest.None) throw new OptionError('events', 'Interest.Read, Write or ReadWrite', events);
    check(fd, native.add(fd, interestOf(events)));
    return this.#keep(fd, file, events, data as T);
  }

  /** Changes what is waited for (None: errors and hang-ups alone), and the data. Throws SelectorError: ERR_GAMMALOOP_SELECTOR_NOT_REGISTERED, _BAD_DESCRIPTOR. */
  modify(file: HasDescriptor, events: Interest, data?: T): SelectorKey<T> {
    const native = this.#open();
    const fd = this.#lookUp(file);
    check(fd, native.modify(fd, interestOf(events)));
    return this.#keep(fd, this.#keys.get(fd)?.file ?? file, events, data as T);
  }

  /** Also of a descriptor that was closed since. Throws SelectorError: ERR_GAMMALOOP_SELECTOR_NOT_REGISTERED. */
  unregister(file: HasDescriptor): SelectorKey<T> {
    const native = this.#open();
    const key = this.getKey(file);
    const { fd } = key;
    this.#forget(fd);
    // One whose closing is about to be reported is forgotten there already: no report will follow.
    const status = native.remove(fd);
    if (status < 0 && getSystemErrorName(status) !== 'ENOENT') check(fd, status);
    return key;
  }

  /** Throws SelectorError: ERR_GAMMALOOP_SELECTOR_NOT_REGISTERED. */
  getKey(file: HasDescriptor): SelectorKey<T> {
    this.#open();
    const fd = this.#lookUp(file);
    const key = this.#keys.get(fd);
    if (key === undefined) throw new SelectorError(fd, 'ENOENT');
    return key;
  }

  /** Descriptors and their keys, as they are: the map changes with the registrations, and is empty after `close`. */
  getMap(): ReadonlyMap<number, SelectorKey<T>> {
    return this.#keys;
  }

  /**
   * What is ready. Blocks the thread, and with it Node's loop, until something is: for `timeoutMs` (rounded up to whole milliseconds) at most;
   * undefined or null: without end; 0 or less: not at all. Empty at the timeout, after `wake()`, and when a signal arrives.
   */
  select(timeoutMs?: number | null): ReadyEvent<T>[] {
    const native = this.#open();
    if (timeoutMs != null && (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs))) {
      throw new OptionError('timeoutMs', 'a number of milliseconds, undefined or null', timeoutMs);
    }
    let begun = performance.now();
    const end = begun + (timeoutMs ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const stretch = Math.max(0, Math.ceil(Math.min(end - begun, STRETCH_MS)));
      const count = checkBatch(native.wait(stretch));
      if (count > 0) return this.#take(count);
      const now = performance.now();
      const interrupted = now - begun < stretch - 1;
      if (now >= end || interrupted || native.wasWoken()) return [];
      begun = now;
    }
  }

  /** Makes the current or the next wait return, empty unless something is ready; several before a wait are one. From other threads: `wakeSelector(selector.id)`. */
  wake(): void {
    this.#open().wake();
  }

  /**
   * Batches as they come, on Node's loop; ends when the selector is closed, and with `return()`, also while it waits. One at a time: a second one gets a
   * BusyResourceError.
   */
  [Symbol.asyncIterator](): AsyncGenerator<ReadyEvent<T>[], void, undefined> {
    const wait: Wait<T> = { waiter: null };
    const batches = this.#batches(wait);
    const leave = batches.return.bind(batches);
    // A generator hears of it only where it is not waiting.
    batches.return = (value) => {
      wait.waiter?.resolve(null);
      return leave(value);
    };
    return batches;
  }

  async *#batches(wait: Wait<T>): AsyncGenerator<ReadyEvent<T>[], void, undefined> {
    const owner: WaiterOwner<ReadyEvent<T>[] | null> = {
      onAbort: () => {
        this.arm(false);
        return true;
      },
    };
    this.onBatch((events) => {
      // Nothing is collected while the consumer is busy: it would be out of date when he looks.
      if (events !== null) this.arm(false);
      wait.waiter?.resolve(events);
    });
    try {
      while (this.#native !== null) {
        const waiter = new Waiter(owner);
        wait.waiter = waiter;
        const parked = waiter.park();
        if (!waiter.settled) this.arm(true);
        const events = await parked;
        if (events === null) return;
        yield events;
      }
    } finally {
      if (this.#native !== null) this.onBatch(null);
    }
  }

  /** @internal Calls back with each batch, and with null at the end; null: no more. The loop watches once armed. */
  onBatch(callback: ((events: ReadyEvent<T>[] | null) => void) | null): void {
    this.#open();
    if (callback !== null && this.#onBatch !== null) throw new BusyResourceError('The selector', 'iterating over it');
    this.#onBatch = callback;
    if (callback === null) this.arm(false);
  }

  /** @internal Whether the loop watches, and calls back. */
  arm(on: boolean): void {
    if (this.#native !== null) checkBatch(this.#native.setArmed(on));
  }

  /** While it is iterated over, it keeps the process alive (the default). */
  ref(): this {
    this.#open().setReferenced(true);
    return this;
  }

  /** It does not. */
  unref(): this {
    this.#open().setReferenced(false);
    return this;
  }

  /** Forgets everything; the descriptors stay as they are. Idempotent. */
  close(): void {
    const native = this.#native;
    if (native === null) return;
    this.#native = null;
    this.#keys.clear();
    this.#reported.length = 0;
    native.close();
    this.#onBatch?.(null);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): NativeSelector {
    if (this.#native === null) throw new ClosedError('The selector');
    return this.#native;
  }

  /** Of a registered object also after it was closed, and has no descriptor any more. */
  #lookUp(file: HasDescriptor): number {
    if (typeof file === 'object' && file !== null && !(file.fd >= 0)) {
      for (const key of this.#keys.values()) if (key.file === file) return key.fd;
    }
    return descriptorOf(file);
  }

  #keep(fd: number, file: HasDescriptor, events: Interest, data: T): SelectorKey<T> {
    const key: SelectorKey<T> = { fd, file, events, data };
    this.#keys.set(fd, key);
    this.#reported[fd] = { fd, readiness: 0, data, key };
    return key;
  }

  #forget(fd: number): void {
    this.#keys.delete(fd);
    this.#reported[fd] = undefined;
  }

  #onReady(count: number): void {
    this.#onBatch?.(this.#take(checkBatch(count)));
  }

  #take(count: number): ReadyEvent<T>[] {
    const words = this.#words;
    const reported = this.#reported;
    const events = new Array<ReadyEvent<T>>(count);
    let filled = 0;
    for (let at = 0; at < count * 2; at += 2) {
      const fd = words[at] as number;
      const readiness = words[at + 1] as number;
      let event = reported[fd];
      if (event === undefined) continue;
      if (event.readiness !== readiness) {
        event = { fd, readiness, data: event.data, key: event.key };
        reported[fd] = event;
        if (readiness === Readiness.Closed) this.#forget(fd);
      }
      events[filled++] = event;
    }
    if (filled < count) events.length = filled;
    return events;
  }
}

/** `Selector.wake` from any thread of the process, by the selector's `id`. False: it is closed. */
export function wakeSelector(id: number): boolean {
  if (!Number.isInteger(id)) throw new OptionError('id', 'the id of a Selector', id);
  return loadBinding().wakeSelector(id);
}

/** Of a descriptor, or of what has one. */
export function descriptorOf(file: HasDescriptor): number {
  const fd = typeof file === 'object' && file !== null ? file.fd : file;
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0 || fd > 0x7fff_ffff) {
    throw new OptionError('file', 'a descriptor, or an object with one in `fd`', file);
  }
  return fd;
}

function interestOf(events: number): number {
  if (!Number.isInteger(events) || events < 0 || events > 3) {
    throw new OptionError('events', 'a bit set of Interest.Read and Interest.Write', events);
  }
  return events;
}

function check(fd: number, status: number): void {
  if (status < 0) throw new SelectorError(fd, getSystemErrorName(status));
}

/** A failure that concerns the poller as a whole. */
function checkBatch(count: number): number {
  if (count < 0) throw new SelectorError(-1, getSystemErrorName(count));
  return count;
}
