/** The packages of an example, from the npm registry: once, and again when its lockfile has changed. */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const examples = fileURLToPath(new URL('../../examples', import.meta.url));

/** Without a network this ends in seconds. */
const patience = ['--prefer-offline', '--fetch-retries=1', '--fetch-retry-mintimeout=2000'];

export function examplePath(name: string, file: string): string {
  return join(examples, name, file);
}

export function installDependencies(name: string): void {
  // npm writes it last.
  const installed = statSync(examplePath(name, 'node_modules/.package-lock.json'), { throwIfNoEntry: false });
  if (installed && installed.mtimeMs > statSync(examplePath(name, 'package-lock.json')).mtimeMs) return;
  const install = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', ...patience], {
    cwd: join(examples, name),
    encoding: 'utf8',
    timeout: 110_000,
  });
  if (install.status === 0) return;
  const said = install.error?.message ?? install.stderr.match(/^npm error (?!code|errno|syscall).+$/m)?.[0];
  throw new Error(
    `examples/${name}: its packages could not be installed (${said ?? `npm ended with ${install.status ?? install.signal}`}). ` +
      `They come from the npm registry, once: npm ci --prefix examples/${name}`,
  );
}
