/** Which backend serves: the option, else GAMMALOOP_BACKEND, else native where the addon loads. */
import { foreignRuntime } from '../bridge/foreign-runtime.js';
import { OptionError } from '../errors.js';
import type { Backend } from './contract.js';
import { createNodeBackend } from './node-backend.js';

export type BackendName = 'native' | 'node';
export type BackendChoice = BackendName | 'auto';

let automatic: Promise<Backend> | null = null;
let noticeGiven = false;
let lastChosen: BackendName | null = null;

/** `deflates`: permessage-deflate is wanted, which node's zlib does where the process has none that the addon finds. */
export async function chooseBackend(option: BackendChoice | undefined, deflates = false): Promise<Backend> {
  const choice = option ?? choiceFromEnvironment() ?? 'auto';
  const first = await createBackend(choice);
  const backend = choice === 'auto' && deflates && !first.deflates ? createNodeBackend() : first;
  lastChosen = backend.name;
  return backend;
}

async function createBackend(choice: BackendChoice): Promise<Backend> {
  if (choice === 'node') {
    return createNodeBackend();
  }
  if (choice === 'native') {
    return createNative();
  }
  automatic ??= chooseAutomatically();
  return automatic;
}

/** The backend of the server that was started last, or null before the first. */
export function chosenBackend(): BackendName | null {
  return lastChosen;
}

/** Whether the addon may be tried where nobody has asked for a backend. */
export function mayUseAddon(): boolean {
  return choiceFromEnvironment() !== 'node' && foreignRuntime() === null;
}

function choiceFromEnvironment(): BackendChoice | undefined {
  const value = process.env['GAMMALOOP_BACKEND'];
  if (value === undefined || value === '') {
    return undefined;
  }
  if (value !== 'native' && value !== 'node' && value !== 'auto') {
    throw new OptionError('GAMMALOOP_BACKEND (environment)', "'native', 'node' or 'auto'", value);
  }
  return value;
}

async function createNative(): Promise<Backend> {
  const native = await import('./native-backend.js');
  const probe = native.probeNative();
  if (!probe.ok) {
    throw probe.error;
  }
  return native.createNativeBackend();
}

async function chooseAutomatically(): Promise<Backend> {
  if (foreignRuntime() !== null) {
    return createNodeBackend();
  }
  try {
    return await createNative();
  } catch (error) {
    if (!noticeGiven) {
      noticeGiven = true;
      const reason = (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, ' ');
      process.stderr.write(`gammaloop: serving on the 'node' backend. ${reason}\n`);
    }
    return createNodeBackend();
  }
}
