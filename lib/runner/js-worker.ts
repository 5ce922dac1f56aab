/** The entry of a worker thread: loads the runner's module, calls its `init`, runs tasks, and at the end calls its `dispose`. */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { loadBinding } from '../bridge/binding.js';
import { JobMemory, Lane } from './job-memory.js';
import type { FromWorker, ToWorker, WorkerSetup } from './messages.js';
import { giveWay } from './priority.js';
import { plainError, TaskModule } from './task-module.js';
import { canBeReturned } from './transfer.js';
import { type Caller, WorkerLoop } from './worker-loop.js';

const setup = workerData as WorkerSetup;
const { port, poolId, consumer } = setup;

class PortCaller implements Caller {
  readonly canMove = canBeReturned;
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  post(message: FromWorker, transfer: readonly object[] = []): void {
    this.#port.postMessage(message, transfer as never);
  }

  receive(): ToWorker | undefined {
    return receiveMessageOnPort(this.#port)?.message as ToWorker | undefined;
  }
}

const caller = new PortCaller(port);

async function start(): Promise<void> {
  process.on('uncaughtExceptionMonitor', (error, origin) =>
    caller.post({ kind: 'fatal', origin, error: plainError(error) }),
  );
  // Elsewhere threads have no priority of their own.
  if (process.platform === 'linux') giveWay(setup.niceIncrement);
  const module = await TaskModule.load(setup.module, setup.workerData);
  const loop = new WorkerLoop(setup, {
    memory: new JobMemory(setup.slots),
    lane: new Lane(setup.lane),
    caller,
    makeConsumer: (words, taken, onRing) =>
      new (loadBinding().RunnerConsumer)(poolId, consumer, words, taken, onRing, setup.spinUs),
    find: ({ name }) => module.find(name),
    onEnd: () => void end(module),
  });
  port.on('message', (message: ToWorker) => loop.onMessage(message));
  port.unref(); // the doorbell keeps the thread
  caller.post({ kind: 'ready' });
  loop.start();
}

async function end(module: TaskModule): Promise<void> {
  port.ref();
  await module.dispose();
  process.exit();
}

start().catch((error: unknown) => {
  caller.post({ kind: 'failed', error: plainError(error) });
  process.exit(1);
});
