/** A child process as its caller has it: takes jobs from the queue in its name, sends them there, and returns what comes back. */
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { NativeRunnerConsumer } from '../bridge/binding.js';
import { ownBuffer, toFrame } from './frames.js';
import type { FunctionDefinition } from './functions.js';
import { addDuration } from './histogram.js';
import {
  CANCEL_BIT,
  GENERATION_SHIFT,
  INPUT_HAS_PARCEL,
  type JobMemory,
  LANE_TAIL,
  type Lane,
  PLACE_RUNNING,
  PLACE_TAKEN,
  SLOT_FLAGS,
  SLOT_KIND,
  SLOT_WORDS,
} from './job-memory.js';
import { type CheckedRunnerOptions, timerMs } from './options.js';
import { CHANNEL_FD, CONTROL_FD, type FromProcess, type ToProcess } from './process-messages.js';
import { PoolWorker } from './worker-pool.js';

/** The child's numbers for its jobs, beside its places. */
const MAX_GENERATION = 2 ** 27;

interface Sent {
  readonly slot: number;
  readonly running: number;
  readonly generation: number;
  readonly sentAt: number;
  isCancelled: boolean;
}

export class WorkerProcess extends PoolWorker {
  readonly child: ChildProcess;
  readonly channel: Socket;
  readonly #control: Socket;
  readonly #options: CheckedRunnerOptions;
  readonly #memory: JobMemory;
  /** The jobs that it has, by place. */
  readonly #places: (Sent | null)[];
  /** Called when it has decided to end. */
  readonly #onRetired: (worker: WorkerProcess) => void;
  #consumer: NativeRunnerConsumer | null = null;
  #busy = 0;
  #tail = 0;
  #generation = 0;
  #tasks = 0;
  #heapBytes = 0;
  #retiring = false;
  #toldToEnd = false;
  #activeAt = 0;
  #idleTimer: NodeJS.Timeout | null = null;

