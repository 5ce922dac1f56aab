import type { Timeouts } from './contract.js';

/** As they are counted in stats().errors, but for the first, which is no error. */
export type TimeoutName = 'KEEP_ALIVE_TIMEOUT' | 'HEADERS_TIMEOUT' | 'REQUEST_TIMEOUT' | 'BODY_RATE_TIMEOUT';

/** The timers of one connection. None of them keeps the process alive. Owned by the connection, which stops them all when it ends. */
export class ConnectionTimers {
  readonly #timeouts: Timeouts;
  readonly #isBlocked: () => boolean;
  readonly #onTimeout: (name: TimeoutName) => void;
  #idle: NodeJS.Timeout | undefined;
  #idleName: TimeoutName | null = null;
  #request: NodeJS.Timeout | undefined;
  #rate: NodeJS.Timeout | undefined;
  #linger: NodeJS.Timeout | undefined;
  #windowBytes = 0;
  #windowBlocked = false;

  /** `isBlocked`: whether this side does not read at present, or has not asked for the body. */
  constructor(timeouts: Timeouts, isBlocked: () => boolean, onTimeout: (name: TimeoutName) => void) {
    this.#timeouts = timeouts;
    this.#isBlocked = isBlocked;
    this.#onTimeout = onTimeout;
  }

  /** No request is being received or answered. */
  startKeepAlive(): void {
    this.#startIdle('KEEP_ALIVE_TIMEOUT', this.#timeouts.keepAlive);
  }

  /** A head is being received; `firstByteAt` on performance.now()'s clock. */
  startHeaders(firstByteAt: number): void {
    if (this.#idleName === 'HEADERS_TIMEOUT') return;
    this.stopIdle();
    this.#startIdle('HEADERS_TIMEOUT', this.#timeouts.headers, firstByteAt);
  }

  stopIdle(): void {
    clearTimeout(this.#idle);
    this.#idleName = null;
  }

  startBody(firstByteAt: number): void {
    const { request, bodyRateWindow, minBodyBytesPerSecond } = this.#timeouts;
    this.stopBody();
    if (request > 0) this.#request = start(() => this.#onTimeout('REQUEST_TIMEOUT'), remaining(request, firstByteAt));
    if (bodyRateWindow > 0 && minBodyBytesPerSecond > 0) this.#startWindow();
  }

  stopBody(): void {
    clearTimeout(this.#request);
    clearTimeout(this.#rate);
  }

  noteBodyBytes(count: number): void {
    this.#windowBytes += count;
  }

  /** This side did not read: a window in which that happened is not held against the client. */
  noteBodyBlocked(): void {
    this.#windowBlocked = true;
  }

  startLinger(onOver: () => void): void {
    clearTimeout(this.#linger);
    this.#linger = start(onOver, this.#timeouts.linger);
  }

  stopLinger(): void {
    clearTimeout(this.#linger);
  }

  stopAll(): void {
    this.stopIdle();
    this.stopBody();
  }

  #startIdle(name: TimeoutName, timeoutMs: number, since: number = performance.now()): void {
    clearTimeout(this.#idle);
    this.#idleName = name;
    if (timeoutMs <= 0) return;
    this.#idle = start(
      () => {
        this.#idleName = null;
        this.#onTimeout(name);
      },
      remaining(timeoutMs, since),
    );
  }

  #startWindow(): void {
    const { bodyRateWindow, minBodyBytesPerSecond } = this.#timeouts;
    this.#windowBytes = 0;
    this.#windowBlocked = this.#isBlocked();
    this.#rate = start(() => {
      const excused = this.#windowBlocked || this.#isBlocked();
      if (!excused && this.#windowBytes * 1000 < minBodyBytesPerSecond * bodyRateWindow)
        this.#onTimeout('BODY_RATE_TIMEOUT');
      else this.#startWindow();
    }, bodyRateWindow);
  }
}

function start(callback: () => void, timeoutMs: number): NodeJS.Timeout {
  const timer = setTimeout(callback, timeoutMs);
  timer.unref();
  return timer;
}

function remaining(timeoutMs: number, since: number): number {
  return Math.max(1, timeoutMs - (performance.now() - since));
}
