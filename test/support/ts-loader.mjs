/**
 * Lets a child process import the TypeScript sources: `node --import test/support/ts-loader.mjs`. Types are stripped by the compiler that
 * vitest brings, so that it works on every supported node.
 */
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';

let transform;

export async function resolve(specifier, context, next) {
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts')) {
    return next(`${specifier.slice(0, -3)}.ts`, context);
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) {
    return next(url, context);
  }
  transform ??= (await import('rolldown/utils')).transformSync ?? (await import('rolldown/experimental')).transformSync;
  const path = fileURLToPath(url);
  const { code } = transform(path, await readFile(path, 'utf8'), {});
  return { format: 'module', source: code, shortCircuit: true };
}

// Hooks run on a thread of their own, which imports this file again; worker threads get theirs.
if (!import.meta.url.endsWith('?hooks')) {
  register(`${import.meta.url}?hooks`);
}
