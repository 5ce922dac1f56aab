/** A client that says exactly what it is told to, and reads answers strictly (RFC 9112). Event-driven: no sleeps. */
import { connect, type Socket } from 'node:net';
import type { Server } from '../../lib/index.js';

export interface RawResponse {
  status: number;
  reason: string;
  version: string;
  /** Lower-case names; repeated fields in order. */
  headers: Record<string, string[]>;
  rawHeaders: string[];
  body: Buffer;
  trailers: Record<string, string[]>;
}

export type Wire = string | Buffer;

const asBuffer = (wire: Wire): Buffer => (typeof wire === 'string' ? Buffer.from(wire, 'latin1') : wire);

export class RawClient {
  readonly socket: Socket;
  /** Settles when the connection is closed in full, with how. */
  readonly closed: Promise<{ error: NodeJS.ErrnoException | null }>;
  ended = false;
  bytesRead = 0;
  /** `#input` is the end of what is written of it; what was taken before is never written to again. */
  #memory = Buffer.allocUnsafeSlow(4096);
  #input = this.#memory.subarray(0, 0);
  #waiting: Array<() => void> = [];
  #error: NodeJS.ErrnoException | null = null;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve({ error: this.#error });
      });
    });
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      this.#append(chunk);
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error;
      this.#wake();
    });
  }

  /** `to`: a server, a port on 127.0.0.1, or the path of a unix socket. */
  static async open(to: Server | number | string, host = '127.0.0.1'): Promise<RawClient> {
    const place = typeof to === 'object' ? to.address() : to;
    const options =
      typeof place === 'string'
        ? { path: place }
        : typeof place === 'number'
          ? { port: place, host }
          : {
              port: place.port,
              host: place.address === '::' || place.address === '0.0.0.0' ? host : place.address,
            };
    const socket = connect({ ...options, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  send(wire: Wire): this {
    this.socket.write(asBuffer(wire));
    return this;
  }

  /** Half-closes: nothing more will be sent. */
  end(): this {
    this.socket.end();
    return this;
  }

  /** Closes with a reset. */
  reset(): this {
    this.socket.resetAndDestroy();
    return this;
  }

  /** What has come and not been taken. */
  get pending(): Buffer {
    return this.#input;
  }

  /** Waits until `check` gives something other than null; an error when the connection ends first. */
  async until<T>(what: string, check: () => T | null): Promise<T> {
    for (;;) {
      const result = check();
      if (result !== null) return result;
      if (this.ended || this.#isClosed) {
        throw new Error(
          `The connection ended (${this.#error?.code ?? 'FIN'}) while waiting for ${what}; unread: ${JSON.stringify(
            this.#input.toString('latin1').slice(0, 300),
          )}`,
        );
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The next response; 1xx ones count. `bodiless`: the answer to HEAD. */
  async response(options: { bodiless?: boolean } = {}): Promise<RawResponse> {
    return this.until('a response', () => {
      const parsed = parseResponse(this.#input, options.bodiless ?? false, this.ended || this.#isClosed);
      if (parsed === null) return null;
      this.#input = this.#input.subarray(parsed.length);
      return parsed.response;
    });
  }

  async responses(count: number): Promise<RawResponse[]> {
    const all: RawResponse[] = [];
    while (all.length < count) all.push(await this.response());
    return all;
  }

  /** Everything up to the server's FIN or reset that has not been taken, as latin1. Answers the FIN with one. */
  async rest(): Promise<string> {
    while (!this.ended && !this.#isClosed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.socket.end();
    const text = this.#input.toString('latin1');
    this.#input = this.#input.subarray(this.#input.length);
    return text;
  }

  #append(chunk: Buffer): void {
    const length = this.#input.length + chunk.length;
    let start = this.#input.byteOffset - this.#memory.byteOffset;
    if (start + length > this.#memory.length) {
      this.#memory = Buffer.allocUnsafeSlow(2 * length);
      this.#input.copy(this.#memory);
      start = 0;
    }
    chunk.copy(this.#memory, start + this.#input.length);
    this.#input = this.#memory.subarray(start, start + length);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Sends `wire` on a connection of its own, reads to its end, and gives what came. */
export async function exchangeRaw(server: Server, wire: Wire): Promise<{ text: string; responses: RawResponse[] }> {
  const client = await RawClient.open(server);
  client.send(wire);
  const text = await client.rest();
  client.socket.destroy();
  const responses: RawResponse[] = [];
  let input = Buffer.from(text, 'latin1');
  while (input.length > 0) {
    const parsed = parseResponse(input, false, true);
    if (parsed === null) throw new Error(`The answer is cut short: ${JSON.stringify(text)}`);
    responses.push(parsed.response);
    input = input.subarray(parsed.length);
  }
  return { text, responses };
}

/** Null: more is needed. Throws on what no server may send. */
export function parseResponse(
  input: Buffer,
  bodiless: boolean,
  ended: boolean,
): { response: RawResponse; length: number } | null {
  const headEnd = input.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const lines = input.toString('latin1', 0, headEnd).split('\r\n');
  const statusLine = /^(HTTP\/1\.[01]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)$/.exec(lines[0] as string);
  if (statusLine === null) throw new Error(`No status line: ${JSON.stringify(lines[0])}`);
  const { raw: rawHeaders, map: headers } = parseFields(lines.slice(1));
  const status = Number(statusLine[2]);
  const response: RawResponse = {
    status,
    reason: statusLine[3] as string,
    version: statusLine[1] as string,
    headers,
    rawHeaders,
    body: Buffer.alloc(0),
    trailers: {},
  };
  const bodyAt = headEnd + 4;
  const length = headers['content-length'];
  const coding = headers['transfer-encoding'];
  if (length !== undefined && (length.length > 1 || coding !== undefined))
    throw new Error('The response frames its body twice');
  if (bodiless || status < 200 || status === 204 || status === 304) {
    if ((status < 200 || status === 204) && (length !== undefined || coding !== undefined))
      throw new Error(`A ${status} announces a body`);
    return { response, length: bodyAt };
  }
  if (coding !== undefined) {
    if (coding.join() !== 'chunked') throw new Error(`Transfer-Encoding: ${coding.join()}`);
    return parseChunks(input, bodyAt, response);
  }
  if (length !== undefined) {
    const text = length[0] as string;
    if (!/^[0-9]+$/.test(text)) throw new Error(`Content-Length: ${text}`);
    const end = bodyAt + Number(text);
    if (input.length < end) return null;
    response.body = input.subarray(bodyAt, end);
    return { response, length: end };
  }
  if (!ended) return null;
  response.body = input.subarray(bodyAt);
  return { response, length: input.length };
}

function parseChunks(
  input: Buffer,
  start: number,
  response: RawResponse,
): { response: RawResponse; length: number } | null {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = input.indexOf('\r\n', at);
    if (lineEnd === -1) return null;
    const sizeText = input.toString('latin1', at, lineEnd);
    if (!/^[0-9a-fA-F]+$/.test(sizeText)) throw new Error(`Chunk size: ${JSON.stringify(sizeText)}`);
    const size = Number.parseInt(sizeText, 16);
    at = lineEnd + 2;
    if (size === 0) break;
    if (input.length < at + size + 2) return null;
    if (input.toString('latin1', at + size, at + size + 2) !== '\r\n') throw new Error('A chunk does not end in CRLF');
    parts.push(input.subarray(at, at + size));
    at += size + 2;
  }
  const lines: string[] = [];
  for (;;) {
    const lineEnd = input.indexOf('\r\n', at);
    if (lineEnd === -1) return null;
    const line = input.toString('latin1', at, lineEnd);
    at = lineEnd + 2;
    if (line === '') break;
    lines.push(line);
  }
  response.trailers = parseFields(lines).map;
  response.body = Buffer.concat(parts);
  return { response, length: at };
}

function parseFields(lines: string[]): { raw: string[]; map: Record<string, string[]> } {
  const map: Record<string, string[]> = Object.create(null);
  const raw: string[] = [];
  for (const line of lines) {
    const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/.exec(line);
    if (field === null) throw new Error(`No header field: ${JSON.stringify(line)}`);
    raw.push(field[1] as string, field[2] as string);
    const name = (field[1] as string).toLowerCase();
    map[name] ??= [];
    map[name].push(field[2] as string);
  }
  return { raw, map };
}
