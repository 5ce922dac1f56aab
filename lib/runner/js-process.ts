/** The entry of a child process: as js-worker.ts, but its jobs come and go in frames. It never outlives its parent. */
import { Socket } from 'node:net';
import { loadBinding, type NativeRunnerConsumer } from '../bridge/binding.js';
import { FrameReader, ownBuffer, toFrame } from './frames.js';
import type { FunctionDefinition } from './functions.js';
import {
  CANCEL_BIT,
  GENERATION_SHIFT,
  JobMemory,
  LANE_HEAD,
  LANE_TAIL,
  Lane,
  PLACE_TAKEN,
  SLOT_WORDS,
} from './job-memory.js';
import type { FromWorker, ToWorker } from './messages.js';
import { giveWay } from './priority.js';
import {
  CHANNEL_FD,
  CONTROL_FD,
  type FromProcess,
  type JobFrame,
  type ProcessSetup,
  type ToProcess,
} from './process-messages.js';
import { Runner } from './runner.js';
import { taskContext } from './task-context.js';
import { plainError, type TaskFunction, TaskModule } from './task-module.js';
import type { TaskRun } from './task-run.js';
import { canBeTaken } from './transfer.js';
import { type Caller, WorkerLoop } from './worker-loop.js';

type JobMessage = ToProcess & { kind: 'job' };

const HEAP_CHECK_MS = 100;

const channel = new Socket({ fd: CHANNEL_FD });
channel.on('error', () => {}); // the parent has gone, and so will this process

function send(message: FromProcess): void {
  channel.write(toFrame(message));
}

/** The jobs that the parent has sent, as WorkerLoop takes them: one at a time. */
class ChildConsumer implements NativeRunnerConsumer {
  /** By place: the generation that was cancelled last. */
  readonly cancelled: Int32Array;
  onRing: () => void = () => {};
  readonly #memory: JobMemory;
  readonly #lane: Lane;
  readonly #tellsHeap: boolean;
  readonly #waiting: JobMessage[] = [];
  readonly #inputs: (readonly Uint8Array[])[] = [];
  readonly #outputs: (readonly Uint8Array[])[] = [];
  /** Given to the loop last. */
  #handed: JobMessage | null = null;
  #heapBytes = 0;
  #heapCheckedAt = Number.NEGATIVE_INFINITY;

  constructor(memory: JobMemory, lane: Lane, tellsHeap: boolean) {
    this.#memory = memory;
    this.#lane = lane;
    this.#tellsHeap = tellsHeap;
    this.cancelled = new Int32Array(new SharedArrayBuffer(memory.slots * 4));
  }

  add(job: JobMessage): void {
    this.#waiting.push(job);
    this.onRing();
  }

  take(): number {
    this.#dropHanded();
    for (let message = this.#waiting.shift(); message !== undefined; message = this.#waiting.shift()) {
      const { place, generation, job } = message;
      const index = place * SLOT_WORDS;
      this.#memory.bytes.set(job.words, (index + 1) * 4);
      this.#inputs[place] = job.parts;
      // First this, then the look: whoever cancels does it the other way round, so that one of both sees it.
      Atomics.store(this.#memory.words, index, (generation << GENERATION_SHIFT) | PLACE_TAKEN);
      if (Atomics.load(this.cancelled, place) === generation) {
        this.#sendResult(place, null);
        continue;
      }
      this.#lane.taken[0] = place;
      this.#lane.taken[1] = generation;
      this.#handed = message;
      return 1;
    }
    return 0;
  }

  /** Its results go to the parent. */
  ringCaller(): void {
    const { words, ring, mask } = this.#lane;
    const tail = Atomics.load(words, LANE_TAIL);
    for (let head = words[LANE_HEAD]!; head !== tail; head = (head + 1) | 0) {
      const place = ring[head & mask]!;
      const index = place * SLOT_WORDS;
      const { bytes } = this.#memory;
      this.#sendResult(place, {
        words: Uint8Array.from(bytes.subarray((index + 1) * 4, (index + SLOT_WORDS) * 4)),
        parts: this.#outputs[place] ?? [],
      });
      this.#outputs[place] = [];
    }
    words[LANE_HEAD] = tail;
  }

  ringSelf(): void {
    setImmediate(() => this.onRing());
  }

  takeInput(place: number): ArrayBuffer[] {
    const buffers = this.#inputs[place]!.map(ownBuffer);
    this.#inputs[place] = [];
    return buffers;
  }

  /** A process has no memory of its caller's. */
  endLoans(): void {}

  setOutput(place: number, parts: readonly (Uint8Array | ArrayBuffer)[]): void {
    this.#outputs[place] = parts.map((part) =>
      Uint8Array.from(part instanceof ArrayBuffer ? new Uint8Array(part) : part),
    );
  }

  giveBack(): never {
    throw new Error('it takes one at a time, and begins that at once');
  }

  retire(): void {}
  setReferenced(): void {}
  close(): void {}

  /** What was cancelled between being taken and being begun. */
  #dropHanded(): void {
    const handed = this.#handed;
    this.#handed = null;
    if (handed !== null) {
      const { place, generation } = handed;
      const word = Atomics.load(this.#memory.words, place * SLOT_WORDS);
      if (word === ((generation << GENERATION_SHIFT) | PLACE_TAKEN | CANCEL_BIT)) this.#sendResult(place, null);
    }
  }

  #sendResult(place: number, job: JobFrame | null): void {
    send({ kind: 'result', place, job, heapBytes: this.#heap() });
  }

  #heap(): number {
    const now = performance.now();
    if (this.#tellsHeap && now - this.#heapCheckedAt >= HEAP_CHECK_MS) {
      this.#heapCheckedAt = now;
      this.#heapBytes = process.memoryUsage().heapUsed;
    }
    return this.#heapBytes;
  }
}

