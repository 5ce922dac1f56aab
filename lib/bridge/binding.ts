/**
 * The one place that loads the addon. Everything native is reached through what this returns.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { AddonMissingError } from '../errors.js';
import { foreignRuntime } from './foreign-runtime.js';
import { HEADER_NAMES, METHODS } from './records.js';

/** An address of a socket; empty for unix sockets. */
export interface NativeEndpoint {
  address?: string;
  family?: 'IPv4' | 'IPv6';
  port?: number;
}

/** The indices into what `stats` returns, before the error counters. */
export const STAT_CONNECTIONS_ACCEPTED = 0;
export const STAT_CONNECTIONS_CLOSED = 1;
export const STAT_CONNECTIONS_DROPPED = 2;
export const STAT_CONNECTIONS_SHED = 3;
export const STAT_REQUESTS_RECEIVED = 4;
export const STAT_REQUESTS_COMPLETED = 5;
export const STAT_REQUESTS_ABORTED = 6;
export const STAT_BYTES_RECEIVED = 7;
export const STAT_BYTES_SENT = 8;
export const STAT_ERRORS = 9;

/** native/addon/engine_wrap.h. Calls throw an Error with `errno` and `syscall` where a system call failed. */
export interface NativeEngine {
  listen(target: object, limits: object, timeouts: object): number;
  /** A server without a listener. `wire`, `raw`: its connections are wire sessions (lib/backend/wire.ts), with HTTP or without. */
  openServer(limits: object, timeouts: object, kind: 'http' | 'wire' | 'raw'): number;
  listenOn(server: number, target: object): void;
  stopListening(server: number): void;
  configure(server: number, limits: object, timeouts: object): void;
  /** Takes a duplicate of an accepted socket's descriptor as a connection of the server. */
  adopt(server: number, fd: number): void;
  closeIdle(server: number): void;
  /** Begins a connection of a `raw` server: WIRE_CONNECTED or WIRE_CLOSED follows. */
  connect(
    server: number,
    target: { hostname?: string; port?: number; path?: string; localAddress?: string; localPort?: number },
  ): [index: number, generation: number];
  openFed(server: number): [index: number, generation: number];
  feed(index: number, generation: number, bytes: Uint8Array): void;
  feedEnd(index: number, generation: number): void;
  feedClosed(index: number, generation: number, errno: number): void;
  /** Bytes that have left on the connection so far, modulo 2^32; -1: it is gone. */
  wireSent(index: number, generation: number): number;
  /** Of `bytes`, how many have left at once: none where `position` has not, which is before them. */
  wireSendNow(index: number, generation: number, bytes: Uint8Array, position: number): number;
  /** Receives up to `most` bytes into `memory`, after WIRE_READABLE. How many; 0: none, and what else happened comes by the ring. */
  wireReceive(index: number, generation: number, memory: Uint8Array, most: number): number;
  /** Bytes that have come on the connection so far; -1: it is gone. */
  wireReceived(index: number, generation: number): number;
  /** In the middle of a request, or with a part of the next one's head, after a look at what has come. */
  wireReceiving(index: number, generation: number): boolean;
  /** 0, or a negative errno. */
  setNoDelay(index: number, generation: number, on: boolean): number;
  setKeepAlive(index: number, generation: number, on: boolean, delaySeconds: number): number;
  /** The connection is handed over: a duplicate of its descriptor, and what was read and not told. Close the connection next. Undefined: it is gone. */
  release(index: number, generation: number): [fd: number, bytes: Buffer] | undefined;
  connectionFd(index: number, generation: number): number;
  setConnectionReferenced(index: number, generation: number, on: boolean): void;
  /** Bytes that wait to be sent on a connection; 0 where it has gone. */
  queuedBytes(index: number, generation: number): number;
  /** Who has subscribed to a topic of the server. */
  subscriberCount(server: number, topic: string): number;
  address(server: number): NativeEndpoint | string;
  setReferenced(server: number, referenced: boolean): void;
  closeServer(server: number): void;
  cutServer(server: number): [exchanges: number, connections: number];
  forgetServer(server: number): void;
  stats(server: number): number[] | undefined;
  peer(connectionIndex: number, connectionGeneration: number): [NativeEndpoint, NativeEndpoint] | undefined;
  /** Memory for large bodies; see lent-buffers.ts. */
  lend(slot: number, buffer: Uint8Array): void;
  flush(): void;
  /** As `flush`, and calls back with what comes of it before this returns; within a batch it does nothing, since that ends with it. */
  settle(): void;
  pollerName(): string;
  /** Begins anew, or ends. */
  measurePhases(on: boolean): void;
  /** Turns, then nanoseconds by `Phase` (native/reactor/phase_clock.h); undefined after the end. */
  phaseTimes(): number[] | undefined;
}

