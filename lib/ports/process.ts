/**
 * A port between a process and its child, over the IPC channel of `child_process` (a unix socket; a named pipe on Windows).
 *
 *     const port = new ProcessPort(fork('./child.js', { serialization: 'advanced' }));     // here
 *     const port = new ProcessPort(process);                                               // in child.js
 *
 * The channel must be 'advanced': JSON has no Map, no Date and no bytes, and a port that finds it breaks at once. The death of the other process, by whatever
 * signal, breaks the port. `close` lets the channel go and leaves the process alone.
 */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { OptionError } from '../errors.js';
import { realDeadlines } from '../scope/deadlines.js';
import { plainOwner, Waiter, type WaiterOwner } from '../scope/waiter.js';
import { LinkPort } from './link.js';

/** What a ChildProcess and `process` have in common. */
type Channel = Pick<ChildProcess, 'connected' | 'send' | 'channel'> & EventEmitter;

/** A process that dies is not always seen to end at once when its channel has ended. */
const EXIT_WAIT_MS = 100;
const exitOwner: WaiterOwner<void> = {
  onAbort: () => true,
  // After a look for what has come meanwhile: where this process was held up, 'exit' may be among it.
  onExpire: (waiter) => void setImmediate(() => waiter.resolve()),
};

export class ProcessPort extends LinkPort {
  readonly kind = 'process';
  readonly #channel: Channel;
  readonly #isChild: boolean;
  /** How the child ended. */
  #ending = '';
  #fatal: unknown;
  /** Messages that the system has not taken yet. */
  #pending = 0;
  #flushed: Waiter<void> | null = null;
  /** The channel has ended, and how the child does is not known yet. */
  #exit: Waiter<void> | null = null;

  constructor(channel: ChildProcess | NodeJS.Process) {
    super();
    if (!(channel instanceof EventEmitter) || typeof channel.send !== 'function') {
      throw new OptionError('channel', 'a ChildProcess with an IPC channel, or `process` in such a child', channel);
    }
    this.#channel = channel as Channel;
    this.#channel.on('disconnect', this.#onDisconnect);
    this.#channel.on('message', this.receive);
    this.#isChild = 'spawnfile' in channel;
    if (this.#isChild) {
      this.#channel.on('exit', this.#onExit);
      this.#channel.on(EventEmitter.errorMonitor, this.#onError);
    }
    queueMicrotask(this.#probe);
  }

  /** The port keeps this process alive (the default). */
  ref(): void {
    this.#channel.channel?.ref();
  }

  unref(): void {
    this.#channel.channel?.unref();
  }

  protected post(message: readonly unknown[]): void {
    if (!this.#channel.connected) {
      return;
    }
    this.#pending++;
    this.#channel.send(message as unknown[], undefined, {}, this.#onSent);
  }

  protected flushed(): Promise<void> | void {
    if (this.#pending > 0 && this.#channel.connected) {
      this.#flushed = new Waiter<void>(plainOwner);
      return this.#flushed.park(null);
    }
  }

  protected detach(): void {
    this.#channel.off('disconnect', this.#onDisconnect);
    this.#channel.off('message', this.receive);
    this.#channel.off('exit', this.#onExit);
    this.#channel.off(EventEmitter.errorMonitor, this.#onError);
    this.#exit?.resolve();
  }

  /** Only 'advanced' carries a bigint. The other side takes no notice. */
  readonly #probe = (): void => {
    if (this.closed) {
      return;
    }
    if (!this.#channel.connected) {
      this.break(undefined, 'the other process is not connected');
      return;
    }
    try {
      this.#channel.send(['gammaloop/probe', 1n], undefined, {}, () => {});
    } catch {
      const error = new OptionError('serialization', "fork(module, { serialization: 'advanced' })", 'json');
      this.break(error, error.message);
    }
  };

  /** Called with an error where the channel is gone: 'disconnect' tells. */
  readonly #onSent = (): void => {
    this.#pending--;
    if (this.#pending === 0) this.#settleFlushed();
  };

  #settleFlushed(): void {
    this.#flushed?.resolve();
    this.#flushed = null;
  }

  readonly #onError = (error: unknown): void => {
    this.#fatal = error;
  };

  readonly #onExit = (code: number | null, signal: string | null): void => {
    this.#ending = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
    if (!this.#channel.connected) this.#broken();
  };

  /**
   * After the last message that came. A child that dies lets its channel go before it can be waited for; under load that may take
   * the system some milliseconds, in which 'exit' tells how it ended. One that lives on has only disconnected.
   */
  readonly #onDisconnect = (): void => {
    this.#settleFlushed();
    if (!this.#isChild || this.#ending !== '') {
      this.#broken();
      return;
    }
    this.#exit = new Waiter<void>(exitOwner);
    void this.#exit.park(null).then(() => this.#broken());
    this.#exit.expireAt(realDeadlines.now() + EXIT_WAIT_MS, realDeadlines);
  };

  #broken(): void {
    this.break(
      this.#fatal,
      this.#ending === '' ? 'the other process disconnected' : `the other process ${this.#ending}`,
    );
  }
}
