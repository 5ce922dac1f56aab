/**
 * `Response` as the fetch standard has it, light enough to be made for every request: no headers object, no stream, nothing of undici
 * before something asks for it. An instance is `instanceof` the global Response too.
 *
 * One difference: bytes given as a body are not copied; leave them as they are until the response has been sent.
 */
import { inspect } from 'node:util';
import { describeValue } from '../errors/text.js';
import { HeaderError, ResponseError } from '../errors.js';
import {
  type BodyInit,
  type BodySource,
  bodyUsedError,
  extractBody,
  isSourceDisturbed,
  isSourceLocked,
  ownBytes,
  readBlob,
  readBytes,
  readForm,
  readText,
  teeSource,
  toStream,
} from './body.js';
import {
  EMPTY_HEAD,
  HeadBlock,
  isReasonPhrase,
  JSON_HEAD,
  lookUpName,
  nameProblem,
  singleFieldHead,
  TEXT_HEAD,
  TEXT_TYPE,
} from './header-block.js';
import {
  chainPrototype,
  encodeHeaders,
  Headers,
  type HeadersInit,
  headersOfList,
  headerTypeError,
  makeImmutable,
  normalizeValue,
} from './headers.js';

export interface ResponseInit {
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
}

/** What an adapter sends. `source` has been marked as used where it can be read only once. */
export interface ResponseParts {
  status: number;
  reason: string;
  head: HeadBlock;
  source: BodySource | null;
}

/** Whether it is one of ours (by brand, whatever its prototype). */
export let isResponse: (value: unknown) => value is Response;
export let statusOf: (response: Response) => number;
export let reasonOf: (response: Response) => string;
/** Throws HeaderError for a content-length that is none. */
export let headOf: (response: Response) => HeadBlock;
/** The body to send. Text and bytes may be sent again. Throws ResponseError for a used body and for Response.error(). */
export let takeBody: (response: Response) => BodySource | null;

export class Response {
  #source: BodySource | null = null;
  #used = false;
  #status = 200;
  #reason = '';
  /** The headers, until something asks for them as an object. */
  #head: HeadBlock = EMPTY_HEAD;
  #headers: Headers | null = null;
  #type: 'default' | 'error' = 'default';

  static {
    isResponse = (value): value is Response => typeof value === 'object' && value !== null && #source in value;
    statusOf = (response) => response.#status;
    reasonOf = (response) => response.#reason;
    headOf = (response) => (response.#headers === null ? response.#head : encodeHeaders(response.#headers));
    takeBody = (response) => {
      const source = response.#source;
      if (
        response.#used ||
        (source !== null && typeof source === 'object' && (isSourceDisturbed(source) || isSourceLocked(source)))
      ) {
        throw new ResponseError(
          'The handler returned a Response whose body was used already; clone() it before reading',
        );
      }
      if (response.#type === 'error') {
        throw new ResponseError(
          'The handler returned Response.error(), which is no answer; return a Response with a status',
        );
      }
      if (source !== null && typeof source !== 'string' && !(source instanceof Uint8Array)) {
        response.#used = true;
      }
      return source;
    };
  }

  constructor(body: BodyInit | null = null, init?: ResponseInit) {
    let type: string | null = null;
    if (typeof body === 'string') {
      this.#source = body;
      this.#head = TEXT_HEAD;
      type = TEXT_TYPE;
    } else if (body !== null) {
      const extracted = extractBody(body);
      this.#source = extracted.source;
      type = extracted.type;
    }
    if (init !== undefined && init !== null) {
      this.#init(init, type);
    } else if (type !== null && type !== TEXT_TYPE) {
      this.#setHeaders(undefined, type);
    } else if (type !== null) {
      this.#head = TEXT_HEAD;
    }
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data);
    if (text === undefined) {
      throw new TypeError(`Response.json: ${describeValue(data)} has no JSON form`);
    }
    const response = new Response();
    response.#source = text;
    response.#head = JSON_HEAD;
    if (init !== undefined && init !== null) {
      response.#init(init, 'application/json');
    }
    return response;
  }

