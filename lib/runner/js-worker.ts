/** The entry of a worker thread: loads the runner's module, calls its `init`, runs tasks, and at the end calls its `dispose`. */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { threadId, workerData } from 'node:worker_threads';
import { loadBinding } from '../bridge/binding.js';
import { TaskError } from '../errors.js';
import type { FromWorker, ToWorker, WorkerSetup } from './messages.js';
import { isError, toPlainError } from './task-errors.js';
import { canSerialize } from './values.js';
import { type Lookup, type TaskFunction, WorkerLoop } from './worker-loop.js';

type Module = Record<string, unknown>;

/** Names that the runner itself calls. */
const HOOKS = new Set(['init', 'dispose']);

const setup = workerData as WorkerSetup;
const { port } = setup;

function post(message: FromWorker): void {
  port.postMessage(message);
}

function plain(error: unknown) {
  return toPlainError(isError(error) ? error : new Error(String(error)), canSerialize);
}

/** The exports, and those of a default export that is an object (or, of CommonJS, a function with properties). */
function exportOf(module: Module, name: string): unknown {
  if (Object.hasOwn(module, name)) {
    return module[name];
  }
  const fallback = module['default'];
  const isHolder = (typeof fallback === 'object' && fallback !== null) || typeof fallback === 'function';
  return isHolder && Object.hasOwn(fallback, name) ? (fallback as Module)[name] : undefined;
}

function lookupIn(module: Module): Lookup {
  return (name) => {
    const found = HOOKS.has(name) ? undefined : exportOf(module, name);
    if (typeof found === 'function') {
      return found as TaskFunction;
    }
    const reason =
      setup.module === undefined ? 'the runner has no module' : `${setup.module} exports no function of this name`;
    throw new TaskError('ERR_GAMMALOOP_TASK_UNKNOWN', name, `There is no task ${name}: ${reason}`);
  };
}

async function callHook(module: Module, name: string): Promise<void> {
  const hook = exportOf(module, name);
  if (typeof hook === 'function') {
    await (hook as TaskFunction)({ threadId, workerData: setup.workerData });
  }
}

async function start(): Promise<void> {
  // What the module sees of its thread is as if the runner were not there.
  createRequire(import.meta.url)('node:worker_threads').workerData = setup.workerData;
  syncBuiltinESMExports();
  process.on('uncaughtExceptionMonitor', (error, origin) => post({ kind: 'fatal', origin, error: plain(error) }));

  const module = setup.module === undefined ? {} : ((await import(setup.module)) as Module);
  await callHook(module, 'init');

  const loop = new WorkerLoop(loadBinding(), setup, lookupIn(module), () => void end(module));
  port.on('message', (message: ToWorker) => loop.onMessage(message));
  port.unref(); // the doorbell keeps the thread
  post({ kind: 'ready' });
  loop.start();
}

async function end(module: Module): Promise<void> {
  port.ref();
  await callHook(module, 'dispose');
  process.exit();
}

start().catch((error: unknown) => {
  post({ kind: 'failed', error: plain(error) });
  process.exit(1);
});