/** native/addon/runner_wrap.h, the side of the caller. */
export interface NativeRunnerPool {
  id(): number;
  /** How many consumers that slept were woken. */
  submit(count: number): number;
  ringConsumerOf(slot: number): void;
  /** -1: nobody has taken it. */
  consumerOf(slot: number): number;
  /** 0: removed, it will not run. 1: it runs, and has been asked to stop. 2: there is no such job any more. */
  cancel(slot: number): 0 | 1 | 2;
  /** Arrays are copied; buffers are lent, and must stay as they are until `discard`. */
  setInput(slot: number, parts: readonly (Uint8Array | ArrayBuffer)[]): void;
  /** What was lent may be among them, with what the task has given in it: `lent` are the buffers that `setInput` was given. */
  takeOutput(slot: number, lent: readonly ArrayBuffer[]): ArrayBuffer[];
  /** `lent` as for `takeOutput`; null: nothing was. */
  discard(slot: number, lent: readonly ArrayBuffer[] | null): void;
  /** The consumer runs nothing after what it runs. */
  withdraw(consumer: number): void;
  reclaim(consumer: number): number[];
  poll(spinUs: number): boolean;
  setReferenced(referenced: boolean): void;
  waits(): Uint32Array;
  queued(): number;
  close(): void;
}

/** The same, the side of a worker. */
export interface NativeRunnerConsumer {
  /** `canWait`: nothing else is to be done, so it may look for work for as long as it was made to. */
  take(limit: number, canWait: boolean): number;
  giveBack(from: number, count: number): void;
  retire(): void;
  ringCaller(): void;
  ringSelf(): void;
  /**
   * `spare` may be one of them: nobody else may have it. To `loans` those are added that are the caller's memory itself: as a part of the
   * output they are given back, and must then be ended. null: all are copies.
   */
  takeInput(slot: number, spare: ArrayBuffer | null, loans: ArrayBuffer[] | null): ArrayBuffer[];
  setOutput(slot: number, parts: readonly (Uint8Array | ArrayBuffer)[]): void;
  /** Detaches loans. */
  endLoans(loans: readonly ArrayBuffer[]): void;
  /** Whether it keeps its environment alive; at first it does. */
  setReferenced(referenced: boolean): void;
  close(): void;
}

/** native/addon/selector_wrap.h. Numbers below 0 are negative errnos. */
export interface NativeSelector {
  add(fd: number, interest: number): number;
  modify(fd: number, interest: number): number;
  remove(fd: number): number;
  /** Blocks. The number of pairs in the array. */
  wait(timeoutMs: number): number;
  wasWoken(): boolean;
  /** Whether onReady is called by the loop, which is kept alive for it. */
  setArmed(armed: boolean): number;
  setReferenced(referenced: boolean): void;
  wake(): void;
  id(): number;
  pollerName(): string;
  close(): void;
}

/** native/addon/native_lane_wrap.h */
export interface NativeLaneThreads {
  /** undefined, or why there is no such function: what the library says, or the version that it has. */
  define(
    functionId: number,
    path: string,
    symbol: string,
  ): { kind: 'library' | 'abi' | 'symbol'; text: string } | undefined;
  /** `idleMs` -1: for ever. Throws where there can be no more threads. */
  start(
    consumer: number,
    lane: Int32Array,
    capacity: number,
    idleMs: number,
    spinUs: number,
    batchSize: number,
    niceIncrement: number,
  ): void;
  retire(consumer: number): void;
  /** Of one that has ended. */
  reap(consumer: number): void;
  /** False: there is no memory left. */
  copyInput(slot: number, bytes: Uint8Array): boolean;
  /** The caller keeps the bytes until the job has ended. */
  holdInput(slot: number, bytes: Uint8Array): void;
  takeOutput(slot: number): ArrayBuffer | undefined;
  discard(slot: number): void;
  close(): void;
}

/** native/addon/inbox_wrap.h. It keeps the process alive until it is closed, or unreferenced. */
export interface NativeInbox {
  id(): number;
  /** Every message since the last call, each behind its length (32 bits, as the machine has them). */
  takeAll(): ArrayBuffer;
  setReferenced(referenced: boolean): void;
  close(): void;
}

/** native/addon/datagram_wrap.h. Numbers below 0 are negative errnos. Of a datagram eight words: see DATAGRAM_WORDS. */
export interface NativeDatagram {
  fd(): number;
  ends(): [remote: NativeEndpoint, local: NativeEndpoint];
  /** As many as wait, and as there is room for in equal parts of `memory`: how many, and in the bits above DATAGRAM_COUNT_BITS the errno of what came behind. */
  receive(memory: Uint8Array, words: Uint32Array): number;
  /** The same: how many of `count` were taken, and the errno with which the next one was refused. */
  send(memory: Uint8Array, words: Uint32Array, count: number): number;
  setOption(option: number, value: number): number;
  option(option: number): number;
  /** Literal addresses; an empty interface is the system's choice, an empty source is anybody. */
  changeMembership(join: boolean, group: string, networkInterface: string, source: string): number;
  setMulticastInterface(networkInterface: string): number;
  close(): void;
}