  static redirect(url: string | URL, status = 302): Response {
    let location: string;
    try {
      location = new URL(`${url as string}`).href;
    } catch (cause) {
      const advice =
        "a server has no base URL: give an absolute one, or new Response(null, { status: 302, headers: { location: '/path' } })";
      throw new TypeError(`Response.redirect: ${describeValue(`${url as string}`)} is not an absolute URL; ${advice}`, {
        cause,
      });
    }
    const code = toStatus(status);
    if (code !== 301 && code !== 302 && code !== 303 && code !== 307 && code !== 308) {
      throw new RangeError(`Response.redirect: status ${code} is not one of 301, 302, 303, 307, 308`);
    }
    const response = new Response();
    response.#status = code;
    response.#headers = headersOfList(['location', location]);
    makeImmutable(response.#headers);
    return response;
  }

  static error(): Response {
    const response = new Response();
    response.#type = 'error';
    response.#status = 0;
    response.#headers = new Headers();
    makeImmutable(response.#headers);
    return response;
  }

  get type(): 'default' | 'error' {
    return this.#type;
  }

  get url(): string {
    return '';
  }

  get redirected(): boolean {
    return false;
  }

  get status(): number {
    return this.#status;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get statusText(): string {
    return this.#reason;
  }

  get headers(): Headers {
    if (this.#headers === null) {
      const list: string[] = [];
      for (const line of this.#head.block.split('\r\n')) {
        if (line !== '') {
          const colon = line.indexOf(': ');
          list.push(line.slice(0, colon).toLowerCase(), line.slice(colon + 2));
        }
      }
      this.#headers = headersOfList(list);
    }
    return this.#headers;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#source === null) {
      return null;
    }
    const stream = toStream(this.#source);
    this.#source = stream;
    return stream;
  }

  get bodyUsed(): boolean {
    return this.#used || isSourceDisturbed(this.#source);
  }

  async text(): Promise<string> {
    const text = readText(this.#take());
    return typeof text === 'string' ? text : await text;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as the standard types it
  async json(): Promise<any> {
    const text = readText(this.#take());
    return JSON.parse(typeof text === 'string' ? text : await text);
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = readBytes(this.#take());
    return ownBytes(bytes instanceof Promise ? await bytes : bytes);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer;
  }

  async blob(): Promise<Blob> {
    return readBlob(this.#take(), this.headers.get('content-type'));
  }

  async formData(): Promise<FormData> {
    return readForm(this.#take(), this.headers.get('content-type'));
  }

  clone(): Response {
    if (this.bodyUsed || isSourceLocked(this.#source)) {
      throw bodyUsedError();
    }
    const copy = new Response();
    copy.#status = this.#status;
    copy.#reason = this.#reason;
    copy.#head = this.#head;
    copy.#headers = this.#headers === null ? null : new Headers(this.#headers);
    copy.#type = this.#type;
    [this.#source, copy.#source] = teeSource(this.#source);
    return copy;
  }

  get [Symbol.toStringTag](): string {
    return 'Response';
  }

  [inspect.custom](depth: number, options: object): string {
    const { status, statusText, headers, bodyUsed, type } = this;
    return `Response ${inspect({ status, statusText, headers, bodyUsed, type }, { ...options, depth })}`;
  }

  /** The body, for a reader that takes all of it. Throws TypeError where it was used. */
  #take(): BodySource | null {
    const source = this.#source;
    if (this.bodyUsed || isSourceLocked(source)) {
      throw bodyUsedError();
    }
    this.#used = source !== null;
    return source;
  }

  #init(init: ResponseInit, type: string | null): void {
    if (typeof init !== 'object' && typeof init !== 'function') {
      throw new TypeError(`Response: the second argument must be an object, but got ${describeValue(init)}`);
    }
    const { status, statusText, headers } = init;
    if (status !== undefined) {
      const code = toStatus(status);
      if (code < 200 || code > 599) {
        throw new RangeError(`Response: status ${code} is not between 200 and 599`);
      }
      if (this.#source !== null && (code === 204 || code === 205 || code === 304)) {
        throw new TypeError(`Response: status ${code} allows no body; give null`);
      }
      this.#status = code;
    }
    if (statusText !== undefined) {
      const reason = `${statusText}`;
      if (!isReasonPhrase(reason)) {
        throw new TypeError('Response: statusText has characters that must not be sent');
      }
      this.#reason = reason;
    }
    this.#setHeaders(headers, type);
  }

  /** Headers in an ordinary object become the block at once; all other forms become a Headers object. */
  #setHeaders(init: HeadersInit | undefined, type: string | null): void {
    const head = isPlainRecord(init) ? encodeRecord(init, type) : null;
    if (head !== null) {
      this.#head = head;
      return;
    }
    if (init === undefined) {
      this.#head = type === null ? EMPTY_HEAD : addType(new HeadBlock(), type);
      return;
    }
    const headers = new Headers(init);
    if (type !== null && !headers.has('content-type')) {
      headers.append('content-type', type);
    }
    this.#headers = headers;
  }
}

chainPrototype(Response.prototype, 'Response');

function isPlainRecord(init: unknown): init is Record<string, unknown> {
  return typeof init === 'object' && init !== null && Object.getPrototypeOf(init) === Object.prototype;
}

/** Null where the record has to become a Headers object: framing fields, symbols, odd names. */
function encodeRecord(record: Record<string, unknown>, type: string | null): HeadBlock | null {
  const names = Object.keys(record);
  if (names.length === 1) {
    const head = encodeOnly(names[0] as string, record[names[0] as string], type);
    if (head !== null) {
      return head;
    }
  }
  if (
    typeof (record as unknown as Iterable<unknown>)[Symbol.iterator] === 'function' ||
    Object.getOwnPropertySymbols(record).length > 0
  ) {
    return null;
  }
  const head = new HeadBlock();
  for (const name of names) {
    const field = lookUpName(name);
    if (field === null) {
      throw headerTypeError(nameProblem(name));
    }
    const value = normalizeValue(name, record[name]);
    if (field.kind === 'content-length' || field.kind === 'transfer-encoding') {
      return null;
    }
    head.addChecked(field, value);
  }
  return type === null || head.hasContentType ? head : addType(head, type);
}

/** The shared block of a record with one field, and no default content-type beside it. */
function encodeOnly(name: string, value: unknown, type: string | null): HeadBlock | null {
  const field = lookUpName(name);
  if (field === null || typeof value !== 'string' || (type !== null && field.kind !== 'content-type')) {
    return null;
  }
  return value === field.lastValue && field.lastHead !== null
    ? field.lastHead
    : singleFieldHead(field, normalizeValue(name, value));
}

function addType(head: HeadBlock, type: string): HeadBlock {
  try {
    head.add('content-type', type);
  } catch (error) {
    throw error instanceof HeaderError ? headerTypeError(error.message) : error;
  }
  return head;
}

/** As WebIDL converts to an unsigned short. */
function toStatus(status: unknown): number {
  const number = Number(status);
  return Number.isFinite(number) ? Math.trunc(number) & 0xffff : 0;
}
