/**
 * The library as JavaScript, for worker threads: they cannot load TypeScript on every node. Compiled once for each test file, into a folder
 * of its own beside the build; runners and synchronous apps of the sources take their workers' code from there.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transformSync } from 'rolldown/utils';
import { afterAll } from 'vitest';
import { setSyncWorkerModule } from '../../lib/app/sync-app.js';
import { setProcessEntry } from '../../lib/runner/worker-processes.js';
import { setWorkerEntry } from '../../lib/runner/worker-threads.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
mkdirSync(join(root, '.cache'), { recursive: true });
const compiled = mkdtempSync(join(root, '.cache/compiled-library-'));

for (const name of readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.ts') || name.endsWith('.d.ts')) continue;
  const target = join(compiled, 'lib', name.replace(/ts$/, 'js'));
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, transformSync(name, readFileSync(join(root, 'lib', name), 'utf8'), {}).code);
}
writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }');
symlinkSync(join(root, 'build'), join(compiled, 'build'));

/** The address of a file of lib/, as JavaScript. */
export function compiledUrl(name: string): URL {
  return pathToFileURL(join(compiled, 'lib', name));
}

setWorkerEntry(compiledUrl('runner/js-worker.js'));
setProcessEntry(compiledUrl('runner/js-process.js'));
setSyncWorkerModule(compiledUrl('app/sync-worker.js'));

afterAll(() => rmSync(compiled, { recursive: true, force: true }));
