/** The EventTarget face of a WebSocket: event objects, addEventListener, and the on... attributes. */
import type { EventEmitter } from 'node:events';

class Event {
  readonly #type: string;
  readonly #target: unknown;

  constructor(type: string, target: unknown = null) {
    this.#type = type;
    this.#target = target;
  }

  get target(): unknown {
    return this.#target;
  }

  get type(): string {
    return this.#type;
  }
}

class CloseEvent extends Event {
  readonly #code: number;
  readonly #reason: string;
  readonly #wasClean: boolean;

  constructor(type: string, options: { code?: number; reason?: string; wasClean?: boolean } = {}, target?: unknown) {
    super(type, target);
    this.#code = options.code ?? 0;
    this.#reason = options.reason ?? '';
    this.#wasClean = options.wasClean ?? false;
  }

  get code(): number {
    return this.#code;
  }

  get reason(): string {
    return this.#reason;
  }

  get wasClean(): boolean {
    return this.#wasClean;
  }
}

class ErrorEvent extends Event {
  readonly #error: unknown;
  readonly #message: string;

  constructor(type: string, options: { error?: unknown; message?: string } = {}, target?: unknown) {
    super(type, target);
    this.#error = options.error ?? null;
    this.#message = options.message ?? '';
  }

  get error(): unknown {
    return this.#error;
  }

  get message(): string {
    return this.#message;
  }
}

class MessageEvent extends Event {
  readonly #data: unknown;

  constructor(type: string, options: { data?: unknown } = {}, target?: unknown) {
    super(type, target);
    this.#data = options.data ?? null;
  }

  get data(): unknown {
    return this.#data;
  }
}

for (const [eventClass, names] of [
  [Event, ['target', 'type']],
  [CloseEvent, ['code', 'reason', 'wasClean']],
  [ErrorEvent, ['error', 'message']],
  [MessageEvent, ['data']],
] as const) {
  for (const name of names) Object.defineProperty(eventClass.prototype, name, { enumerable: true });
}

export { CloseEvent, ErrorEvent, Event, MessageEvent };

export type EventHandler = ((this: unknown, event: Event) => void) | { handleEvent(event: Event): void };

interface Target extends EventEmitter {
  readonly _wasClean?: boolean;
}

/** What was added, of a listener that wraps it. */
export const kHandler = Symbol('gammaloop.handler');
/** The wrapper belongs to an on... attribute. */
const kIsAttribute = Symbol('gammaloop.isAttribute');

interface Wrapper {
  (this: Target, ...args: never[]): void;
  [kHandler]?: EventHandler;
  [kIsAttribute]?: boolean;
}

/** Makes the event object of each kind from what is emitted. */
const makers: Record<string, (target: Target, ...args: never[]) => Event> = {
  message: (target, data: Buffer, isBinary: boolean) =>
    new MessageEvent('message', { data: isBinary ? data : data.toString() }, target),
  close: (target, code: number, reason: Buffer) =>
    new CloseEvent('close', { code, reason: reason.toString(), wasClean: target._wasClean ?? false }, target),
  error: (target, error: Error) => new ErrorEvent('error', { error, message: error.message }, target),
  open: (target) => new Event('open', target),
};

function add(target: Target, type: string, handler: EventHandler, once: boolean, isAttribute: boolean): void {
  const make = Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make === undefined) return;
  const wrapper: Wrapper = function (this: Target, ...args) {
    const event = make(this, ...args);
    if (typeof handler === 'object' && typeof handler.handleEvent === 'function') handler.handleEvent(event);
    else (handler as (event: Event) => void).call(this, event);
  };
  wrapper[kHandler] = handler;
  wrapper[kIsAttribute] = isAttribute;
  if (once) target.once(type, wrapper as () => void);
  else target.on(type, wrapper as () => void);
}

function find(target: Target, type: string, isAttribute: boolean, handler?: EventHandler): Wrapper | undefined {
  return (target.listeners(type) as Wrapper[]).find(
    (listener) =>
      listener[kHandler] !== undefined &&
      listener[kIsAttribute] === isAttribute &&
      (handler === undefined || listener[kHandler] === handler),
  );
}

/** Does nothing for other types than open, message, error and close, nor for a listener that was added before. */
export function addEventListener(
  this: Target,
  type: string,
  handler: EventHandler,
  options: { once?: boolean } = {},
): void {
  if (find(this, type, false, handler) === undefined) add(this, type, handler, options.once === true, false);
}

export function removeEventListener(this: Target, type: string, handler: EventHandler): void {
  const wrapper = find(this, type, false, handler);
  if (wrapper !== undefined) this.removeListener(type, wrapper as () => void);
}

/** onopen, onmessage, onerror, onclose. */
export function defineAttributes(prototype: object): void {
  for (const type of Object.keys(makers)) {
    Object.defineProperty(prototype, `on${type}`, {
      enumerable: true,
      configurable: true,
      get(this: Target) {
        return find(this, type, true)?.[kHandler] ?? null;
      },
      set(this: Target, handler: unknown) {
        const wrapper = find(this, type, true);
        if (wrapper !== undefined) this.removeListener(type, wrapper as () => void);
        if (typeof handler === 'function') add(this, type, handler as EventHandler, false, true);
      },
    });
  }
}
