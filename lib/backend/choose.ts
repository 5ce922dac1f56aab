/** Which backend serves: the option, else GAMMALOOP_BACKEND, else native where the addon loads. */
import { AddonMissingError, OptionError } from '../errors.js';
import type { Backend } from './contract.js';
import { createNodeBackend } from './node-backend.js';

export type BackendName = 'native' | 'node';
export type BackendChoice = BackendName | 'auto';

/** Where the addon is built for. Elsewhere `node` is taken before the addon is touched. */
const NATIVE_PLATFORMS: ReadonlySet<string> = new Set(['linux', 'darwin', 'freebsd']);

let automatic: Promise<Backend> | null = null;
let noticeGiven = false;
let lastChosen: BackendName | null = null;

export async function chooseBackend(option: BackendChoice | undefined): Promise<Backend> {
  const choice = option ?? choiceFromEnvironment() ?? 'auto';
  const backend = await createBackend(choice);
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
  const foreign = foreignRuntime();
  if (foreign !== null) {
    throw new AddonMissingError({
      platform: process.platform,
      arch: process.arch,
      libc: '',
      tried: [`nothing: ${foreign}`],
      fix: "choose backend 'node' (GAMMALOOP_BACKEND=node)",
    });
  }
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

/** Why the addon must not even be tried here, or null. */
function foreignRuntime(): string | null {
  if (process.versions['bun'] !== undefined) {
    return 'Bun runs the node backend only';
  }
  if (process.versions['deno'] !== undefined || 'Deno' in globalThis) {
    return 'Deno runs the node backend only';
  }
  return NATIVE_PLATFORMS.has(process.platform) ? null : `${process.platform} has no native backend`;
}
