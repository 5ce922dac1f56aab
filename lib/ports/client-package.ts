/** Broker clients are optional peers: found when a port is made, loaded when it connects. */
import { createRequire } from 'node:module';
import { PackageMissingError } from '../errors.js';

const require = createRequire(import.meta.url);

/** Throws PackageMissingError, with the command that installs it. */
export function requirePackage(name: string, neededBy: string): void {
  try {
    require.resolve(name);
  } catch (cause) {
    // Found, and of a kind that only `import` takes.
    if ((cause as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
      return;
    }
    throw new PackageMissingError(name, neededBy, { cause });
  }
}