/** What only a message can carry finds no way to another process. */
const caller: Caller = {
  canMove: (list): list is readonly ArrayBuffer[] => list.every(canBeTaken),
  post: (message: FromWorker) => {
    if (message.kind === 'result') {
      throw new TypeError('another process shares no memory and no ports with this one');
    }
  },
  receive: () => undefined,
};

/** Native tasks run on threads of this process, so that they can be cancelled, and its event loop lives on. */
let natives: Runner | null = null;

function nativeTask({ library, name }: FunctionDefinition, tasksPerThread: number): TaskFunction {
  return (bytes) => {
    natives ??= new Runner({ threads: tasksPerThread });
    const { signal, traceId, deadline, slot } = taskContext() as TaskRun;
    const timeout = Math.max(0, deadline - performance.now());
    const input = bytes as Uint8Array<ArrayBuffer>;
    return natives.native(library!, name, input, {
      signal,
      traceId,
      timeout,
      transfer: [input.buffer],
      onProgress: (done) => send({ kind: 'progress', place: slot, done }),
    });
  };
}

async function start(setup: ProcessSetup): Promise<(message: ToProcess) => void> {
  process.on('uncaughtExceptionMonitor', (error, origin) => send({ kind: 'fatal', origin, error: plainError(error) }));
  const memory = JobMemory.allocate(setup.tasksPerThread);
  const lane = Lane.allocate(setup.tasksPerThread);
  const consumer = new ChildConsumer(memory, lane, setup.tellsHeap);
  // From here on it ends with its parent.
  new (loadBinding().ChildControl)(CONTROL_FD, memory.words, SLOT_WORDS, consumer.cancelled, () => consumer.onRing());
  channel.unref(); // so that a module that waits for nothing ends
  giveWay(setup.niceIncrement);
  const module = await TaskModule.load(setup.module, setup.workerData);
  const never = Number.POSITIVE_INFINITY;
  const loop = new WorkerLoop(
    {
      definitions: setup.definitions,
      tasksPerThread: setup.tasksPerThread,
      batchSize: 1,
      // When it is to end, its parent says.
      idleTimeout: never,
      recycle: { tasks: never, ageMs: never, heapBytes: never },
    },
    {
      memory,
      lane,
      caller,
      makeConsumer: (_words, _taken, onRing) => {
        consumer.onRing = onRing;
        return consumer;
      },
      find: (definition) =>
        definition.library === undefined ? module.find(definition.name) : nativeTask(definition, setup.tasksPerThread),
      onEnd: () => void module.dispose().then(() => process.exit()),
    },
  );
  channel.ref();
  send({ kind: 'ready' });
  return (message) => {
    if (message.kind === 'job') consumer.add(message);
    else loop.onMessage(message as ToWorker);
  };
}

function fail(error: unknown): void {
  send({ kind: 'failed', error: plainError(error) });
  process.exit(1);
}

let receive: (message: ToProcess) => void = (message) => {
  const early: ToProcess[] = [];
  receive = (next) => void early.push(next);
  start((message as ToProcess & { kind: 'setup' }).setup).then((onMessage) => {
    receive = onMessage;
    early.forEach(onMessage);
  }, fail);
};

const frames = new FrameReader();
channel.on('data', (chunk: Buffer) => {
  for (const message of frames.push(chunk)) receive(message as ToProcess);
});
