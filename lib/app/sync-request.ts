/** The request of a synchronous app: all of it is there when the handler is called. */
import type { Peer } from '../http/exchange.js';
import { type Headers, headersOfList } from '../http/headers.js';
import { requestUrl } from '../http/request-url.js';
import type { TaskContext } from '../runner/task-context.js';

/** What travels to the worker of a request, beside its body. */
export interface SyncHead {
  readonly method: string;
  readonly target: string;
  readonly scheme: 'http' | 'https';
  /** As received: name, value, name, value ... */
  readonly rawHeaders: string[];
  readonly peer: Peer;
}

const NO_BYTES = new Uint8Array(0);
const decoder = new TextDecoder();

export class SyncRequest {
  readonly #head: SyncHead;
  readonly #task: TaskContext;
  #headers: Headers | null = null;
  #url: string | null = null;
  /** The whole body; empty where there is none. */
  readonly body: Uint8Array;

  /** Made by the server, in the worker. */
  constructor(head: SyncHead, body: Uint8Array | null, task: TaskContext) {
    this.#head = head;
    this.body = body ?? NO_BYTES;
    this.#task = task;
  }

  get method(): string {
    return this.#head.method;
  }

  /** As `request.url` of a fetch handler: scheme, Host field and target, normalised. */
  get url(): string {
    const { method, target, scheme, peer } = this.#head;
    this.#url ??= requestUrl({ method, target, scheme, header: (name) => this.headers.get(name), peer: () => peer });
    return this.#url;
  }

  get headers(): Headers {
    if (this.#headers === null) {
      const { rawHeaders } = this.#head;
      this.#headers = headersOfList(rawHeaders.map((text, index) => (index % 2 === 0 ? text.toLowerCase() : text)));
    }
    return this.#headers;
  }

  /** The body as UTF-8. */
  text(): string {
    return decoder.decode(this.body);
  }

  /** The body as JSON. Throws SyntaxError. */
  // biome-ignore lint/suspicious/noExplicitAny: as the fetch standard types it
  json(): any {
    return JSON.parse(this.text());
  }

  /** Undefined on a unix socket. */
  get remoteAddress(): string | undefined {
    return this.#head.peer.remoteAddress;
  }

  /** The trace's id: that of the header `traceparent` if it is valid, else a new one. */
  get traceId(): string {
    return this.#task.traceId as string;
  }

  /** The instant by this thread's `performance.now()` at which timeouts.handler passes; Infinity where there is none. */
  get deadline(): number {
    return this.#task.deadline;
  }

  /** Aborted when the client goes, timeouts.handler passes, or the server is cut off. A handler that never awaits asks `isCancelled()`. */
  get signal(): AbortSignal {
    return this.#task.signal;
  }

  /** Whether nobody waits for the answer any more. Seen at once, and costs a read of memory. */
  isCancelled(): boolean {
    return this.#task.isCancelled();
  }
}