  constructor(
    lane: Lane,
    consumer: number,
    child: ChildProcess,
    options: CheckedRunnerOptions,
    memory: JobMemory,
    onRetired: (worker: WorkerProcess) => void,
  ) {
    super(lane, consumer);
    this.child = child;
    this.channel = child.stdio[CHANNEL_FD] as Socket;
    this.#control = child.stdio[CONTROL_FD] as Socket;
    this.#options = options;
    this.#memory = memory;
    this.#places = new Array<Sent | null>(options.tasksPerThread).fill(null);
    this.#onRetired = onRetired;
    // That it has gone, its exit says.
    for (const socket of [this.channel, this.#control]) socket.on('error', () => {});
    this.#control.unref();
  }

  get identity() {
    return { ...(this.child.pid !== undefined && { pid: this.child.pid }) };
  }

  setReferenced(referenced: boolean): void {
    const of = referenced ? 'ref' : 'unref';
    this.child[of]();
    this.channel[of]();
  }

  override define(definition: FunctionDefinition): void {
    this.post({ kind: 'define', definition });
  }

  post(message: ToProcess): void {
    this.channel.write(toFrame(message));
  }

  /** It is ready. `makeConsumer` registers it as one. */
  begin(makeConsumer: (onRing: () => void) => NativeRunnerConsumer): void {
    this.#consumer = makeConsumer(this.#onRing);
    this.#consumer.setReferenced(false);
    this.#pump();
  }

  /** Takes no more, and ends when what it has is done. */
  retire(): void {
    if (!this.#retiring) {
      this.#retiring = true;
      this.#consumer?.retire();
    }
    this.#endIfDone();
  }

  terminate(): void {
    this.child.kill('SIGKILL');
  }

  release(): void {
    clearTimeout(this.#idleTimer ?? undefined);
    this.#consumer?.close();
    this.channel.destroy();
    this.#control.destroy();
  }

  /** Returns the slot that has ended; -1 where its job is not known. */
  onResult({ place, job, heapBytes }: FromProcess & { kind: 'result' }): void {
    const sent = this.#places[place];
    if (sent == null) {
      return;
    }
    this.#places[place] = null;
    this.#busy--;
    this.#tasks++;
    this.#heapBytes = heapBytes;
    const { slot } = sent;
    const index = slot * SLOT_WORDS;
    if (job === null) {
      this.#memory.words[index + SLOT_KIND] = 0;
    } else {
      this.#memory.bytes.set(job.words, (index + 1) * 4);
      if (job.parts.length > 0) this.#consumer!.setOutput(slot, job.parts);
    }
    addDuration(this.lane.runTimes, 0, performance.now() - sent.sentAt);
    this.lane.ring[this.#tail & this.lane.mask] = slot;
    this.#tail = (this.#tail + 1) | 0;
    Atomics.store(this.lane.words, LANE_TAIL, this.#tail);
  }

  /** What it has got back makes room. */
  goOn(): void {
    this.#pump();
  }

  slotAt(place: number): number {
    return this.#places[place]?.slot ?? -1;
  }

  readonly #onRing = (): void => {
    for (const [place, sent] of this.#places.entries()) {
      if (sent !== null && !sent.isCancelled) this.#cancelIfAsked(place, sent);
    }
    this.#pump();
  };

  #cancelIfAsked(place: number, sent: Sent): void {
    if (Atomics.load(this.#memory.words, sent.slot * SLOT_WORDS) === (sent.running | CANCEL_BIT)) {
      sent.isCancelled = true;
      this.#control.write(Buffer.from(Uint32Array.of(place, sent.generation).buffer));
    }
  }

  #pump(): void {
    while (!this.#retiring && this.#busy < this.#places.length) {
      if (this.#isDue()) {
        this.retire();
        this.#onRetired(this);
        return;
      }
      if (this.#consumer!.take(1, false) === 0) {
        if (this.#busy === 0) this.#watchIdleness();
        return;
      }
      this.#send(this.lane.taken[0]!, this.lane.taken[1]!);
    }
    this.#endIfDone();
  }

  #send(slot: number, queueGeneration: number): void {
    const { words, bytes } = this.#memory;
    const index = slot * SLOT_WORDS;
    const taken = (queueGeneration << GENERATION_SHIFT) | PLACE_TAKEN;
    const running = (queueGeneration << GENERATION_SHIFT) | PLACE_RUNNING;
    if (Atomics.compareExchange(words, index, taken, running) !== taken) {
      return; // cancelled meanwhile
    }
    const place = this.#places.indexOf(null);
    this.#generation = (this.#generation % MAX_GENERATION) + 1;
    const generation = this.#generation;
    const hasParcel = (words[index + SLOT_FLAGS]! & INPUT_HAS_PARCEL) !== 0;
    const parts = hasParcel ? this.#consumer!.takeInput(slot, null, null).map((buffer) => new Uint8Array(buffer)) : [];
    this.#places[place] = { slot, running, generation, sentAt: performance.now(), isCancelled: false };
    this.#busy++;
    const job = { words: new Uint8Array(ownBuffer(bytes.subarray((index + 1) * 4, (index + SLOT_WORDS) * 4))), parts };
    this.post({ kind: 'job', place, generation, job });
  }

  /** It is to be replaced. */
  #isDue(): boolean {
    const { tasks, ageMs, heapBytes } = this.#options.recycle;
    // Each is good for one, or none would ever run.
    return (
      this.#tasks > 0 &&
      (this.#tasks >= tasks || performance.now() - this.startedAt >= ageMs || this.#heapBytes >= heapBytes)
    );
  }

  #watchIdleness(): void {
    const ms = timerMs(this.#options.idleTimeout);
    this.#activeAt = performance.now();
    if (ms < Number.POSITIVE_INFINITY && this.#idleTimer === null) {
      this.#idleTimer = setTimeout(this.#onIdleTimer, ms).unref();
    }
  }

  readonly #onIdleTimer = (): void => {
    this.#idleTimer = null;
    if (this.#busy > 0) {
      return; // watched again when it has nothing to do
    }
    const left = this.#activeAt + this.#options.idleTimeout - performance.now();
    if (left > 0) {
      this.#idleTimer = setTimeout(this.#onIdleTimer, left).unref();
    } else {
      this.retire();
      this.#onRetired(this);
    }
  };

  #endIfDone(): void {
    if (this.#retiring && this.#busy === 0 && !this.#toldToEnd) {
      this.#toldToEnd = true;
      this.post({ kind: 'retire' });
    }
  }
}
