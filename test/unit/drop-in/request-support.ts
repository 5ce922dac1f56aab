import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { HEADER_NAMES, REQUEST_HAS_BODY_FLAG } from '../../../lib/bridge/records.js';
import { kConnectionClosed, type RequestSource } from '../../../lib/drop-in/contract.js';
import { createRequest, type IncomingMessage } from '../../../lib/drop-in/incoming-message.js';
import type { Server } from '../../../lib/drop-in/server.js';

/** The head as native code writes it (native/http/head_codec.h). */
export function headText(target: string, fields: readonly string[]): string {
  let index = '';
  let strings = target;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    const id = Math.max(0, HEADER_NAMES.indexOf(name.toLowerCase()));
    index += String.fromCharCode(
      id,
      name.length >>> 8,
      name.length & 255,
      value.length >>> 16,
      (value.length >>> 8) & 255,
      value.length & 255,
    );
    strings += name + value;
  }
  return index + strings;
}

/** What a connection does for its requests, and what they asked of it. */
export class TestSource implements RequestSource {
  readonly server: Server;
  destroyed = false;
  writableHighWaterMark = 16;
  consumed = 0;
  sockets = 0;
  destroyedWith: (Error | null)[] = [];
  #socket: Socket | undefined;
  #waiting: IncomingMessage | undefined;

  constructor(server: object = new EventEmitter()) {
    this.server = server as Server;
  }

  get socket(): Socket {
    if (this.#socket === undefined) {
      this.sockets++;
      this.#socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }) as Socket;
    }
    return this.#socket;
  }

  consume(byteCount: number): void {
    this.consumed += byteCount;
  }

  pauseReading(): void {}

  resumeReading(): void {}

  destroyFromRequest(request: IncomingMessage, error: Error | null): void {
    this.destroyedWith.push(error);
    this.#waiting = request;
  }

  /** The connection has closed. */
  close(): void {
    this.destroyed = true;
    this.#waiting?.[kConnectionClosed]();
  }
}

export interface TestHead {
  source?: TestSource;
  method?: string;
  target?: string;
  minor?: number;
  fields?: readonly string[];
  /** Came with the head. */
  body?: string;
  /** Comes in pieces. */
  isStreamed?: boolean;
}

export function makeRequest(head: TestHead = {}): { request: IncomingMessage; source: TestSource } {
  const source = head.source ?? new TestSource();
  const fields = head.fields ?? ['Host', 'example.test'];
  const target = head.target ?? '/';
  const request = createRequest(
    source,
    head.method ?? 'GET',
    head.minor ?? 1,
    head.isStreamed || head.body !== undefined ? REQUEST_HAS_BODY_FLAG : 0,
    fields.length / 2,
    target.length,
    headText(target, fields),
    head.body === undefined ? null : Buffer.from(head.body),
  );
  return { request, source };
}

export function record(emitter: EventEmitter, names: readonly string[]): string[] {
  const seen: string[] = [];
  for (const name of names) {
    emitter.on(name, (value: unknown) => {
      seen.push(value instanceof Error ? `${name} ${(value as NodeJS.ErrnoException).code}` : name);
    });
  }
  return seen;
}

/** Past everything that is due in this turn of the loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Unlike events.once, says nothing of errors. */
export function heard(emitter: EventEmitter, name: string): Promise<void> {
  return new Promise((resolve) => emitter.once(name, () => resolve()));
}
