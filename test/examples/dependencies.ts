/** The packages of an example, from the npm registry: once, and again when its lockfile has changed. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const examples = fileURLToPath(new URL('../../examples', import.meta.url));

export function examplePath(name: string, file: string): string {
  return join(examples, name, file);
}

export function installDependencies(name: string): void {
  // npm writes it last.
  const installed = statSync(examplePath(name, 'node_modules/.package-lock.json'), { throwIfNoEntry: false });
  if (installed && installed.mtimeMs > statSync(examplePath(name, 'package-lock.json')).mtimeMs) return;
  try {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: join(examples, name),
      encoding: 'utf8',
      stdio: 'pipe',
      timeout: 110_000,
    });
  } catch (error) {
    throw new Error(
      `examples/${name}: its packages could not be installed. They come from the npm registry, once: npm ci --prefix examples/${name}`,
      { cause: error },
    );
  }
}
