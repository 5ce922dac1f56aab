/** Files of the project and what each includes or imports, for the tests of the layers. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Paths from the root, sorted, of the files under `directory` with one of the extensions. */
export function filesUnder(directory: string, extensions: readonly string[]): string[] {
  if (!existsSync(join(root, directory))) return [];
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => extensions.some((extension) => name.endsWith(extension)) && !name.includes('node_modules'))
    .map((name) => `${directory}/${name}`)
    .sort();
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export interface Include {
  /** As written, without quotes or brackets. */
  readonly name: string;
  readonly system: boolean;
}

export function includesOf(path: string): Include[] {
  const includes: Include[] = [];
  for (const [, opening, name] of read(path).matchAll(/^\s*#\s*include\s*([<"])([^>"]+)[>"]/gm)) {
    includes.push({ name: name as string, system: opening === '<' });
  }
  return includes;
}

export interface Import {
  readonly specifier: string;
  /** Erased by the compiler: `import type`, `export type`. */
  readonly typeOnly: boolean;
  /** By `import()`, or only as a type in one. */
  later: boolean;
}

/** Imports of a TypeScript file: static, re-exporting and dynamic ones. */
export function importsOf(path: string): Import[] {
  const imports: Import[] = [];
  const pattern =
    /^\s*(?:import|export)\b(?:(\s+type\b)?[^;'"]*?\bfrom\s*'([^']+)'|\s*'([^']+)')|\bimport\(\s*'([^']+)'\s*\)/gm;
  for (const [, type, from, bare, dynamic] of read(path).matchAll(pattern)) {
    const specifier = (from ?? bare ?? dynamic) as string;
    imports.push({ specifier, typeOnly: type !== undefined, later: dynamic !== undefined });
  }
  return imports;
}

/** The project's file that a relative specifier means (`./x.js` is `x.ts`). */
export function resolveImport(from: string, specifier: string): string {
  const target = normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
  return relative(root, join(root, target));
}

/** The first cycle of a graph as a path, or null. */
export function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | null {
  const finished = new Set<string>();
  const path: string[] = [];
  const visit = (node: string): string[] | null => {
    const at = path.indexOf(node);
    if (at !== -1) return [...path.slice(at), node];
    if (finished.has(node)) return null;
    path.push(node);
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    path.pop();
    finished.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const cycle = visit(node);
    if (cycle) return cycle;
  }
  return null;
}
