/** Shared libraries for the tests of native tasks, compiled from C by the machine's own compiler. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

function compile(source: string, library: string): string {
  const include = join(root, 'native/include');
  const args = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared', `-I${include}`, source];
  execFileSync(process.env['CC'] ?? 'cc', [...args, '-o', library], { stdio: 'inherit' });
  return library;
}

/** native-tasks.c, compiled into `folder`. */
export function nativeTasks(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return compile(fileURLToPath(new URL('./native-tasks.c', import.meta.url)), join(folder, 'native-tasks.so'));
}

/** What the text says, compiled into `folder` by that name. */
export function libraryOf(folder: string, name: string, text: string): string {
  const source = join(folder, `${name}.c`);
  writeFileSync(source, text);
  return compile(source, join(folder, `${name}.so`));
}
