// The worker processes: asks the least busy one, replaces those that die, and adds up what became of every request and task.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Requester } from 'gammaloop/correlation';
import { ProcessPort } from 'gammaloop/ports/process';

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));
/** Requests that one worker is given at a time; more are refused. */
const CAPACITY = 1000;
/** A worker that dies before it was ready is tried again after this time, doubled each time. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
/** Once nothing runs in it, a worker is given this time to end. */
const EXIT_MS = 2000;

/** No worker is there at this moment: new ones are being started. */
export class NoWorkerError extends Error {}

class WorkerProcess {
  /** Its tasks, as it told last. */
  tasks = null;
  #child;
  #port;
  #requester;

  /** `onReady` is called at most once, `onGone` once unless `stop` was called. */
  constructor(onReady, onGone) {
    this.#child = fork(WORKER, { serialization: 'advanced' });
    this.#port = new ProcessPort(this.#child);
    this.#requester = new Requester(this.#port, { capacity: CAPACITY, name: `worker ${this.pid}` });
    this.#port.subscribe('counters', ({ payload }) => {
      const isFirst = this.tasks === null;
      this.tasks = payload;
      if (isFirst) onReady();
    });
    this.#port.onClose((error) => {
      if (error !== undefined) onGone();
    });
  }

  get pid() {
    return this.#child.pid;
  }

  get isReady() {
    return this.tasks !== null && !this.#port.closed;
  }

  get requester() {
    return this.#requester;
  }

  get open() {
    return this.#requester.stats().open;
  }

  /** It ends when its channel is closed and nothing runs any more. */
  async stop() {
    const exited = this.#child.exitCode === null && this.#child.signalCode === null ? once(this.#child, 'exit') : null;
    await this.#port.close();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_MS);
    await exited;
    clearTimeout(timer);
  }
}

export class WorkerPool {
  #workers = new Set();
  #replaced = 0;
  #closed = false;
  #retryMs = RETRY_MS;
  #retries = new Set();
  /** What those that died had done. */
  #pastRequests = {};
  #pastTasks = { lost: 0 };

  /** Resolves when all `size` workers are ready. */
  static async start(size) {
    const pool = new WorkerPool();
    await Promise.all(Array.from({ length: size }, () => new Promise((ready) => pool.#add(ready))));
    return pool;
  }

  request(subject, payload, options) {
    return this.#pick().request(subject, payload, options);
  }

  stream(subject, payload, options) {
    return this.#pick().stream(subject, payload, options);
  }

  /** Both sides: `requests` as the gateway counts them, `tasks` as the workers do. */
  counters() {
    const requests = { ...this.#pastRequests };
    const tasks = { ...this.#pastTasks };
    const workers = [];
    for (const worker of this.#workers) {
      add(requests, requestsOf(worker));
      if (worker.tasks === null) continue;
      add(tasks, worker.tasks);
      workers.push({ pid: worker.pid, ...worker.tasks });
    }
    workers.sort((a, b) => a.pid - b.pid);
    return { requests, tasks, workers, replaced: this.#replaced };
  }

  /** To be called when nothing is in flight any more; what is, is cut. */
  async close() {
    this.#closed = true;
    for (const timer of this.#retries) clearTimeout(timer);
    await Promise.all([...this.#workers].map((worker) => worker.stop()));
  }

  /** The one with the fewest requests; among equals they take turns. */
  #pick() {
    let best = null;
    for (const worker of this.#workers) {
      if (worker.isReady && (best === null || worker.open < best.open)) best = worker;
    }
    if (best === null) throw new NoWorkerError('no worker is ready');
    this.#workers.delete(best);
    this.#workers.add(best);
    return best.requester;
  }

  #add(onReady) {
    const worker = new WorkerProcess(
      () => {
        this.#retryMs = RETRY_MS;
        onReady?.();
      },
      () => this.#replace(worker, onReady),
    );
    this.#workers.add(worker);
  }

  /** Its requests have been rejected already: the requester heard of it first. */
  #replace(worker, onReady) {
    if (this.#closed) return;
    this.#workers.delete(worker);
    this.#replaced++;
    add(this.#pastRequests, requestsOf(worker));
    if (worker.tasks !== null) {
      const { running, ...ended } = worker.tasks;
      add(this.#pastTasks, { ...ended, running: 0, lost: running });
      this.#add();
      return;
    }
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      this.#add(onReady);
    }, this.#retryMs);
    this.#retries.add(timer);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}

/** Each request ends in exactly one of these ways. */
function requestsOf({ requester }) {
  const { open, opened, resolved, rejected, timedOut, cancelled, closed } = requester.stats();
  return { open, opened, answered: resolved, failed: rejected, outOfTime: timedOut, hungUp: cancelled, broken: closed };
}

function add(sums, counts) {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
}
