/**
 * permessage-deflate (RFC 7692) by node's zlib, in the turn in which the message is there: a small message costs a few microseconds so, and more
 * than a hundred by the streams and threads of node:zlib. That takes the handle below node's stream, whose `writeSync` node's own synchronous
 * functions use; where a node has none, `isDeflateAvailable` is false and the extension is not negotiated.
 *
 * Without context takeover nothing is kept between messages, so all connections share one context of a kind; with it each has its own.
 */
import { constants, createDeflateRaw, createInflateRaw, type DeflateRaw, type InflateRaw } from 'node:zlib';
import type { DeflateParameters } from './contract.js';

/** What stands at the end of each message on the wire but is not sent (section 7.2.1). */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
/** A message without a byte, compressed (section 7.2.3.6). */
const EMPTY_MESSAGE = Buffer.from([0x00]);
const EMPTY = Buffer.alloc(0);

/** Of node's binding; below `stream._handle` in every node since 12. */
interface ZlibHandle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputLength: number,
    output: Uint8Array,
    outputAt: number,
    outputLength: number,
  ): void;
  reset(): void;
  onerror: (message: string, errno: number, code: string) => void;
}

interface ZlibInternals {
  readonly _handle: ZlibHandle;
  /** After a write: bytes left of the output, bytes left of the input. */
  readonly _writeState: Uint32Array;
}

/** Where every context writes; copied from before anything else runs. */
const output = Buffer.allocUnsafeSlow(65536);

class Context {
  readonly #stream: DeflateRaw | InflateRaw;
  readonly #handle: ZlibHandle;
  readonly #state: Uint32Array;
  #hasFailed = false;

  constructor(stream: DeflateRaw | InflateRaw) {
    const { _handle, _writeState } = stream as unknown as ZlibInternals;
    this.#stream = stream;
    this.#handle = _handle;
    this.#state = _writeState;
    _handle.onerror = () => {
      this.#hasFailed = true;
    };
  }

  /**
   * Puts all of `input` through, and adds what comes out to `pieces`. Data after a final block (BFINAL) begin anew.
   * @returns bytes that came out; -1: invalid; -2: more than `maxBytes` (0: no maximum)
   */
  run(input: Uint8Array, pieces: Buffer[], maxBytes: number): number {
    let at = 0;
    let total = 0;
    for (;;) {
      const length = input.length - at;
      this.#handle.writeSync(constants.Z_SYNC_FLUSH, input, at, length, output, 0, output.length);
      if (this.#hasFailed) return -1;
      const free = this.#state[0] as number;
      const taken = length - (this.#state[1] as number);
      at += taken;
      const produced = output.length - free;
      total += produced;
      if (maxBytes > 0 && total > maxBytes) return -2;
      if (produced > 0) pieces.push(copyOf(output, produced));
      if (free === 0) continue;
      if (at === input.length) return total;
      if (taken === 0 && produced === 0) return -1;
      this.#handle.reset();
    }
  }

  reset(): void {
    this.#hasFailed = false;
    this.#handle.reset();
  }

  close(): void {
    this.#stream.close();
  }
}

/** Contexts between whose messages nothing is kept, by their parameters. */
const shared = new Map<string, Context>();

export function isDeflateAvailable(): boolean {
  const { _handle, _writeState } = createInflateRaw() as unknown as Partial<ZlibInternals>;
  return typeof _handle?.writeSync === 'function' && _writeState instanceof Uint32Array;
}

/** What one connection compresses and inflates with. Owned by its session, which closes it. `isServer`: which side this is. */
export class MessageDeflate {
  readonly thresholdBytes: number;
  /** Sessions of one key compress alike; '': what they send depends on what they have sent before. */
  readonly outKey: string;
  readonly #parameters: DeflateParameters;
  readonly #outWindowBits: number;
  readonly #inWindowBits: number;
  readonly #forgetsOut: boolean;
  readonly #forgetsIn: boolean;
  /** Kept from message to message: with context takeover, or while a message is sent in fragments. */
  #deflate: Context | null = null;
  #inflate: Context | null = null;

  constructor(parameters: DeflateParameters, isServer: boolean) {
    const { serverMaxWindowBits, clientMaxWindowBits, level, memLevel } = parameters;
    this.thresholdBytes = parameters.thresholdBytes;
    this.#parameters = parameters;
    this.#outWindowBits = isServer ? serverMaxWindowBits : clientMaxWindowBits;
    this.#inWindowBits = isServer ? clientMaxWindowBits : serverMaxWindowBits;
    this.#forgetsOut = isServer ? parameters.serverNoContextTakeover : parameters.clientNoContextTakeover;
    this.#forgetsIn = isServer ? parameters.clientNoContextTakeover : parameters.serverNoContextTakeover;
    this.outKey = this.#forgetsOut ? `deflate ${this.#outWindowBits} ${level} ${memLevel}` : '';
  }

  /** All frames of a message compressed, or a frame of one. `isFirst`, `isLast`: in the message. */
  compress(data: Uint8Array, isFirst: boolean, isLast: boolean): Buffer {
    if (data.length === 0) return isLast ? EMPTY_MESSAGE : EMPTY;
    const context = this.#deflateContext(isFirst && isLast);
    const pieces: Buffer[] = [];
    context.run(data, pieces, 0);
    if (this.#forgetsOut && isLast) context.reset();
    const bytes = joined(pieces);
    return isLast ? bytes.subarray(0, bytes.length - TAIL.length) : bytes;
  }

  /** A whole message. @returns 'invalid' or 'too large' (above `maxBytes`; 0: no maximum) where it cannot be had */
  inflate(message: Uint8Array, maxBytes: number): Buffer | 'invalid' | 'too large' {
    const context = this.#inflateContext();
    const pieces: Buffer[] = [];
    let length = context.run(message, pieces, maxBytes);
    if (length >= 0) {
      const rest = context.run(TAIL, pieces, maxBytes === 0 ? 0 : Math.max(1, maxBytes - length));
      length = rest < 0 ? rest : length + rest;
    }
    if (this.#forgetsIn || length < 0) context.reset();
    if (length === -1) return 'invalid';
    if (length === -2 || (maxBytes > 0 && length > maxBytes)) return 'too large';
    return joined(pieces);
  }

  close(): void {
    this.#deflate?.close();
    this.#inflate?.close();
    this.#deflate = null;
    this.#inflate = null;
  }

  #deflateContext(isAlone: boolean): Context {
    const { level, memLevel } = this.#parameters;
    const options = { level, memLevel, windowBits: this.#outWindowBits };
    if (this.#forgetsOut && isAlone) {
      let context = shared.get(this.outKey);
      if (context === undefined) {
        context = new Context(createDeflateRaw(options));
        shared.set(this.outKey, context);
      }
      return context;
    }
    this.#deflate ??= new Context(createDeflateRaw(options));
    return this.#deflate;
  }

  #inflateContext(): Context {
    const options = { windowBits: this.#inWindowBits };
    if (this.#forgetsIn) {
      const key = `inflate ${this.#inWindowBits}`;
      let context = shared.get(key);
      if (context === undefined) {
        context = new Context(createInflateRaw(options));
        shared.set(key, context);
      }
      return context;
    }
    this.#inflate ??= new Context(createInflateRaw(options));
    return this.#inflate;
  }
}

function copyOf(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  bytes.copy(copy, 0, 0, length);
  return copy;
}

function joined(pieces: Buffer[]): Buffer {
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}