/** Offset in the memory; length, and above it whether it was cut; family (0, 4, 6) << 16 | port; scope; four words of address. */
export const DATAGRAM_WORDS = 8;
export const DATAGRAM_TRUNCATED_BIT = 0x8000_0000;
export const DATAGRAM_COUNT_BITS = 8;
/** kMaxDatagrams of native/sys/datagrams.h. */
export const MAX_DATAGRAMS = 32;

export interface Binding {
  /** Throws an Error with `errno` and `syscall`. */
  Datagram: {
    new (options: object): NativeDatagram;
    /** False: not a literal address. */
    parse(address: string, port: number, words: Uint32Array): boolean;
    text(words: Uint32Array, index: number): string;
  };
  Inbox: new (onRing: () => void) => NativeInbox;
  /** From any thread; false: there is no such inbox. */
  postToInbox(id: number, message: Uint8Array): boolean;
  Selector: new (poller: string, ready: Uint32Array, onReady: (count: number) => void) => NativeSelector;
  /** From any thread; false: there is no such selector. */
  wakeSelector(id: number): boolean;
  /** native/addon/child_control.h: cancellations that a parent writes to `fd`; the process ends when that is closed. */
  ChildControl: new (
    fd: number,
    slots: Int32Array,
    strideWords: number,
    cancelled: Int32Array,
    onRing: () => void,
  ) => object;
  NativeLane: {
    new (
      poolId: number,
      slots: Int32Array,
      strideWords: number,
      slotCount: number,
      inputs: Uint8Array,
      inputStrideBytes: number,
    ): NativeLaneThreads;
    /** Inputs and results of the whole process that were not given back yet. */
    liveBytes(): number;
  };
  RunnerPool: {
    new (
      slots: Int32Array,
      strideWords: number,
      slotCount: number,
      agingMs: number,
      batchSlots: Uint32Array,
      batchPriorities: Uint8Array,
      onRing: () => void,
    ): NativeRunnerPool;
    /** Of the whole process: buffers of callers that tasks have as their own. */
    liveLoans(): number;
  };
  RunnerConsumer: new (
    poolId: number,
    consumer: number,
    slots: Int32Array,
    taken: Uint32Array,
    onRing: () => void,
    spinUs: number,
  ) => NativeRunnerConsumer;
  Engine: new (
    poller: string,
    completionControl: Uint32Array,
    completionData: Uint8Array,
    submissionControl: Uint32Array,
    submissionData: Uint8Array,
    onBatch: () => void,
  ) => NativeEngine;
  /** Tables of the border; absent in an addon that is not ours, or not of this version. */
  methods?: string[];
  headerNames?: string[];
  httpErrors: string[];
  sessionErrors: string[];
  /** Whether permessage-deflate can be done natively: the process has a zlib. */
  hasZlib: boolean;
}

let binding: Binding | null = null;

/** Throws AddonMissingError, which names what was tried and what to do. `fix`: what that is for who cannot do without the addon. */
export function loadBinding(fix?: string): Binding {
  if (binding !== null) return binding;
  const foreign = foreignRuntime();
  if (foreign !== null) {
    throw new AddonMissingError({
      platform: process.platform,
      arch: process.arch,
      libc: '',
      tried: [`nothing: ${foreign}`],
      fix: "run it on Node.js; for a server, choose backend 'node' (GAMMALOOP_BACKEND=node)",
    });
  }
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const require = createRequire(import.meta.url);
  let loaded: Binding;
  try {
    const load = require('node-gyp-build') as (directory: string) => Binding;
    loaded = load(root);
  } catch (error) {
    throw new AddonMissingError({
      ...placeOf(fix),
      tried: [`${root}build/Release and ${root}prebuilds: ${firstLine(error)}`],
      cause: error,
    });
  }
  if (loaded.methods?.join() !== METHODS.join() || loaded.headerNames?.join() !== HEADER_NAMES.join()) {
    throw new AddonMissingError({
      ...placeOf(fix),
      tried: ['an addon was found, but it was built from another version of gammaloop'],
    });
  }
  binding = loaded;
  return loaded;
}

function placeOf(fix: string | undefined) {
  return { platform: process.platform, arch: process.arch, libc: libcOf(), ...(fix !== undefined && { fix }) };
}

function libcOf(): string {
  if (process.platform !== 'linux') return '';
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] as string;
}
