/** What the caller and a child process tell each other, in frames on the child's descriptor 3. */
import type { FunctionDefinition } from './functions.js';
import type { PlainError } from './task-errors.js';

export const CHANNEL_FD = 3;
/** By which the caller cancels: records of two words, the place and the generation of its job. */
export const CONTROL_FD = 4;

/** The first message. */
export interface ProcessSetup {
  readonly definitions: readonly FunctionDefinition[];
  /** href of the module; undefined: none, only `call`. */
  readonly module: string | undefined;
  readonly workerData: unknown;
  readonly tasksPerThread: number;
  readonly niceIncrement: number;
  /** Its results say how much heap it uses. */
  readonly tellsHeap: boolean;
}

/** A job or what came of it: the words of its slot, but for the first, and its parcel. */
export interface JobFrame {
  readonly words: Uint8Array;
  readonly parts: readonly Uint8Array[];
}

export type ToProcess =
  | { readonly kind: 'setup'; readonly setup: ProcessSetup }
  | { readonly kind: 'define'; readonly definition: FunctionDefinition }
  /** `place`: which of those that the child may have at a time. */
  | { readonly kind: 'job'; readonly place: number; readonly generation: number; readonly job: JobFrame }
  /** There is nothing more; end. */
  | { readonly kind: 'retire' };

export type FromProcess =
  | { readonly kind: 'ready' }
  /** The module or its `init` threw. */
  | { readonly kind: 'failed'; readonly error: PlainError }
  /** An exception or rejection that nobody handled; the child ends. */
  | { readonly kind: 'fatal'; readonly origin: NodeJS.UncaughtExceptionOrigin; readonly error: PlainError }
  /** `job` null: it was cancelled before it began. */
  | { readonly kind: 'result'; readonly place: number; readonly job: JobFrame | null; readonly heapBytes: number }
  | { readonly kind: 'progress'; readonly place: number; readonly done: number };
