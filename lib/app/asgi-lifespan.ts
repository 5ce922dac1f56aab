/** The lifespan protocol (2.0): one run of the application around all requests. */
import { describeValue } from '../errors/text.js';
import { AsgiError, LifespanError } from '../errors.js';
import type { AsgiApplication } from './asgi-app.js';
import { type AsgiState, lifespanScope } from './asgi-scope.js';

export type LifespanReceiveMessage = { type: 'lifespan.startup' } | { type: 'lifespan.shutdown' };
export type LifespanSendMessage =
  | { type: 'lifespan.startup.complete' }
  | { type: 'lifespan.startup.failed'; message?: string }
  | { type: 'lifespan.shutdown.complete' }
  | { type: 'lifespan.shutdown.failed'; message?: string };

type Phase = 'idle' | 'starting' | 'serving' | 'unsupported' | 'failed' | 'stopping' | 'over';

export class AsgiLifespan {
  readonly #app: AsgiApplication;
  readonly #report: (error: unknown) => void;
  /** What the application keeps between startup and requests. */
  readonly state: AsgiState = {};
  #phase: Phase = 'idle';
  #startupReceived = false;
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #settleStartup: ((error: LifespanError | null) => void) | null = null;
  #settleShutdown: (() => void) | null = null;
  #shutdownWaiters: ((message: LifespanReceiveMessage) => void)[] = [];

  constructor(app: AsgiApplication, report: (error: unknown) => void) {
    this.#app = app;
    this.#report = report;
  }

  /** Rejects with LifespanError where the application said that its startup failed. */
  startup(): Promise<void> {
    this.#starting ??= new Promise((resolve, reject) => {
      this.#phase = 'starting';
      this.#settleStartup = (error) => (error === null ? resolve() : reject(error));
      this.#run();
    });
    return this.#starting;
  }

  /** Resolves when the application has cleaned up; what goes wrong there is reported. */
  shutdown(): Promise<void> {
    this.#stopping ??= new Promise((resolve) => {
      if (this.#phase !== 'serving') {
        resolve();
        return;
      }
      this.#phase = 'stopping';
      this.#settleShutdown = resolve;
      const waiters = this.#shutdownWaiters;
      this.#shutdownWaiters = [];
      for (const wake of waiters) {
        wake({ type: 'lifespan.shutdown' });
      }
    });
    return this.#stopping;
  }

  async #run(): Promise<void> {
    try {
      await this.#app(
        lifespanScope(this.state),
        () => this.#receive(),
        (message: LifespanSendMessage) => this.#send(message),
      );
      this.#onReturn();
    } catch (error) {
      this.#onThrow(error);
    }
  }

  #receive(): Promise<LifespanReceiveMessage> {
    if (!this.#startupReceived) {
      this.#startupReceived = true;
      return Promise.resolve({ type: 'lifespan.startup' });
    }
    if (this.#phase === 'stopping' || this.#phase === 'over') {
      return Promise.resolve({ type: 'lifespan.shutdown' });
    }
    return new Promise((resolve) => {
      this.#shutdownWaiters.push(resolve);
    });
  }

  #send(message: LifespanSendMessage): Promise<void> {
    const type: unknown = message?.type;
    switch (type) {
      case 'lifespan.startup.complete':
        this.#require('starting', type);
        this.#phase = 'serving';
        this.#settleStartup?.(null);
        break;
      case 'lifespan.startup.failed':
        this.#require('starting', type);
        this.#phase = 'failed';
        this.#settleStartup?.(new LifespanError(failure('startup', message)));
        break;
      case 'lifespan.shutdown.complete':
        this.#require('stopping', type);
        this.#end();
        break;
      case 'lifespan.shutdown.failed':
        this.#require('stopping', type);
        this.#report(new LifespanError(failure('shutdown', message)));
        this.#end();
        break;
      default:
        throw new AsgiError(`send() got type ${describeValue(type)}, which is no message of the lifespan protocol`);
    }
    return Promise.resolve();
  }

  #require(phase: Phase, type: string): void {
    if (this.#phase !== phase) {
      throw new AsgiError(
        `'${type}' was sent out of place: send it once, after receiving 'lifespan.${phase === 'starting' ? 'startup' : 'shutdown'}'`,
      );
    }
  }

  #end(): void {
    this.#phase = 'over';
    this.#settleShutdown?.();
  }

  #onReturn(): void {
    if (this.#phase === 'starting') {
      this.#phase = 'unsupported';
      this.#settleStartup?.(null);
    } else if (this.#phase === 'serving' || this.#phase === 'stopping') {
      this.#end();
    }
  }

  /** An exception before startup.complete means, by the specification, that the application knows no lifespan. */
  #onThrow(error: unknown): void {
    if (this.#phase === 'serving' || this.#phase === 'stopping') {
      this.#report(error);
    }
    this.#onReturn();
  }
}

function failure(what: string, message: LifespanSendMessage): string {
  const text = (message as { message?: unknown }).message;
  return `The application's ${what} failed${typeof text === 'string' && text !== '' ? `: ${text}` : ''}`;
}
