/**
 * `Headers` as the fetch standard has it, over one flat list, or over the header fields of a request, which are read only when
 * something asks. No I/O. An instance is `instanceof` the global Headers too.
 */
import { inspect } from 'node:util';
import type { Exchange } from './exchange.js';
import { HeadBlock, isFieldValue, lookUpName, nameProblem, valueProblem } from './header-block.js';

export type HeadersInit =
  | Headers
  | globalThis.Headers
  | Iterable<readonly [string, string]>
  | Iterable<Iterable<string>>
  | Record<string, string>;

/** A TypeError, as the standard has it, with our code. */
export function headerTypeError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_GAMMALOOP_HEADER' });
}

/** The checked lower-case form of a name. Throws TypeError. */
function lowerName(name: unknown): string {
  const text = typeof name === 'string' ? name : `${name as string}`;
  const field = lookUpName(text);
  if (field === null) {
    throw headerTypeError(nameProblem(text));
  }
  return field.lower;
}

/** Without leading and trailing HTTP whitespace; throws TypeError for what must not be sent. */
export function normalizeValue(name: string, value: unknown): string {
  let text = typeof value === 'string' ? value : `${value as string}`;
  const length = text.length;
  if (length > 0 && (text.charCodeAt(0) <= 0x20 || text.charCodeAt(length - 1) <= 0x20)) {
    text = text.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '');
  }
  if (!isFieldValue(text)) {
    throw headerTypeError(valueProblem(name, text));
  }
  return text;
}

function requireArguments(count: number, required: number, method: string): void {
  if (count < required) {
    throw new TypeError(
      `Headers.${method}: ${required} argument${required > 1 ? 's' : ''} required, but only ${count} present`,
    );
  }
}

/** Makes headers over a request's fields, as friends of the class do. */
export let headersOfExchange: (exchange: Exchange) => Headers;
/** Takes over a flat list (lower-case names and valid values). */
export let headersOfList: (list: string[]) => Headers;
/** The block that sends these headers. Throws HeaderError for a content-length that is none. */
export let encodeHeaders: (headers: Headers) => HeadBlock;
export let makeImmutable: (headers: Headers) => void;

export class Headers {
  /** name, value, name, value ...: lower-case names, in the order of appending. */
  #list: string[] = [];
  /** Where the list comes from, as long as nothing but `get` and `has` were asked for. */
  #exchange: Exchange | null = null;
  #sorted: [string, string][] | null = null;
  #immutable = false;

  static {
    headersOfExchange = (exchange) => {
      const headers = new Headers();
      headers.#exchange = exchange;
      return headers;
    };
    headersOfList = (list) => {
      const headers = new Headers();
      headers.#list = list;
      return headers;
    };
    encodeHeaders = (headers) => {
      const list = headers.#fields();
      const head = new HeadBlock();
      for (let i = 0; i < list.length; i += 2) {
        head.add(list[i] as string, list[i + 1] as string);
      }
      return head;
    };
    makeImmutable = (headers) => {
      headers.#immutable = true;
    };
  }

  constructor(init?: HeadersInit) {
    if (init !== undefined) {
      this.#fill(init);
    }
  }

  append(name: string, value: string): void {
    requireArguments(arguments.length, 2, 'append');
    const lower = lowerName(name);
    const text = normalizeValue(lower, value);
    this.#mutable().push(lower, text);
  }

  delete(name: string): void {
    requireArguments(arguments.length, 1, 'delete');
    const lower = lowerName(name);
    this.#remove(this.#mutable(), lower, 0);
  }

