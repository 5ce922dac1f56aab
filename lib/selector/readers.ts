/**
 * addReader, addWriter: callbacks on Node's loop when a descriptor is ready, as asyncio's loop has them. One selector an environment, made with the
 * first and closed with the last.
 */
import { AsyncResource } from 'node:async_hooks';
import { HANDLER } from '../diagnostics.js';
import { OptionError, SelectorError } from '../errors.js';
import { descriptorOf, type HasDescriptor, Interest, Readiness, type ReadyEvent, Selector } from './selector.js';

/** `readiness`: what was reported, a bit set of `Readiness`. */
export type ReadinessCallback = (readiness: number) => void;

/** One callback, in the async context in which it was added. */
class Handler extends AsyncResource {
  readonly callback: ReadinessCallback;

  constructor(callback: ReadinessCallback) {
    super('GammaloopReadiness');
    this.callback = callback;
  }

  get [HANDLER](): ReadinessCallback {
    return this.callback;
  }
}

interface Handlers {
  reader: Handler | null;
  writer: Handler | null;
}

const BAD_DESCRIPTOR = 'ERR_GAMMALOOP_SELECTOR_BAD_DESCRIPTOR';
// As in clock.ts: a test's fake timers are not ours.
const { setImmediate } = globalThis;

let selector: Selector<Handlers> | null = null;

/**
 * Calls `callback` in every turn of the loop in which `file` can be read, or has an error or a hang-up, until removeReader. Replaces the reader that there
 * was. The process stays alive meanwhile. A descriptor that was closed behind its back gets one last call with `Readiness.Closed`, also where another
 * file has got its number, and is added.
 * Throws SelectorError where the descriptor cannot be watched, AddonMissingError where the native addon does not load.
 */
export function addReader(file: HasDescriptor, callback: ReadinessCallback): void {
  add(file, 'reader', callback);
}

/** As addReader, for writing. */
export function addWriter(file: HasDescriptor, callback: ReadinessCallback): void {
  add(file, 'writer', callback);
}

/** Call it before closing the descriptor. False: there was no reader. */
export function removeReader(file: HasDescriptor): boolean {
  return remove(file, 'reader');
}

/** False: there was no writer. */
export function removeWriter(file: HasDescriptor): boolean {
  return remove(file, 'writer');
}

function add(file: HasDescriptor, side: keyof Handlers, callback: ReadinessCallback): void {
  if (typeof callback !== 'function') throw new OptionError('callback', 'a function', callback);
  const fd = descriptorOf(file);
  const watcher = selector ?? open();
  const known = watcher.getMap().get(fd);
  const handlers = known?.data ?? { reader: null, writer: null };
  const before = handlers[side];
  handlers[side] = new Handler(callback);
  try {
    if (known === undefined) watcher.register(fd, interestOf(handlers), handlers);
    else watcher.modify(fd, interestOf(handlers), handlers);
  } catch (error) {
    handlers[side] = before;
    if (known !== undefined && error instanceof SelectorError && error.code === BAD_DESCRIPTOR) {
      // What it stood for was closed, and is told so now; another file may have the number.
      watcher.unregister(fd);
      setImmediate(tellClosed, handlers);
      add(file, side, callback);
      return;
    }
    closeIfUnused();
    throw error;
  }
}

function remove(file: HasDescriptor, side: keyof Handlers): boolean {
  const fd = descriptorOf(file);
  const handlers = selector?.getMap().get(fd)?.data;
  if (selector === null || handlers === undefined || handlers[side] === null) return false;
  handlers[side] = null;
  if (handlers.reader === null && handlers.writer === null) {
    selector.unregister(fd);
    closeIfUnused();
    return true;
  }
  try {
    selector.modify(fd, interestOf(handlers), handlers);
  } catch (error) {
    // It was closed first: the other side will hear of it.
    if (!(error instanceof SelectorError)) throw error;
  }
  return true;
}

function open(): Selector<Handlers> {
  selector = new Selector<Handlers>();
  selector.onBatch(onBatch);
  selector.arm(true);
  return selector;
}

function closeIfUnused(): void {
  if (selector === null || selector.getMap().size > 0) return;
  const unused = selector;
  selector = null;
  unused.close();
}

function interestOf(handlers: Handlers): Interest {
  const read = handlers.reader === null ? Interest.None : Interest.Read;
  const write = handlers.writer === null ? Interest.None : Interest.Write;
  return (read | write) as Interest;
}

function onBatch(events: ReadyEvent<Handlers>[] | null): void {
  if (events === null) return;
  for (const { readiness, data } of events) {
    if (readiness === Readiness.Closed) {
      tellClosed(data);
      continue;
    }
    const broken = (readiness & ~(Readiness.Readable | Readiness.Writable)) !== 0;
    if (broken || (readiness & Readiness.Readable) !== 0) call(data.reader, readiness);
    // Read after the call: that may have removed it.
    if (broken || (readiness & Readiness.Writable) !== 0) call(data.writer, readiness);
  }
  closeIfUnused();
}

function tellClosed(handlers: Handlers): void {
  call(handlers.reader, Readiness.Closed);
  call(handlers.writer, Readiness.Closed);
  handlers.reader = handlers.writer = null;
}

/** What it throws is an uncaughtException, and stops no other. */
function call(handler: Handler | null, readiness: number): void {
  if (handler === null) return;
  try {
    handler.runInAsyncScope(handler.callback, undefined, readiness);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
