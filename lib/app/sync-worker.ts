/**
 * The task module of serve({ sync }), in each worker: loads the app, whose address is this module's query, calls it for each request, and
 * gives back its response in one piece.
 */
import { describeValue } from '../errors/text.js';
import { OptionError, ResponseError } from '../errors.js';
import { type BodyInit, type BodySource, checkChunk, readBytes } from '../http/body.js';
import type { HeadBlock } from '../http/header-block.js';
import type { HeadersInit } from '../http/headers.js';
import { headOf, isResponse, Response, reasonOf, statusOf, takeBody } from '../http/response.js';
import { taskContext } from '../runner/task-context.js';
import { foreignHead, isForeignResponse, isThenable } from './results.js';
import { packAnswer, type SyncAnswer } from './sync-answer.js';
import { type SyncHead, SyncRequest } from './sync-request.js';

/** The same as a Response, without a class. */
export interface SyncResponse {
  /** 200 to 599. Default 200. */
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
  /** Chunks of an iterable are text or bytes. */
  body?: BodyInit | Iterable<string | Uint8Array> | null;
}

export type SyncResult = SyncResponse | Response | globalThis.Response;

/** The default export of the module. It may return a promise, too. */
export type SyncHandler = (request: SyncRequest) => SyncResult | Promise<SyncResult>;

const KNOWN = new Set(['status', 'statusText', 'headers', 'body']);

let app: { default: SyncHandler; init?: (context: unknown) => unknown; dispose?: (context: unknown) => unknown };

export async function init(context: unknown): Promise<void> {
  const href = new URL(import.meta.url).searchParams.get('app') as string;
  const module = (await import(href)) as Record<string, unknown>;
  // What CommonJS exports as `exports.default` is a level deeper.
  const inner = (module['default'] as Record<string, unknown> | undefined)?.['default'];
  app = { ...module, default: inner ?? module['default'] } as typeof app;
  if (typeof app.default !== 'function') {
    throw new OptionError('sync.module', `a module whose default export is a function, which ${href} has not`);
  }
  await app.init?.(context);
}

export async function dispose(context: unknown): Promise<void> {
  await app.dispose?.(context);
}

type Packed = ReturnType<typeof packAnswer>;

export function handle(head: SyncHead, body: Uint8Array | null): Packed | Promise<Packed> {
  const handler = app.default;
  const result: unknown = handler(new SyncRequest(head, body, taskContext()));
  return isThenable(result) ? Promise.resolve(result).then(answerOf) : answerOf(result);
}

function answerOf(result: unknown): Packed | Promise<Packed> {
  if (!isResponse(result) && isForeignResponse(result)) {
    return answer(result.status, result.statusText, foreignHead(result), result.body);
  }
  const response = isResponse(result) ? result : responseOf(result);
  const source = takeBody(response);
  return answer(statusOf(response), reasonOf(response), headOf(response), source);
}

function answer(
  status: number,
  reason: string,
  { block, flags, contentLength }: HeadBlock,
  source: BodySource | null,
): Packed | Promise<Packed> {
  const withBody = (body: SyncAnswer['body']) =>
    packAnswer({ status, reason, head: { block, flags, contentLength }, body });
  if (source === null || typeof source === 'string') {
    return withBody(source);
  }
  const bytes = readBytes(source);
  return bytes instanceof Promise ? bytes.then(withBody) : withBody(bytes);
}

function responseOf(result: unknown): Response {
  if (typeof result !== 'object' || result === null) {
    throw new ResponseError(
      `The handler must return a Response or { status, headers, body }, but gave ${describeValue(result)}`,
    );
  }
  for (const key of Object.keys(result)) {
    if (!KNOWN.has(key)) {
      throw new ResponseError(
        `The handler returned an object with ${describeValue(key)}; known are ${[...KNOWN].join(', ')}`,
      );
    }
  }
  const { body = null, ...init } = result as SyncResponse;
  return new Response(isIterable(body) ? joined(body) : (body as BodyInit | null), init);
}

/** Chunks, as a generator or an array gives them; text and bytes have an iterator, too, and are none. */
function isIterable(body: unknown): body is Iterable<unknown> {
  const isChunk = !(typeof body === 'object' && body !== null) || ArrayBuffer.isView(body);
  const isKnown = isChunk || body instanceof URLSearchParams || body instanceof FormData;
  return !isKnown && typeof (body as Iterable<unknown>)[Symbol.iterator] === 'function';
}

function joined(chunks: Iterable<unknown>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const chunk of chunks) {
    const checked = checkChunk(chunk);
    parts.push(typeof checked === 'string' ? Buffer.from(checked) : checked);
  }
  return Buffer.concat(parts);
}