  get(name: string): string | null {
    requireArguments(arguments.length, 1, 'get');
    const lower = lowerName(name);
    if (this.#exchange !== null) {
      const value = this.#exchange.header(lower);
      return value === null ? null : normalizeValue(lower, value);
    }
    const list = this.#list;
    let found: string | null = null;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === lower) {
        found = found === null ? (list[i + 1] as string) : `${found}${separator(lower)}${list[i + 1] as string}`;
      }
    }
    return found;
  }

  has(name: string): boolean {
    requireArguments(arguments.length, 1, 'has');
    const lower = lowerName(name);
    if (this.#exchange !== null) {
      return this.#exchange.header(lower) !== null;
    }
    for (let i = 0; i < this.#list.length; i += 2) {
      if (this.#list[i] === lower) {
        return true;
      }
    }
    return false;
  }

  set(name: string, value: string): void {
    requireArguments(arguments.length, 2, 'set');
    const lower = lowerName(name);
    const text = normalizeValue(lower, value);
    const list = this.#mutable();
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === lower) {
        list[i + 1] = text;
        this.#remove(list, lower, i + 2);
        return;
      }
    }
    list.push(lower, text);
  }

  getSetCookie(): string[] {
    const list = this.#fields();
    const cookies: string[] = [];
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === 'set-cookie') {
        cookies.push(list[i + 1] as string);
      }
    }
    return cookies;
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArg?: unknown): void {
    requireArguments(arguments.length, 1, 'forEach');
    if (typeof callback !== 'function') {
      throw new TypeError('Headers.forEach: the callback must be a function');
    }
    for (const [name, value] of this.entries()) {
      callback.call(thisArg, value, name, this);
    }
  }

  /** Sorted by name, values of one name combined, set-cookie apart; changes while iterating are seen, as the standard has it. */
  *entries(): IterableIterator<[string, string]> {
    for (let i = 0; i < this.#sort().length; i++) {
      const [name, value] = this.#sort()[i] as [string, string];
      yield [name, value];
    }
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.entries()) {
      yield name;
    }
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this.entries()) {
      yield value;
    }
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  get [Symbol.toStringTag](): string {
    return 'Headers';
  }

  [inspect.custom](depth: number, options: object): string {
    return `Headers ${inspect(Object.fromEntries(this.entries()), { ...options, depth })}`;
  }

  #fill(init: HeadersInit): void {
    if ((typeof init !== 'object' && typeof init !== 'function') || init === null) {
      throw new TypeError('Headers: expected Headers, an array of [name, value] pairs, or an object');
    }
    if (#list in init) {
      this.#list = init.#fields().slice();
      return;
    }
    if (typeof (init as Iterable<unknown>)[Symbol.iterator] === 'function') {
      for (const pair of init as Iterable<Iterable<string>>) {
        if (typeof pair !== 'object' || pair === null || typeof pair[Symbol.iterator] !== 'function') {
          throw new TypeError('Headers: each item of the sequence must be a [name, value] pair');
        }
        const items = [...pair];
        if (items.length !== 2) {
          throw new TypeError(
            `Headers: each item of the sequence must be a [name, value] pair, but one has ${items.length} items`,
          );
        }
        this.append(items[0] as string, items[1] as string);
      }
      return;
    }
    for (const name of Reflect.ownKeys(init)) {
      const descriptor = Reflect.getOwnPropertyDescriptor(init, name);
      if (descriptor?.enumerable === true) {
        this.append(name as string, (init as Record<string, string>)[name as string] as string);
      }
    }
  }

  #fields(): string[] {
    if (this.#exchange !== null) {
      const raw = this.#exchange.rawHeaders();
      const list = new Array<string>(raw.length);
      for (let i = 0; i + 1 < raw.length; i += 2) {
        const name = raw[i] as string;
        list[i] = lookUpName(name)?.lower ?? name.toLowerCase();
        list[i + 1] = raw[i + 1] as string;
      }
      this.#list = list;
      this.#exchange = null;
    }
    return this.#list;
  }

  #mutable(): string[] {
    if (this.#immutable) {
      throw new TypeError('Headers: these are immutable; make a copy with new Headers(headers)');
    }
    this.#sorted = null;
    return this.#fields();
  }

  #remove(list: string[], lower: string, from: number): void {
    let kept = from;
    for (let i = from; i < list.length; i += 2) {
      if (list[i] !== lower) {
        list[kept] = list[i] as string;
        list[kept + 1] = list[i + 1] as string;
        kept += 2;
      }
    }
    list.length = kept;
  }

  #sort(): [string, string][] {
    if (this.#sorted !== null) {
      return this.#sorted;
    }
    const list = this.#fields();
    const combined = new Map<string, string>();
    const sorted: [string, string][] = [];
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i] as string;
      const value = list[i + 1] as string;
      if (name === 'set-cookie') {
        sorted.push([name, value]);
        continue;
      }
      const before = combined.get(name);
      combined.set(name, before === undefined ? value : `${before}${separator(name)}${value}`);
    }
    for (const entry of combined) {
      sorted.push(entry);
    }
    sorted.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#sorted = sorted;
    return sorted;
  }
}

function separator(lower: string): string {
  return lower === 'cookie' ? '; ' : ', ';
}

/** `instanceof` the global class holds for ours: its prototype is put under ours, and every method of it is overridden. */
export function chainPrototype(ours: object, globalName: 'Headers' | 'Request' | 'Response'): void {
  const theirs = (globalThis as Record<string, unknown>)[globalName] as { prototype?: object } | undefined;
  if (theirs?.prototype !== undefined) {
    Object.setPrototypeOf(ours, theirs.prototype);
  }
}

chainPrototype(Headers.prototype, 'Headers');
for (const name of [
  'append',
  'delete',
  'get',
  'has',
  'set',
  'getSetCookie',
  'forEach',
  'entries',
  'keys',
  'values',
] as const) {
  Object.defineProperty(Headers.prototype, name, { enumerable: true });
}
